//! The daemon's loop: hold the lease, and carry out a turn whenever something may have changed.
//!
//! Events are hints: each turn reads all that it needs afresh, so a missed one costs at most an interval.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::holder;
use super::watch::Watch;
use crate::change::{Source, span};
use crate::failure::{Class, Failure, Result};
use crate::store::Context;
use crate::store::error::Error;
use crate::store::lease::{self, Lease, Patience};
use crate::store::listen::Listener;
use crate::turn::{Outcome, Request, Turned, World};

/// How long the present step may take to end after `SIGTERM`.
const FAREWELL: Duration = Duration::from_secs(10);
/// Between two attempts while a server is away: at least, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What the daemon is told from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// Why a turn begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Start,
    Files,
    Database,
    Timer,
    Hangup,
    End,
}

/// Serves until it is told to end. `tell` is given every turn that did or blocked something.
///
/// Errors: only what no waiting mends, such as a refusal of the guard at the start.
pub async fn serve(world: World, tell: &dyn Fn(&Turned) -> Result<()>) -> Result<()> {
    let failed = |error| Failure::error(format!("signals cannot be received: {error}"));
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate()).map_err(failed)?,
        interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        hangup: signal(SignalKind::hangup()).map_err(failed)?,
    };
    let config = &world.config;
    // A commit that was never there is a mistake in the settings; one that is lost later is waited for.
    if config.source == Source::Head
        && let Err(failure) = world.read().await
        && failure.problems().is_none()
    {
        return Err(failure);
    }
    let watch = Watch::start(config.source, &config.state, config.debounce, config.debounce_max).await;
    let watch = watch.map_err(|error| Failure::caused(&error))?;
    let listener = Listener::new(&world.database);
    let mut daemon = Daemon {
        context: world.by_user(None),
        world,
        lease: None,
        watch,
        listener,
        last_trouble: None,
        backoff: BACKOFF.0,
        told: None,
        applying: Arc::new(AtomicBool::new(false)),
    };
    daemon.run(&mut signals, tell).await
}

struct Daemon {
    world: World,
    context: Context,
    lease: Option<Lease>,
    watch: Watch,
    listener: Listener,
    /// The trouble of the last turn, so that the same one is not logged at every attempt.
    last_trouble: Option<String>,
    backoff: Duration,
    /// What was last told of blocked resources.
    told: Option<Vec<String>>,
    /// A turn holds the lease and may be writing.
    applying: Arc<AtomicBool>,
}

impl Daemon {
    async fn run(&mut self, signals: &mut Signals, tell: &dyn Fn(&Turned) -> Result<()>) -> Result<()> {
        let mut wake = Wake::Start;
        let mut is_ready = false;
        loop {
            tracing::debug!(?wake, "a turn begins");
            let applying = Arc::clone(&self.applying);
            let ended = {
                let turn = self.turn_or_wait(tell);
                tokio::pin!(turn);
                tokio::select! {
                    ended = &mut turn => Some(ended),
                    () = signals.end() => {
                        // A step that writes may end in order, within a limit; who only waits need not.
                        if applying.load(Ordering::Relaxed) {
                            drop(tokio::time::timeout(FAREWELL, turn).await);
                        }
                        None
                    }
                }
            };
            let next = match ended {
                None => break,
                Some(Ok(next)) => next,
                Some(Err(failure)) if wake == Wake::Start => return Err(failure),
                Some(Err(_)) => Next::Soon(self.backoff),
            };
            if !is_ready && matches!(next, Next::Quiet) {
                self.ready();
                is_ready = true;
            }
            wake = self.wait(next, signals).await;
            if wake == Wake::End {
                break;
            }
        }
        drop(sd_notify::notify(&[sd_notify::NotifyState::Stopping]));
        self.farewell().await;
        Ok(())
    }

    fn ready(&self) {
        drop(sd_notify::notify(&[sd_notify::NotifyState::Ready]));
        let every = span(self.world.config.interval);
        tracing::info!("watching {} and looking every {every}; Ctrl-C ends it", self.world.config.state.display());
    }

    /// One turn. Trouble that may pass by itself is logged and met again later.
    async fn turn_or_wait(&mut self, tell: &dyn Fn(&Turned) -> Result<()>) -> Result<Next> {
        let turned = self.turn(tell).await;
        self.applying.store(false, Ordering::Relaxed);
        match turned {
            Ok(()) => {
                if self.last_trouble.take().is_some() {
                    tracing::info!("all is well again");
                }
                self.backoff = BACKOFF.0;
                Ok(Next::Quiet)
            }
            Err(failure) if failure.class == Class::Refused => {
                // The database is not the one that it was: nothing more is written, until a person has looked.
                self.lease = None;
                self.trouble(&failure);
                Err(failure)
            }
            Err(failure) if failure.problems().is_some() => {
                self.trouble(&failure);
                Ok(Next::Quiet)
            }
            Err(failure) => {
                self.trouble(&failure);
                let jitter = fastrand::f64().mul_add(0.5, 0.75);
                let wait = self.backoff.mul_f64(jitter).max(BACKOFF.0);
                self.backoff = (self.backoff * 2).min(BACKOFF.1).min(self.world.config.interval.max(BACKOFF.0));
                Ok(Next::Soon(wait))
            }
        }
    }

