//! The machine: its inputs and its timers. What each of them does is in the files beside.

mod admit;
mod call;
mod doubt;
mod join;
mod learn;
mod leave;
mod probe;
mod receive;
mod refusal;
mod relay;
mod send;
mod sign;
pub(crate) mod suspicion;
mod sync;
mod twin;
mod view;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::SocketAddr;
use core::time::Duration;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use self::doubt::Doubts;
use self::join::Join;
use self::leave::Leave;
use self::probe::Probes;
use self::relay::Relays;
use self::sign::Signs;
use self::twin::Twin;
use self::view::View;
use crate::clock::Clock;
use crate::config::Config;
use crate::health::Health;
use crate::id::{NodeId, cluster_hash};
use crate::lateness::Lateness;
use crate::member::{InvalidMember, Member, State, is_name};
use crate::output::{Event, Output};
use crate::rumors::Rumors;
use crate::stats::Stats;
use crate::table::Table;

/// Time between two looks at the tombstones. They live for hours.
const HOUSEKEEPING: Duration = Duration::from_secs(10);

/// What a node says of itself.
#[derive(Clone, Debug)]
pub struct Me {
    /// The cluster it belongs to, 1 to 64 bytes.
    pub cluster: String,
    /// Its name, unique in the cluster, 1 to 64 bytes.
    pub name: String,
    /// The wall clock at start, in milliseconds since 1970. The only use of a wall clock.
    pub epoch: u64,
    /// Random for each process.
    pub nonce: u64,
    /// `host:port` for clients and HTTP.
    pub client: String,
    /// `host:port` of its gossip socket.
    pub gossip: String,
    /// `host:port` for links from other nodes.
    pub link: String,
    /// A label for where it runs.
    pub zone: String,
    /// Its share of the topics relative to others.
    pub weight: u8,
}

/// A record with what this node has noticed about its subject.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The record.
    pub member: &'a Member,
    /// Smoothed round-trip time of probes, once one was answered.
    pub rtt: Option<Duration>,
    /// The view hash that it last told.
    pub view_hash: Option<u64>,
    /// How far its data thread was behind when it last answered.
    pub lag: Duration,
}

/// Membership of one node. See the crate's documentation for how it is driven.
#[derive(Debug)]
pub struct Gossip {
    config: Config,
    cluster: String,
    cluster_hash: u64,
    id: NodeId,
    nonce: u64,
    /// How far this node's data thread is behind.
    lag: Duration,
    rng: Xoshiro256PlusPlus,
    clock: Clock,
    /// Machine time of the input that is being handled.
    now: Duration,
    born: Duration,
    table: Table,
    rumors: Rumors,
    health: Health,
    lateness: Lateness,
    join: Join,
    probes: Probes,
    doubts: Doubts,
    relays: Relays,
    signs: Signs,
    twin: Twin,
    view: View,
    leave: Option<Leave>,
    /// When any other member was last heard.
    contact_at: Duration,
    /// Since when it has not been without a word from all for long.
    company_since: Duration,
    sync_at: Option<Duration>,
    next_gossip: Duration,
    next_call: Duration,
    next_housekeeping: Duration,
    /// What `due` found, until the next input: drivers ask more often than anything changes.
    known_due: Cell<Option<Duration>>,
    stats: Stats,
    outputs: VecDeque<Output>,
    /// Whether `MembersChanged` already waits among the outputs.
    change_is_told: bool,
    full_is_told: bool,
}

impl Gossip {
    /// A node that has not spoken yet. Its first deadline is now.
    pub fn new(
        config: Config,
        me: Me,
        seeds: Vec<String>,
        seed: u64,
        now: Duration,
    ) -> Result<Self, InvalidMember> {
        let member = own_record(&me)?;
        let clock = Clock::new(now);
        let now = clock.now();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let join = Join::new(seeds, &config, now)?;
        let probes = Probes::new(&config, now, &mut rng);
        let mut table = Table::new(member.id);
        table.merge(&member, now, &config);
        Ok(Self {
            cluster_hash: cluster_hash(&me.cluster),
            cluster: me.cluster,
            id: member.id,
            nonce: me.nonce,
            lag: Duration::ZERO,
            rng,
            clock,
            now,
            born: now,
            table,
            rumors: Rumors::default(),
            health: Health::new(config.health_worst),
            lateness: Lateness::default(),
            join,
            probes,
            doubts: Doubts::default(),
            relays: Relays::default(),
            signs: Signs::default(),
            twin: Twin::default(),
            view: View::default(),
            leave: None,
            contact_at: now,
            company_since: now,
            sync_at: None,
            next_gossip: now,
            next_call: now,
            next_housekeeping: now + HOUSEKEEPING,
            known_due: Cell::new(None),
            stats: Stats::default(),
            outputs: VecDeque::new(),
            change_is_told: false,
            full_is_told: false,
            config,
        })
    }

    /// A packet has come in.
    pub fn handle_packet(&mut self, bytes: &[u8], now: Duration) {
        self.enter(now);
        self.receive_bytes(bytes);
    }

