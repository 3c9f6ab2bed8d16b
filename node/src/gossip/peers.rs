//! Connections to other gossip sockets: opened when there is something to send, closed when not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use zmq::Context;

use super::lookup::Lookup;
use super::socket::{Noticed, Outlet};

/// Most connections at a time. Each takes three of the 1023 sockets that a libzmq context has and
/// four file descriptors; the one used longest ago gives way. The steady watchers of a member are
/// eight at most, whatever the size of the mesh.
const MAX_PEERS: usize = 128;
/// Packets that wait for a connection that is being made, and how long they are worth sending.
const MAX_WAITING: usize = 64;
const WORTH_SENDING: Duration = Duration::from_secs(1);
/// A connection not used for this long is closed, that of a member that is gone much sooner.
const IDLE: Duration = Duration::from_secs(120);
const IDLE_GONE: Duration = Duration::from_secs(5);
/// Time between two looks at idle connections.
const SWEEP: Duration = Duration::from_secs(5);
/// An attempt that fails sooner was refused rather than unanswered.
const QUICK_FAILURE: Duration = Duration::from_millis(500);

/// One destination.
struct Peer {
    /// `None` while its name is looked up, or until there is something to say to it.
    outlet: Option<Outlet>,
    /// Where the outlet leads.
    to: Option<SocketAddr>,
    /// Whether its address is a name. What a name stands for may change, and may be several
    /// addresses of which not all work, so it is looked up anew after each failed attempt.
    named: bool,
    looked_up: bool,
    failures: usize,
    waiting: VecDeque<(Duration, Vec<u8>)>,
    used_at: Duration,
    tried_at: Duration,
    being_checked: bool,
}

/// Destinations by the address that members are known by.
pub(super) struct Peers {
    context: Context,
    lookup: Lookup,
    peers: BTreeMap<String, Peer>,
    opened: u64,
    next_sweep: Duration,
}

impl Peers {
    pub(super) fn new(context: Context, lookup: Lookup) -> Self {
        Self {
            context,
            lookup,
            peers: BTreeMap::new(),
            opened: 0,
            next_sweep: SWEEP,
        }
    }

    pub(super) fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Sends now, or as soon as the connection is there, or never.
    pub(super) fn send(&mut self, to: &str, packet: Vec<u8>, now: Duration) {
        if !self.peers.contains_key(to) {
            self.add(to, now);
        }
        let Some(peer) = self.peers.get_mut(to) else {
            return;
        };
        peer.used_at = now;
        if peer.waiting.len() >= MAX_WAITING {
            peer.waiting.pop_front();
        }
        peer.waiting.push_back((now + WORTH_SENDING, packet));
        peer.look_up(to, &self.lookup);
        peer.flush(to, now);
    }

    /// The name of a destination has been looked up.
    pub(super) fn resolved(&mut self, name: &str, addresses: &[SocketAddr], now: Duration) {
        let Some(peer) = self.peers.get_mut(name).filter(|peer| peer.looked_up) else {
            return;
        };
        peer.looked_up = false;
        let turn = peer.failures.checked_rem(addresses.len());
        let Some(&to) = turn.and_then(|turn| addresses.get(turn)) else {
            return;
        };
        let outlet = self.open(to);
        let Some(peer) = self.peers.get_mut(name) else {
            return;
        };
        peer.outlet = outlet;
        peer.to = Some(to);
        peer.tried_at = now;
        peer.flush(name, now);
    }

    /// An address that was to be checked has been.
    pub(super) fn checked(&mut self, address: &str) {
        if let Some(peer) = self.peers.get_mut(address) {
            peer.being_checked = false;
        }
    }

    /// Sends what has waited and forgets what has waited too long.
    pub(super) fn flush(&mut self, now: Duration) {
        for (address, peer) in &mut self.peers {
            peer.flush(address, now);
        }
    }

    /// Takes note of what the connections tell; returns the addresses that lost theirs.
    pub(super) fn notice(&mut self, now: Duration) -> Vec<String> {
        let mut lost = Vec::new();
        for (address, peer) in &mut self.peers {
            while let Some(noticed) = peer.outlet.as_ref().and_then(Outlet::noticed) {
                if noticed == Noticed::Lost {
                    lost.push(address.clone());
                }
                peer.notice(noticed, address, &self.lookup, now);
            }
        }
        lost
    }

