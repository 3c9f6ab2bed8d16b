//! The gossip thread: waits on its sockets until the machine's deadline, and decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use zmesh_gossip::{Gossip, NodeId, Output, Refusal};
use zmq::{Context, Socket};

use super::StartError;
use super::commands::{Command, GossipCommands};
use super::inbox::Inbox;
use super::log::{log_refused, log_refused_other, tell_event};
use super::lookup::Lookup;
use super::peers::Peers;
use crate::events::Events;
use crate::metrics::{GOSSIP_LAG, JOINS_REFUSED};
use crate::view::{Known, Membership};

/// Packets taken in one go before timers and commands have their turn.
const PACKETS_A_WAKE: usize = 1000;
/// Counters are published at least this often.
const PUBLISH: Duration = Duration::from_secs(1);
/// Changes of members that are in nobody's way are published together.
const PUBLISH_SOONEST: Duration = Duration::from_millis(20);
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// Where the thread hears.
pub(super) struct Ears {
    pub(super) inbox: Inbox,
    pub(super) wake: Socket,
    pub(super) received: Receiver<Command>,
}

/// Where the thread speaks.
pub(super) struct Mouths {
    pub(super) events: Events,
    pub(super) publish: watch::Sender<Arc<Membership>>,
    pub(super) fail: watch::Sender<Option<Arc<str>>>,
}

/// Everything the gossip thread owns.
pub(super) struct Driver {
    machine: Gossip,
    peers: Peers,
    ears: Ears,
    commands: GossipCommands,
    events: Events,
    start: Instant,
    publish: watch::Sender<Arc<Membership>>,
    fail: watch::Sender<Option<Arc<str>>>,
    view: Vec<NodeId>,
    joined: bool,
    /// When the membership is published next.
    next_publish: Duration,
    turn: Turn,
    published_at: Duration,
    /// Set when the goodbye has begun.
    stop_at: Option<Duration>,
    departed: bool,
    /// A seed has not let this node in.
    refused: bool,
    /// As given, for the log.
    seeds: String,
    /// Packets were left for the next turn.
    more: bool,
}

/// When the machine's next turn is due.
#[derive(Default)]
struct Turn {
    due: Duration,
}

impl Turn {
    /// A deadline in the past is how the machine says "at once": nothing is late by it yet.
    fn planned(deadline: Duration, now: Duration) -> Self {
        let due = deadline.max(now);
        Self { due }
    }

    /// How late a turn is that begins now. What came meanwhile may have made it due sooner.
    fn late(&self, now: Duration) -> Duration {
        now.saturating_sub(self.due)
    }
}

impl Driver {
    pub(super) fn new(
        machine: Gossip,
        context: Context,
        ears: Ears,
        commands: GossipCommands,
        mouths: Mouths,
        seeds: String,
    ) -> Result<Self, StartError> {
        let lookup = Lookup::start(&commands)?;
        let Mouths {
            events,
            publish,
            fail,
        } = mouths;
        Ok(Self {
            machine,
            peers: Peers::new(context, lookup),
            ears,
            commands,
            events,
            start: Instant::now(),
            publish,
            fail,
            view: Vec::new(),
            joined: false,
            refused: false,
            seeds,
            next_publish: Duration::ZERO,
            turn: Turn::default(),
            published_at: Duration::ZERO,
            stop_at: None,
            departed: false,
            more: false,
        })
    }

    /// One round: inputs in the order that is kindest to others (what they said before what they
    /// did not say), then outputs, then sleep.
    pub(super) fn run(mut self) {
        while !self.is_over() {
            self.take_commands();
            self.take_packets();
            self.take_notices();
            let now = self.now();
            if now >= self.machine.next_deadline() {
                self.events
                    .metrics()
                    .observe(&GOSSIP_LAG, self.turn.late(now));
                self.machine.handle_timeout(now);
            }
            self.turn = Turn::planned(self.machine.next_deadline(), now);
            self.take_outputs();
            let now = self.now();
            self.peers.flush(now);
            let machine = &self.machine;
            self.peers.sweep(now, || live_addresses(machine));
            self.publish_if_due(now);
            self.sleep();
        }
        self.publish_now(self.now());
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn is_over(&self) -> bool {
        self.departed || self.stop_at.is_some_and(|at| self.now() >= at)
    }

    fn sleep(&mut self) {
        let until = self.machine.next_deadline().min(self.next_publish);
        let until = self.stop_at.map_or(until, |at| until.min(at));
        // Rounded up, or the thread would spin through the last part of a millisecond.
        let wait = until.saturating_sub(self.now()).as_micros().div_ceil(1000);
        let wait = i64::try_from(wait).unwrap_or(i64::MAX).min(1000);
        let wait = if self.departed || self.more { 0 } else { wait };
        let own = std::iter::once(self.ears.wake.as_poll_item(zmq::POLLIN));
        let mut items: Vec<_> = own.chain(self.peers.poll_items()).collect();
        if let Err(error) = zmq::poll(&mut items, wait) {
            tracing::debug!(%error, "waiting for gossip was interrupted");
        }
    }

    fn take_commands(&mut self) {
        while self.ears.wake.recv_msg(zmq::DONTWAIT).is_ok() {}
        self.commands.heard();
        self.machine.set_lag(self.commands.latest_lag());
        let now = self.now();
        if let Some(ago) = self.commands.latest_signs() {
            self.machine.handle_signs_of_life(ago, now);
        }
        let asked = self.commands.asked();
        if asked.leaving {
            self.machine.set_leaving(now);
        } else if asked.ready {
            self.machine.set_ready(now);
        }
        if asked.handed_on {
            self.machine.set_handed_on(now);
        }
        while let Ok(command) = self.ears.received.try_recv() {
            self.take_command(command);
        }
    }

    fn take_command(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Refused(address) => self.machine.handle_refused(&address, now),
            Command::Reset(address) => self.machine.handle_reset(&address, now),
            Command::Card(member) => self.machine.handle_card(*member, now),
            Command::Resolved(name, addresses) => {
                self.peers.resolved(&name, &addresses, now);
                self.machine.handle_resolved(&name, &addresses, now);
            }
            Command::Checked { address, refused } => {
                self.peers.checked(&address);
                if refused {
                    self.machine.handle_refused(&address, now);
                }
            }
            Command::Stop => {
                self.stop_at = Some(now + GOODBYE);
                self.machine.leave(now);
            }
            #[cfg(test)]
            Command::Abort => self.departed = true,
        }
    }

