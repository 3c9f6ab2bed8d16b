//! The core's state, its inputs from clients, and its outputs. What it does with records is in
//! the files of the three places that they pass.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::{FixedState, RandomState};
use zmesh_partition::{Partition, Table};

use super::clients::{Budgets, Clients};
use super::dedup::Dedup;
use super::departed::Departed;
use super::interest::Interest;
use super::outbox::{Kept, Outbox};
use super::owner::Scratch;
use super::peers::{Message, Peers};
use super::prefixes::PrefixIndex;
use super::queue::Segment;
use super::receiver::{LocalRun, Part, Withheld};
use super::serving::{Serving, Slot};
use super::topics::Topics;
use super::topology::{Ring, Topology};
use super::trace::Hop;
use super::{
    ClientId, ClientStats, DropReason, Instance, PeerStats, Slow, Stats, Time, TopicStats,
};
use crate::config::{QueueConfig, QueueRule};
use crate::zmtp::frames::FrameLimits;

/// How often time-outs are looked at; all of them are seconds long.
pub(super) const TICK: Time = Time::from_millis(250);

/// Keys whose partition is remembered, before the memo starts over.
const PARTITION_MEMO: usize = 65_536;

/// The slot that stands for this node itself in the interest of nodes.
pub(crate) const SELF: Slot = 0;

/// What a router may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Limits of one message.
    pub frames: FrameLimits,
    /// Bytes of one client that may be on their way.
    pub connection_budget: usize,
    /// Bytes of all clients that may be on their way.
    pub node_budget: usize,
    /// Subscriptions of one client.
    pub subscriptions: usize,
    /// A subscriber's queue.
    pub queue: QueueConfig,
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A client has something to write, or may be read again.
    Client(ClientId),
    /// A client must be disconnected: its queue is full and that is its policy.
    CloseClient(ClientId),
    /// Messages wait for the link that this node dialed.
    Link(Instance),
    /// Replies wait for the link that this node accepted, or it may be read again.
    Accepted(Instance),
    /// A member's record, as another node knows it: to be told to membership.
    Learned(Bytes),
    /// A subscription is in force everywhere; so long it took.
    SubscriptionReady(Time),
    /// A node acked nothing for too long: its messages are dropped until it acks again.
    PassedOver(Instance),
    /// What a node's clients want could not be learned in time: messages that it may want are
    /// dropped until it is.
    GivenUp(Instance),
    /// A subscriber's queue has become full, or has room again.
    Slow(ClientId, Slow),
    /// A marked message has passed a place.
    Hop(u64, Hop),
}

/// The forwarding core of one node.
#[derive(Debug)]
pub struct Router {
    pub(super) me: Instance,
    pub(super) limits: Limits,
    pub(super) topology: Topology,
    /// Rises whenever another owner may be desired for some partition.
    pub(super) ring_version: u64,
    pub(super) peers: Peers,
    /// Instances that membership held alive and no longer does: what another node still says of
    /// them is not believed.
    pub(super) departed: Departed,
    /// Until when subscriptions wait because of members that died lately.
    pub(super) doubted_deaths: HashMap<Instance, Time>,
    /// Which nodes want a topic, this one included.
    pub(super) nodes: PrefixIndex,
    pub(super) clients: Clients,
    pub(super) interest: Interest,
    pub(super) outbox: Outbox,
    pub(super) serving: Serving,
    pub(super) dedup: Dedup,
    pub(super) withheld: HashMap<(Slot, Instance, u16), Withheld>,
    pub(super) local_run: Option<LocalRun>,
    pub(super) scratch: Scratch,
    /// Peers with a batch that is open while a buffer is cut up.
    pub(super) touched: Vec<Slot>,
    /// Records to be given to an owner before the current input is through.
    pub(super) todo: VecDeque<(Instance, Kept)>,
    partitions: HashMap<Box<[u8]>, u16, RandomState>,
    pub(super) topics: Topics,
    /// Why a message of a partition was last dropped here, and when: as many as there are
    /// partitions at most.
    pub(super) drops: HashMap<u16, (DropReason, Time), FixedState>,
    pub(super) stats: Stats,
    pub(super) outputs: VecDeque<Output>,
    pub(super) next_tick: Time,
    pub(super) next_expiry: Time,
}

impl Router {
    /// A core that knows of no other node.
    pub fn new(me: Instance, limits: Limits, now: Time) -> Self {
        let budgets = Budgets {
            connection: limits.connection_budget,
            node: limits.node_budget,
        };
        let ring = Arc::new(Ring::new(Table::empty(), HashMap::new()));
        Self {
            me,
            limits,
            topology: Topology {
                peers: Vec::new(),
                gone: HashSet::new(),
                lately_dead: Vec::new(),
                ring,
            },
            ring_version: 0,
            peers: Peers::new(),
            departed: Departed::default(),
            doubted_deaths: HashMap::new(),
            nodes: PrefixIndex::default(),
            clients: Clients::new(budgets, limits.queue),
            interest: Interest::default(),
            outbox: Outbox::default(),
            serving: Serving::default(),
            dedup: Dedup::default(),
            withheld: HashMap::new(),
            local_run: None,
            scratch: Scratch::default(),
            touched: Vec::new(),
            todo: VecDeque::new(),
            partitions: HashMap::default(),
            topics: Topics::new(now),
            drops: HashMap::default(),
            stats: Stats::default(),
            outputs: VecDeque::new(),
            next_tick: now + TICK,
            next_expiry: now,
        }
    }