    /// Closes what is not used, sooner if its member is not among the `living`.
    pub(super) fn sweep(&mut self, now: Duration, living: impl FnOnce() -> BTreeSet<String>) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP;
        let living = living();
        self.peers.retain(|address, peer| {
            let idle = if living.contains(address) {
                IDLE
            } else {
                IDLE_GONE
            };
            now.saturating_sub(peer.used_at) < idle
        });
    }

    /// Sockets to poll: monitors for what they tell, and outlets with packets that wait.
    pub(super) fn poll_items(&self) -> impl Iterator<Item = zmq::PollItem<'_>> {
        self.peers.values().flat_map(|peer| {
            let outlet = peer.outlet.as_ref();
            let monitor = outlet.map(|o| o.monitor().as_poll_item(zmq::POLLIN));
            let waiting = outlet.filter(|_| !peer.waiting.is_empty());
            monitor
                .into_iter()
                .chain(waiting.map(|o| o.socket().as_poll_item(zmq::POLLOUT)))
        })
    }

    fn add(&mut self, to: &str, now: Duration) {
        if self.peers.len() >= MAX_PEERS {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.used_at);
            if let Some(address) = oldest.map(|(address, _)| address.clone()) {
                self.peers.remove(&address);
            }
        }
        let numeric: Option<SocketAddr> = to.parse().ok();
        let peer = Peer {
            outlet: numeric.and_then(|address| self.open(address)),
            to: numeric,
            named: numeric.is_none(),
            looked_up: false,
            failures: 0,
            waiting: VecDeque::new(),
            used_at: now,
            tried_at: now,
            being_checked: false,
        };
        if peer.named || peer.outlet.is_some() {
            self.peers.insert(to.to_owned(), peer);
        }
    }

    fn open(&mut self, to: SocketAddr) -> Option<Outlet> {
        self.opened += 1;
        match Outlet::open(&self.context, to, self.opened) {
            Ok(outlet) => Some(outlet),
            Err(error) => {
                tracing::debug!(%to, %error, "cannot open a gossip connection");
                None
            }
        }
    }
}

impl Peer {
    /// Asks what the name stands for, if that is not known and something waits to be sent.
    fn look_up(&mut self, address: &str, lookup: &Lookup) {
        if self.outlet.is_none() && !self.looked_up && !self.waiting.is_empty() {
            self.looked_up = lookup.resolve(address);
        }
    }

    /// A connection that was lost, or refused at an address that cannot be a wrong one, makes its
    /// address worth checking.
    fn notice(&mut self, noticed: Noticed, address: &str, lookup: &Lookup, now: Duration) {
        let suspicious = match noticed {
            Noticed::Trying => {
                self.tried_at = now;
                false
            }
            Noticed::Lost => true,
            Noticed::Failed if self.named => {
                self.outlet = None;
                self.failures += 1;
                self.look_up(address, lookup);
                false
            }
            Noticed::Failed => now.saturating_sub(self.tried_at) < QUICK_FAILURE,
        };
        if let Some(to) = self.to.filter(|_| suspicious && !self.being_checked) {
            self.being_checked = lookup.check(address, to);
        }
    }

    fn flush(&mut self, address: &str, now: Duration) {
        let Some(outlet) = &self.outlet else {
            self.waiting.retain(|(until, _)| *until > now);
            return;
        };
        while let Some((until, packet)) = self.waiting.front() {
            if *until > now {
                match outlet.send(packet) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => tracing::debug!(address, %error, "cannot send a gossip packet"),
                }
            }
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::super::commands::GossipCommands;
    use super::super::socket::wake_pair;
    use super::*;

    #[test]
    fn of_several_addresses_of_a_name_one_that_works_is_found() {
        let context = Context::new();
        let inbox = context.socket(zmq::ROUTER).unwrap();
        inbox.set_linger(0).unwrap();
        inbox.bind("tcp://127.0.0.1:*").unwrap();
        let bound = inbox.get_last_endpoint().unwrap().unwrap();
        let works = bound.strip_prefix("tcp://").unwrap().parse().unwrap();
        let refuses = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let (wake, _woken) = wake_pair(&context).unwrap();
        let (commands, _received) = GossipCommands::new(wake);
        let mut peers = Peers::new(context.clone(), Lookup::start(&commands).unwrap());

        let start = Instant::now();
        let packet = loop {
            if let Ok(frames) = inbox.recv_multipart(zmq::DONTWAIT) {
                break frames;
            }
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "no packet came through"
            );
            let now = start.elapsed();
            peers.send("name.test:1", b"packet".to_vec(), now);
            if peers.peers["name.test:1"].looked_up {
                peers.resolved("name.test:1", &[refuses, works], now);
            }
            let mut items: Vec<_> = peers.poll_items().collect();
            zmq::poll(&mut items, 20).unwrap();
            peers.notice(now);
        };
        assert_eq!(&packet[1], b"packet");
        assert_eq!(peers.peers["name.test:1"].to, Some(works));
    }
}
