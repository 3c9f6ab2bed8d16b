//! The data thread of a simulated process: the real forwarding core, its links and its clients,
//! driven as the node's `data.rs`, `hub.rs` and `node.rs` do it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zmesh_gossip::{Member, NodeId};
use zmesh_node::drain::{Act, Facts, Steps};
use zmesh_node::forward::{ClientId, Instance, Limits, Output, Router};
use zmesh_node::link::timing::JOIN_PATIENCE;
use zmesh_node::link::wire::Hello;
use zmesh_node::view::{Membership, View};

use super::Time;
use super::clients::{Publisher, Subscriber};
use super::gossiper::Gossiper;
use super::links::{Links, Target, Told};
use super::network::{End, HostId};
use super::outside::{Outside, host_of};
use super::process::ProcessId;
use super::watch::Planted;

/// After this long a node says once more that it is ready, as in the node.
const READY_PATIENCE: Time = Time::from_secs(2);
/// A node that leaves hands over within this time, as in the node.
pub const DRAIN_PATIENCE: Time = Time::from_secs(30);
/// The ring is computed on another thread, and the news has to get here.
const VIEW_DELAY: Time = Time::from_millis(10);

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It learns who is there and what they want.
    Joining,
    /// It takes messages.
    Ready,
    /// It hands on what it has.
    Leaving,
}

/// See the module. Times are of the process's own clock.
pub struct Data {
    process: ProcessId,
    /// The forwarding core.
    pub router: Router,
    /// The links.
    pub links: Links,
    id: NodeId,
    /// This process.
    pub me: Instance,
    /// What membership says.
    pub view: Arc<View>,
    next_view: Option<(Time, Arc<Membership>)>,
    /// What the node is doing.
    pub phase: Phase,
    join_since: Option<Time>,
    say_ready_at: Option<Time>,
    /// How far it is on its way out, and when it goes in any case.
    leaving: Option<(Steps, Time)>,
    /// It has said goodbye.
    gone: bool,
    /// Its time was up before it had taken every step.
    pub overdue: bool,
    /// It leaves with messages that it owes: its time was up.
    pub gave_up: bool,
    /// Clients that publish.
    pub publishers: BTreeMap<ClientId, Publisher>,
    /// Clients that subscribe.
    pub subscribers: BTreeMap<ClientId, Subscriber>,
    next_client: u32,
    /// Messages handed to programs that have gone.
    handed_before: u64,
    dirty: Dirty,
}

/// Whom the core's outputs concern.
#[derive(Default)]
struct Dirty {
    links: BTreeSet<Instance>,
    accepted: BTreeSet<Instance>,
    closing: Vec<ClientId>,
}

impl Data {
    /// A core that knows nobody.
    pub fn new(process: ProcessId, host: HostId, me: Hello, limits: Limits, now: Time) -> Self {
        let instance = Instance(me.instance);
        Self {
            process,
            router: Router::new(instance, limits, now),
            id: NodeId(me.id),
            links: Links::new(process, host, me),
            me: instance,
            view: Arc::new(View::empty(Arc::default())),
            next_view: None,
            phase: Phase::Joining,
            join_since: None,
            say_ready_at: None,
            leaving: None,
            gone: false,
            overdue: false,
            gave_up: false,
            publishers: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            next_client: 1,
            handed_before: 0,
            dirty: Dirty::default(),
        }
    }

    /// A new client's number; the core is told of it.
    pub fn open_client(&mut self) -> ClientId {
        let client = ClientId(self.next_client);
        self.next_client += 1;
        self.router.handle_client_opened(client);
        client
    }

    /// The node begins to leave: nobody publishes through it any more.
    pub fn leave(&mut self, now: Time, gossiper: &mut Gossiper, outside: &mut Outside<'_>) {
        if self.phase == Phase::Leaving {
            return;
        }
        self.phase = Phase::Leaving;
        self.leaving = Some((Steps::begin(now), now + DRAIN_PATIENCE));
        let publishers: Vec<ClientId> = self.publishers.keys().copied().collect();
        for client in publishers {
            self.close_client(client, now, outside);
        }
        gossiper.machine.set_leaving(now);
    }

    /// There is something new about a connection.
    pub fn ready(&mut self, end: End, now: Time, outside: &mut Outside<'_>) {
        self.links.ready(end, &mut self.router, now, outside);
    }

