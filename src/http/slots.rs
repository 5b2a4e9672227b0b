//! Connections: how many there may be, and which one gives way when there are too many.
//!
//! A new connection is always let in, and has a moment to say what it wants. Where its peer then has too many, the oldest
//! of them that waits for a whole request gives way, be it for its head, its body or, after an answer, the next one. One
//! whose request is there is answered, which takes no longer than the daemon does. Where all together are too many, the
//! peer that has the most loses one, if need be one that is being answered; and those that show a token go last. So whoever
//! holds many connections loses only their own, and a probe, whose head is there at once, is answered whatever one peer does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::board::Board;
use super::metrics::Dropped;
use super::peer::Peer;

/// Connections of one peer that show no good token.
const OF_ONE_PEER: usize = 16;
/// All connections together, as far as the system gives descriptors.
const ALL: usize = 1024;
/// How long a new connection does not count as one too many of its peer's: more than a head takes to arrive.
const MOMENT: Duration = Duration::from_millis(500);
/// Descriptors that are left for everything else: files, databases, programs.
const RESERVE: usize = 192;
/// Fewer connections are of no use, whatever the system gives.
const LEAST: usize = 32;

/// The places for connections, over all listeners of the daemon.
pub struct Slots {
    open: Mutex<Open>,
    most: usize,
    board: Arc<Board>,
}

#[derive(Default)]
struct Open {
    /// By number: the oldest first.
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

struct Connection {
    /// `None`: a proxy, which speaks for many.
    peer: Option<Peer>,
    since: Instant,
    standing: Standing,
    gives_way: Arc<Notify>,
}

/// What would be lost with a connection: the least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    shows_token: bool,
    is_answered: bool,
}

impl Slots {
    /// `descriptors`: how many files the process may have open.
    pub fn new(descriptors: usize, board: Arc<Board>) -> Arc<Self> {
        let most = ALL.min(descriptors.saturating_sub(RESERVE)).max(LEAST);
        Arc::new(Self { open: Mutex::default(), most, board })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection, of this peer or of a proxy.
    pub fn take(self: &Arc<Self>, peer: Option<Peer>, now: Instant) -> Seat {
        let mut open = self.lock();
        let id = open.next;
        open.next += 1;
        let gives_way = Arc::new(Notify::new());
        let connection =
            Connection { peer, since: now, standing: Standing::default(), gives_way: Arc::clone(&gives_way) };
        open.connections.insert(id, connection);
        self.hold_peer(&mut open, peer, now);
        self.hold_all(&mut open, id);
        self.board.metrics.connections(open.connections.len());
        Seat { tag: Tag { slots: Arc::clone(self), id }, gives_way }
    }

    /// Lets those give way that are too many of the peer's, as soon as they have had their moment.
    fn hold_peer(&self, open: &mut Open, peer: Option<Peer>, now: Instant) {
        let Some(peer) = peer else { return };
        let of_peer = open.connections.iter().filter(|(_, one)| one.peer == Some(peer) && !one.standing.shows_token);
        let of_peer: Vec<(u64, bool)> = of_peer
            .map(|(id, one)| (*id, !one.standing.is_answered && now.duration_since(one.since) >= MOMENT))
            .collect();
        let surplus = of_peer.len().saturating_sub(OF_ONE_PEER);
        for (id, _) in of_peer.into_iter().filter(|(_, may_go)| *may_go).take(surplus) {
            self.displace(open, id, Dropped::Peer);
        }
    }

    /// Makes room for `new` among all: whoever has the most, without a token, gives way.
    fn hold_all(&self, open: &mut Open, new: u64) {
        while open.connections.len() > self.most {
            let mut counts: HashMap<Peer, usize> = HashMap::new();
            for peer in open.connections.values().filter(|one| !one.standing.shows_token).filter_map(|one| one.peer) {
                *counts.entry(peer).or_default() += 1;
            }
            let rank = |id: u64, one: &Connection| {
                let many = one.peer.and_then(|peer| counts.get(&peer).copied()).unwrap_or(1);
                (one.standing.shows_token, Reverse(many), one.standing, id)
            };
            let others = open.connections.iter().filter(|(id, _)| **id != new);
            let Some(least) = others.min_by_key(|(id, one)| rank(**id, one)).map(|(id, _)| *id) else { return };
            self.displace(open, least, Dropped::All);
        }
    }

    fn displace(&self, open: &mut Open, id: u64, why: Dropped) {
        if let Some(gone) = open.connections.remove(&id) {
            gone.gives_way.notify_one();
            self.board.metrics.dropped(why);
        }
    }
}

/// A connection's place, for as long as it is there.
pub struct Seat {
    tag: Tag,
    gives_way: Arc<Notify>,
}

impl Seat {
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// Waits until the place is needed for another.
    pub async fn given_away(&self) {
        tokio::select! {
            biased;
            () = self.gives_way.notified() => return,
            () = tokio::time::sleep(MOMENT) => {}
        }
        self.counts(Instant::now());
        self.gives_way.notified().await;
    }

