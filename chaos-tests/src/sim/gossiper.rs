//! The gossip thread of a simulated process: the real machine and the real packets, over
//! connections that behave as libzmq's do (see the node's `gossip/peers.rs` and `socket.rs`).

mod outlets;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use zmesh_gossip::{Event, Gossip, NodeId, Output};
use zmesh_node::forward::Instance;
use zmesh_node::view::{Known, Membership};
use zmesh_node::zmtp::frames::{FrameLimits, command_parts};
use zmesh_node::zmtp::heartbeat;

use self::outlets::{Due, Outlets, Slot};
use super::Time;
use super::network::{End, HostId, Service, Status};
use super::outside::{Outside, address, host_of};
use super::process::ProcessId;
use super::stream::{Incoming, Stream};

const LIMITS: FrameLimits = FrameLimits {
    message_bytes: zmesh_gossip::MAX_PACKET_IN + 16,
    frames: 1,
};
/// Larger packets go over connections, as memberlist sends whole tables.
const DATAGRAM_BYTES: usize = 1400;
/// As in the node: how long an address that lost a connection is asked whether it refuses.
const CHECK_TIMEOUT: Time = Time::from_millis(200);
/// How much too early a heartbeat may be that goes with another.
const EARLY: Time = Time::from_millis(500);
/// As in the node: most connections at a time; the one used longest ago gives way.
const MAX_OUTLETS: usize = 128;
/// As in the node: idle connections.
const IDLE: Time = Time::from_secs(120);
const IDLE_GONE: Time = Time::from_secs(5);
const SWEEP: Time = Time::from_secs(5);
/// As in the node: what is published, at the latest and at the soonest.
const PUBLISH: Time = Time::from_secs(1);
const PUBLISH_SOONEST: Time = Time::from_millis(20);
/// How long a name takes to be looked up.
const LOOKUP: Time = Time::from_millis(5);

/// Which heartbeats are taken as answered at once, several together, so that a large mesh takes
/// less time to simulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// None.
    Never,
    /// Those on paths that lose nothing.
    Lossless,
    /// Those on every path that carries anything.
    Always,
}