    /// What is due, and what follows from it.
    pub fn run(&mut self, now: Time, gossiper: &mut Gossiper, outside: &mut Outside<'_>) {
        if let Some(membership) = gossiper.membership.take() {
            let at = self.next_view.take().map_or_else(
                || now + outside.dice.time(Time::ZERO, VIEW_DELAY),
                |(at, _)| at,
            );
            self.next_view = Some((at, membership));
        }
        if let Some((at, _)) = self.next_view
            && at <= now
            && let Some((_, membership)) = self.next_view.take()
        {
            self.follow(membership, now, outside);
        }
        if now >= self.router.next_deadline() {
            self.router.handle_timeout(now);
            let signs = self.links.signs_of_life(now);
            gossiper.machine.handle_signs_of_life(signs, now);
        }
        self.links.run(&mut self.router, now, outside);
        self.join(now, gossiper);
        self.clients_due(now, outside);
        self.settle(now, gossiper, outside);
        if self.leaving.is_some() {
            let stuck = outside.watch.planted == Some(Planted::StuckDrain);
            self.leave_due(now, gossiper, stuck);
            self.settle(now, gossiper, outside);
        }
    }

    /// When [`Data::run`] is to be called.
    pub fn deadline(&self) -> Time {
        let publishers = self
            .publishers
            .values()
            .filter(|_| self.phase == Phase::Ready);
        let publishers = publishers.filter_map(Publisher::deadline);
        let subscribers = self.subscribers.values().filter_map(Subscriber::deadline);
        let times = [
            Some(self.router.next_deadline()),
            Some(self.links.deadline()),
            self.next_view.as_ref().map(|(at, _)| *at),
            self.say_ready_at,
            self.leaving.map(|(_, until)| until).filter(|_| !self.gone),
        ];
        let times = times.into_iter().flatten();
        times
            .chain(publishers)
            .chain(subscribers)
            .min()
            .unwrap_or(Time::MAX)
    }

    /// Messages handed to the node's programs.
    pub fn handed(&self) -> u64 {
        let reading = self.subscribers.values().map(|it| it.handed);
        self.handed_before + reading.sum::<u64>()
    }

    /// Whether nothing is on its way through this node.
    pub fn unrest(&self) -> Option<String> {
        let stats = self.router.stats();
        let owed = (
            stats.undone_bytes,
            stats.unacked_bytes,
            stats.moving_partitions,
        );
        if owed != (0, 0, 0) {
            return Some(format!("undone, unacked, moving: {owed:?}"));
        }
        if !self.links.is_idle() {
            return Some("a link is down or has something to write".into());
        }
        let mut subscribers = self.subscribers.values();
        subscribers.find_map(|subscriber| subscriber.unrest(&self.router))
    }

    fn follow(&mut self, membership: Arc<Membership>, now: Time, outside: &mut Outside<'_>) {
        let ring = outside.tables.ring(&membership);
        outside
            .watch
            .table(outside.tables, &membership, outside.dice);
        let ring_hash = membership.view_hash;
        self.view = Arc::new(View {
            membership,
            ring,
            ring_hash,
        });
        let topology = self.view.topology(self.id);
        outside
            .watch
            .topology(self.process, &topology, &self.view.membership, outside.now);
        self.router.handle_topology(topology, now);
        let targets = self.targets();
        self.links.keep(targets, &mut self.router, now, outside);
        let on_ring = self.view.membership.view.contains(&self.id);
        if on_ring && self.phase == Phase::Joining {
            self.phase = Phase::Ready;
            self.say_ready_at = None;
        }
    }

    fn targets(&self) -> Vec<Target> {
        let members = self
            .view
            .membership
            .members
            .iter()
            .map(|known| &known.member);
        let others = members.filter(|member| member.id != self.id && member.is_live());
        let target = |member: &Member| {
            Some(Target {
                instance: Instance(member.nonce),
                host: host_of(&member.link)?,
                address: member.link.clone(),
            })
        };
        others.filter_map(target).collect()
    }

    fn join(&mut self, now: Time, gossiper: &mut Gossiper) {
        if self.phase != Phase::Joining || !self.view.membership.joined {
            return;
        }
        let since = *self.join_since.get_or_insert(now);
        let waited = now.saturating_sub(since) >= JOIN_PATIENCE;
        if self.say_ready_at.is_some_and(|at| at <= now) {
            self.say_ready_at = None;
        }
        if self.say_ready_at.is_none() && (waited || self.router.knows_interest_of_all()) {
            if waited {
                self.router.handle_joined();
            }
            gossiper.machine.set_ready(now);
            self.say_ready_at = Some(now + READY_PATIENCE);
        }
    }

