//! One session on a pool server: what it is is proved first, then what it is told is done.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::error::is_duplicate;
use super::mark::{self, SERVER_ROLE};
use super::{Account, DbName, Mark, Pool, PoolError, Rights, SeenDatabase, SeenRole, Sight, Verifier};
use crate::driver::{self, Cause};
use crate::guard;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Two who work on one role at once wait for each other: a lock by the role's name, until the transaction's end.
const LOCK: &str = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 8091874391))";

/// The longest that a lock is waited for.
const LOCK_LIMIT: &str = "5s";

/// The longest that a transaction may stand still: an applier that was paused in the middle of one keeps nobody else
/// from its role for longer.
const IDLE_LIMIT: &str = "60s";

pub(super) struct Session {
    conn: PgConnection,
    server: String,
    environment: String,
    guard: guard::Guard,
    limit: Duration,
    version: i32,
    /// The server bears our mark.
    is_marked: bool,
}

impl Session {
    /// Connects, and proves what it is connected to.
    pub async fn open(pool: &Pool, access: Access) -> Result<(Self, Sight), PoolError> {
        let server = pool.target.server();
        let opening = Self::opened(pool, access);
        tokio::time::timeout(pool.limits.connect, opening).await.unwrap_or_else(|_| {
            let why = format!("nothing after {} s", pool.limits.connect.as_secs_f32());
            Err(unreachable(&server, sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, why))))
        })
    }

    async fn opened(pool: &Pool, access: Access) -> Result<(Self, Sight), PoolError> {
        let (target, server) = (pool.target.postgres(), pool.target.server());
        if let Some(variable) = guard::leaking().first() {
            return Err(PoolError::Refused(pool.guard.refuse_leak(&pool.target, variable)));
        }
        driver::resolve(target).await.map_err(|source| PoolError::Unreachable {
            server: server.clone(),
            cause: Cause::Dns,
            source: Arc::new(sqlx::Error::Io(source)),
        })?;
        let options = driver::options(target, "reconcile").map_err(|source| unreachable(&server, source))?;
        let conn = dial(&options).await.map_err(|source| unreachable(&server, source))?;
        let environment = pool.guard.environment().to_string();
        let (limit, guard) = (pool.limits.statement, pool.guard.clone());
        let mut session = Self { conn, server, environment, guard, limit, version: 0, is_marked: false };
        let sight = session.prove(pool, access).await?;
        Ok((session, sight))
    }

    pub async fn close(self) {
        // Whatever becomes of the farewell, the work is done.
        drop(tokio::time::timeout(Duration::from_secs(1), self.conn.close()).await);
    }

    async fn fetch(&mut self, doing: &'static str, query: Query<'_>) -> Result<Vec<PgRow>, PoolError> {
        let failed = PoolError::failed(&self.server, doing);
        let limit = self.limit + Duration::from_secs(1);
        match tokio::time::timeout(limit, query.fetch_all(&mut self.conn)).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(failed(silent(limit))),
        }
    }

    /// Several statements in one round trip and one transaction, made of names and literals that need no escaping.
    async fn run(&mut self, sql: String) -> Result<(), sqlx::Error> {
        let limit = self.limit + Duration::from_secs(1);
        let running = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.conn);
        tokio::time::timeout(limit, running).await.unwrap_or_else(|_| Err(silent(limit))).map(drop)
    }

    async fn prove(&mut self, pool: &Pool, access: Access) -> Result<Sight, PoolError> {
        const LOOK: &str = "look around";
        let server = pool.target.server();
        let failed = PoolError::failed(&server, LOOK);
        let settle = sqlx::query(
            "SELECT pg_catalog.current_database()::text AS catalog,
                pg_catalog.current_setting('server_version_num')::int AS version,
                rolsuper, rolcreatedb, rolcreaterole,
                pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS may_identify,
                pg_catalog.set_config('search_path', 'pg_catalog', false),
                pg_catalog.set_config('statement_timeout', $1, false),
                pg_catalog.set_config('lock_timeout', $2, false),
                pg_catalog.set_config('default_transaction_read_only', $3, false),
                pg_catalog.set_config('idle_in_transaction_session_timeout', $4, false)
             FROM pg_catalog.pg_roles WHERE rolname = current_user",
        )
        .bind(self.limit.as_millis().to_string())
        .bind(LOCK_LIMIT)
        .bind(if access == Access::Read { "on" } else { "off" })
        .bind(IDLE_LIMIT);
        let rows = self.fetch(LOOK, settle).await?;
        let row = rows.first().ok_or_else(|| failed(sqlx::Error::RowNotFound))?;
        let reported: String = row.try_get("catalog").map_err(&failed)?;
        self.version = row.try_get("version").map_err(&failed)?;
        let rights = Rights {
            create_databases: row.try_get("rolcreatedb").map_err(&failed)?,
            create_roles: row.try_get("rolcreaterole").map_err(&failed)?,
            superuser: row.try_get("rolsuper").map_err(&failed)?,
        };
        let identity = match row.try_get("may_identify").map_err(&failed)? {
            true => {
                let ask = sqlx::query("SELECT system_identifier::text AS id FROM pg_catalog.pg_control_system()");
                let rows = self.fetch(LOOK, ask).await?;
                rows.first().ok_or(sqlx::Error::RowNotFound).and_then(|row| row.try_get("id")).map_err(&failed)?
            }
            false => pool.target.server(),
        };
        if let Some(bound) = pool.bound.as_ref().filter(|bound| **bound != identity) {
            return Err(PoolError::Refused(pool.guard.refuse_other_cluster(&pool.target, bound, &identity)));
        }
        let databases = self.databases().await.map_err(&failed)?;
        let comments = self.roles().await.map_err(&failed)?;
        let catalogs = databases.iter().map(|(name, _)| name.as_str());
        let marks = comments.iter().filter_map(|(_, _, comment)| mark::environment_of(comment.as_deref()?));
        pool.guard.agree_pool(&pool.target, &reported, catalogs, marks).map_err(PoolError::Refused)?;
        self.is_marked = comments.iter().any(|(name, _, comment)| {
            name == SERVER_ROLE && comment.as_deref() == Some(&mark::server_mark(&self.environment))
        });
        let role = |(name, can_login, comment): (String, bool, Option<String>)| {
            let mark = comment.and_then(|comment| comment.parse().ok());
            (name, SeenRole { mark, can_login })
        };
        Ok(Sight {
            identity,
            version: self.version,
            rights,
            roles: comments.into_iter().map(role).collect(),
            databases: databases.into_iter().map(|(name, owner)| (name, SeenDatabase { owner })).collect(),
        })
    }

    async fn databases(&mut self) -> Result<Vec<(String, String)>, sqlx::Error> {
        let ask = sqlx::query(
            "SELECT datname::text AS name, pg_catalog.pg_get_userbyid(datdba)::text AS owner
             FROM pg_catalog.pg_database",
        );
        let rows = ask.fetch_all(&mut self.conn).await?;
        rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("owner")?))).collect()
    }

    /// Roles with a name like ours, or with a mark: whether they may log in, and their comment.
    async fn roles(&mut self) -> Result<Vec<(String, bool, Option<String>)>, sqlx::Error> {
        let ask = sqlx::query(
            "SELECT rolname::text AS name, rolcanlogin,
                pg_catalog.shobj_description(oid, 'pg_authid') AS comment
             FROM pg_catalog.pg_roles
             WHERE rolname LIKE 'odoo\\_%' OR pg_catalog.shobj_description(oid, 'pg_authid') LIKE 'reconcile %'",
        );
        let rows = ask.fetch_all(&mut self.conn).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("name")?, row.try_get("rolcanlogin")?, row.try_get("comment")?)))
            .collect()
    }

    /// Makes the role and its database, whatever of it is there already.
    pub async fn create(&mut self, account: &Account, fencing: i64) -> Result<(), PoolError> {
        for name in [&account.database, &account.role] {
            if !self.guard.may_make(name.as_str()) {
                return Err(PoolError::Protected { name: name.clone() });
            }
        }
        self.mark_server().await?;
        self.create_role(account, fencing).await?;
        self.create_database(account).await?;
        let database = account.database.quoted();
        let opened = self.run(format!(
            "REVOKE ALL ON DATABASE {database} FROM PUBLIC; ALTER DATABASE {database} WITH ALLOW_CONNECTIONS true"
        ));
        let opened = opened.await;
        opened.map_err(PoolError::failed(&self.server, "open the database to its owner"))
    }

    /// The first use of a server binds it to our environment, on the server itself, so that another one sees it.
    async fn mark_server(&mut self) -> Result<(), PoolError> {
        if self.is_marked {
            return Ok(());
        }
        let mark = mark::server_mark(&self.environment);
        let marked = self.run(format!("CREATE ROLE {SERVER_ROLE} NOLOGIN; COMMENT ON ROLE {SERVER_ROLE} IS '{mark}'"));
        match marked.await {
            Ok(()) => {}
            // Somebody was faster: then it has to be one of us.
            Err(error) if is_duplicate(&error) => {
                let found = self.comment(SERVER_ROLE).await?;
                if found.flatten().as_deref() != Some(&mark) {
                    let name = DbName::new(SERVER_ROLE).map_err(|_| PoolError::Failed {
                        server: self.server.clone(),
                        doing: "mark the server",
                        source: Arc::new(error),
                    })?;
                    return Err(PoolError::Foreign { server: self.server.clone(), what: "the role", name });
                }
            }
            Err(error) => return Err(PoolError::failed(&self.server, "mark the server")(error)),
        }
        self.is_marked = true;
        Ok(())
    }

    /// The role's comment, where it has one; the outer `None`: there is no such role.
    async fn comment(&mut self, role: &str) -> Result<Option<Option<String>>, PoolError> {
        const READ: &str = "read a role's comment";
        let ask = sqlx::query(
            "SELECT pg_catalog.shobj_description(oid, 'pg_authid') AS comment FROM pg_catalog.pg_roles
             WHERE rolname = $1",
        );
        let rows = self.fetch(READ, ask.bind(role.to_owned())).await?;
        let comment = rows.first().map(|row| row.try_get("comment")).transpose();
        comment.map_err(PoolError::failed(&self.server, READ))
    }

    /// Role, mark and membership in one transaction: there is never a role of ours without its mark. The membership is
    /// what lets an admin who is no superuser make a database that the role owns.
    async fn create_role(&mut self, account: &Account, fencing: i64) -> Result<(), PoolError> {
        let role = account.role.quoted();
        let mark = self.mark(account, fencing);
        let member = if self.version >= 160_000 { " WITH INHERIT TRUE, SET TRUE" } else { "" };
        let made = self.run(format!(
            "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
             COMMENT ON ROLE {role} IS '{mark}'; GRANT {role} TO CURRENT_USER{member}"
        ));
        match made.await {
            Ok(()) => Ok(()),
            Err(error) if is_duplicate(&error) => self.alter(account, fencing, None).await,
            Err(error) => Err(PoolError::failed(&self.server, "make the role")(error)),
        }
    }

    /// From `template0`, so that an open session on `template1` cannot hold it up; closed until PUBLIC is shut out.
    async fn create_database(&mut self, account: &Account) -> Result<(), PoolError> {
        let (database, role) = (account.database.quoted(), account.role.quoted());
        let made = self
            .run(format!("CREATE DATABASE {database} OWNER {role} TEMPLATE template0 ALLOW_CONNECTIONS false"))
            .await;
        let Err(error) = made else { return Ok(()) };
        if !is_duplicate(&error) {
            return Err(PoolError::failed(&self.server, "make the database")(error));
        }
        const READ: &str = "read a database's owner";
        let ask = sqlx::query(
            "SELECT pg_catalog.pg_get_userbyid(datdba)::text AS owner FROM pg_catalog.pg_database WHERE datname = $1",
        );
        let rows = self.fetch(READ, ask.bind(account.database.as_str().to_owned())).await?;
        let owner: Option<String> =
            rows.first().map(|row| row.try_get("owner")).transpose().map_err(PoolError::failed(&self.server, READ))?;
        match owner.as_deref() == Some(account.role.as_str()) {
            true => Ok(()),
            false => {
                let name = account.database.clone();
                Err(PoolError::Foreign { server: self.server.clone(), what: "the database", name })
            }
        }
    }

    pub async fn set_password(
        &mut self,
        account: &Account,
        verifier: &Verifier,
        fencing: i64,
    ) -> Result<(), PoolError> {
        let role = account.role.quoted();
        self.alter(account, fencing, Some(format!("ALTER ROLE {role} PASSWORD '{}'", verifier.expose()))).await
    }

    pub async fn set_login(&mut self, account: &Account, allowed: bool, fencing: i64) -> Result<(), PoolError> {
        let (role, word) = (account.role.quoted(), if allowed { "LOGIN" } else { "NOLOGIN" });
        self.alter(account, fencing, Some(format!("ALTER ROLE {role} {word}"))).await
    }

    /// Changes a role of ours: its mark is compared under a lock, and raised to our fencing number, in the transaction of
    /// the change. Without a change: the mark alone.
    async fn alter(&mut self, account: &Account, fencing: i64, change: Option<String>) -> Result<(), PoolError> {
        const DOING: &str = "change the role";
        self.run("BEGIN".to_owned()).await.map_err(PoolError::failed(&self.server, DOING))?;
        self.fetch(DOING, sqlx::query(LOCK).bind(account.role.as_str().to_owned())).await?;
        let found = self.comment(account.role.as_str()).await?;
        let (server, name) = (self.server.clone(), account.role.clone());
        let Some(found) = found else { return Err(PoolError::Gone { server, name }) };
        let found: Option<Mark> = found.and_then(|comment| comment.parse().ok());
        let ours = |mark: &Mark| mark.environment == self.environment && mark.instance == account.instance;
        let Some(found) = found.filter(ours) else {
            return Err(PoolError::Foreign { server, what: "the role", name });
        };
        if found.fencing > fencing {
            return Err(PoolError::Fenced { server, name, theirs: found.fencing, ours: fencing });
        }
        let mut sql = String::new();
        if found.fencing < fencing {
            let mark = self.mark(account, fencing);
            sql.push_str(&format!("COMMENT ON ROLE {} IS '{mark}'; ", account.role.quoted()));
        }
        sql.push_str(&change.unwrap_or_default());
        sql.push_str("; COMMIT");
        self.run(sql).await.map_err(PoolError::failed(&self.server, DOING))
    }

    fn mark(&self, account: &Account, fencing: i64) -> Mark {
        Mark { environment: self.environment.clone(), instance: account.instance, fencing }
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn silent(limit: Duration) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs_f32())))
}

fn unreachable(server: &str, source: sqlx::Error) -> PoolError {
    PoolError::Unreachable { server: server.to_owned(), cause: Cause::of(&source), source: Arc::new(source) }
}

#[expect(clippy::disallowed_methods, reason = "the one place where a pool server is connected to, after the guard")]
async fn dial(options: &sqlx::postgres::PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect_with(options).await
}