    fn take_packets(&mut self) {
        self.more = true;
        for _ in 0..PACKETS_A_WAKE {
            let Some(packet) = self.ears.inbox.receive() else {
                self.more = false;
                return;
            };
            tracing::trace!(bytes = packet.len(), "gossip packet in");
            self.machine.handle_packet(&packet, self.now());
        }
    }

    fn take_notices(&mut self) {
        let now = self.now();
        for address in self.peers.notice(now) {
            self.machine.handle_reset(&address, now);
        }
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            let now = self.now();
            match output {
                Output::Send { to, packet } => {
                    tracing::trace!(to, bytes = packet.len(), "gossip packet out");
                    self.peers.send(&to, packet, now);
                }
                Output::Resolve { seed } => {
                    if !self.peers.lookup().resolve(&seed) {
                        tracing::debug!(seed, "too many names wait to be looked up");
                    }
                }
                Output::MembersChanged => self.publish_soon(PUBLISH_SOONEST),
                Output::View { hash, ids } => {
                    let size = ids.len();
                    tracing::debug!(hash = format_args!("{hash:016x}"), size, "view settled");
                    self.view = ids;
                    self.publish_soon(Duration::ZERO);
                }
                Output::Joined { alone } => {
                    match (alone, self.seeds.as_str()) {
                        (false, _) => tracing::info!("joined"),
                        (true, seeds) if self.refused => tracing::warn!(
                            seeds,
                            "alone: no seed lets this node in. They are tried for ever"
                        ),
                        (true, "") => tracing::info!("alone until others come: no seeds given"),
                        (true, seeds) => tracing::warn!(
                            seeds,
                            "alone: no seed answers. A seed is another node's gossip address, \
                             its client port + 1. They are tried for ever"
                        ),
                    }
                    self.joined = true;
                    self.publish_soon(Duration::ZERO);
                }
                Output::Refused { by, reason } => {
                    self.refused = true;
                    log_refused(&by, &reason);
                    self.count_refused(&reason, "seed");
                }
                Output::RefusedOther {
                    name,
                    address,
                    reason,
                } => {
                    log_refused_other(&name, &address, &reason);
                    self.count_refused(&reason, "this");
                }
                Output::NameConflict { gossip, client } => self.name_conflict(&gossip, &client),
                Output::Departed => self.departed = true,
                Output::Event(event) => tell_event(&self.events, &event),
            }
        }
    }

    fn count_refused(&self, reason: &Refusal, by: &str) {
        let reason = match reason {
            Refusal::Cluster { .. } => "cluster",
            Refusal::Version { .. } => "version",
            Refusal::Partitions { .. } => "partitions",
        };
        let metrics = self.events.metrics();
        metrics.add(&JOINS_REFUSED, &[reason, by], 1);
    }

    fn name_conflict(&self, gossip: &str, client: &str) {
        let name = &self.machine.me().name;
        let text = format!(
            "a node named {name} is already running at {client} (gossip {gossip}); stop that \
             process, or start this one with another --name"
        );
        tracing::error!(
            name,
            client,
            gossip,
            "another process with this name is running"
        );
        self.fail.send_replace(Some(text.into()));
    }

    fn publish_soon(&mut self, spacing: Duration) {
        self.next_publish = self.next_publish.min(self.published_at + spacing);
    }

    fn publish_if_due(&mut self, now: Duration) {
        if now >= self.next_publish {
            self.publish_now(now);
        }
    }

    fn publish_now(&mut self, now: Duration) {
        self.published_at = now;
        self.next_publish = now + PUBLISH;
        let members = self.machine.members().map(|known| Known {
            member: known.member.clone(),
            rtt: known.rtt,
            lag: known.lag,
        });
        let membership = Membership {
            members: members.collect(),
            view: self.view.clone(),
            view_hash: self.machine.view_hash(),
            joined: self.joined,
            stats: self.machine.stats(),
        };
        self.publish.send_replace(Arc::new(membership));
    }
}

fn live_addresses(machine: &Gossip) -> BTreeSet<String> {
    let live = machine
        .members()
        .map(|known| known.member)
        .filter(|member| member.is_live());
    live.map(|member| member.gossip.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_late_by_what_passed_since_it_was_due_and_no_more() {
        let [past, due, now] = [1, 5, 7].map(Duration::from_secs);
        assert_eq!(Turn::planned(due, past).late(now), now - due);
        assert_eq!(Turn::planned(past, due).late(now), now - due);
        assert_eq!(Turn::planned(now, past).late(due), Duration::ZERO);
    }
}