/// See the module. Times are of the process's own clock.
#[derive(Debug)]
pub struct Gossiper {
    /// The machine.
    pub machine: Gossip,
    process: ProcessId,
    host: HostId,
    outlets: Outlets,
    inbound: HashMap<End, Stream, FixedState>,
    /// Addresses that lost a connection are asked whether they refuse one.
    checks: BTreeMap<End, (Time, Arc<str>)>,
    lookups: VecDeque<(Time, String)>,
    view: Vec<NodeId>,
    /// The machine has found its mesh, or that it is alone.
    pub joined: bool,
    /// Whether somebody wants to be told of the members; it takes time in a large mesh.
    pub publishes: bool,
    /// Whether small packets go as datagrams. The node has no such thing; models of others have.
    pub datagrams: bool,
    /// Whether heartbeats take no events.
    pub quiet: Quiet,
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
            outlets: Outlets::default(),
            inbound: HashMap::default(),
            checks: BTreeMap::new(),
            lookups: VecDeque::new(),
            view: Vec::new(),
            joined: false,
            publishes: true,
            datagrams: false,
            quiet: Quiet::Never,
            publish_at: now,
            published_at: now,
            sweep_at: now + SWEEP,
            membership: None,
            departed: false,
            conflict: false,
        }
    }

    /// Who shares the partitions, as the machine told it last.
    pub fn view(&self) -> &[NodeId] {
        &self.view
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
        if let Some((_, to)) = self.checks.remove(&end) {
            let refused = outside.net.status(end) == Status::Refused;
            outside.close(end);
            if refused {
                self.machine.handle_refused(&to, now);
            }
            return true;
        }
        let Some(slot) = self.outlets.at_end(end) else {
            return false;
        };
        self.outlet_ready(slot, now, outside);
        true
    }

    /// What is due, and what follows from it.
    pub fn run(&mut self, now: Time, outside: &mut Outside<'_>) {
        while self.datagrams
            && let Some(packet) = outside.net.read_datagram(self.process)
        {
            self.machine.handle_packet(&packet, now);
        }
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
        if !self.publishes {
            self.publish_at = Time::MAX;
        } else if now >= self.publish_at {
            self.publish(now);
        }
    }

    /// When [`Gossiper::run`] is to be called.
    pub fn deadline(&self) -> Time {
        let lookup = self.lookups.front().map(|(at, _)| *at);
        let checks = self.checks.values().map(|(until, _)| *until).min();
        let times = [
            checks,
            Some(self.machine.next_deadline()),
            Some(self.publish_at),
            Some(self.sweep_at),
            lookup,
            self.outlets.deadline(),
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

    fn outlet_ready(&mut self, slot: Slot, now: Time, outside: &mut Outside<'_>) {
        let change = self.outlets.with(slot, |outlet| {
            let end = outlet.end()?;
            let status = outside.net.status(end);
            match status {
                Status::Connecting => return None,
                Status::Open => {
                    outlet.open(end, now, outside);
                    outlet.flush(now, outside);
                    return None;
                }
                Status::Refused => {
                    outside.close(end);
                    outlet.fail(now);
                }
                Status::Reset | Status::Ended => {
                    outside.close(end);
                    outlet.lose(now);
                }
            }
            Some((status, Arc::clone(&outlet.to), outlet.host))
        });
        match change.flatten() {
            Some((Status::Refused, to, _)) => self.machine.handle_refused(&to, now),
            Some((_, to, host)) => self.lost(&to, host, now, outside),
            None => {}
        }
    }

    fn outlets_due(&mut self, now: Time, outside: &mut Outside<'_>) {
        let mut lost = Vec::new();
        let early = if self.quiet == Quiet::Never {
            Time::ZERO
        } else {
            EARLY
        };
        let (process, from, quiet) = (self.process, self.host, self.quiet);
        let any = self.outlets.deadline().is_some_and(|at| at <= now);
        let due = any.then(|| self.outlets.due(now + early));
        for slot in due.into_iter().flatten() {
            self.outlets
                .with(slot, |outlet| match outlet.run(now, quiet, outside) {
                    Due::Connect => {
                        let end = outside.connect(process, [from, outlet.host], Service::Gossip);
                        outlet.connecting(end, now);
                    }
                    Due::Lost => lost.push((Arc::clone(&outlet.to), outlet.host)),
                    Due::Done => {}
                });
        }
        for (to, host) in lost {
            self.lost(&to, host, now, outside);
        }
        while let Some((&end, _)) = self.checks.iter().find(|(_, (until, _))| *until <= now) {
            self.checks.remove(&end);
            outside.close(end);
        }
        if now >= self.sweep_at {
            self.sweep(now, outside);
        }
    }

    /// A connection was lost: its address is asked at once whether it refuses another one.
    fn lost(&mut self, to: &Arc<str>, host: HostId, now: Time, outside: &mut Outside<'_>) {
        self.machine.handle_reset(to, now);
        let end = outside.connect(self.process, [self.host, host], Service::Gossip);
        self.checks
            .insert(end, (now + CHECK_TIMEOUT, Arc::clone(to)));
    }

    fn sweep(&mut self, now: Time, outside: &mut Outside<'_>) {
        self.sweep_at = now + SWEEP;
        let members = self.machine.members().map(|known| known.member);
        let living = members.filter(|member| member.is_live());
        let living: HashSet<&str, FixedState> =
            living.map(|member| member.gossip.as_str()).collect();
        self.outlets.keep(outside, |outlet| {
            let idle = if living.contains(&*outlet.to) {
                IDLE
            } else {
                IDLE_GONE
            };
            now.saturating_sub(outlet.used_at) < idle
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
        if self.datagrams && packet.len() <= DATAGRAM_BYTES {
            outside.send_datagram([self.host, host], Service::Gossip, packet.into());
            return;
        }
        let slot = self.outlets.at_address(to).unwrap_or_else(|| {
            if self.outlets.len() >= MAX_OUTLETS {
                self.outlets.close_oldest(outside);
            }
            let end = outside.connect(self.process, [self.host, host], Service::Gossip);
            self.outlets.add(to, host, end, now)
        });
        self.outlets
            .with(slot, |outlet| outlet.send(packet, now, outside));
    }

    fn publish_soon(&mut self, spacing: Time) {
        if !self.publishes {
            return;
        }
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

/// Names that stand for hosts: `h7.test:5556`.
fn resolve(name: &str) -> Option<SocketAddr> {
    let number = name.strip_prefix('h')?.split_once('.')?.0.parse().ok()?;
    address(HostId(number), Service::Gossip).parse().ok()
}

/// The name of a host, for seeds that are names.
pub fn name_of(host: HostId) -> String {
    format!("h{}.test:5556", host.0)
}