    /// What holds for queues from now on: the queue of every subscriber, and the topics that have
    /// a part of it to themselves.
    pub fn handle_queue_rules(&mut self, queue: QueueConfig, rules: &[QueueRule], now: Time) {
        self.clients.set_rules(queue, rules);
        let blocking: HashSet<Part> = self
            .full_parts()
            .filter(|(client, lane)| self.clients.is_blocking(*client, *lane))
            .collect();
        self.unblock(|part| !blocking.contains(part), now);
        self.settle(now);
    }

    /// What is to be done, oldest first; to be drained after each input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Router::handle_timeout`] is to be called.
    pub fn next_deadline(&self) -> Time {
        self.next_tick
    }

    /// A client has connected.
    pub fn handle_client_opened(&mut self, client: ClientId) {
        self.clients.open(client);
    }

    /// A client has gone. Messages that it sent still arrive.
    pub fn handle_client_closed(&mut self, client: ClientId, now: Time) {
        for prefix in self.clients.close(client, &mut self.stats) {
            self.release_prefix(&prefix);
        }
        self.interest.forget(client);
        self.unblock(|(full, _)| *full == client, now);
        self.settle(now);
    }

    /// The next messages to write to a client.
    pub fn take_segment(&mut self, client: ClientId, now: Time) -> Option<Segment> {
        let (segment, freed) = self.clients.pop(client, &mut self.stats)?;
        if let Some(lane) = freed {
            self.unblock(|part| *part == (client, lane), now);
            self.settle(now);
        }
        Some(segment)
    }

    /// Whether more may be read from a client. If not, [`Output::Client`] says when.
    pub fn may_read(&mut self, client: ClientId) -> bool {
        self.clients.may_read(client)
    }

    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        Stats {
            undone_messages: self.outbox.undone_messages(),
            undone_bytes: self.clients.undone(),
            queued_messages: self.clients.queued_messages(),
            queued_bytes: self.clients.queued(),
            full_queues: self.clients.full_queues(),
            slow: self.clients.slow_count(),
            throttled: self.clients.throttled(),
            other_topics: self.topics.others(),
            unacked_messages: self.serving.unacked_messages(),
            unacked_bytes: self.serving.pending_bytes(),
            moving_partitions: self.outbox.moving(),
            prefixes: self.interest.len(),
            origins: self.dedup.origins(),
            ..self.stats.clone()
        }
    }

    /// The busiest topics that this node owns, the busiest first; at most 20.
    pub fn topics(&self) -> Vec<TopicStats> {
        self.topics.named()
    }

    /// One client's counters and sizes.
    pub fn client_stats(&self, client: ClientId) -> Option<ClientStats> {
        self.clients.stats(client)
    }

    /// Every peer's.
    pub fn peer_stats(&self) -> impl Iterator<Item = PeerStats> {
        self.peers
            .iter()
            .filter(|peer| peer.is_here())
            .map(|peer| peer.stats())
    }

    /// Prefixes of this node's clients: how many connections hold each, and whether every member
    /// knows of it.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&[u8], u32, bool)> {
        let prefixes = self.interest.prefixes();
        prefixes.map(|(prefix, connections)| (prefix, connections, self.interest.is_ready(prefix)))
    }

    /// Whether the interest of every one of these instances is known: a node that joins waits
    /// for it before it takes part.
    pub fn knows_interest_of_all(&self) -> bool {
        self.topology.peers.iter().all(|peer| {
            let slot = self.peers.find(peer.instance);
            slot.and_then(|slot| self.peers.get(slot))
                .is_some_and(|peer| peer.interest.is_some())
        })
    }

    /// The link to a peer takes bytes: the peer lives, also if one message keeps it busy for long.
    pub fn handle_progress(&mut self, peer: Instance, now: Time) {
        if let Some(peer) = self.peers.by_instance(peer) {
            peer.progress_at = now;
        }
    }

    /// Something has come over the link that this node dialed, if only the answer to a ping: the
    /// peer reads the link, and is taken up again if it was passed over. It may owe nothing any
    /// more that it could ack.
    pub fn handle_sign_of_life(&mut self, peer: Instance, now: Time) {
        if let Some(peer) = self.peers.by_instance(peer) {
            peer.progress_at = now;
            peer.passed_over = false;
        }
    }

    /// Messages that were taken with [`Router::take_segment`] could not be written: the client has
    /// gone.
    pub fn handle_unwritten(&mut self, messages: u64, bytes: usize) {
        self.stats.delivered_messages -= messages;
        self.stats.delivered_bytes -= bytes as u64;
        self.stats.drop(DropReason::SubscriberGone, messages, bytes);
    }

    /// The next message for the link to a peer.
    pub fn take_message(&mut self, peer: Instance) -> Option<Message> {
        self.peers.by_instance(peer)?.pop()
    }

    /// The partition of a topic, remembered by its key.
    pub(super) fn partition_of(&mut self, key: &[u8]) -> u16 {
        if let Some(partition) = self.partitions.get(key) {
            return *partition;
        }
        if self.partitions.len() >= PARTITION_MEMO {
            self.partitions.clear();
        }
        let partition = Partition::of_key(key).get();
        self.partitions.insert(key.into(), partition);
        partition
    }

    /// Closes the batches and the run that were cut from this buffer.
    pub(super) fn close_buffer(&mut self, chunk: &Bytes, now: Time) {
        self.flush_local(chunk, now);
        for slot in self.touched.drain(..) {
            self.peers.get_mut(slot).close_batch(chunk);
        }
    }

    /// Gives out records that became free to go, until nothing more follows from it.
    pub(super) fn settle(&mut self, now: Time) {
        while let Some((target, kept)) = self.todo.pop_front() {
            let range = 0..kept.body.len();
            self.give(target, kept.header, &kept.body, range, now);
            self.close_buffer(&kept.body, now);
        }
    }
}
