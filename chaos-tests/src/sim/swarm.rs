//! A run of the swarm: trouble for a while, then none, and everything must mend by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use zmesh_gossip::{Member, NodeId, State};
use zmesh_node::config::QueuePolicy;
use zmesh_node::forward::{ClientId, DropReason, Stats};

use super::Time;
use super::clients::TOPICS;
use super::network::HostId;
use super::plan::Plan;
use super::process::{Process, ProcessId};
use super::tables::Tables;
use super::watch::{Counts, Ended, Kind, Planted};
use super::world::World;

/// Nodes that start together are one mesh within this time.
const START: Time = Duration::from_secs(40);
/// Once faults have stopped, the mesh is one again and owes nobody anything within this time.
pub const CONVERGENCE: Time = Duration::from_secs(60);
/// Who stood still or was passed over when the faults stopped may be told so for this long.
const AFTERMATH: Time = Duration::from_secs(30);

/// A publisher that may be read takes a whole burst: so much for each message of it, for all the
/// publishers that a node may have.
const BURST_BYTES: usize = 1600;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What was broken.
    pub violations: Vec<(Kind, String)>,
    /// Two runs of one seed have the same.
    pub trace: u64,
    /// What was seen.
    pub counts: Counts,
    /// How long it took to be one mesh again after the faults.
    pub converged_after: Time,
}

/// Runs a plan to its end. `tables` are kept from run to run.
pub fn run(plan: Plan, tables: &mut Tables) -> Outcome {
    let mut world = World::new(plan, std::mem::take(tables));
    let mut converged_after = Time::ZERO;
    if world.begin() {
        world.begin_trouble();
        let trouble = world.plan.trouble;
        world.run(trouble);
        converged_after = world.mend();
    }
    *tables = std::mem::take(&mut world.tables);
    Outcome {
        trace: world.trace_hash(),
        counts: world.watch.counts,
        violations: std::mem::take(&mut world.watch.violations),
        converged_after,
    }
}

impl World {
    /// All nodes start, and are one mesh with programs.
    fn begin(&mut self) -> bool {
        for host in 0..self.plan.nodes as u16 {
            let most = if self.plan.nodes > 20 { 50 } else { 500 };
            let pause = self.dice.time(Time::ZERO, Duration::from_millis(most));
            self.run(pause);
            self.start(HostId(host), false);
        }
        if !self.run_until(START, |world| world.is_one_mesh().is_none()) {
            let why = self.is_one_mesh().unwrap_or_default();
            self.watch
                .report(Kind::Restless, format!("at the start: {why}"));
            return false;
        }
        for id in self.ids() {
            self.open_programs(id);
        }
        true
    }

    /// Faults stop. Returns how long it took until everything was well.
    fn mend(&mut self) -> Time {
        self.end_trouble();
        let ended = self.end_one();
        let stopped = self.now;
        self.quieten_programs();
        let well = |world: &mut Self| world.unrest().is_none();
        let mended = self
            .run_until(CONVERGENCE, well)
            .then(|| self.now - stopped);
        self.run((stopped + AFTERMATH).saturating_sub(self.now));
        self.watch.all_is_well();
        match self.plan.planted {
            Some(Planted::RaisedByOther) => self.plant(None),
            Some(Planted::Resurrection) => self.plant(ended),
            _ => {}
        }
        self.run(Duration::from_secs(1));
        let (Some(mended), true) = (mended, self.run_until(START, well)) else {
            let why = self.unrest().unwrap_or_default();
            self.watch.report(Kind::Restless, why);
            return self.now - stopped;
        };
        self.check_at_rest();
        self.final_round();
        mended
    }

    /// Everybody publishes on every topic once more: now everything must arrive.
    fn final_round(&mut self) {
        self.watch.forget_promises();
        if self.plan.planted == Some(Planted::LateCut) {
            for (from, to) in [(HostId(0), HostId(1)), (HostId(1), HostId(0))] {
                self.net.path(from, to).open = false;
            }
        }
        for _ in 0..3 {
            for id in self.ready() {
                self.with_data(id, |data, now, outside| {
                    let topics: Vec<usize> = (0..TOPICS.len()).collect();
                    for publisher in data.publishers.values_mut() {
                        publisher.publish(&topics, &mut data.router, now, outside);
                    }
                });
            }
            self.run(Duration::from_millis(20));
        }
        if self.run_until(CONVERGENCE, |world| world.unrest().is_none()) {
            self.check_at_rest();
            self.watch.check_topic_order();
        } else {
            let why = self.unrest().unwrap_or_default();
            self.watch
                .report(Kind::Restless, format!("at the end: {why}"));
        }
    }

    fn quieten_programs(&mut self) {
        self.quiet = true;
        for id in self.ids() {
            self.with_data(id, |data, now, _| {
                for subscriber in data.subscribers.values_mut() {
                    subscriber.hurry(now);
                }
                for publisher in data.publishers.values_mut() {
                    publisher.stop();
                }
            });
        }
    }

    /// Planted: one ends for good, and is later said to live.
    fn end_one(&mut self) -> Option<Member> {
        if self.plan.planted != Some(Planted::Resurrection) {
            return None;
        }
        let (id, process) = self.processes.last_key_value()?;
        let (id, record) = (*id, process.gossiper.machine.me().clone());
        self.kill(id);
        Some(record)
    }

