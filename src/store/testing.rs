//! What the tests of the store start from.

use super::sql::Conn;
pub use crate::driver::testing::{Cluster, unprivileged};

/// The schema, as the first migration makes it, on either database.
pub async fn migrate(conn: &mut Conn) {
    match conn {
        Conn::Sqlite(conn) => {
            sqlx::raw_sql(include_str!("../../migrations/sqlite/0001_main.sql"))
                .execute(conn.get().unwrap())
                .await
                .unwrap();
        }
        Conn::Postgres(conn, _) => {
            sqlx::raw_sql("CREATE SCHEMA IF NOT EXISTS canvas").execute(&mut **conn).await.unwrap();
            sqlx::raw_sql(include_str!("../../migrations/postgres/0001_main.sql")).execute(&mut **conn).await.unwrap();
        }
    }
}
