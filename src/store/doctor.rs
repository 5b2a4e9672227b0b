//! The doctor: the way to the database, step by step, each with its time; the first that fails is named with its cause
//! and its cure.

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, UnixStream};

use super::connect::{Access, Database};
use super::error::{Cause, Error};
use super::sql::{Conn, fetch};
use super::stamp::Stamped;
use super::{file, rights, session};
use crate::file::{self as files, Right};
use crate::guard::{Place, PostgresTarget, Refusal, SQLITES, SqliteTarget, Target, companion};

/// One step of an examination.
#[derive(Debug)]
pub struct Step {
    pub name: String,
    pub took: Duration,
    /// What was found, or what is wrong.
    pub outcome: Result<String, Trouble>,
}

/// Why a step failed.
#[derive(Debug)]
pub struct Trouble {
    pub cause: Cause,
    pub what: String,
    /// What to do about it; empty where nothing can be said.
    pub mend: String,
    /// The guard's no, where that is what it is.
    pub refusal: Option<Refusal>,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let (cause, what, mend) = (error.cause(), error.chain(), error.hint().unwrap_or_default());
        let refusal = if let Error::Refused(refusal) = error { Some(refusal) } else { None };
        Self { cause, what, mend, refusal }
    }
}

/// Goes the way to the database, up to the first step that fails. Writes nothing. Each step is bounded by the time to
/// connect. `prunes` is whether turns shorten the journal, which wants one right more.
pub async fn examine(database: &Database, prunes: bool) -> Vec<Step> {
    let mut steps = Steps { done: Vec::new(), limit: database.options().connect_timeout };
    match database.target() {
        Target::Sqlite(target) => {
            sqlite(database, target, &mut steps).await;
        }
        Target::Postgres(target) => {
            steps.limit = database.patience(target);
            postgres(database, target, &mut steps, prunes).await;
        }
    }
    steps.done
}

struct Steps {
    done: Vec<Step>,
    limit: Duration,
}

impl Steps {
    /// Takes one step; `None` when it failed, so that `?` ends the examination.
    async fn take<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<(String, T), Error>>,
    ) -> Option<T> {
        let started = Instant::now();
        let result = tokio::time::timeout(self.limit, work).await;
        let took = started.elapsed();
        let (outcome, found) = match result {
            Ok(Ok((said, found))) => (Ok(said), Some(found)),
            Ok(Err(error)) => (Err(Trouble::from(error)), None),
            Err(_) => (Err(silence(self.limit)), None),
        };
        self.done.push(Step { name: name.to_owned(), took, outcome });
        found
    }
}

fn silence(limit: Duration) -> Trouble {
    Trouble {
        cause: Cause::Timeout,
        what: format!("no answer within {} s", limit.as_secs_f32()),
        mend: Cause::Timeout.mend().unwrap_or_default().to_owned(),
        refusal: None,
    }
}

async fn postgres(database: &Database, target: &PostgresTarget, steps: &mut Steps, prunes: bool) -> Option<()> {
    let addresses = steps
        .take("resolve name", async {
            let addresses = session::resolve(target).await?;
            let said = match addresses.first() {
                Some(first) if first.ip().to_string() == target.host => format!("{} is an address", target.host),
                Some(first) => format!("{} is {}", target.host, first.ip()),
                None => format!("{} is a socket's directory", target.host),
            };
            Ok((said, addresses))
        })
        .await?;
    steps
        .take("connect", async {
            let tried = match target.socket() {
                Some(directory) => {
                    let socket = directory.join(format!(".s.PGSQL.{}", target.port));
                    UnixStream::connect(socket).await.map(drop)
                }
                None => TcpStream::connect(&addresses[..]).await.map(drop),
            };
            tried.map_err(|source| database.unreachable(sqlx::Error::Io(source)))?;
            Ok((target.server(), ()))
        })
        .await?;
    let mut conn = login(database, target, steps).await?;
    steps
        .take("catalog", async {
            database.prove(&mut conn, Access::Read).await?;
            Ok((database.admitted().catalog().to_string(), ()))
        })
        .await?;
    stamp(database, &mut conn, steps).await?;
    steps.take("schema", schema(database, &mut conn)).await?;
    steps.take("rights", rights::examine(database, target, &mut conn, prunes)).await?;
    conn.close().await;
    Some(())
}

