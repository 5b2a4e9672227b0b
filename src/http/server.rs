//! Listening: connections within limits, ended in order.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::board::Board;
use super::gate;
use super::limits::{CONNECTIONS, FAREWELL, GRACE, HEAD_SIZE, HEAD_TIME, HEADERS, LIFE};
use super::routes;
use super::tls::Tls;
use crate::config::Listen;
use crate::failure::{Failure, Result};
use crate::turn::World;

/// After the system gives no connection, for want of descriptors, so long.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the database may take at the start to say whether there is a token.
const LIMIT: Duration = Duration::from_secs(5);

/// An open door. Dropped, it is shut at once.
pub struct Door {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Door {
    /// Listens where the configuration says; `None`: it says nowhere, or its default is taken, of which the log tells.
    ///
    /// Errors: an address that was asked for cannot be had; or it is not loopback, and there is no token.
    pub async fn open(world: &Arc<World>, board: &Arc<Board>) -> Result<Option<Self>> {
        let Some(Listen { address, is_named }) = world.config.http_listen else { return Ok(None) };
        let tls = world.config.http_certificate.as_ref().map(Tls::read).transpose()?.map(Arc::new);
        if !address.ip().is_loopback() {
            expect_a_token(world, address).await?;
        }
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) if is_named => {
                return Err(Failure::error(format!("http.listen: {address} cannot be listened on: {error}"))
                    .hint("name another address, port 0 for any that is free, or `off`"));
            }
            Err(error) => {
                tracing::warn!("no HTTP: {address} cannot be listened on ({error}); http.listen names another address");
                return Ok(None);
            }
        };
        let address = listener.local_addr().unwrap_or(address);
        tracing::info!("listening on {}://{address}", if tls.is_some() { "https" } else { "http" });
        let router = routes::router(Arc::clone(world), Arc::clone(board), address.ip().is_loopback());
        let (stop, stopped) = watch::channel(false);
        Ok(Some(Self { stop, task: tokio::spawn(accept(listener, tls, router, stopped)) }))
    }

    /// Takes no more requests, and finishes those under way: within a second, or not.
    pub async fn close(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(FAREWELL, &mut self.task).await.is_err() {
            tracing::debug!("a request was not answered before the end");
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Beyond loopback, a door that nobody has a key for is a mistake. One whose keys are not known yet stays shut to all
/// that wants one, so that a database that is away does not keep anybody from asking for the daemon's health.
async fn expect_a_token(world: &World, address: SocketAddr) -> Result<()> {
    let known = tokio::time::timeout(LIMIT, gate::has_token(world)).await;
    match known {
        Ok(Ok(true)) => Ok(()),
        Ok(Err(failure)) if !failure.is_schema => {
            tracing::warn!(
                "whether there is a token is not known yet: {}; until then nobody is let in",
                failure.line()
            );
            Ok(())
        }
        Err(_) => {
            tracing::warn!("whether there is a token is not known yet; until then nobody is let in");
            Ok(())
        }
        Ok(Ok(false) | Err(_)) => {
            Err(Failure::error(format!("http.listen: {address} is not loopback, and there is no token that is good"))
                .hint("`reconcile migrate` makes the database, where there is none yet; then:")
                .hint("`reconcile token create --name NAME --scope read` makes one, and prints it once")
                .hint("or listen on this machine alone: 127.0.0.1, or [::1]"))
        }
    }
}

async fn accept(listener: TcpListener, tls: Option<Arc<Tls>>, router: Router, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let next = tokio::select! {
            next = next => next,
            _ = stopped.changed() => None,
        };
        let Some((place, accepted)) = next else { break };
        match accepted {
            Ok((stream, _)) => {
                let (tls, router, stopped) = (tls.clone(), router.clone(), stopped.clone());
                connections.spawn(async move {
                    match tls {
                        None => connection(stream, router, stopped).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => connection(stream, router, stopped).await,
                            Err(error) => tracing::debug!("a connection did not come to TLS: {error}"),
                        },
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!("a connection could not be taken: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection<S>(stream: S, router: Router, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_SIZE).max_headers(HEADERS);
    let service = TowerToHyperService::new(router);
    let mut serving = pin!(server.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        _ = stopped.changed() => None,
        () = tokio::time::sleep(LIFE) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}
