//! The daemon's loop: hold the lease, and carry out a turn whenever something may have changed.
//!
//! Events are hints: each turn reads all that it needs afresh, so a missed one costs at most an interval.
//!
//! ```text
//! lead (take the lease, or follow its holder) ──► turn ──► wait (files, database, timer, signal, HTTP) ──► turn …
//!   ▲                                              │
//!   └───────── lost to another, or refused ────────┘
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::{self, Backoff};
use super::courier::Courier;
use super::heart::Heart;
use super::signals::{Signals, Told};
use super::voice::Voice;
use super::watch::Watch;
use super::{holder, systemd};
use crate::change::span;
use crate::failure::{Class, Failure, Result};
use crate::http::{Board, Door};
use crate::store::Context;
use crate::store::error::{Error, Trouble};
use crate::store::lease::{self, Lease, Patience};
use crate::store::listen::Listener;
use crate::turn::last_good::Unreadable;
use crate::turn::{Extent, Request, Turned, World};

/// How long a turn may go on after `SIGTERM`, and how long giving the lease back may take: ten seconds in all.
const FAREWELL: (Duration, Duration) = (Duration::from_secs(7), Duration::from_secs(2));
/// How long giving the lease back may take after a second signal.
const URGENT: Duration = Duration::from_millis(300);
/// After a turn that the database asked for, it has to wait this many times as long as that took before it is heard
/// again: a table that is always busy costs at most a tenth of a processor.
const REST: u32 = 9;

/// Why a turn begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Start,
    Files,
    Database,
    Timer,
    /// What was in the way may be gone.
    Retry,
    Signal,
    /// Somebody has asked for it, over HTTP.
    Asked,
    /// The heartbeat stopped.
    Heart,
}

impl Wake {
    /// Whether it tells of nothing but the files, which every turn reads afresh: of anything else the database may know.
    fn is_of_files(self) -> bool {
        matches!(self, Wake::Files | Wake::Retry)
    }
}

/// What to wait for after a turn.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Anything; but the database only after `rest`. `again`: or so long, because the files could not be read.
    Anything { rest: Duration, again: Option<Duration> },
    /// So long, or until the files change, in which the trouble may lie.
    Trouble(Duration),
}

/// Serves until it is told to end. `tell` is given every turn that did something, or found something else blocked.
///
/// Errors: only what no waiting mends, and only at the start: the guard's refusal, a desired state that cannot be read at
/// all, or an address for HTTP that cannot be had. Files with problems are waited for, like a database that is away.
pub async fn serve(world: World, tell: &dyn Fn(&Turned)) -> Result<()> {
    let mut signals = Signals::catch()?;
    let config = &world.config;
    let watch = Watch::start(config.source, &config.state, config.debounce, config.debounce_max).await;
    let watch = watch.map_err(|error| Failure::caused(&error))?;
    let world = Arc::new(world);
    let board = Arc::new(Board::new(&world.guard.environment().to_string(), &world.database.catalog().to_string()));
    let door = Door::open(&world, &board).await?;
    let mut daemon = Daemon {
        context: world.by_user(None),
        listener: Listener::new(&world.database),
        backoff: Backoff::new(world.config.interval),
        world,
        board: Arc::clone(&board),
        watch,
        voice: Voice::default(),
        leading: None,
        owes: true,
        due: Instant::now(),
        has_read: false,
        has_met: false,
        is_ready: false,
    };
    let ended = tokio::select! {
        ended = daemon.run(&mut signals, tell) => ended,
        never = systemd::watchdog() => match never {},
        never = board.keep_beating() => match never {},
    };
    systemd::stopping();
    board.ends();
    let closing = async {
        if let Some(door) = door {
            door.close().await;
        }
    };
    let limit = if signals.are_urgent() { URGENT } else { FAREWELL.1 };
    let farewell = async { tokio::join!(daemon.farewell(limit), closing) };
    tokio::select! {
        _ = farewell => {}
        () = signals.end() => tracing::warn!("ended by a second signal; the lease passes on when it has expired"),
    }
    ended
}

struct Daemon {
    world: Arc<World>,
    /// Where whoever asks over HTTP reads how it goes.
    board: Arc<Board>,
    context: Context,
    watch: Watch,
    listener: Listener,
    voice: Voice,
    backoff: Backoff,
    leading: Option<Leading>,
    /// Something happened since the last turn that looked at everything, and no such turn has ended well yet: the next
    /// one looks at everything, whatever wakes it.
    owes: bool,
    /// When the timer wakes it.
    due: Instant,
    /// The desired state could be read once, good or bad.
    has_read: bool,
    /// The lease was ours once, or somebody's whom we followed, so that the database is the right one.
    has_met: bool,
    is_ready: bool,
}

/// The lease, and what keeps it alive.
struct Leading {
    lease: Arc<Lease>,
    /// `None` after it has stopped.
    heart: Option<Heart>,
    /// `None` as long as the heart has not beaten, or where nobody is to be told of anything.
    courier: Option<Courier>,
    /// The last turn was carried through under the lease.
    is_sure: bool,
}

