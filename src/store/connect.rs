//! The only way to a connection. A [`Database`] cannot be built without the guard, and each connection that it hands
//! out has proved what it is: the catalog that was admitted, with our stamp or nothing in it.

use std::future::Future;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use uuid::Uuid;

use super::error::{Cause, Error};
use super::file;
pub use super::file::Freshness;
use super::held::Held;
use super::schema::Schema;
use super::session;
use super::spare::Spares;
use super::sql::{Conn, fetch};
use super::stamp::{self, Stamp, Stamped};
use crate::driver;
use crate::guard::{self, Admitted, Catalog, Fact, Guard, Place, PostgresTarget, SqliteTarget, Target};

/// How connections are made.
#[derive(Clone, Debug)]
pub struct Options {
    /// For one attempt as a whole, from the name's resolution to the last fact. Default 5 s; the URL may say otherwise.
    pub connect_timeout: Duration,
    /// Where our tables are on PostgreSQL.
    pub schema: Schema,
    /// For one statement on PostgreSQL; default 60 s.
    pub statement_timeout: Duration,
    /// For one lock on PostgreSQL; default 5 s.
    pub lock_timeout: Duration,
    /// For a transaction that does nothing, on PostgreSQL; default 60 s.
    pub idle_timeout: Duration,
    /// As the server's list of sessions shows us; default `reconcile`.
    pub application_name: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            schema: Schema::default(),
            statement_timeout: Duration::from_secs(60),
            lock_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            application_name: "reconcile".to_owned(),
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// What a database is opened for; decides what the stamp may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Use,
    /// Tables without a stamp are let in.
    Adopt,
    /// Another environment's or server's stamp is let in.
    Restamp,
}

/// A database that the guard has admitted.
pub struct Database {
    target: Target,
    guard: Guard,
    admitted: Admitted,
    options: Options,
    purpose: Purpose,
    /// The stamp's identity as first seen: a later connection that leads to another database is refused.
    known: Mutex<Option<Uuid>>,
    pub(super) spares: Spares,
}

impl Database {
    /// Admits `target` by its URL (fact 1); nothing is connected to.
    ///
    /// Errors: [`Error::Refused`].
    pub fn open(target: Target, guard: &Guard, options: Options) -> Result<Self, Error> {
        Self::build(target, guard, options, Purpose::Use)
    }

    /// As [`Database::open`], for `migrate --adopt` alone: lets in a database with tables and no stamp.
    ///
    /// Errors: [`Error::Refused`].
    pub fn adopting(target: Target, guard: &Guard, options: Options) -> Result<Self, Error> {
        Self::build(target, guard, options, Purpose::Adopt)
    }

    /// As [`Database::open`], for `migrate --restamp` alone: lets in the stamp of another environment or server.
    ///
    /// Errors: [`Error::Refused`].
    pub fn restamping(target: Target, guard: &Guard, options: Options) -> Result<Self, Error> {
        Self::build(target, guard, options, Purpose::Restamp)
    }

    fn build(target: Target, guard: &Guard, options: Options, purpose: Purpose) -> Result<Self, Error> {
        let admitted = guard.admit(&target)?;
        let (known, spares) = (Mutex::new(None), Spares::default());
        Ok(Self { target, guard: guard.clone(), admitted, options, purpose, known, spares })
    }

    /// The catalog that was admitted.
    pub fn catalog(&self) -> &Catalog {
        self.admitted.catalog()
    }

    /// `sqlite` or `postgres`.
    pub fn driver(&self) -> &'static str {
        self.target.driver()
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    pub fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// As [`Database::read_fresh`], for one statement.
    pub async fn read(&self) -> Result<Option<Conn>, Error> {
        Ok(self.read_fresh().await?.map(|(conn, _)| conn))
    }

    /// A connection that cannot write, and the means to confirm afterwards that nothing changed under it. `None`: the
    /// SQLite file does not exist. Leaves nothing behind, not even a `-wal` or `-shm` file.
    ///
    /// When a statement fails, confirm first too: a reading that has gone stale may fail in any way.
    ///
    /// Errors: [`Error::Unreachable`] within the time to connect; [`Error::Refused`] when a fact does not hold.
    pub async fn read_fresh(&self) -> Result<Option<(Conn, Freshness)>, Error> {
        match &self.target {
            Target::Sqlite(target) => {
                self.limited(self.options.connect_timeout + file::BUSY, self.read_file(target)).await
            }
            Target::Postgres(target) => {
                let conn = self.limited(self.patience(target), self.session(target, Access::Read)).await?;
                Ok(Some((conn, Freshness::held())))
            }
        }
    }