    fn check_at_rest(&mut self) {
        let mut dropped: BTreeMap<(ProcessId, ClientId), u64> = BTreeMap::new();
        let mut stats = Vec::new();
        for (id, process) in &self.processes {
            let Some(data) = &process.data else { continue };
            stats.push((*id, data.router.stats(), data.handed()));
            for client in data.subscribers.keys() {
                let drops = data.router.client_stats(*client);
                let drops = drops.map_or(0, |stats| stats.dropped_messages);
                dropped.insert((*id, *client), drops);
            }
        }
        let unreached = stats.iter().map(|(_, stats, _)| unreached(stats));
        let unreached = unreached.sum::<u64>() + self.unreached_before;
        for (id, stats, handed) in stats {
            self.watch.check_counts(id, &stats, handed);
        }
        self.watch.check_losses(&dropped, unreached);
    }

    /// Everything is through: `None`. Otherwise what is not.
    pub fn unrest(&mut self) -> Option<String> {
        if let Some(why) = self.is_one_mesh() {
            return Some(why);
        }
        for (id, process) in &self.processes {
            let Some(data) = &process.data else { continue };
            let unrest = data.unrest();
            let dropped = |client| {
                let stats = data.router.client_stats(client);
                stats.is_some_and(|stats| stats.dropped_messages > 0)
            };
            let waits = || self.watch.waits_for_ready(*id, dropped);
            if let Some(why) = unrest.or_else(waits) {
                return Some(format!("{}: {why}", process.name));
            }
        }
        None
    }

    /// Every running process holds every other one alive and nobody else, in one view.
    pub fn is_one_mesh(&self) -> Option<String> {
        let mut nonces: BTreeMap<NodeId, u64> = BTreeMap::new();
        for process in self.processes.values() {
            let me = process.gossiper.machine.me();
            if nonces.insert(process.node, me.nonce).is_some() {
                return Some(format!("two processes of {}", process.name));
            }
            if !me.in_view() {
                return Some(format!("{} has not joined", process.name));
            }
        }
        let mut hashes = self.processes.values().map(|it| {
            let data = it.data.as_ref();
            data.map_or_else(
                || it.gossiper.machine.view_hash(),
                |data| data.view.ring_hash,
            )
        });
        let first = hashes.next();
        if hashes.any(|hash| Some(hash) != first) {
            return Some(format!("views differ: {}", self.describe()));
        }
        let mut wrong = self
            .processes
            .values()
            .filter_map(|process| wrong_member(process, &nonces));
        wrong.next()
    }

    /// What every process holds of every other, for a person.
    pub fn describe(&self) -> String {
        let line = |process: &Process| {
            let machine = &process.gossiper.machine;
            let held = machine.members().map(|known| {
                let it = known.member;
                let in_view = if it.in_view() { "" } else { "!" };
                let state = format!("{:?}", it.state);
                format!("{}{}{in_view}.{}", it.name, &state[..1], it.incarnation)
            });
            let held: Vec<String> = held.collect();
            let (hash, followed) = (machine.view_hash(), &process.data);
            let followed = followed.as_ref().map_or(0, |data| data.view.ring_hash);
            format!(
                "\n  {} view {hash:016x} ring {followed:016x}: {}",
                process.name,
                held.join(" ")
            )
        };
        self.processes.values().map(line).collect()
    }

    /// Nothing has grown over its limit.
    pub fn check_bounds(&mut self) {
        let mut grown = Vec::new();
        // At the end everybody publishes on every topic at once.
        let burst = self.plan.burst.max(TOPICS.len());
        let budget = self.plan.node_budget + burst * BURST_BYTES;
        for (id, process) in &self.processes {
            let Some(data) = &process.data else { continue };
            let stats = data.router.stats();
            // A queue may exceed its limit by the run of messages that fills it.
            let queue = self.plan.queue.bytes + self.plan.window.max(1 << 18);
            let blocks = self.plan.queue.policy == QueuePolicy::Block;
            let queues = if blocks {
                usize::MAX
            } else {
                queue * data.subscribers.len()
            };
            let limits = [
                ("undone bytes", stats.undone_bytes, budget),
                (
                    "unacked bytes",
                    stats.unacked_bytes,
                    budget * self.plan.hosts * 2,
                ),
                ("queued bytes", stats.queued_bytes, queues),
                ("origins", stats.origins, self.started_processes()),
                (
                    "members",
                    process.gossiper.machine.members().count(),
                    self.plan.hosts,
                ),
            ];
            for (what, is, most) in limits {
                if is > most {
                    grown.push(format!("{id:?}: {is} {what}, at most {most}"));
                }
            }
        }
        for text in grown {
            self.watch.report(Kind::Unbounded, text);
        }
    }

    /// A process is killed.
    pub fn kill(&mut self, id: ProcessId) {
        self.end(id, Ended::Crashed);
    }
}

fn wrong_member(process: &Process, nonces: &BTreeMap<NodeId, u64>) -> Option<String> {
    let members = || process.gossiper.machine.members().map(|known| known.member);
    let name = &process.name;
    for member in members() {
        let alive = nonces.get(&member.id) == Some(&member.nonce);
        if alive && member.state != State::Alive {
            return Some(format!("{name} holds {} {:?}", member.name, member.state));
        }
        if !alive && member.is_live() {
            return Some(format!("{name} holds a former {} alive", member.name));
        }
    }
    let held = members()
        .filter(|member| nonces.contains_key(&member.id))
        .count();
    (held < nonces.len()).then(|| format!("{name} knows {held} of {}", nonces.len()))
}

/// Messages that were dropped because the node that wanted them could not be reached.
pub fn unreached(stats: &Stats) -> u64 {
    use DropReason::{InterestUnknown, PassedOver, Unreachable};
    let reasons = [Unreachable, PassedOver, InterestUnknown];
    reasons.map(|it| stats.dropped[it as usize]).iter().sum()
}
