//! A server that falls silent in the middle of a session: nothing waits for it without an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::error::Cause;
use super::super::sql::fetch;
use super::*;

/// Passes everything on, until the flag is set: then it keeps the connections open, and passes on nothing.
async fn wire(server: u16, is_cut: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(pass(near_in, far_out, Arc::clone(&is_cut)));
            tokio::spawn(pass(far_in, near_out, Arc::clone(&is_cut)));
        }
    });
    port
}

async fn pass(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, is_cut: Arc<AtomicBool>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if is_cut.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_statement_to_a_server_that_vanished_ends() {
    let (cluster, _directory, _) = worlds();
    let is_cut = Arc::new(AtomicBool::new(false));
    let port = wire(cluster.port, Arc::clone(&is_cut)).await;
    let url = cluster.url("KSESSIONS_DEV").replace(&cluster.port.to_string(), &port.to_string());
    let options = Options {
        connect_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_millis(500),
        ..Options::default()
    };
    let database = open_with("development", &url, options);
    let mut conn = database.create().await.unwrap();
    fetch!(&mut conn, "SELECT 1 AS one").unwrap();
    is_cut.store(true, Ordering::Relaxed);
    let started = Instant::now();
    let error = fetch!(&mut conn, "SELECT 1 AS one").map_err(Error::query("ask")).err().expect("nobody answers");
    assert_eq!(error.cause(), Cause::Timeout);
    assert!(error.stops_everybody());
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}
