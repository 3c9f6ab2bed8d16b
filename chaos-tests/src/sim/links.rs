//! The links of a simulated process: dialed and accepted as the node's `link/` does it, with the
//! real wire format on every hop.

mod carrying;
mod dial;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use foldhash::fast::FixedState;
use zmesh_node::forward::{Instance, Router};
use zmesh_node::link::timing::{FIRST_PAUSE, PING_EVERY, REPLY_DELAY, SILENCE};
use zmesh_node::link::wire::{self, Head, Hello};
use zmesh_node::zmtp::frames::{FrameLimits, Span};

use self::carrying::Carrying;
use self::dial::{Dial, Wire};
use super::Time;
use super::network::{End, HostId, Service, Status};
use super::outside::Outside;
use super::process::ProcessId;
use super::stream::Stream;

const LIMITS: FrameLimits = FrameLimits {
    message_bytes: 16 << 20,
    frames: 2,
};

/// With so many bytes taken since the last reply it goes at once, as in the node.
const REPLY_BYTES: usize = 128 << 10;

/// What the links tell the rest of the process.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// A connection to this address was refused.
    Refused(String),
    /// An established connection to this address broke.
    Reset(String),
}

/// A node to keep a link to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which process.
    pub instance: Instance,
    /// Where.
    pub host: HostId,
    /// `host:port` of its links.
    pub address: String,
}

#[derive(Debug)]
struct Accepted {
    carrying: Carrying,
    /// Who speaks, once it has said so.
    peer: Option<Instance>,
    since: Time,
}

/// See the module. Times are of the process's own clock.
#[derive(Debug)]
pub struct Links {
    process: ProcessId,
    host: HostId,
    me: Hello,
    dials: BTreeMap<Instance, Dial>,
    accepted: BTreeMap<End, Accepted>,
    /// The accepted connection of each peer that is in force.
    current: BTreeMap<Instance, End>,
    /// Whom each connection was made to; some are over.
    made_to: HashMap<End, Instance, FixedState>,
    /// Nothing is due before then.
    due_at: Time,
    /// Whether pings that are sure to be answered take no events.
    pub quiet: bool,
    /// What membership is to be told.
    pub told: Vec<Told>,
}

impl Links {
    /// No links yet.
    pub fn new(process: ProcessId, host: HostId, me: Hello) -> Self {
        Self {
            process,
            host,
            me,
            dials: BTreeMap::new(),
            accepted: BTreeMap::new(),
            current: BTreeMap::new(),
            made_to: HashMap::default(),
            due_at: Time::MAX,
            quiet: false,
            told: Vec::new(),
        }
    }

    /// Dials exactly these from now on.
    pub fn keep(
        &mut self,
        targets: Vec<Target>,
        router: &mut Router,
        now: Time,
        outside: &mut Outside<'_>,
    ) {
        let old: Vec<Instance> = self.dials.keys().copied().collect();
        for instance in old {
            let keep = targets.iter().any(|it| *it == self.dials[&instance].target);
            if !keep && let Some(mut dial) = self.dials.remove(&instance) {
                dial.hang_up(router, now, outside);
            }
        }
        for target in targets {
            self.dials.entry(target.instance).or_insert_with(|| Dial {
                target,
                wire: Wire::Pause(now),
                pause: FIRST_PAUSE,
            });
        }
        self.due_at = now;
    }

    /// Another node has connected.
    pub fn accept(&mut self, end: End, now: Time) {
        let accepted = Accepted {
            carrying: Carrying::new(Stream::new(end, LIMITS), self.quiet, now),
            peer: None,
            since: now,
        };
        self.due_at = self.due_at.min(accepted.deadline());
        self.accepted.insert(end, accepted);
    }

    /// There is something new about a connection. `false` if it is none of these.
    pub fn ready(
        &mut self,
        end: End,
        router: &mut Router,
        now: Time,
        outside: &mut Outside<'_>,
    ) -> bool {
        if self.accepted.contains_key(&end) {
            self.accepted_ready(end, router, now, outside);
            return true;
        }
        let Some(instance) = self.made_to.get(&end).copied() else {
            return false;
        };
        if self.dials.get(&instance).and_then(Dial::end) == Some(end) {
            self.dial_ready(instance, router, now, outside);
        } else {
            self.made_to.remove(&end);
        }
        true
    }

