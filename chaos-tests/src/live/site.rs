//! Hosts with a node on each, loaded by clients while something happens to them.
//!
//! What may be lost while it does is said by the one who does it: an [`Excuse`] names whose clients
//! are cut off from whose, and ends when everything is in force again. Whatever else is missing at
//! the end is a broken promise.

pub mod accounts;
mod calms;
pub mod outcome;

use super::history::holes::Span;
use super::load::{CLIENT_PORT, Loader, Publish, Subscribe};
use super::mesh::{self, new_cluster};
use super::namespace::monotonic;
use super::network::Network;
use super::options::Options;
use super::process::Node;
use super::wait;
use accounts::Accounts;
use calms::Calms;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zmesh_node::report;

/// Ports of every node: clients, gossip, links.
const PORTS: [u16; 3] = [CLIENT_PORT, CLIENT_PORT + 1, CLIENT_PORT + 2];

/// What was on its way when a node died or was cut off may be lost, as the end of what a connection
/// brought: on a busy machine that was sent within this time before, in nanoseconds.
const ON_ITS_WAY: u64 = 3_000_000_000;

/// What [`Site::settle_since`] measures.
pub const ONE_VIEW: &str = "one view again";

/// What stands on the hosts.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of hosts, each with a node `n1`, `n2`, …
    pub hosts: usize,
    /// Hosts whose nodes are everybody's seeds.
    pub seeds: Vec<usize>,
    /// More flags for every node.
    pub flags: Vec<String>,
    /// Clients that publish.
    pub publishers: Vec<Publish>,
    /// Clients that subscribe.
    pub subscribers: Vec<Subscribe>,
    /// Whether clients write down what they do; it is checked at the end.
    pub history: bool,
}

/// Who is cut off from whom.
#[derive(Clone, Debug)]
pub enum Apart {
    /// The clients of a host from all others, and from each other.
    Host(usize),
    /// The subscribers of a host from all publishers of others.
    Subscribers(usize),
    /// The subscribers of a host from its own publishers.
    Own(usize),
    /// The clients of these hosts from those of the others.
    Sides(Vec<usize>),
    /// All from all.
    All,
}

/// Each stream between some hosts may pause, and have a hole of what is sent in a time.
#[derive(Clone, Debug)]
struct Excuse {
    who: Apart,
    /// When the fault began.
    began: u64,
    /// None while it lasts.
    to: Option<u64>,
    may_lose: bool,
}

/// See the module.
pub struct Site {
    /// The network, for the faults of the case.
    pub network: Network,
    /// The nodes, by host.
    pub nodes: Vec<Node>,
    plan: Plan,
    cluster: String,
    publishers: Vec<Loader>,
    subscribers: Vec<Loader>,
    excuses: Vec<Excuse>,
    down: BTreeSet<usize>,
    accounts: Accounts,
    calms: Calms,
    complaints: Vec<String>,
    measured: BTreeMap<String, Vec<u64>>,
    /// When the load began.
    began: u64,
    folder: PathBuf,
    events: File,
}

impl Site {
    /// Starts the nodes and waits until they hold one view. Logs, histories and what happens are
    /// written into a folder as they come.
    pub fn start(plan: Plan, folder: &Path) -> Self {
        let mut site = Self {
            network: Network::new(plan.hosts),
            nodes: Vec::new(),
            cluster: new_cluster(),
            publishers: Vec::new(),
            subscribers: Vec::new(),
            excuses: Vec::new(),
            down: BTreeSet::new(),
            accounts: Accounts::default(),
            calms: Calms::default(),
            complaints: Vec::new(),
            measured: BTreeMap::new(),
            began: monotonic(),
            events: File::create(folder.join("events")).expect("room for a file"),
            folder: folder.to_path_buf(),
            plan,
        };
        for host in 0..site.plan.hosts {
            let options = site.options(host);
            site.nodes.push(Node::spawn(options));
        }
        site.nodes.iter_mut().for_each(Node::wait_ready);
        site.settle();
        site
    }

    /// Starts the clients, and lets them publish once everything is in force.
    pub fn load(&mut self) {
        let folder = self.plan.history.then_some(self.folder.as_path());
        for subscribe in &self.plan.subscribers {
            let host = self.network.host(subscribe.host);
            self.subscribers.push(subscribe.start(host, folder));
        }
        for (number, publish) in (1..).zip(&self.plan.publishers) {
            let host = self.network.host(publish.host);
            self.publishers.push(publish.start(host, number, folder));
        }
        self.subscribers
            .iter_mut()
            .for_each(|it| it.wait_said("ready", 1));
        self.publishers
            .iter_mut()
            .for_each(|it| it.wait_said("asked", 1));
        self.accounts = self.take_accounts();
        self.began = monotonic();
        self.publishers.iter_mut().for_each(Loader::go);
    }