impl Daemon {
    /// Goes on until a signal ends it.
    async fn run(&mut self, signals: &mut Signals, tell: &dyn Fn(&Turned)) -> Result<()> {
        let mut wake = Wake::Start;
        loop {
            tracing::debug!(?wake, "a turn begins");
            let begun = Instant::now();
            self.owes |= !wake.is_of_files();
            let Some(ended) = self.attempt(signals, tell).await else { return Ok(()) };
            let next = match ended {
                Ok(unread) => {
                    tracing::debug!(took_ms = begun.elapsed().as_millis(), "the turn is over");
                    let rest = if wake == Wake::Database { begun.elapsed() * REST } else { Duration::ZERO };
                    let again = unread.map(|trouble| self.backoff.pause(trouble, fastrand::f64()));
                    if again.is_none() {
                        self.backoff.reset();
                    }
                    Next::Anything { rest, again }
                }
                Err(failure) if self.is_fatal(&failure) => return Err(failure),
                Err(failure) => {
                    // Whatever was noticed is to be looked at by the next one.
                    self.owes = true;
                    self.due = Instant::now() + backoff::period(self.world.config.interval, fastrand::f64());
                    self.board.failed(&failure, begun.elapsed());
                    self.meet(&failure, begun).await
                }
            };
            self.voice.dropped();
            self.ready();
            let Some(woken) = self.wait(next, signals).await else { return Ok(()) };
            wake = woken;
        }
    }

    /// Takes the lease where it is not ours, then one turn. `None`: a signal has ended it. Gives what ends it that the files
    /// could not be read at all, where the last good state was enforced for that.
    async fn attempt(&mut self, signals: &mut Signals, tell: &dyn Fn(&Turned)) -> Option<Result<Option<Trouble>>> {
        if self.leading.is_none() {
            // Nothing is under way yet that would have to be finished.
            tokio::select! {
                led = self.lead() => if let Err(failure) = led { return Some(Err(failure)) },
                () = signals.end() => return None,
            }
        }
        let board = Arc::clone(&self.board);
        let turn = self.turn(tell);
        tokio::pin!(turn);
        tokio::select! {
            ended = &mut turn => Some(ended),
            () = signals.end() => {
                tracing::info!("finishing the run; a second signal ends it at once");
                board.ends();
                tokio::select! {
                    ended = tokio::time::timeout(FAREWELL.0, turn) => if ended.is_err() {
                        tracing::warn!("the run is given up; the next one goes on where it was");
                    },
                    () = signals.end() => {
                        tracing::warn!("ended by a second signal; the next run goes on where this one was");
                    }
                }
                None
            }
        }
    }

    /// Takes the lease, following its holder for as long as it lives.
    async fn lead(&mut self) -> Result<()> {
        if let Err(failure) = self.world.read().await {
            // A bad file must not even make a database; and files that were never there are no reason to wait for them.
            let is_waited_for = match failure.problems() {
                Some(_) => true,
                None => self.has_read || self.world.has_applied().await.unwrap_or(false),
            };
            self.has_read |= is_waited_for;
            if !is_waited_for || !self.world.exists().await? {
                return Err(failure);
            }
        }
        self.has_read = true;
        self.world.prepare().await?;
        let (is_ready, has_met, voice, board) = (&mut self.is_ready, &mut self.has_met, &mut self.voice, &self.board);
        let waiting = |other: &str| {
            board.follows();
            voice.well();
            let line = format!("following: {other} holds the lease; taking over if it falls silent");
            tracing::info!("{line}");
            systemd::ready(&line);
            (*is_ready, *has_met) = (true, true);
        };
        let (database, life) = (&self.world.database, self.world.config.lease);
        let begun = Instant::now();
        let lease = lease::acquire(database, &self.context, &holder(), life, Patience::Follow, waiting).await?;
        if begun.elapsed() >= 2 * life {
            // One who had fallen silent before would have been followed for one such life.
            self.world.leave_outage();
        }
        tracing::info!("applying as {}", lease.holder());
        self.has_met = true;
        // Another may have applied something meanwhile.
        self.owes = true;
        self.board.leads(lease.fencing());
        self.leading = Some(Leading { lease: Arc::new(lease), heart: None, courier: None, is_sure: false });
        Ok(())
    }