    /// Messages of the core wait for a dialed link.
    pub fn write(
        &mut self,
        peer: Instance,
        router: &mut Router,
        now: Time,
        outside: &mut Outside<'_>,
    ) {
        let dial = self.dials.get_mut(&peer);
        if let Some(Wire::Up(carrying)) = dial.map(|dial| &mut dial.wire) {
            carrying.write(peer, router, now, outside);
        }
    }

    /// Replies wait for an accepted link, or it may be read again.
    pub fn reply(
        &mut self,
        peer: Instance,
        router: &mut Router,
        now: Time,
        outside: &mut Outside<'_>,
    ) {
        let Some(end) = self.current.get(&peer).copied() else {
            return;
        };
        if let Some(accepted) = self.accepted.get_mut(&end) {
            accepted.carrying.reply_at.get_or_insert(now + REPLY_DELAY);
        }
        self.accepted_ready(end, router, now, outside);
    }

    /// When [`Links::run`] is to be called.
    pub fn deadline(&self) -> Time {
        self.due_at
    }

    /// What is due.
    pub fn run(&mut self, router: &mut Router, now: Time, outside: &mut Outside<'_>) {
        if now < self.due_at {
            return;
        }
        let due = self.dials.iter().filter(|(_, dial)| dial.deadline() <= now);
        let due: Vec<Instance> = due.map(|(instance, _)| *instance).collect();
        for instance in due {
            self.dial_due(instance, router, now, outside);
        }
        let due = self.accepted.iter().filter(|(_, it)| it.deadline() <= now);
        let due: Vec<End> = due.map(|(end, _)| *end).collect();
        for end in due {
            self.accepted_due(end, router, now, outside);
        }
        let dials = self.dials.values().map(Dial::deadline);
        let accepted = self.accepted.values().map(Accepted::deadline);
        self.due_at = dials.chain(accepted).min().unwrap_or(Time::MAX);
    }

    /// How long ago the open links last brought something, by the nonces of their peers.
    pub fn signs_of_life(&self, now: Time) -> BTreeMap<u64, Time> {
        let dialed = self
            .dials
            .iter()
            .filter_map(|(peer, dial)| match &dial.wire {
                Wire::Up(carrying) => Some((peer.0, carrying.brought)),
                _ => None,
            });
        let accepted = self.accepted.values();
        let accepted = accepted.filter_map(|it| Some((it.peer?.0, it.carrying.brought)));
        let mut signs = BTreeMap::new();
        for (peer, brought) in dialed.chain(accepted) {
            let ago = now.saturating_sub(brought);
            let least: &mut Time = signs.entry(peer).or_insert(ago);
            *least = ago.min(*least);
        }
        signs
    }

    /// Whether nothing waits to be written on any link.
    pub fn is_idle(&self) -> bool {
        let dials = self.dials.values().map(|dial| match &dial.wire {
            Wire::Up(carrying) => carrying.stream.unwritten(),
            _ => 1,
        });
        dials.sum::<usize>() == 0
    }

    fn dial_due(
        &mut self,
        instance: Instance,
        router: &mut Router,
        now: Time,
        outside: &mut Outside<'_>,
    ) {
        let Some(dial) = self.dials.get_mut(&instance) else {
            return;
        };
        match &mut dial.wire {
            Wire::Pause(_) => {
                let hosts = [self.host, dial.target.host];
                let end = outside.connect(self.process, hosts, Service::Link);
                self.made_to.insert(end, instance);
                dial.wire = Wire::Connecting(end, now);
            }
            Wire::Connecting(..) | Wire::Greeting(..) => dial.fail(router, now, outside),
            Wire::Up(carrying) => {
                if now - carrying.heard >= SILENCE {
                    dial.fail(router, now, outside);
                } else {
                    if now - carrying.heard <= PING_EVERY {
                        router.handle_sign_of_life(instance, now);
                    }
                    carrying.ping(now, false, outside);
                    carrying.write(instance, router, now, outside);
                }
            }
        }
    }

    fn dial_ready(
        &mut self,
        instance: Instance,
        router: &mut Router,
        now: Time,
        outside: &mut Outside<'_>,
    ) {
        let me = self.me.clone();
        let Some(dial) = self.dials.get_mut(&instance) else {
            return;
        };
        let Some(end) = dial.end() else { return };
        let address = dial.target.address.clone();
        match outside.net.status(end) {
            Status::Connecting => {}
            Status::Open => {
                if dial
                    .advance((self.process, me, self.quiet), router, now, outside)
                    .is_none()
                {
                    dial.fail(router, now, outside);
                }
            }
            Status::Refused => {
                self.told.push(Told::Refused(address));
                dial.fail(router, now, outside);
            }
            Status::Reset | Status::Ended => {
                self.told.push(Told::Reset(address));
                dial.fail(router, now, outside);
            }
        }
        self.due_at = self.due_at.min(dial.deadline());
    }

