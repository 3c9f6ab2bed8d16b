//! The gossip thread of a simulated process: the real machine and the real packets, over
//! connections that behave as libzmq's do (see the node's `gossip/peers.rs` and `socket.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use zmesh_gossip::{Event, Gossip, NodeId, Output};
use zmesh_node::forward::Instance;
use zmesh_node::view::{Known, Membership};
use zmesh_node::zmtp::frames::{FrameLimits, command_parts, put_header};
use zmesh_node::zmtp::heartbeat;

use super::Time;
use super::network::{End, HostId, Service, Status};
use super::outside::{Outside, address, host_of};
use super::process::ProcessId;
use super::stream::{Incoming, Stream};

const LIMITS: FrameLimits = FrameLimits {
    message_bytes: zmesh_gossip::MAX_PACKET_IN + 16,
    frames: 1,
};
/// As in the node: packets that wait for a connection, and how long they are worth sending.
const MAX_WAITING: usize = 64;
const WORTH_SENDING: Time = Time::from_secs(1);
/// What libzmq holds for one connection, in bytes instead of packets.
const QUEUE_BYTES: usize = 64 << 10;
/// libzmq's options as the node sets them.
const CONNECT_TIMEOUT: Time = Time::from_secs(1);
const FIRST_PAUSE: Time = Time::from_millis(100);
const LAST_PAUSE: Time = Time::from_secs(1);
const HEARTBEAT: Time = Time::from_secs(2);
const HEARTBEAT_TIMEOUT: Time = Time::from_secs(6);
/// As in the node: idle connections.
const IDLE: Time = Time::from_secs(120);
const IDLE_GONE: Time = Time::from_secs(5);
const SWEEP: Time = Time::from_secs(5);
/// As in the node: what is published, at the latest and at the soonest.
const PUBLISH: Time = Time::from_secs(1);
const PUBLISH_SOONEST: Time = Time::from_millis(20);
/// How long a name takes to be looked up.
const LOOKUP: Time = Time::from_millis(5);

#[derive(Debug)]
enum Wire {
    Connecting(End, Time),
    Up {
        stream: Stream,
        heard: Time,
        next_ping: Time,
    },
    Pause(Time),
}

#[derive(Debug)]
struct Outlet {
    host: HostId,
    wire: Wire,
    pause: Time,
    waiting: VecDeque<(Time, Vec<u8>)>,
    used_at: Time,
}

/// See the module. Times are of the process's own clock.
#[derive(Debug)]
pub struct Gossiper {
    /// The machine.
    pub machine: Gossip,
    process: ProcessId,
    host: HostId,
    outlets: BTreeMap<String, Outlet>,
    inbound: BTreeMap<End, Stream>,
    lookups: VecDeque<(Time, String)>,
    view: Vec<NodeId>,
    joined: bool,
    publish_at: Time,
    published_at: Time,
    sweep_at: Time,
    /// What was published and not yet taken.
    pub membership: Option<Arc<Membership>>,
    /// The goodbye was heard.
    pub departed: bool,
    /// Another process has this node's name.
    pub conflict: bool,
}

impl Gossiper {
    /// A machine on a host.
    pub fn new(machine: Gossip, process: ProcessId, host: HostId, now: Time) -> Self {
        Self {
            machine,
            process,
            host,
            outlets: BTreeMap::new(),
            inbound: BTreeMap::new(),
            lookups: VecDeque::new(),
            view: Vec::new(),
            joined: false,
            publish_at: now,
            published_at: now,
            sweep_at: now + SWEEP,
            membership: None,
            departed: false,
            conflict: false,
        }
    }

    /// Another node has connected.
    pub fn accepted(&mut self, end: End) {
        self.inbound.insert(end, Stream::new(end, LIMITS));
    }

    /// There is something new about one of the connections. `false` if it is none of these.
    pub fn ready(&mut self, end: End, now: Time, outside: &mut Outside<'_>) -> bool {
        if self.inbound.contains_key(&end) {
            self.read_inbound(end, now, outside);
            return true;
        }
        let outlet = self.outlets.iter().find(|(_, it)| it.end() == Some(end));
        let Some(to) = outlet.map(|(to, _)| to.clone()) else {
            return false;
        };
        self.outlet_ready(&to, now, outside);
        true
    }

    /// What is due, and what follows from it.
    pub fn run(&mut self, now: Time, outside: &mut Outside<'_>) {
        while let Some((at, _)) = self.lookups.front()
            && *at <= now
            && let Some((_, seed)) = self.lookups.pop_front()
        {
            let addresses: Vec<SocketAddr> = resolve(&seed).into_iter().collect();
            self.machine.handle_resolved(&seed, &addresses, now);
        }
        if now >= self.machine.next_deadline() {
            self.machine.handle_timeout(now);
        }
        self.outlets_due(now, outside);
        self.take_outputs(now, outside);
        if now >= self.publish_at {
            self.publish(now);
        }
    }

