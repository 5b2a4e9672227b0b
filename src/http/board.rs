//! What the daemon tells of itself while it works: who it is, how it goes, what its turns did.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::{Notify, watch};
use utoipa::ToSchema;

use super::metrics::Metrics;
use crate::failure::{Class, Failure};
use crate::turn::Turned;

/// How often the daemon's loop shows that it lives.
const BEAT: Duration = Duration::from_secs(2);
/// After this long without a beat the loop hangs.
const SILENCE: Duration = Duration::from_secs(15);

/// Why requests should not be sent here, or why nobody may rely on what is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    NoPlan,
    DatabaseAway,
    SchemaMissing,
    GuardRefused,
    Ending,
}

impl Reason {
    /// A fixed word and a fixed sentence: whoever asks has shown no token, and is told no name, address or path.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Reason::NoPlan => ("no-plan", "no turn has been planned yet; the log and `reconcile status` say why"),
            Reason::DatabaseAway => ("database-away", "the database does not answer; `reconcile doctor` says why"),
            Reason::SchemaMissing => {
                ("schema-missing", "the schema is missing or of another version: `reconcile migrate`")
            }
            Reason::GuardRefused => {
                ("guard-refused", "the guard refuses the database: it is not the one that is meant")
            }
            Reason::Ending => ("ending", "the daemon is about to end"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Starting,
    Leader,
    Follower,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Role::Starting => "starting",
            Role::Leader => "leader",
            Role::Follower => "follower",
        }
    }
}

struct State {
    role: Role,
    /// `None`: ready.
    reason: Option<Reason>,
    has_planned: bool,
    beaten_at: Instant,
}

/// One daemon's own account of itself. Shared by the daemon, which writes it, and the door, which reads it.
pub struct Board {
    state: Mutex<State>,
    /// How often anything here has become another.
    news: watch::Sender<u64>,
    pub(super) metrics: Metrics,
    /// Somebody wants a turn.
    asked: Notify,
}

