//! One connection that stays open, to look into PostgreSQL and to time statements there.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::runtime::Runtime;

/// No single statement may take longer.
const LIMIT: Duration = Duration::from_secs(10 * 60);

pub struct Session {
    runtime: Runtime,
    connection: PgConnection,
}

impl Session {
    pub fn open(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("make a runtime");
        let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a database URL");
        #[expect(clippy::disallowed_methods, reason = "this is what the product is compared with")]
        let connection = runtime.block_on(options.disable_statement_logging().connect()).expect("connect");
        Self { runtime, connection }
    }

    /// Runs statements, and returns how long that took.
    pub fn run(&mut self, statements: &str) -> Duration {
        let started = Instant::now();
        let ran = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut self.connection);
        self.runtime
            .block_on(async { tokio::time::timeout(LIMIT, ran).await })
            .expect("an answer in time")
            .unwrap_or_else(|why| panic!("{statements}: {why}"));
        started.elapsed()
    }

    /// The one text that a query gives; `None` where it gives no row.
    pub fn text(&mut self, query: &str) -> Option<String> {
        let asked = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_optional(&mut self.connection);
        self.runtime
            .block_on(async { tokio::time::timeout(LIMIT, asked).await })
            .expect("an answer in time")
            .unwrap_or_else(|why| panic!("{query}: {why}"))
    }

    pub fn close(self) {
        let Self { runtime, connection } = self;
        runtime.block_on(connection.close()).expect("close the connection");
    }
}