    fn leave_due(&mut self, now: Time, gossiper: &mut Gossiper, stuck: bool) {
        let Some((mut steps, until)) = self.leaving.filter(|_| !self.gone) else {
            return;
        };
        if now >= until {
            let stats = self.router.stats();
            self.overdue = true;
            self.gave_up = stats.undone_bytes + stats.unacked_bytes + stats.queued_bytes > 0;
            return self.say_goodbye(now, gossiper);
        }
        let facts = Facts {
            is_in_view: self.view.counts_on(self.id),
            has_publishers: !self.publishers.is_empty(),
            owes_nothing: !stuck && self.router.owes_nothing(),
            others_have_handed_on: self.view.others_have_handed_on(self.id),
            is_interest_known: self.router.is_interest_known(),
            sent_away: self.router.stats().queued_bytes == 0,
        };
        let act = steps.advance(&facts, now);
        self.leaving = Some((steps, until));
        match act {
            Some(Act::SayHandedOn) => gossiper.machine.set_handed_on(now),
            Some(Act::Withdraw) => self.router.handle_withdrawal(),
            Some(Act::Leave) => self.say_goodbye(now, gossiper),
            None => {}
        }
    }

    /// What a node on its way out waits for, for a person.
    pub fn waits_for(&self) -> &'static str {
        self.leaving
            .map_or("nothing", |(steps, _)| steps.waits_for())
    }

    fn say_goodbye(&mut self, now: Time, gossiper: &mut Gossiper) {
        self.gone = true;
        gossiper.machine.leave(now);
    }

    fn clients_due(&mut self, now: Time, outside: &mut Outside<'_>) {
        if self.phase == Phase::Ready {
            for publisher in self.publishers.values_mut() {
                publisher.run(&mut self.router, now, outside);
            }
        }
        for subscriber in self.subscribers.values_mut() {
            subscriber.run(&mut self.router, now, outside);
        }
    }

    /// Does what the core asks for until it asks for nothing more.
    pub fn settle(&mut self, now: Time, gossiper: &mut Gossiper, outside: &mut Outside<'_>) {
        loop {
            let mut any = false;
            while let Some(output) = self.router.poll_output() {
                any = true;
                self.act_on(output, now, gossiper, outside);
            }
            for peer in std::mem::take(&mut self.dirty.links) {
                self.links.write(peer, &mut self.router, now, outside);
            }
            for peer in std::mem::take(&mut self.dirty.accepted) {
                self.links.reply(peer, &mut self.router, now, outside);
            }
            for client in std::mem::take(&mut self.dirty.closing) {
                self.close_client(client, now, outside);
            }
            for told in std::mem::take(&mut self.links.told) {
                match told {
                    Told::Refused(address) => gossiper.machine.handle_refused(&address, now),
                    Told::Reset(address) => gossiper.machine.handle_reset(&address, now),
                }
            }
            if !any {
                return;
            }
        }
    }

    fn act_on(
        &mut self,
        output: Output,
        now: Time,
        gossiper: &mut Gossiper,
        outside: &mut Outside<'_>,
    ) {
        match output {
            Output::Link(peer) => {
                self.dirty.links.insert(peer);
            }
            Output::Accepted(peer) => {
                self.dirty.accepted.insert(peer);
            }
            Output::Client(client) => {
                if let Some(publisher) = self.publishers.get_mut(&client) {
                    publisher.wake(now);
                }
                if let Some(subscriber) = self.subscribers.get_mut(&client) {
                    subscriber.wake(now);
                }
            }
            Output::CloseClient(client) => self.dirty.closing.push(client),
            Output::Learned(card) => {
                if let Ok(member) = Member::decode(&card) {
                    gossiper.machine.handle_card(member, now);
                }
            }
            Output::SubscriptionReady(_) | Output::Slow(..) | Output::Hop(..) => {}
            Output::PassedOver(peer) => outside.watch.passed_over(self.process, peer),
            Output::GivenUp(peer) => outside.watch.given_up(self.process, peer),
        }
    }

    /// A client goes, or is sent away.
    pub fn close_client(&mut self, client: ClientId, now: Time, outside: &mut Outside<'_>) {
        let subscriber = self.subscribers.remove(&client);
        self.handed_before += subscriber.as_ref().map_or(0, |it| it.handed);
        if self.publishers.remove(&client).is_some() || subscriber.is_some() {
            outside.watch.client_closed(self.process, client);
            self.router.handle_client_closed(client, now);
        }
    }
}
