//! Pool servers: PostgreSQL clusters on which every customer instance has a role and a database of its own.
//!
//! The least that the admin role needs is to make roles and databases; it must not be a superuser. As a superuser, once
//! on each server:
//!
//! ```sql
//! CREATE ROLE reconcile_pool_admin LOGIN CREATEDB CREATEROLE PASSWORD '…';
//! ```
//!
//! Whose a role is stands in its comment (see [`Mark`]), together with the fencing number of the applier that worked on
//! it last: a paused applier that wakes up finds a higher number there, and changes nothing. A database is ours if its
//! owner is. What bears no mark of ours is never touched, whatever its name.

mod account;
mod error;
mod mark;
mod session;
mod sight;
#[cfg(test)]
mod tests;
mod verifier;

use std::time::Duration;

pub use account::{Account, DbName};
pub use error::PoolError;
pub use mark::Mark;
pub use sight::{Rights, SeenDatabase, SeenRole, Sight, Standing};
pub use verifier::{Verifier, password};

use crate::guard::{Guard, PoolTarget};
use session::Session;

/// How often an order is tried that the server turned down for a reason that passes.
const TRIES: u32 = 5;
/// The pause before the second try; it doubles with each, and is jittered.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a pool server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To connect, with all the proofs.
    pub connect: Duration,
    /// For one statement.
    pub statement: Duration,
}

/// A server that the guard has admitted by its URL. Nothing is connected to until something is asked.
#[derive(Clone)]
pub struct Pool {
    target: PoolTarget,
    guard: Guard,
    /// What the server was bound to at its first use.
    bound: Option<String>,
    limits: Limits,
}

/// What is to be done on a server. Each order, done twice, equals once.
pub enum Order {
    /// Make the role and the database that it owns, and let nobody else connect to it.
    Create(Account),
    SetPassword {
        account: Account,
        verifier: Verifier,
    },
    /// Give LOGIN to the role, or take it.
    SetLogin {
        account: Account,
        allowed: bool,
    },
}

impl Pool {
    pub fn new(target: PoolTarget, guard: &Guard, bound: Option<String>, limits: Limits) -> Self {
        Self { target, guard: guard.clone(), bound, limits }
    }

    /// Looks at what is there, over one connection that cannot write.
    ///
    /// Errors: the server does not answer within the limits, or the guard refuses it.
    pub async fn look(&self) -> Result<Sight, PoolError> {
        let (session, sight) = Session::open(self, session::Access::Read).await?;
        session.close().await;
        Ok(sight)
    }

    /// Carries the orders out one after the other, over one connection; the answers are in their order. What the server
    /// turns down for a reason that passes is tried again a few times. Where it does not answer at all, what is left is
    /// answered with that.
    ///
    /// `fencing`: the applier's number, which must not be lower than the one in a role's mark.
    pub async fn carry_out(&self, orders: &[Order], fencing: i64) -> Vec<Result<(), PoolError>> {
        let mut session = None;
        let mut answers: Vec<Result<(), PoolError>> = Vec::with_capacity(orders.len());
        for order in orders {
            let answer = match answers.last() {
                Some(Err(error)) if error.is_everybodys() => Err(error.clone()),
                _ => self.patiently(order, fencing, &mut session).await,
            };
            answers.push(answer);
        }
        if let Some(session) = session {
            session.close().await;
        }
        answers
    }

    async fn patiently(&self, order: &Order, fencing: i64, session: &mut Option<Session>) -> Result<(), PoolError> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.once(order, fencing, session).await {
                Err(error) if error.passes() => {
                    tracing::debug!("{error}; trying again");
                    tokio::time::sleep(pause.mul_f64(fastrand::f64().mul_add(0.5, 0.75))).await;
                    pause *= 2;
                }
                answer => return answer,
            }
        }
        self.once(order, fencing, session).await
    }

    async fn once(&self, order: &Order, fencing: i64, kept: &mut Option<Session>) -> Result<(), PoolError> {
        let mut session = match kept.take() {
            Some(session) => session,
            None => Session::open(self, session::Access::Write).await?.0,
        };
        let answer = match order {
            Order::Create(account) => session.create(account, fencing).await,
            Order::SetPassword { account, verifier } => session.set_password(account, verifier, fencing).await,
            Order::SetLogin { account, allowed } => session.set_login(account, *allowed, fencing).await,
        };
        // After an error a transaction may still be open: the next order gets a connection of its own.
        if answer.is_ok() {
            *kept = Some(session);
        } else {
            session.close().await;
        }
        answer
    }
}
