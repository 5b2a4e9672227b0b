//! A name of ours that leads elsewhere from one statement to the next: each transaction looks again.

use super::super::sql::execute;
use super::super::stamp;
use super::{make, open, refusal, worlds};
use crate::guard::Fact;

#[tokio::test]
async fn each_transaction_looks_whether_our_names_are_still_tables_of_this_database() {
    let (_cluster, _directory, urls) = worlds();
    for url in urls {
        let database = open("development", &url);
        make(&database).await;
        let (mut conn, mut other) = (database.write().await.unwrap(), database.write().await.unwrap());
        stamp::check_stamp(&mut conn, &database).await.unwrap();
        execute!(&mut other, "ALTER TABLE sessions RENAME TO aside").unwrap();
        stamp::check_stamp(&mut conn, &database).await.expect("what is gone leads nowhere");
        execute!(&mut other, "CREATE VIEW sessions AS SELECT * FROM aside").unwrap();
        let refused = refusal(stamp::check_stamp(&mut conn, &database).await);
        assert!(refused.fact == Fact::Stamp && refused.why.starts_with("sessions is a view"), "{refused:?}");
        for refused in [database.read().await.map(drop), database.write().await.map(drop)] {
            assert!(refusal(refused).why.starts_with("sessions is a view"));
        }
        conn.close().await;
        other.close().await;
    }
}
