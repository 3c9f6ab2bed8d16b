//! What a node can be told: every setting, its default, and the trade-off behind it.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use crate::forward::MAX_PREFIX_BYTES;
use crate::services::MAX_SERVICE_BYTES;

/// Everything a node is started with. [`Config::named`] gives the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of this node, unique in its cluster, 1 to 64 bytes; its identity across restarts.
    pub name: String,
    /// Nodes of different clusters refuse each other. 1 to 64 bytes.
    pub cluster: String,
    /// Address that the three listeners bind to. Loopback unless told otherwise: a fresh node is
    /// open to nobody else.
    pub bind: IpAddr,
    /// Port of the client address (ZMTP and HTTP). 0 takes a free one.
    pub port: u16,
    /// Port of the gossip socket; `port + 1` if unset (a free one if `port` is 0).
    pub gossip_port: Option<u16>,
    /// Port for links from other nodes; `port + 2` if unset (a free one if `port` is 0).
    pub link_port: Option<u16>,
    /// Host that other nodes are told to connect to; the bound address if unset.
    pub advertise: Option<String>,
    /// Gossip addresses `host:port` of nodes to join through. They are tried for ever.
    pub seeds: Vec<String>,
    /// Share of the topics relative to other members, 1 to 16.
    pub weight: u8,
    /// A label for where the node runs; shown, not used for placement.
    pub zone: String,
    /// Limits of the client address.
    pub limits: Limits,
    /// What every subscriber's queue may hold, and what happens when it is full.
    pub queue: QueueConfig,
    /// Topics that have a part of each queue to themselves, with other limits and policies.
    pub queue_rules: Vec<QueueRule>,
    /// What holds for services of these names.
    pub service_rules: Vec<ServiceRule>,
    /// How long a node that is to end may take to hand on what it has. Longer rides out a slow
    /// subscriber, and keeps whoever waits for the end. A service manager must wait longer than
    /// this before it kills.
    pub drain_timeout: Duration,
}

/// Limits that keep one client from harming the node or its other clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message (all frames with their headers) taken from a client or a link, in bytes.
    pub max_message_bytes: usize,
    /// Most frames in one message.
    pub max_frames: usize,
    /// Most client connections at a time, HTTP included.
    pub max_connections: usize,
    /// Most subscriptions of one client connection.
    pub max_subscriptions: usize,
    /// A client that has not finished its handshake by then is closed.
    pub handshake_timeout: Duration,
    /// Bytes of one publisher that may be on their way before the node stops reading from it.
    pub connection_budget_bytes: usize,
    /// The same for all publishers of the node together.
    pub node_budget_bytes: usize,
}

/// A subscriber's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Most bytes that wait for one subscriber. One message is always let in.
    pub bytes: usize,
    /// What happens to a message for which there is no room.
    pub policy: QueuePolicy,
}

/// Queues of one kind of topics. A message falls under the rule with the longest prefix that its
/// topic begins with; if there is none, under [`Config::queue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRule {
    /// What the topics begin with.
    pub prefix: String,
    /// What happens to a message for which there is no room.
    pub policy: QueuePolicy,
    /// Most bytes of such messages that wait for one subscriber, beside what else waits for it; as
    /// many as without the rule if unset.
    pub bytes: Option<usize>,
}

/// Most rules for queues. A subscriber's queue looks at those in use for each message.
pub const MAX_RULES: usize = 256;

/// What happens to a message for a subscriber whose queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuePolicy {
    /// The new message is dropped and counted: what ZeroMQ itself does.
    DropNewest,
    /// The oldest waiting messages are dropped and counted: for readers of live values.
    DropOldest,
    /// The subscriber is disconnected; ZeroMQ reconnects it by itself.
    Disconnect,
    /// Publishers of the topic are slowed down to this subscriber's speed.
    Block,
}