    async fn turn(&mut self, tell: &dyn Fn(&Turned)) -> Result<Option<Trouble>> {
        let Some(Leading { lease, heart, courier, is_sure }) = &mut self.leading else { return Ok(None) };
        // While the heart beats, the lease was ours a moment ago, and every transaction asks again.
        if heart.is_none() || !*is_sure {
            if let Err(error) = lease.beat(&self.world.database, &self.context).await {
                if matches!(error, Error::LeaseLost) {
                    self.leading = None;
                    self.board.leads_no_more();
                }
                return Err(error.into());
            }
            if heart.is_none() {
                *heart = Some(Heart::start(Arc::clone(&self.world), Arc::clone(lease), self.context.clone()));
                *courier = Courier::start(&self.world, lease, &self.context);
            }
        }
        *is_sure = false;
        // Before the database is read, so that no later change is missed.
        self.owes |= self.listener.open().await;
        let extent = if self.owes { Extent::Everything } else { Extent::Changes };
        let request = Request { extent, unreadable: Unreadable::EnforcesLastGood, ..Request::everything() };
        let begun = Instant::now();
        let turned = self.world.turn(lease, &request).await?;
        *is_sure = true;
        if extent == Extent::Everything {
            self.owes = false;
            self.due = Instant::now() + backoff::period(self.world.config.interval, fastrand::f64());
        }
        courier.iter().for_each(Courier::wake);
        self.board.turned(&turned, begun.elapsed());
        self.voice.turned(&turned, tell);
        let unread = turned.enforced.map(|enforced| enforced.failure).filter(|failure| failure.problems().is_none());
        Ok(unread.map(|failure| failure.trouble))
    }

    /// What no waiting mends is told at once to whoever starts the daemon; later, it may be mended.
    fn is_fatal(&self, failure: &Failure) -> bool {
        // The database may be the right one, and the hand-off another's.
        !self.has_read || (failure.class == Class::Refused && !(self.has_met && self.is_ready))
    }

    /// Says what the trouble is, and for how long to leave it alone.
    async fn meet(&mut self, failure: &Failure, begun: Instant) -> Next {
        let is_new = self.voice.trouble(failure);
        if let (Class::Refused, Some(leading)) = (failure.class, &mut self.leading) {
            // The database is not the one that it was. Nothing more is written until it is again; the lease there is
            // still ours then, unless somebody who has found it sooner has taken over, which the first beat tells.
            (leading.heart, leading.courier) = (None, None);
            return Next::Trouble(self.backoff.pause(failure.trouble, fastrand::f64()));
        }
        if let (true, Some(leading)) = (is_new && !failure.is_away, &self.leading)
            && let Err(error) = self.world.remember_failure(&leading.lease, &self.context, begun, failure).await
        {
            tracing::debug!("the trouble could not be noted for `status`: {}", error.line());
        }
        if let Some(courier) = self.leading.as_ref().and_then(|leading| leading.courier.as_ref()) {
            courier.wake();
        }
        if failure.is_away {
            self.world.note_outage(failure);
        }
        if failure.problems().is_some() {
            return Next::Anything { rest: begun.elapsed() * REST, again: None };
        }
        Next::Trouble(self.backoff.pause(failure.trouble, fastrand::f64()))
    }

    /// After the first attempt, whatever came of it.
    fn ready(&mut self) {
        if !self.is_ready {
            let every = span(self.world.config.interval);
            let line = format!("watching {} and looking every {every}", self.world.config.state.display());
            tracing::info!("{line}; Ctrl-C ends it");
            systemd::ready(&line);
            self.is_ready = true;
        }
    }

    /// Waits for the next reason to look; `None`: the reason to end.
    async fn wait(&mut self, next: Next, signals: &mut Signals) -> Option<Wake> {
        let Self { board, watch, listener, leading, due, .. } = self;
        let now = Instant::now();
        let (until, calm) = match next {
            Next::Anything { again, .. } => (again.map_or(*due, |again| (now + again).min(*due)), Duration::ZERO),
            Next::Trouble(wait) => (now + wait, backoff::LEAST),
        };
        let timed = if until < *due { Wake::Retry } else { Wake::Timer };
        let files = async {
            tokio::time::sleep(calm).await;
            watch.changed().await
        };
        let database = async {
            match next {
                Next::Anything { rest, .. } => tokio::time::sleep(rest).await,
                Next::Trouble(_) => std::future::pending().await,
            }
            listener.changed().await;
        };
        let stopped = async {
            let Some(Leading { heart, .. }) = leading else { return std::future::pending().await };
            // What made it stop is the trouble that is being left alone.
            tokio::time::sleep(calm).await;
            match heart {
                Some(beating) => beating.stopped().await,
                None => std::future::pending().await,
            }
            *heart = None;
        };
        let asked = async {
            tokio::time::sleep(calm).await;
            board.asked().await;
        };
        tokio::select! {
            told = signals.any() => (told == Told::Look).then_some(Wake::Signal),
            () = stopped => Some(Wake::Heart),
            () = asked => Some(Wake::Asked),
            _ = files => Some(Wake::Files),
            () = database => Some(Wake::Database),
            () = tokio::time::sleep_until(until.into()) => Some(timed),
        }
    }

    /// Gives the lease back, within `limit`.
    async fn farewell(&mut self, limit: Duration) {
        let Some(Leading { lease, heart, courier, is_sure: _ }) = self.leading.take() else { return };
        drop(courier);
        let release = async {
            if let Some(heart) = heart {
                heart.stop().await;
            }
            lease.release(&self.world.database, &self.context).await
        };
        match tokio::time::timeout(limit, release).await {
            Ok(Ok(())) => tracing::info!("the lease is released; good-bye"),
            Ok(Err(error)) => tracing::warn!("the lease could not be released: {}", error.chain()),
            Err(_) => tracing::warn!("the lease could not be released in time"),
        }
    }
}