    fn options(&self, host: usize) -> Options {
        let options = Options::new(&format!("n{}", host + 1), &self.cluster);
        let seeds = self.plan.seeds.iter().filter(|seed| **seed != host);
        let address = |seed: &usize| format!("{}:{}", self.network.host(*seed).address, PORTS[1]);
        let mut options = seeds.fold(options, |options, seed| options.seed(&address(seed)));
        options.flags.extend(self.plan.flags.iter().cloned());
        options.log_file = Some(self.folder.join(format!("{}.log", options.name)));
        options.on(self.network.host(host), PORTS)
    }

    /// Notes what happens, with seconds since the load began, for whoever looks at a failure.
    pub fn say(&mut self, what: impl Into<String>) {
        let seconds = (monotonic() - self.began) as f64 / 1e9;
        // A full disk fails the test elsewhere.
        let _ = writeln!(self.events, "{seconds:8.3} {}", what.into());
    }

    /// Something is not as promised: it is told at the end.
    pub fn complain(&mut self, what: String) {
        self.say(&what);
        self.complaints.push(what);
    }

    /// Something took so long that is to be a figure.
    pub fn measure(&mut self, what: &str, time: Duration) {
        self.say(format!("{what} after {time:?}"));
        let times = self.measured.entry(what.into()).or_default();
        times.push(time.as_millis() as u64);
    }