impl Board {
    /// `environment` and `catalog` are labels of the metrics.
    pub fn new(environment: &str, catalog: &str) -> Self {
        let state =
            State { role: Role::Starting, reason: Some(Reason::NoPlan), has_planned: false, beaten_at: Instant::now() };
        Self {
            state: Mutex::new(state),
            news: watch::Sender::new(0),
            metrics: Metrics::new(environment, catalog),
            asked: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    /// Somebody has done something beside the turns.
    pub(super) fn acted(&self) {
        self.tell();
    }

    /// Counts what happens: a turn, a failure, another role, an action, the end.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Shows that the loop lives, for ever. To be awaited beside the loop in one task, so that it falls silent when the
    /// loop hangs.
    pub async fn keep_beating(&self) -> std::convert::Infallible {
        let mut pulse = tokio::time::interval(BEAT);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pulse.tick().await;
            self.lock().beaten_at = Instant::now();
        }
    }

    /// The lease is ours, under this fencing number.
    pub fn leads(&self, fencing: i64) {
        self.lock().role = Role::Leader;
        self.metrics.lease(Some(fencing));
        self.tell();
    }

    /// Another holds the lease, in a database that answers: a follower is ready without a plan of its own.
    pub fn follows(&self) {
        let mut state = self.lock();
        (state.role, state.reason) = (Role::Follower, None);
        drop(state);
        self.metrics.lease(None);
        self.tell();
    }

    /// The lease was lost or given back.
    pub fn leads_no_more(&self) {
        self.lock().role = Role::Starting;
        self.metrics.lease(None);
        self.tell();
    }

    /// A turn was carried through, or held back by the change budget: either way it was planned.
    pub fn turned(&self, turned: &Turned, took: Duration) {
        let mut state = self.lock();
        (state.reason, state.has_planned) = (None, true);
        drop(state);
        self.metrics.turned(turned, took);
        self.tell();
    }

    /// There was no turn, or it broke off. What is in the way of this turn alone leaves a daemon
    /// ready that was so.
    pub fn failed(&self, failure: &Failure, took: Duration) {
        let mut state = self.lock();
        let reason = match failure {
            Failure { class: Class::Refused, .. } => Some(Reason::GuardRefused),
            Failure { is_schema: true, .. } => Some(Reason::SchemaMissing),
            Failure { is_away: true, .. } => Some(Reason::DatabaseAway),
            _ if state.has_planned => None,
            _ => Some(Reason::NoPlan),
        };
        state.reason = reason;
        drop(state);
        self.metrics.failed(failure, took);
        self.tell();
    }

    /// Waits until somebody wants a turn. One who wanted it while nobody waited is told of at once.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Wants a turn of this very daemon.
    pub(super) fn ask(&self) {
        self.asked.notify_one();
    }

    /// Whether the database did not answer when it was asked last.
    pub(super) fn database_is_away(&self) -> bool {
        self.lock().reason == Some(Reason::DatabaseAway)
    }

    /// Whether the lease is ours, as far as is known.
    pub(super) fn is_leader(&self) -> bool {
        self.lock().role == Role::Leader
    }

    /// The daemon has been told to end.
    pub fn ends(&self) {
        self.lock().reason = Some(Reason::Ending);
        self.tell();
    }

    /// Whether the loop has shown that it lives.
    pub(super) fn is_alive(&self) -> bool {
        self.lock().beaten_at.elapsed() < SILENCE
    }

    /// `starting`, `leader` or `follower`; and why it is not ready.
    pub(super) fn role(&self) -> (&'static str, Option<&'static str>) {
        let state = self.lock();
        (state.role.word(), state.reason.map(|reason| reason.words().1))
    }

    pub(super) fn follows_another(&self) -> bool {
        self.lock().role == Role::Follower
    }

    pub(super) fn is_ending(&self) -> bool {
        self.lock().reason == Some(Reason::Ending)
    }

    /// Whether it is ready, and why not.
    pub(super) fn readiness(&self) -> Readiness {
        let state = self.lock();
        let reasons = state.reason.iter().map(|reason| {
            let (code, message) = reason.words();
            InTheWay { code, message }
        });
        Readiness { ready: state.reason.is_none(), reasons: reasons.collect(), role: state.role.word() }
    }
}

/// Whether what the daemon does can be relied on.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Readiness {
    pub ready: bool,
    reasons: Vec<InTheWay>,
    /// `starting`, `leader` or `follower`.
    role: &'static str,
}

/// Why it cannot.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct InTheWay {
    code: &'static str,
    message: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new("development", "KSESSIONS_DEV")
    }

    fn reason(board: &Board) -> Option<Reason> {
        board.lock().reason
    }

    #[test]
    fn a_follower_is_ready_without_a_plan_and_a_leader_is_not() {
        let board = board();
        board.leads(3);
        assert_eq!(reason(&board), Some(Reason::NoPlan));
        board.follows();
        assert_eq!(reason(&board), None);
        assert_eq!(board.readiness(), Readiness { ready: true, reasons: Vec::new(), role: "follower" });
    }

    #[test]
    fn what_is_in_the_way_of_everything_is_a_reason_and_a_bad_turn_is_none() {
        let (board, took) = (board(), Duration::from_secs(1));
        let mut away = Failure::error("away");
        away.is_away = true;
        let schema = Failure::from(crate::store::error::Error::SchemaMissing);
        board.follows();
        board.lock().has_planned = true;
        for (failure, expected) in [
            (&Failure::refused("another catalog"), Some(Reason::GuardRefused)),
            (&schema, Some(Reason::SchemaMissing)),
            (&away, Some(Reason::DatabaseAway)),
            (&Failure::error("a row is locked"), None),
        ] {
            board.failed(failure, took);
            assert_eq!(reason(&board), expected, "{failure:?}");
        }
        board.lock().has_planned = false;
        board.failed(&Failure::error("a row is locked"), took);
        assert_eq!(reason(&board), Some(Reason::NoPlan));
    }

    #[test]
    fn a_loop_that_falls_silent_is_no_longer_alive() {
        let board = board();
        assert!(board.is_alive());
        let Some(then) = Instant::now().checked_sub(SILENCE) else { return };
        board.lock().beaten_at = then;
        assert!(!board.is_alive());
    }
}