    fn trouble(&mut self, failure: &Failure) {
        let line = failure.line();
        if self.last_trouble.as_ref() == Some(&line) {
            tracing::debug!("still: {line}");
            return;
        }
        match failure.problems() {
            Some(_) => tracing::error!("{line}; the last good state stays in force\n{}", failure.report(false, 100)),
            None => tracing::error!("{line}"),
        }
        for hint in &failure.hints {
            tracing::error!("hint: {hint}");
        }
        self.last_trouble = Some(line);
    }

    async fn turn(&mut self, tell: &dyn Fn(&Turned) -> Result<()>) -> Result<()> {
        let started = Instant::now();
        // The files first: a bad one must not even make a database.
        drop(self.world.read().await?);
        self.hold_lease().await?;
        self.applying.store(true, Ordering::Relaxed);
        // Whether the lease is still ours shows here; that it is lost in the middle of a turn, at the next one.
        self.beat().await?;
        let Some(lease) = &self.lease else { return Ok(()) };
        let turned = self.world.turn(lease, &Request::everything()).await?;
        tracing::debug!(took_ms = started.elapsed().as_millis(), "the turn is over");
        self.say(&turned, tell)
    }

    async fn hold_lease(&mut self) -> Result<()> {
        if self.lease.is_some() {
            return Ok(());
        }
        self.world.prepare().await?;
        let life = self.world.config.lease;
        let waiting =
            |other: &str| tracing::info!("following: {other} holds the lease; taking over if it falls silent");
        let database = &self.world.database;
        let lease = lease::acquire(database, &self.context, &holder(), life, Patience::Follow, waiting).await?;
        tracing::info!("applying as {}", lease.holder());
        self.lease = Some(lease);
        Ok(())
    }

    /// Shows the others that we live. A lease that is lost is forgotten.
    async fn beat(&mut self) -> std::result::Result<(), Error> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let beaten = lease.beat(&self.world.database, &self.context).await;
        if matches!(beaten, Err(Error::LeaseLost)) {
            self.lease = None;
        }
        beaten
    }

    /// Tells what is new: what was done, and what is blocked when that has changed.
    fn say(&mut self, turned: &Turned, tell: &dyn Fn(&Turned) -> Result<()>) -> Result<()> {
        let blocked: Vec<String> = turned.plan.blocked.iter().map(|one| format!("{}{}", one.id, one.reason)).collect();
        let is_first = self.told.is_none();
        let is_new = self.told.as_ref() != Some(&blocked);
        let did = match &turned.outcome {
            Outcome::Held { over, digest } => {
                let over = over.join(", ");
                tracing::warn!("held back: {over}; `reconcile approve {digest} --reason R` lets it pass");
                false
            }
            Outcome::Applied(report) => {
                for (id, why) in &report.failed {
                    tracing::error!("{id}: {why}");
                }
                !report.applied.is_empty()
            }
        };
        self.told = Some(blocked);
        if did || is_new || is_first { tell(turned) } else { Ok(()) }
    }

    /// Waits for the next reason to look, keeping the lease alive meanwhile.
    async fn wait(&mut self, next: Next, signals: &mut Signals) -> Wake {
        let config = &self.world.config;
        let until = match next {
            // A tenth more or less, so that many daemons do not look at the same moment.
            Next::Quiet => config.interval.mul_f64(fastrand::f64().mul_add(0.2, 0.9)),
            Next::Soon(wait) => wait,
        };
        let timer = tokio::time::sleep(until);
        tokio::pin!(timer);
        let period = config.lease / 5;
        let mut pulse = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut timer => return Wake::Timer,
                _ = self.watch.changed(), if matches!(next, Next::Quiet) => return Wake::Files,
                () = self.listener.changed(), if matches!(next, Next::Quiet) => return Wake::Database,
                wake = signals.any() => return wake,
                _ = pulse.tick() => {
                    drop(sd_notify::notify(&[sd_notify::NotifyState::Watchdog]));
                    if let Err(error) = self.beat().await {
                        tracing::debug!("the heartbeat failed: {}", error.chain());
                        return Wake::Timer;
                    }
                }
            }
        }
    }

    async fn farewell(&mut self) {
        if let Some(lease) = self.lease.take() {
            let release = lease.release(&self.world.database, &self.context);
            match tokio::time::timeout(FAREWELL, release).await {
                Ok(Ok(())) => tracing::info!("the lease is released; good-bye"),
                Ok(Err(error)) => tracing::warn!("the lease could not be released: {}", error.chain()),
                Err(_) => tracing::warn!("the lease could not be released in time"),
            }
        }
    }
}

/// What to wait for after a turn.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Anything.
    Quiet,
    /// So long, whatever happens meanwhile.
    Soon(Duration),
}

impl Signals {
    async fn any(&mut self) -> Wake {
        tokio::select! {
            _ = self.terminate.recv() => Wake::End,
            _ = self.interrupt.recv() => Wake::End,
            _ = self.hangup.recv() => Wake::Hangup,
        }
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