    /// Hosts whose nodes run.
    pub fn up(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|it| !self.down.contains(it))
            .collect()
    }

    /// Waits until the nodes that run hold one view of exactly themselves, and are all linked.
    pub fn settle(&mut self) {
        self.settle_among(&self.up());
        self.begin_calm();
    }

    /// The same, and how long it takes from some moment until they hold one view is a figure.
    pub fn settle_since(&mut self, begin: Instant) {
        let nodes: Vec<&Node> = self.up().iter().map(|host| &self.nodes[*host]).collect();
        mesh::agree(&nodes);
        self.measure(ONE_VIEW, begin.elapsed());
        self.settle();
    }

    /// Settles these nodes alone.
    pub fn settle_among(&self, hosts: &[usize]) {
        let nodes: Vec<&Node> = hosts.iter().map(|host| &self.nodes[*host]).collect();
        mesh::settle(&nodes);
    }

    /// Waits until they are settled and every subscription is in force everywhere.
    pub fn wait_in_force(&mut self) {
        self.settle();
        wait::until_true("every subscription to be in force", || {
            self.up().into_iter().all(|host| {
                let held = self.nodes[host].ask::<report::Subscriptions>("/api/v1/subscriptions");
                held.is_some_and(|it| it.subscriptions.iter().all(|it| it.ready))
            })
        });
    }

    /// Waits until every subscriber of a node that runs has got so many more messages.
    pub fn flow(&self, messages: u64) {
        let all: Vec<usize> = self.up();
        self.flow_to(&all, messages);
    }

    /// The same for the subscribers of these hosts.
    pub fn flow_to(&self, hosts: &[usize], messages: u64) {
        let plans = self.plan.subscribers.iter().zip(&self.subscribers);
        let concerned = plans.filter(|(plan, _)| hosts.contains(&plan.host));
        let wanted: Vec<_> = concerned
            .map(|it| (it, self.received(it) + messages))
            .collect();
        for (subscriber, wanted) in wanted {
            let what = format!("{wanted} messages at {}", subscriber.1.what());
            wait::until_true(&what, || self.received(subscriber) >= wanted);
        }
    }

    /// About how many messages a subscriber has: as it writes down, or its node says.
    fn received(&self, (plan, subscriber): (&Subscribe, &Loader)) -> u64 {
        if self.plan.history {
            subscriber.written()
        } else {
            self.nodes[plan.host].status().delivered_messages
        }
    }

    /// The fault parts an owner from others while it holds messages for them.
    pub fn parts_owners(&mut self) {
        self.end_calm();
        self.accounts.doubt();
    }

    /// Lets a fault last.
    pub fn hold(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// `kill -9`.
    pub fn kill(&mut self, host: usize) {
        self.say(format!("kill -9 n{}", host + 1));
        self.end_calm();
        self.nodes[host].kill();
        self.down.insert(host);
    }

    /// Starts a node that was killed or has left; waits until it is ready.
    pub fn start_again(&mut self, host: usize) {
        self.spawn_again(host);
        self.nodes[host].wait_ready();
        self.say(format!("n{} is ready", host + 1));
    }

    /// Starts it and does not wait.
    pub fn spawn_again(&mut self, host: usize) {
        self.end_calm();
        self.nodes[host].spawn_again();
        self.down.remove(&host);
        self.accounts.forget(host);
    }

    /// One more host with a node, which is ready when this returns. Gives its number.
    pub fn join(&mut self) -> usize {
        self.end_calm();
        let host = self.network.add_host();
        let options = self.options(host);
        self.say(format!("n{} joins", host + 1));
        self.nodes.push(Node::start(options));
        host
    }

    /// Asks a node to stop, and waits until it has.
    ///
    /// # Panics
    /// If it does not end as a node that lost nothing.
    pub fn leave(&mut self, host: usize) {
        self.say(format!("SIGTERM to n{}", host + 1));
        self.end_calm();
        self.nodes[host].signal("TERM");
        let code = self.nodes[host].wait_end();
        self.down.insert(host);
        self.say(format!("n{} has left: {code:?}", host + 1));
        assert_eq!(code, Some(0), "the exit code of n{}", host + 1);
    }

    /// Stops a node for a while, as SIGSTOP and SIGCONT do: its clients wait as long.
    pub fn stop(&mut self, host: usize, time: Duration) {
        self.say(format!("SIGSTOP n{}", host + 1));
        self.parts_owners();
        self.waiting(host, |site| {
            site.takes_own(host, |site| site.nodes[host].signal("STOP"));
            site.hold(time);
            site.nodes[host].signal("CONT");
        });
        self.say(format!("SIGCONT n{}", host + 1));
    }

    /// Cuts a node off from all others.
    pub fn cut_off(&mut self, host: usize) {
        self.takes_own(host, |site| site.network.isolate(&[host]));
    }

    /// Takes a node from the others. Where it is excused that they hold it dead, what they were to
    /// hand back to it is not kept either: what its clients sent each other until then.
    fn takes_own(&mut self, host: usize, fault: impl FnOnce(&mut Self)) {
        let held_dead = self.excuses.iter().any(|it| it.may_lose && it.to.is_none());
        let number = self.begin_excuse(Apart::Own(host), held_dead);
        fault(self);
        self.excuses[number].to = Some(monotonic());
    }

    /// Does something for which the clients of a host wait as long as it lasts, and lose nothing.
    pub fn waiting(&mut self, host: usize, fault: impl FnOnce(&mut Self)) {
        let number = self.begin_excuse(Apart::Host(host), false);
        fault(self);
        self.excuses[number].to = Some(monotonic());
    }

    /// Does something that cuts clients off from each other, and waits until all is in force again.
    pub fn excused(&mut self, who: Apart, fault: impl FnOnce(&mut Self)) {
        let number = self.begin_excuse(who, true);
        fault(self);
        self.wait_in_force();
        self.excuses[number].to = Some(monotonic());
        self.say("in force again");
    }

    fn begin_excuse(&mut self, who: Apart, may_lose: bool) -> usize {
        self.excuses.push(Excuse {
            who,
            began: monotonic(),
            to: None,
            may_lose,
        });
        self.excuses.len() - 1
    }

    /// The same for clients whose node ends: also waits until they are connected again.
    pub fn excused_restart(&mut self, who: Apart, fault: impl FnOnce(&mut Self)) {
        let before = self.connected();
        self.excused(who.clone(), |site| {
            fault(site);
            site.wait_connected(&who, &before);
        });
    }

    /// How often each publisher was asked and each subscriber told.
    fn connected(&self) -> (Vec<usize>, Vec<usize>) {
        let count = |clients: &[Loader], word| clients.iter().map(|it| it.said(word)).collect();
        (
            count(&self.publishers, "asked"),
            count(&self.subscribers, "ready"),
        )
    }

    fn wait_connected(&mut self, who: &Apart, before: &(Vec<usize>, Vec<usize>)) {
        let concerned = |host: usize| match who {
            Apart::Host(gone) | Apart::Subscribers(gone) | Apart::Own(gone) => host == *gone,
            Apart::Sides(gone) => gone.contains(&host),
            Apart::All => true,
        };
        let publishers = self.plan.publishers.iter().zip(&mut self.publishers);
        for ((plan, client), asked) in publishers.zip(&before.0) {
            if concerned(plan.host) {
                client.wait_said("asked", asked + 1);
            }
        }
        let subscribers = self.plan.subscribers.iter().zip(&mut self.subscribers);
        for ((plan, client), ready) in subscribers.zip(&before.1) {
            if concerned(plan.host) {
                client.wait_said("ready", ready + 1);
            }
        }
    }
}

impl Excuse {
    /// Whether it holds between a publisher's host and a subscriber's.
    fn concerns(&self, publisher: usize, subscriber: usize) -> bool {
        match &self.who {
            Apart::Host(host) => publisher == *host || subscriber == *host,
            Apart::Subscribers(host) => subscriber == *host && publisher != *host,
            Apart::Own(host) => publisher == *host && subscriber == *host,
            Apart::Sides(side) => side.contains(&publisher) != side.contains(&subscriber),
            Apart::All => true,
        }
    }

    /// When what is sent may be lost.
    fn span(&self) -> Span {
        Span {
            from: self.began.saturating_sub(ON_ITS_WAY),
            began: self.began,
            to: self.to.unwrap_or(u64::MAX),
            may_lose: self.may_lose,
        }
    }
}