    /// The deadline has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.enter(now);
        if self.leave.is_some() {
            self.leave_due();
            return;
        }
        if self.twin.has_lost() {
            return;
        }
        self.join_due();
        self.tick_due();
        self.probes_due();
        self.relays_due();
        self.suspicions_due();
        self.doubts_due();
        self.calls_due();
        self.gossip_due();
        self.view_due();
        self.housekeeping_due();
    }

    /// Nobody listens at this address: a connection to it was refused.
    pub fn handle_refused(&mut self, address: &str, now: Duration) {
        self.enter(now);
        self.address_refused(address);
    }

    /// A connection to this address broke. Less than a refusal: it may come back.
    pub fn handle_reset(&mut self, address: &str, now: Duration) {
        self.enter(now);
        self.address_reset(address);
    }

    /// A member was learned of over another connection than gossip's.
    pub fn handle_card(&mut self, member: Member, now: Duration) {
        self.enter(now);
        if member.check().is_ok() {
            self.learn(member);
        } else {
            self.stats.records_rejected += 1;
        }
    }

    /// How long ago the links last brought something, by the nonces of their peers; all that are
    /// open. See the module `sign`.
    pub fn handle_signs_of_life(&mut self, ago: BTreeMap<u64, Duration>, now: Duration) {
        self.enter(now);
        self.take_signs(ago);
    }

    /// The addresses of a seed, in answer to [`Output::Resolve`]; empty if the name is unknown.
    pub fn handle_resolved(&mut self, seed: &str, addresses: &[SocketAddr], now: Duration) {
        self.enter(now);
        self.seed_resolved(seed, addresses);
    }

    /// This node can own partitions from now on.
    pub fn set_ready(&mut self, now: Duration) {
        self.enter(now);
        if !self.me().ready && !self.me().leaving {
            self.amend(|me| me.ready = true);
        }
    }

    /// This node wants to hand its partitions over.
    pub fn set_leaving(&mut self, now: Duration) {
        self.enter(now);
        if !self.me().leaving {
            self.amend(|me| me.leaving = true);
        }
    }

    /// This node is leaving and owes nobody anything: others that leave too, and have its messages
    /// to wait for, may go.
    pub fn set_handed_on(&mut self, now: Duration) {
        self.enter(now);
        if self.me().leaving && !self.me().has_handed_on() {
            self.amend(|me| me.ready = false);
        }
    }

    /// This node says goodbye; [`Output::Departed`] follows.
    pub fn leave(&mut self, now: Duration) {
        self.enter(now);
        self.start_leave();
    }

    /// How far this node's data thread is behind; told to others in every answer.
    pub fn set_lag(&mut self, lag: Duration) {
        self.lag = lag;
    }

    /// The next output, to be drained after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output == Some(Output::MembersChanged) {
            self.change_is_told = false;
        }
        output
    }

    /// When `handle_timeout` wants to be called, unless there is an input before.
    pub fn next_deadline(&self) -> Duration {
        self.clock.to_real(self.due())
    }

    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// This node's own record.
    pub fn me(&self) -> &Member {
        &self
            .table
            .get(self.id)
            .expect("the own record is put in at start and never dies")
            .member
    }

    /// Every record held, this node's own included, in the order of ids.
    pub fn members(&self) -> impl Iterator<Item = Known<'_>> {
        self.table.entries().map(|entry| Known {
            member: &entry.member,
            rtt: entry.rtt.smoothed(),
            view_hash: entry.view,
            lag: entry.lag,
        })
    }

    /// The record of one node.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.table.get(id).map(|entry| &entry.member)
    }

    /// The hash of the view as it was last published, 0 before the first.
    pub fn view_hash(&self) -> u64 {
        self.view.hash()
    }

    /// Counters since the start.
    pub fn stats(&self) -> Stats {
        Stats {
            health: self.health.score(),
            ..self.stats
        }
    }

    fn enter(&mut self, now: Duration) {
        let due = self.due();
        self.known_due.set(None);
        let late = self.clock.advance(now, due, self.config.stall);
        self.now = self.clock.now();
        if late > self.config.stall / 2 {
            self.health.worse();
        }
        if late > self.config.stall {
            self.stats.stalls += 1;
            self.event(Event::Stalled { gap: late });
        }
    }

    fn due(&self) -> Duration {
        let due = self.known_due.get().unwrap_or_else(|| self.find_due());
        self.known_due.set(Some(due));
        due
    }

    fn find_due(&self) -> Duration {
        if let Some(leave) = &self.leave {
            return leave.deadline();
        }
        if self.twin.has_lost() {
            return Duration::MAX;
        }
        let deadlines = [
            self.join_deadline(),
            self.probes.deadline(),
            self.relays.deadline(),
            self.suspicion_deadline(),
            self.doubts.deadline(),
            self.call_deadline(),
            self.gossip_deadline(),
            self.view.deadline(&self.config),
            self.next_housekeeping,
        ];
        deadlines.into_iter().min().unwrap_or(Duration::MAX)
    }

    fn housekeeping_due(&mut self) {
        if self.now < self.next_housekeeping {
            return;
        }
        self.next_housekeeping = self.now + HOUSEKEEPING;
        let gone = self.table.expire(self.now, &self.config);
        gone.iter().for_each(|&id| self.rumors.remove(id));
        if !gone.is_empty() {
            self.members_changed();
        }
    }

    fn members_changed(&mut self) {
        if !self.change_is_told {
            self.change_is_told = true;
            self.outputs.push_back(Output::MembersChanged);
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

fn own_record(me: &Me) -> Result<Member, InvalidMember> {
    if !is_name(&me.cluster) {
        return Err(InvalidMember("cluster"));
    }
    let member = Member {
        id: NodeId::new(&me.cluster, &me.name),
        name: me.name.clone(),
        epoch: me.epoch,
        nonce: me.nonce,
        incarnation: 0,
        state: State::Alive,
        client: me.client.clone(),
        gossip: me.gossip.clone(),
        link: me.link.clone(),
        zone: me.zone.clone(),
        weight: me.weight,
        ready: false,
        leaving: false,
        accusers: Default::default(),
        age: Duration::ZERO,
    };
    member.check().map(|()| member)
}