    /// When [`Gossiper::run`] is to be called.
    pub fn deadline(&self) -> Time {
        let lookup = self.lookups.front().map(|(at, _)| *at);
        let outlets = self.outlets.values().map(Outlet::deadline).min();
        let times = [
            Some(self.machine.next_deadline()),
            Some(self.publish_at),
            Some(self.sweep_at),
            lookup,
            outlets,
        ];
        times.into_iter().flatten().min().unwrap_or(Time::MAX)
    }

    fn read_inbound(&mut self, end: End, now: Time, outside: &mut Outside<'_>) {
        let Some(stream) = self.inbound.get_mut(&end) else {
            return;
        };
        let incoming = stream.read(outside).unwrap_or_default();
        for item in incoming {
            match item {
                Incoming::Message(chunk, span) => {
                    self.machine.handle_packet(span.topic(&chunk), now);
                    outside.watch.heard(self.process);
                }
                Incoming::Command(body) => {
                    if let Some((b"PING", data)) = command_parts(&body) {
                        stream.queue(heartbeat::pong(data));
                    }
                }
            }
        }
        stream.flush(outside);
        if outside.net.status(end) != Status::Open {
            self.inbound.remove(&end);
            outside.close(end);
        }
    }

    fn outlet_ready(&mut self, to: &str, now: Time, outside: &mut Outside<'_>) {
        let Some(outlet) = self.outlets.get_mut(to) else {
            return;
        };
        let Some(end) = outlet.end() else { return };
        match outside.net.status(end) {
            Status::Connecting => {}
            Status::Open => {
                outlet.open(end, now, outside);
                outlet.flush(now, outside);
            }
            Status::Refused => {
                outside.close(end);
                outlet.fail(now);
                self.machine.handle_refused(to, now);
            }
            Status::Reset | Status::Ended => {
                outside.close(end);
                outlet.lose(now);
                self.machine.handle_reset(to, now);
            }
        }
    }

    fn outlets_due(&mut self, now: Time, outside: &mut Outside<'_>) {
        let mut lost = Vec::new();
        for (to, outlet) in &mut self.outlets {
            if now < outlet.deadline() {
                continue;
            }
            match &mut outlet.wire {
                Wire::Pause(_) => {
                    let hosts = [self.host, outlet.host];
                    let end = outside.connect(self.process, hosts, Service::Gossip);
                    outlet.wire = Wire::Connecting(end, now);
                }
                Wire::Connecting(end, _) => {
                    outside.close(*end);
                    outlet.fail(now);
                }
                Wire::Up { stream, heard, .. } if now - *heard >= HEARTBEAT_TIMEOUT => {
                    outside.close(stream.end);
                    outlet.lose(now);
                    lost.push(to.clone());
                }
                Wire::Up {
                    stream, next_ping, ..
                } => {
                    stream.queue(heartbeat::ping(HEARTBEAT_TIMEOUT));
                    stream.flush(outside);
                    *next_ping = now + HEARTBEAT;
                }
            }
        }
        for to in lost {
            self.machine.handle_reset(&to, now);
        }
        if now >= self.sweep_at {
            self.sweep(now, outside);
        }
    }

    fn sweep(&mut self, now: Time, outside: &mut Outside<'_>) {
        self.sweep_at = now + SWEEP;
        let members = self.machine.members().map(|known| known.member);
        let living = members.filter(|member| member.is_live());
        let living: Vec<String> = living.map(|member| member.gossip.clone()).collect();
        self.outlets.retain(|to, outlet| {
            let idle = if living.contains(to) { IDLE } else { IDLE_GONE };
            let keep = now.saturating_sub(outlet.used_at) < idle;
            if let Some(end) = outlet.end().filter(|_| !keep) {
                outside.close(end);
            }
            keep
        });
    }