impl QueuePolicy {
    /// Every policy with its name in configuration files.
    pub const ALL: [(&'static str, Self); 4] = [
        ("drop-newest", Self::DropNewest),
        ("drop-oldest", Self::DropOldest),
        ("disconnect", Self::Disconnect),
        ("block", Self::Block),
    ];
}

/// Nobody waits longer for an answer.
pub const MAX_DEADLINE: Duration = Duration::from_secs(3600);

/// What holds for the requests of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRule {
    /// Its name.
    pub name: String,
    /// An asker gets an answer or an error within this time.
    pub deadline: Duration,
    /// Requests that wait for a worker or are with one, in the whole mesh.
    pub in_flight: u32,
    /// Whether it does no harm to do a request twice: then it is asked again when a worker is lost.
    pub idempotent: bool,
    /// After so many failures in a row it is not asked for a while; 0 for never.
    pub breaker: u32,
    /// REP sockets that connect to this port of the node serve it. 0 takes a free one.
    pub rep_port: Option<u16>,
}

impl ServiceRule {
    /// What holds for a service without a rule.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            deadline: Duration::from_secs(5),
            in_flight: 10_000,
            idempotent: false,
            breaker: 20,
            rep_port: None,
        }
    }

    /// What is wrong with it.
    fn problem(&self) -> Option<String> {
        let name = &self.name;
        let wrong = if name.is_empty() || name.len() > MAX_SERVICE_BYTES {
            "a service has a name of 1 to 255 bytes"
        } else if name.starts_with('$') {
            "names that begin with $ are the mesh's own"
        } else if self.deadline.is_zero() || self.deadline > MAX_DEADLINE {
            "a deadline is longer than 0 and at most 1h"
        } else if self.in_flight == 0 {
            "at least 1 request is in flight"
        } else {
            return None;
        };
        Some(format!("{name:?}: {wrong}"))
    }
}

impl Config {
    /// The defaults, for a node of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            cluster: "zmesh".into(),
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 5555,
            gossip_port: None,
            link_port: None,
            advertise: None,
            seeds: Vec::new(),
            weight: 1,
            zone: String::new(),
            limits: Limits::default(),
            queue: QueueConfig::default(),
            queue_rules: Vec::new(),
            service_rules: Vec::new(),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// A hash of what nodes of one mesh would have in common: equal where they are set alike. How
    /// long a node may take to end is its host's own matter.
    pub(crate) fn digest(&self) -> u64 {
        let queues = (&self.queue, &self.queue_rules);
        let mut services = self.service_rules.clone();
        // Ports are each host's own matter.
        services.iter_mut().for_each(|rule| rule.rep_port = None);
        let common = (&self.cluster, &self.limits, queues, services);
        let hash = blake3::hash(format!("{common:?}").as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_be_bytes(first)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 64 << 20,
            max_frames: 1024,
            max_connections: 10_000,
            max_subscriptions: 100_000,
            handshake_timeout: Duration::from_secs(5),
            connection_budget_bytes: 4 << 20,
            node_budget_bytes: 256 << 20,
        }
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            policy: QueuePolicy::DropNewest,
        }
    }
}

impl QueueRule {
    /// What holds for its topics.
    pub(crate) fn config(&self, default: QueueConfig) -> QueueConfig {
        QueueConfig {
            bytes: self.bytes.unwrap_or(default.bytes),
            policy: self.policy,
        }
    }

    /// What is wrong with its prefix.
    fn problem(&self) -> Option<String> {
        let prefix = &self.prefix;
        let wrong = if prefix.is_empty() {
            "an empty prefix is every topic: set queue-policy and queue-size instead"
        } else if prefix.len() > MAX_PREFIX_BYTES {
            "a prefix has at most 4096 bytes"
        } else if prefix.starts_with('$') {
            "topics that begin with $ are the mesh's own"
        } else if self.bytes == Some(0) {
            "a size is at least 1 byte"
        } else {
            return None;
        };
        Some(format!("{prefix:?}: {wrong}"))
    }
}