    /// A connection that writes.
    ///
    /// Errors: as [`Database::read`]; [`Error::Absent`] where there is no SQLite file.
    pub async fn write(&self) -> Result<Conn, Error> {
        match &self.target {
            Target::Sqlite(target) => {
                self.limited(self.options.connect_timeout + file::BUSY, self.write_file(target)).await
            }
            Target::Postgres(target) => self.limited(self.patience(target), self.session(target, Access::Write)).await,
        }
    }

    /// The stamp as it stands in the database behind `conn`.
    ///
    /// Errors: as [`stamp::read`]; [`Error::Refused`] where a name of ours is no table of this database.
    pub async fn stamped(&self, conn: &mut Conn) -> Result<Stamped, Error> {
        stamp::read(conn, &self.options.schema).await?.map_err(|diverted| diverted.refused(self))
    }

    pub(super) fn patience(&self, target: &PostgresTarget) -> Duration {
        target.connect_timeout.unwrap_or(self.options.connect_timeout)
    }

    /// An error of the driver on the way to the server.
    pub(super) fn unreachable(&self, source: sqlx::Error) -> Error {
        Error::Unreachable { server: self.admitted.server().to_owned(), cause: Cause::of(&source), source }
    }

    pub(super) async fn limited<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let why = format!("nothing after {} s", limit.as_secs_f32());
            Err(self.unreachable(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, why))))
        })
    }

    pub(super) async fn session(&self, target: &PostgresTarget, access: Access) -> Result<Conn, Error> {
        session::resolve(target).await?;
        let mut conn = self.login(target).await?;
        self.prove(&mut conn, access).await?;
        self.check(&mut conn).await?;
        Ok(conn)
    }

    /// Connects, and nothing more.
    pub(super) async fn login(&self, target: &PostgresTarget) -> Result<Conn, Error> {
        if let Some(name) = guard::leaking().first() {
            let why = format!("the variable {name} is set, and the driver would obey it");
            return Err(self.guard.refuse(&self.admitted, Fact::Transport, why, format!("unset {name}")).into());
        }
        let limit = self.options.statement_timeout + self.options.connect_timeout;
        let options = driver::options(target, &self.options.application_name);
        let conn = dial_postgres(&options.map_err(|source| self.unreachable(source))?).await;
        conn.map(|conn| Conn::Postgres(Box::new(conn), limit)).map_err(|source| self.unreachable(source))
    }

    /// Fact 2 on PostgreSQL, with the session's parameters.
    pub(super) async fn prove(&self, conn: &mut Conn, access: Access) -> Result<(), Error> {
        let reported = session::settle(conn, &self.options, access).await?;
        Ok(self.guard.agree(&self.admitted, &reported)?)
    }

    /// Fact 2 on SQLite, before the file is opened. One that was there is not taken for one that nobody has made yet:
    /// its directory may only be away, and all that it knew would be made anew elsewhere.
    pub(super) fn locate(&self, target: &SqliteTarget) -> Result<Place, Error> {
        let place = target.locate().map_err(|why| {
            let mend =
                "name the file itself; find out who put a link, a second name or another's file there, and remove it";
            self.guard.refuse(&self.admitted, Fact::Answer, why, mend)
        })?;
        self.guard.agree(&self.admitted, &place.reported())?;
        if let (Place::Missing(path), Some(_)) = (&place, *self.known()) {
            let why = format!("{} is gone", path.display());
            let mend = "put the file back; if another is meant, start reconcile again";
            return Err(self.guard.refuse(&self.admitted, Fact::Answer, why, mend).into());
        }
        Ok(place)
    }

    async fn read_file(&self, target: &SqliteTarget) -> Result<Option<(Conn, Freshness)>, Error> {
        // A writer that comes or goes while the file is being opened is waited out.
        for _ in 0..5 {
            let place = self.locate(target)?;
            if matches!(place, Place::Missing(_)) {
                return Ok(None);
            }
            let (options, freshness) = match file::reading(place.path()).await {
                Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let mut conn = self.dial_file(&options).await?;
            let checked = self.check_file(&mut conn, target, &place).await;
            if freshness.confirm().is_err() {
                conn.close().await;
                continue;
            }
            return match checked {
                Ok(()) => Ok(Some((conn, freshness))),
                Err(error) => {
                    conn.close().await;
                    Err(error)
                }
            };
        }
        Err(Error::Conflict { what: "the database file".to_owned() })
    }

    async fn write_file(&self, target: &SqliteTarget) -> Result<Conn, Error> {
        let place = self.locate(target)?;
        if let Place::Missing(path) = &place {
            return Err(Error::Absent { path: path.display().to_string() });
        }
        let mut conn = self.dial_file(&file::writing(place.path())).await?;
        let ready = match self.check_file(&mut conn, target, &place).await {
            Ok(()) => file::use_log(&mut conn).await,
            refused => refused,
        };
        match ready {
            Ok(()) => Ok(conn),
            Err(error) => {
                conn.close().await;
                Err(error)
            }
        }
    }

    pub(super) async fn dial_file(&self, options: &SqliteConnectOptions) -> Result<Conn, Error> {
        let conn = dial_sqlite(options).await;
        conn.map(|conn| Conn::Sqlite(Held::new(conn))).map_err(|source| self.unreachable(source))
    }

    /// Facts 2 and 3 on an open SQLite file: SQLite names the file that was looked at, nothing has taken its place
    /// meanwhile, and the stamp is ours.
    async fn check_file(&self, conn: &mut Conn, target: &SqliteTarget, place: &Place) -> Result<(), Error> {
        let failed = || Error::query("ask SQLite which file it has opened");
        let rows = fetch!(&mut *conn, "SELECT file FROM pragma_database_list WHERE name = 'main'").map_err(failed())?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound).map_err(failed())?;
        let opened: String = row.get("file").map_err(failed())?;
        if place.path().to_str() != Some(opened.as_str()) || self.locate(target)? != *place {
            let why = format!("{} gave way to another file while it was opened", place.path().display());
            return Err(self.guard.refuse(&self.admitted, Fact::Answer, why, "try again").into());
        }
        self.check(conn).await
    }

    /// Fact 3.
    pub(super) async fn check(&self, conn: &mut Conn) -> Result<(), Error> {
        let stamped = self.stamped(conn).await?;
        let here = match &stamped {
            Stamped::Ours(Stamp { system_identifier: Some(_), .. }) => stamp::system_identifier(conn).await?,
            _ => None,
        };
        stamp::check(&self.guard, &self.admitted, &stamped, here.as_deref(), self.purpose)?;
        match stamped {
            Stamped::Ours(stamp) => self.same(&stamp),
            Stamped::Nothing | Stamped::Foreign { .. } => {
                *self.known() = None;
                Ok(())
            }
        }
    }

    /// The facts again, inside a write transaction. `catalog`: what PostgreSQL says.
    pub(super) fn recheck(&self, catalog: Option<&str>, stamp: &Stamp) -> Result<(), Error> {
        match (&self.target, catalog) {
            (Target::Sqlite(target), _) => drop(self.locate(target)?),
            (Target::Postgres(_), reported) => self.guard.agree(&self.admitted, reported.unwrap_or_default())?,
        }
        self.guard.agree_stamp(&self.admitted, &stamp.environment)?;
        self.same(stamp)
    }

    /// The identity that was seen first is the one that stays, until the database is seen without any.
    fn same(&self, stamp: &Stamp) -> Result<(), Error> {
        let mut known = self.known();
        match *known {
            Some(before) if before != stamp.identity && self.purpose != Purpose::Restamp => {
                let why = "another database has taken the place of the one that was used before";
                let mend = "if that is meant, start reconcile again";
                Err(self.guard.refuse(&self.admitted, Fact::Stamp, why, mend).into())
            }
            _ => {
                *known = Some(stamp.identity);
                Ok(())
            }
        }
    }

    /// The identity in the stamp that was seen last.
    pub fn identity_seen(&self) -> Option<Uuid> {
        *self.known()
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Option<Uuid>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::disallowed_methods, reason = "the guard has admitted the target, and the facts are checked next")]
async fn dial_postgres(options: &PgConnectOptions) -> Result<sqlx::PgConnection, sqlx::Error> {
    sqlx::PgConnection::connect_with(options).await
}

#[expect(clippy::disallowed_methods, reason = "the guard has admitted the target, and the facts are checked next")]
async fn dial_sqlite(options: &SqliteConnectOptions) -> Result<sqlx::SqliteConnection, sqlx::Error> {
    sqlx::SqliteConnection::connect_with(options).await
}