    fn take_outputs(&mut self, now: Time, outside: &mut Outside<'_>) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { to, packet } => self.send(&to, packet, now, outside),
                Output::Resolve { seed } => self.lookups.push_back((now + LOOKUP, seed)),
                Output::MembersChanged => {
                    outside.watch.members(self.process, &self.machine);
                    self.publish_soon(PUBLISH_SOONEST);
                }
                Output::View { ids, .. } => {
                    self.view = ids;
                    self.publish_soon(Time::ZERO);
                }
                Output::Joined { .. } => {
                    self.joined = true;
                    self.publish_soon(Time::ZERO);
                }
                Output::NameConflict { .. } => self.conflict = true,
                Output::Departed => self.departed = true,
                Output::Event(event) => self.tell(&event, outside),
                Output::Refused { .. } | Output::RefusedOther { .. } => {}
            }
        }
    }

    fn tell(&self, event: &Event, outside: &mut Outside<'_>) {
        let (Event::Died { name } | Event::Suspected { name }) = event else {
            return;
        };
        let members = || self.machine.members().map(|known| known.member);
        let live = members().filter(|member| member.is_live()).count();
        let Some(subject) = members().find(|member| member.name == *name) else {
            return;
        };
        let instance = Instance(subject.nonce);
        if matches!(event, Event::Died { .. }) {
            outside.watch.died(self.process, instance, live + 1);
        } else {
            outside.watch.suspected(self.process, instance);
        }
    }

    fn send(&mut self, to: &str, packet: Vec<u8>, now: Time, outside: &mut Outside<'_>) {
        let Some(host) =
            host_of(to).or_else(|| resolve(to).and_then(|it| host_of(&it.to_string())))
        else {
            return;
        };
        let outlet = self.outlets.entry(to.to_owned()).or_insert_with(|| {
            let end = outside.connect(self.process, [self.host, host], Service::Gossip);
            Outlet {
                host,
                wire: Wire::Connecting(end, now),
                pause: FIRST_PAUSE,
                waiting: VecDeque::new(),
                used_at: now,
            }
        });
        outside.watch.sent(self.process, packet.len());
        outlet.used_at = now;
        if outlet.waiting.len() >= MAX_WAITING {
            outlet.waiting.pop_front();
        }
        outlet.waiting.push_back((now + WORTH_SENDING, packet));
        outlet.flush(now, outside);
    }

    fn publish_soon(&mut self, spacing: Time) {
        self.publish_at = self.publish_at.min(self.published_at + spacing);
    }

    fn publish(&mut self, now: Time) {
        self.published_at = now;
        self.publish_at = now + PUBLISH;
        let members = self.machine.members().map(|known| Known {
            member: known.member.clone(),
            rtt: known.rtt,
            lag: known.lag,
        });
        self.membership = Some(Arc::new(Membership {
            members: members.collect(),
            view: self.view.clone(),
            view_hash: self.machine.view_hash(),
            joined: self.joined,
            stats: self.machine.stats(),
        }));
    }
}

impl Outlet {
    fn end(&self) -> Option<End> {
        match &self.wire {
            Wire::Connecting(end, _) => Some(*end),
            Wire::Up { stream, .. } => Some(stream.end),
            Wire::Pause(_) => None,
        }
    }

    fn deadline(&self) -> Time {
        match &self.wire {
            Wire::Connecting(_, since) => *since + CONNECT_TIMEOUT,
            Wire::Up {
                heard, next_ping, ..
            } => (*heard + HEARTBEAT_TIMEOUT).min(*next_ping),
            Wire::Pause(until) => *until,
        }
    }

    fn open(&mut self, end: End, now: Time, outside: &mut Outside<'_>) {
        if matches!(self.wire, Wire::Connecting(..)) {
            self.pause = FIRST_PAUSE;
            self.wire = Wire::Up {
                stream: Stream::new(end, LIMITS),
                heard: now,
                next_ping: now + HEARTBEAT,
            };
        }
        if let Wire::Up { stream, heard, .. } = &mut self.wire
            && stream.read(outside).is_ok_and(|items| !items.is_empty())
        {
            *heard = now;
        }
    }

    /// An attempt has come to nothing: the next comes later and later.
    fn fail(&mut self, now: Time) {
        self.wire = Wire::Pause(now + self.pause);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    fn lose(&mut self, now: Time) {
        self.pause = FIRST_PAUSE;
        self.fail(now);
    }

    fn flush(&mut self, now: Time, outside: &mut Outside<'_>) {
        let Wire::Up { stream, .. } = &mut self.wire else {
            self.waiting.retain(|(until, _)| *until > now);
            return;
        };
        stream.flush(outside);
        while stream.unwritten() < QUEUE_BYTES
            && let Some((until, packet)) = self.waiting.pop_front()
        {
            if until > now {
                let mut frame = Vec::with_capacity(packet.len() + 9);
                put_header(&mut frame, false, packet.len());
                frame.extend_from_slice(&packet);
                stream.queue(frame);
                stream.flush(outside);
            }
        }
    }
}

/// Names that stand for hosts: `h7.test:5556`.
fn resolve(name: &str) -> Option<SocketAddr> {
    let number = name.strip_prefix('h')?.split_once('.')?.0.parse().ok()?;
    address(HostId(number), Service::Gossip).parse().ok()
}

/// The name of a host, for seeds that are names.
pub fn name_of(host: HostId) -> String {
    format!("h{}.test:5556", host.0)
}