impl QueuePolicy {
    /// Its name in configuration files.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// A setting that no node can run with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    /// Name of the setting, as in the configuration file.
    pub setting: &'static str,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

impl Config {
    /// Checks what the types do not say.
    pub fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        require("name", is_name(&self.name), NAME_RULE)?;
        require("cluster", is_name(&self.cluster), NAME_RULE)?;
        require("weight", (1..=16).contains(&self.weight), "1 to 16")?;
        let zone = self.zone.len() <= 64 && !self.zone.contains(char::is_control);
        require("zone", zone, "at most 64 bytes, without control characters")?;
        let seeds = self.seeds.iter().all(|seed| is_host_and_port(seed));
        require("seed", seeds, "HOST:PORT of another node's gossip address")?;
        let advertise = self
            .advertise
            .as_deref()
            .is_none_or(|host| !host.is_empty());
        require(
            "advertise",
            advertise,
            "a host name or address, without a port",
        )?;
        let message = (64..=1 << 30).contains(&limits.max_message_bytes);
        require("max-message", message, "64 bytes to 1 GiB")?;
        require(
            "max-frames",
            (1..=1 << 20).contains(&limits.max_frames),
            "1 to 1048576",
        )?;
        require("max-connections", limits.max_connections > 0, "at least 1")?;
        require(
            "max-subscriptions",
            limits.max_subscriptions > 0,
            "at least 1",
        )?;
        let timeout = !limits.handshake_timeout.is_zero();
        require("handshake-timeout", timeout, "longer than 0")?;
        require(
            "connection-budget",
            limits.connection_budget_bytes > 0,
            "at least 1 byte",
        )?;
        require(
            "node-budget",
            limits.node_budget_bytes > 0,
            "at least 1 byte",
        )?;
        require("queue-size", self.queue.bytes > 0, "at least 1 byte")?;
        self.check_rules()?;
        let last = self.gossip_port.is_some() && self.link_port.is_some();
        require(
            "port",
            last || self.port <= u16::MAX - 2,
            "at most 65533: two more follow it",
        )
    }

    fn check_rules(&self) -> Result<(), ConfigError> {
        let queues = self.queue_rules.iter();
        let queues = queues.map(|rule| (&rule.prefix, rule.problem()));
        check_table("queue", queues.collect())?;
        let services = self.service_rules.iter();
        let services = services.map(|rule| (&rule.name, rule.problem()));
        check_table("service", services.collect())
    }

    /// The port that lies this far behind the client port, unless that is to be a free one.
    pub(crate) fn port_after(&self, offset: u16) -> Option<u16> {
        (self.port != 0).then(|| self.port.saturating_add(offset))
    }

    /// The host that others are told to connect to, IPv6 addresses in brackets.
    pub(crate) fn advertised_host(&self) -> Result<String, ConfigError> {
        if let Some(host) = &self.advertise {
            return Ok(bracketed(host));
        }
        if !self.bind.is_unspecified() {
            return Ok(bracketed(&self.bind.to_string()));
        }
        let address = own_address(self.bind).map_err(|_| ConfigError {
            setting: "advertise",
            problem: format!(
                "binding to {} does not say where others reach this node: name its host",
                self.bind
            ),
        })?;
        Ok(bracketed(&address.to_string()))
    }
}

/// Rules with what each is for and what is wrong with it: none, for one thing each.
fn check_table(
    setting: &'static str,
    rules: Vec<(&String, Option<String>)>,
) -> Result<(), ConfigError> {
    let twice = |(index, (key, _)): (usize, &(&String, _))| {
        let before = rules[..index].iter().any(|(other, _)| other == key);
        before.then(|| format!("{key:?}: there are two rules for this"))
    };
    let problem = if rules.len() > MAX_RULES {
        Some(format!("at most {MAX_RULES} rules"))
    } else {
        let wrong = rules.iter().find_map(|(_, problem)| problem.clone());
        wrong.or_else(|| rules.iter().enumerate().find_map(twice))
    };
    problem.map_or(Ok(()), |problem| Err(ConfigError { setting, problem }))
}

/// The address that this host sends from, of the family of `bind`. Nothing is sent: connecting a
/// UDP socket only asks the routing table. The destinations are reserved for documentation.
fn own_address(bind: IpAddr) -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind((bind, 0))?;
    let outside = if bind.is_ipv4() {
        "192.0.2.1:9"
    } else {
        "[2001:db8::1]:9"
    };
    socket.connect(outside)?;
    Ok(socket.local_addr()?.ip())
}

const NAME_RULE: &str = "1 to 64 bytes, without spaces or control characters";

fn require(setting: &'static str, holds: bool, allowed: &str) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError {
        setting,
        problem: format!("out of range; allowed is {allowed}"),
    })
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && !name.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn is_host_and_port(text: &str) -> bool {
    let split = text.rsplit_once(':');
    split.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
}

/// IPv6 addresses stand in brackets before a port.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.into()
    }
}