    /// It has had its moment, and counts from now on.
    fn counts(&self, now: Instant) {
        let mut open = self.tag.slots.lock();
        let peer = open.connections.get(&self.tag.id).and_then(|one| one.peer);
        self.tag.slots.hold_peer(&mut open, peer, now);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.tag.slots.lock();
        open.connections.remove(&self.tag.id);
        self.tag.slots.board.metrics.connections(open.connections.len());
    }
}

/// Names a connection, for whoever learns something about it. Without effect where it is gone.
#[derive(Clone)]
pub struct Tag {
    slots: Arc<Slots>,
    id: u64,
}

impl Tag {
    fn change(&self, change: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.slots.lock().connections.get_mut(&self.id) {
            change(connection);
        }
    }

    /// Whether its last request showed a token, and none that is known to be wrong.
    pub fn shows(&self, token: bool) {
        self.change(|connection| connection.standing.shows_token = token);
    }

    /// A request is there as a whole, and is being answered until this is dropped.
    pub fn answers(&self) -> Answering {
        self.change(|connection| connection.standing.is_answered = true);
        Answering(self.clone())
    }

    /// A proxy speaks for this peer now.
    pub fn speaks_for(&self, peer: Peer) {
        let mut open = self.slots.lock();
        if let Some(connection) = open.connections.get_mut(&self.id) {
            connection.peer = Some(peer);
            self.slots.hold_peer(&mut open, Some(peer), Instant::now());
        }
    }
}

/// While this lives, its connection's request is being answered.
pub struct Answering(Tag);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.change(|connection| connection.standing.is_answered = false);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn slots(descriptors: usize) -> Arc<Slots> {
        Slots::new(descriptors, Arc::new(Board::new("development", "KSESSIONS_DEV")))
    }

    fn peer(last: u8) -> Option<Peer> {
        Some(Peer::of(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))))
    }

    /// The numbers of those that are open.
    fn open(slots: &Slots) -> Vec<u64> {
        slots.lock().connections.keys().copied().collect()
    }

    /// So many of a peer's.
    fn many(slots: &Arc<Slots>, count: usize, last: u8, now: Instant) -> Vec<Seat> {
        (0..count).map(|_| slots.take(peer(last), now)).collect()
    }

    #[test]
    fn the_oldest_of_a_peer_that_waits_gives_way() {
        let (slots, now) = (slots(4096), Instant::now());
        let (other, seats) = (slots.take(peer(2), now), many(&slots, 16, 1, now));
        let answering = seats[0].tag().answers();
        let _new = slots.take(peer(1), now + MOMENT);
        // The first is being answered, so the second goes; nobody else is concerned.
        assert_eq!(open(&slots), [vec![0, 1], (3..=17).collect()].concat());
        drop(answering);
        let _newer = slots.take(peer(1), now + MOMENT);
        assert_eq!(open(&slots), [vec![0], (3..=18).collect()].concat());
        drop((other, seats));
        assert_eq!(open(&slots), [17, 18]);
    }

    #[test]
    fn whoever_comes_has_a_moment_to_say_what_it_wants() {
        let (slots, now) = (slots(4096), Instant::now());
        let seats = many(&slots, 200, 1, now);
        assert_eq!(open(&slots).len(), 200);
        seats[7].tag().shows(true);
        seats.iter().for_each(|seat| seat.counts(now + MOMENT));
        assert_eq!(open(&slots), [vec![7], (184..200).collect()].concat());
    }

    #[test]
    fn what_is_being_answered_gives_way_only_where_all_are_too_many() {
        let (slots, now) = (slots(RESERVE + 64), Instant::now());
        let seats = many(&slots, 64, 1, now);
        let _answering: Vec<Answering> = seats.iter().map(|seat| seat.tag().answers()).collect();
        seats.iter().for_each(|seat| seat.counts(now + MOMENT));
        assert_eq!(open(&slots), (0..64).collect::<Vec<_>>());
        let _new = slots.take(peer(2), now + MOMENT);
        assert_eq!(open(&slots), (1..=64).collect::<Vec<_>>());
    }

    #[test]
    fn among_all_those_of_whoever_has_the_most_give_way_and_those_with_a_token_last() {
        let (slots, now) = (slots(RESERVE + 64), Instant::now());
        let known = many(&slots, 40, 1, now);
        known.iter().for_each(|seat| seat.tag().shows(true));
        let (lonely, flood) = (slots.take(peer(2), now), many(&slots, 30, 3, now));
        // 64 places: the flood has lost its first seven.
        assert_eq!(open(&slots), [(0..=40).collect(), (48..71).collect::<Vec<u64>>()].concat());
        drop((lonely, flood));
        known[9].tag().shows(false);
        let more = many(&slots, 24, 1, now);
        more.iter().for_each(|seat| seat.tag().shows(true));
        let _newest = slots.take(peer(4), now);
        assert_eq!(open(&slots)[..11], [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11], "who shows none any more goes first");
        let _one_more = slots.take(peer(4), now);
        assert_eq!(open(&slots).len(), 64);
    }

    #[test]
    fn a_proxy_counts_as_those_it_speaks_for() {
        let (slots, now) = (slots(4096), Instant::now().checked_sub(MOMENT).unwrap());
        let through: Vec<Seat> = (0..40).map(|_| slots.take(None, now)).collect();
        assert_eq!(open(&slots).len(), 40);
        through.iter().for_each(|seat| seat.tag().speaks_for(peer(1).unwrap()));
        assert_eq!(open(&slots), (24..40).collect::<Vec<_>>());
    }

    #[test]
    fn there_is_always_some_room() {
        assert_eq!([0, 256, 1024, 1 << 20].map(|descriptors| slots(descriptors).most), [32, 64, 832, 1024]);
    }
}
