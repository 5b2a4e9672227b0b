//! Listening: connections within limits, ended in order.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::board::Board;
use super::gate;
use super::limits::{FAREWELL, GRACE, HEAD_SIZE, HEAD_TIME, HEADERS, LIFE};
use super::peer::{Peer, Policy, Way};
use super::routes::{self, Routers};
use super::slots::{Seat, Slots, Tag};
use super::tls::Tls;
use crate::config::{Config, Listen};
use crate::failure::{Failure, Result};
use crate::loopback::is_loopback;
use crate::turn::World;

/// After the system gives no connection, for want of descriptors, so long.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the database may take at the start to say whether there is a token.
const LIMIT: Duration = Duration::from_secs(5);
/// Descriptors that the process asks the system for, where it may have so many.
const DESCRIPTORS: u64 = 4096;

/// An open door. Dropped, it is shut at once.
pub struct Door {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What all connections to one listener are held to.
#[derive(Clone)]
struct Listening {
    tls: Option<Arc<Tls>>,
    policy: Arc<Policy>,
    router: Router,
    slots: Arc<Slots>,
    stopped: watch::Receiver<bool>,
}

impl Door {
    /// Listens where the configuration says; `None`: it says nowhere, or its default is taken, of which the log tells.
    ///
    /// Errors: an address that was asked for cannot be had; or it is beyond loopback, and clear text would leave this
    /// machine, or there is no token.
    pub async fn open(world: &Arc<World>, board: &Arc<Board>) -> Result<Option<Self>> {
        let config = &world.config;
        let tls = config.http_certificate.as_ref().map(Tls::read).transpose()?.map(Arc::new);
        if let Some(Listen { address, is_named: _ }) = config.http_listen.filter(|at| !is_loopback(at.address.ip())) {
            expect_privacy(config, address)?;
            expect_a_token(world, address).await?;
        }
        let slots = Slots::new(descriptors(), Arc::clone(board));
        let Routers { all, probes } = routes::routers(Arc::clone(world), Arc::clone(board));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        if let Some((listener, address)) = listener("http.listen", config.http_listen).await? {
            tracing::info!("listening on {}://{address}", if tls.is_some() { "https" } else { "http" });
            let policy = Arc::new(Policy {
                is_local: is_loopback(address.ip()),
                is_private: tls.is_some() || config.http_insecure,
                proxies: config.http_proxies.clone(),
            });
            let (slots, stopped) = (Arc::clone(&slots), stopped.clone());
            tasks.push(tokio::spawn(accept(listener, Listening { tls, policy, router: all, slots, stopped })));
        }
        if let Some((listener, address)) = listener("http.probe_listen", config.http_probes).await? {
            tracing::info!("answering probes on http://{address}");
            let is_local = is_loopback(address.ip());
            let policy = Arc::new(Policy { is_local, is_private: true, proxies: config.http_proxies.clone() });
            tasks.push(tokio::spawn(accept(listener, Listening { tls: None, policy, router: probes, slots, stopped })));
        }
        Ok((!tasks.is_empty()).then_some(Self { stop, tasks }))
    }

    /// Takes no more requests, and finishes those under way: within a second, or not.
    pub async fn close(mut self) {
        self.stop.send_replace(true);
        let ended = async {
            for task in &mut self.tasks {
                // One that has failed has no requests any more.
                let _ = task.await;
            }
        };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            tracing::debug!("a request was not answered before the end");
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Listens there; `None`: nowhere, or the default is taken.
async fn listener(setting: &str, listen: Option<Listen>) -> Result<Option<(TcpListener, SocketAddr)>> {
    let Some(Listen { address, is_named }) = listen else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => {
            let address = listener.local_addr().unwrap_or(address);
            Ok(Some((listener, address)))
        }
        Err(error) if is_named => Err(Failure::error(format!("{setting}: {address} cannot be listened on: {error}"))
            .hint("name another address, port 0 for any that is free, or `off`")),
        Err(error) => {
            tracing::warn!("no HTTP: {address} cannot be listened on ({error}); {setting} names another address");
            Ok(None)
        }
    }
}

/// How many files the process may have open: raised as far as the system allows, and is of use.
fn descriptors() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Without a limit there are more than are ever asked for.
    let wanted = DESCRIPTORS.min(maximum.unwrap_or(DESCRIPTORS));
    let current = current.unwrap_or(DESCRIPTORS);
    let raised = current < wanted && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
    usize::try_from(if raised { wanted } else { current }).unwrap_or(usize::MAX)
}

/// Beyond loopback, tokens and GUIDs in clear text are anybody's who can listen on the way.
fn expect_privacy(config: &Config, address: SocketAddr) -> Result<()> {
    if config.http_certificate.is_some() || !config.http_proxies.is_empty() {
        return Ok(());
    }
    if config.http_insecure {
        tracing::warn!("http.insecure: whoever can listen on the way to {address} reads tokens and GUIDs");
        return Ok(());
    }
    let what = format!(
        "http.listen: {address} is not loopback, and without TLS whoever can listen on the way reads tokens and GUIDs"
    );
    Err(Failure::error(what)
        .hint("for TLS, name its files: http.certificate_file and http.key_file")
        .hint("where a proxy adds TLS, name its network: http.trusted_proxies = [\"10.0.0.0/8\"]")
        .hint("for probes alone, set http.probe_listen, and leave http.listen on 127.0.0.1")
        .hint("if clear text is meant: http.insecure = true"))
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

async fn accept(listener: TcpListener, listening: Listening) {
    let mut stopped = listening.stopped.clone();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => break,
        };
        match accepted {
            Ok((stream, from)) => {
                let address = from.ip().to_canonical();
                let peer = Some(Peer::of(address)).filter(|_| !listening.policy.trusts(address));
                let seat = listening.slots.take(peer, Instant::now());
                let way = listening.policy.way(address);
                connections.spawn(hold(stream, listening.clone(), way, seat));
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

/// One connection, until it ends or has to give way.
async fn hold(stream: TcpStream, listening: Listening, way: Way, seat: Seat) {
    let Listening { tls, policy, router, slots: _, stopped } = listening;
    let tag = seat.tag().clone();
    let talk = async {
        match tls {
            None => connection(stream, router, Callers { policy, way, tag }, stopped).await,
            Some(tls) => match tls.accept(stream).await {
                Ok(stream) => connection(stream, router, Callers { policy, way, tag }, stopped).await,
                Err(error) => tracing::debug!("a connection did not come to TLS: {error}"),
            },
        }
    };
    tokio::select! {
        // What has come already is read first.
        biased;
        () = talk => {}
        () = seat.given_away() => tracing::debug!("a connection gave way to another"),
    }
}

/// Who asks on a connection, request by request.
struct Callers {
    policy: Arc<Policy>,
    way: Way,
    tag: Tag,
}

impl Callers {
    /// Tells the request who sends it.
    fn introduce(&self, request: &mut Request<Incoming>) {
        let Self { policy, way, tag } = self;
        let sender = Peer::of(policy.sender(way.address, request.headers()));
        if policy.trusts(way.address) {
            tag.speaks_for(sender);
        }
        let about = request.extensions_mut();
        about.insert(sender);
        about.insert(*way);
        about.insert(tag.clone());
    }
}

async fn connection<S>(stream: S, router: Router, callers: Callers, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_SIZE).max_headers(HEADERS);
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        callers.introduce(&mut request);
        let answer = router.call(request);
        async {
            // However many requests come at once on one connection, those of others have their turn in between.
            tokio::task::yield_now().await;
            answer.await
        }
    });
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