    fn accepted_due(
        &mut self,
        end: End,
        router: &mut Router,
        now: Time,
        outside: &mut Outside<'_>,
    ) {
        let Some(accepted) = self.accepted.get_mut(&end) else {
            return;
        };
        let Some(peer) = accepted.peer else {
            return self.drop_accepted(end, router, outside);
        };
        let carrying = &mut accepted.carrying;
        if carrying.reply_at.is_some_and(|at| at <= now) {
            carrying.reply_at = None;
            carrying.replies(peer, router, outside);
        }
        if now - carrying.heard >= SILENCE && !router.is_held(peer) {
            return self.drop_accepted(end, router, outside);
        }
        if now >= carrying.next_ping {
            carrying.ping(now, router.is_held(peer), outside);
        }
    }

    fn accepted_ready(
        &mut self,
        end: End,
        router: &mut Router,
        now: Time,
        outside: &mut Outside<'_>,
    ) {
        if self.read_accepted(end, router, now, outside).is_none() {
            self.drop_accepted(end, router, outside);
        }
        if let Some(accepted) = self.accepted.get(&end) {
            self.due_at = self.due_at.min(accepted.deadline());
        }
    }

    /// `None` if the connection has to go.
    fn read_accepted(
        &mut self,
        end: End,
        router: &mut Router,
        now: Time,
        outside: &mut Outside<'_>,
    ) -> Option<()> {
        let accepted = self.accepted.get_mut(&end)?;
        accepted.carrying.stream.flush(outside);
        if let Some(peer) = accepted.peer.filter(|peer| router.is_held(*peer)) {
            outside.watch.held(self.process, peer);
            return Some(());
        }
        let items = accepted.carrying.read(now, outside)?;
        for (chunk, span) in items {
            let accepted = self.accepted.get_mut(&end)?;
            match accepted.peer {
                None => {
                    let peer = self.greet(end, &chunk, &span, outside)?;
                    outside.watch.accepted(self.process, peer);
                    router.handle_accepted(peer, now);
                }
                Some(peer) => {
                    let message = wire::decode(&chunk, &span, peer).ok()?.core()?;
                    outside.watch.message(self.process, peer, &message, router);
                    router.handle_message(peer, message, now).ok()?;
                }
            }
        }
        let accepted = self.accepted.get_mut(&end)?;
        if accepted.carrying.unreplied >= REPLY_BYTES
            && let Some(peer) = accepted.peer
        {
            accepted.carrying.replies(peer, router, outside);
        }
        (outside.net.status(end) == Status::Open).then_some(())
    }

    /// The first message on a connection that was accepted; the one in force gives way.
    fn greet(
        &mut self,
        end: End,
        chunk: &Bytes,
        span: &Span,
        outside: &mut Outside<'_>,
    ) -> Option<Instance> {
        let Ok(Head::Hello(hello)) = wire::decode_head(chunk, span) else {
            return None;
        };
        let peer = Instance(hello.instance);
        if let Some(old) = self.current.insert(peer, end)
            && self.accepted.remove(&old).is_some()
        {
            outside.close(old);
        }
        let accepted = self.accepted.get_mut(&end)?;
        accepted.peer = Some(peer);
        let own = wire::encode_head(&Head::Hello(self.me.clone()), false);
        accepted.carrying.stream.queue(own);
        accepted.carrying.stream.flush(outside);
        Some(peer)
    }

    fn drop_accepted(&mut self, end: End, router: &mut Router, outside: &mut Outside<'_>) {
        outside.close(end);
        let Some(accepted) = self.accepted.remove(&end) else {
            return;
        };
        if let Some(peer) = accepted.peer
            && self.current.get(&peer) == Some(&end)
        {
            self.current.remove(&peer);
            outside.watch.accepted_closed(self.process, peer);
            router.handle_accepted_closed(peer);
        }
    }
}

impl Accepted {
    fn deadline(&self) -> Time {
        if self.peer.is_none() {
            // As long as the node waits for a hello.
            return self.since + Time::from_secs(5);
        }
        let carrying = &self.carrying;
        carrying
            .reply_at
            .map_or(carrying.next_ping, |at| at.min(carrying.next_ping))
    }
}