/// The server says whether a catalog exists only after it has let the user in: two steps, one answer.
async fn login(database: &Database, target: &PostgresTarget, steps: &mut Steps) -> Option<Conn> {
    let mut catalog = None;
    let conn = steps
        .take("log in", async {
            let welcome = format!("user {}", target.user);
            match database.login(target).await {
                Ok(conn) => Ok((welcome, Some(conn))),
                Err(error) if matches!(error.cause(), Cause::CatalogMissing | Cause::RightsMissing) => {
                    catalog = Some(error);
                    Ok((welcome, None))
                }
                Err(error) => Err(error),
            }
        })
        .await?;
    if let Some(error) = catalog {
        steps.done.push(Step { name: "catalog".to_owned(), took: Duration::ZERO, outcome: Err(Trouble::from(error)) });
    }
    conn
}

async fn stamp(database: &Database, conn: &mut Conn, steps: &mut Steps) -> Option<Stamped> {
    steps
        .take("stamp", async {
            database.check(conn).await?;
            let stamped = database.stamped(conn).await?;
            let environment = database.guard().environment();
            let said = match &stamped {
                Stamped::Nothing => format!("none yet: the first migration stamps it {environment}"),
                Stamped::Foreign { .. } => "none, and tables to be adopted".to_owned(),
                Stamped::Ours(stamp) => format!("{}, by {}", stamp.environment, stamp.stamped_by),
            };
            Ok((said, stamped))
        })
        .await
}

async fn schema(database: &Database, conn: &mut Conn) -> Result<(String, ()), Error> {
    let schema = &database.options().schema;
    let rows = fetch!(conn, "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", schema.as_str())
        .map_err(Error::query("look for the schema"))?;
    if rows.is_empty() { Err(Error::SchemaMissing) } else { Ok((schema.to_string(), ())) }
}

async fn sqlite(database: &Database, target: &SqliteTarget, steps: &mut Steps) -> Option<()> {
    let place = steps
        .take("file", async {
            let place = database.locate(target)?;
            let yet = if matches!(place, Place::Missing(_)) { ": not there yet, the first apply makes it" } else { "" };
            Ok((format!("{}{yet}", place.path().display()), place))
        })
        .await?;
    if let Place::File { path, .. } = &place {
        let mut conn = steps
            .take("open", async {
                permitted(path, Right::Read, "read")?;
                let (options, _) = file::reading(path).await?;
                let mut conn = database.dial_file(&options).await?;
                fetch!(&mut conn, "SELECT count(*) FROM sqlite_schema").map_err(Error::query("read the file"))?;
                Ok(("read-only".to_owned(), conn))
            })
            .await?;
        let stamped = stamp(database, &mut conn, steps).await;
        conn.close().await;
        let stamped = stamped?;
        steps
            .take("schema", async {
                match stamped {
                    Stamped::Ours(_) => Ok(("there".to_owned(), ())),
                    Stamped::Nothing | Stamped::Foreign { .. } => Err(Error::SchemaMissing),
                }
            })
            .await?;
    }
    steps.take("rights", async { writable(&place) }).await
}

/// SQLite writes the file, and its log beside it. What another user, or other rights, left of that log is in the way.
fn writable(place: &Place) -> Result<(String, ()), Error> {
    if let Place::File { path, .. } = place {
        let beside = SQLITES.map(|suffix| companion(path, suffix));
        for written in std::iter::once(path).chain(beside.iter().filter(|beside| files::exists(beside))) {
            permitted(written, Right::Write, "write")?;
        }
    }
    let directory = place.path().ancestors().skip(1).find(|directory| files::exists(directory));
    if let Some(directory) = directory {
        permitted(directory, Right::WriteIn, "write in")?;
    }
    Ok(("may read and write".to_owned(), ()))
}

fn permitted(path: &Path, right: Right, verb: &str) -> Result<(), Error> {
    files::may(path, right).map_err(|_| {
        let mend = format!("let this user {verb} it, or run as its owner");
        Error::Rights { who: "this user".to_owned(), what: format!("{verb} {}", path.display()), mend }
    })
}
