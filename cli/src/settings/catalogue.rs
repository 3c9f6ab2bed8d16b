//! Every setting of a node, once: its name, its help, how it is read and how it is shown.

use std::time::Duration;

use zmesh_node::config::QueuePolicy;

use super::given::{Given, Refusal};
use super::{LogFormat, Settings, rules, services, units};

/// One setting. Its name is its flag, its key in the file and, in capitals, its variable.
pub(crate) struct Setting {
    /// Such as `connection-budget`.
    pub(crate) name: &'static str,
    /// What stands for the value in the help text.
    pub(crate) value_name: &'static str,
    /// One line for a person.
    pub(crate) help: &'static str,
    /// Heading of the help text under which it stands.
    pub(crate) heading: &'static str,
    /// Whether the flag may be repeated.
    pub(crate) repeated: bool,
    /// Reads a value into the settings.
    pub(crate) apply: fn(&mut Settings, &Given) -> Result<(), Refusal>,
    /// The value in force, unless it follows from others.
    pub(crate) show: fn(&Settings) -> Option<Shown>,
}

/// A value on its way to the file.
pub(crate) enum Shown {
    /// Printed between quotes.
    Text(String),
    /// Printed bare.
    Number(u64),
    /// Printed as a list of strings.
    List(Vec<String>),
    /// Printed as a list of tables, each one's keys with strings.
    Tables(Vec<Vec<(&'static str, String)>>),
}

impl Setting {
    /// The variable that sets it, such as `ZMESH_CONNECTION_BUDGET`.
    pub(crate) fn variable(&self) -> String {
        variable(self.name)
    }
}

/// The variable of a flag.
pub(crate) fn variable(name: &str) -> String {
    format!("ZMESH_{}", name.replace('-', "_").to_uppercase())
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const IDENTITY: &str = "Identity";
const ADDRESSES: &str = "Addresses";
const LIMITS: &str = "Limits";
const LOGGING: &str = "Logging";

/// Every setting, in the order of the help text and of `--print-config`.
pub(crate) const SETTINGS: [Setting; 24] = [
    Setting {
        name: "name",
        value_name: "NAME",
        help: "Name of this node, unique in its cluster (default: the host name)",
        heading: IDENTITY,
        repeated: false,
        apply: |s, given| given.word(1..=64).map(|name| s.node.name = name),
        show: |s| text(&s.node.name),
    },
    Setting {
        name: "cluster",
        value_name: "NAME",
        help: "Nodes of different clusters refuse each other",
        heading: IDENTITY,
        repeated: false,
        apply: |s, given| given.word(1..=64).map(|name| s.node.cluster = name),
        show: |s| text(&s.node.cluster),
    },
    Setting {
        name: "seed",
        value_name: "HOST:GOSSIPPORT",
        help: "Gossip address of a node to join through; repeat it for more",
        heading: IDENTITY,
        repeated: true,
        apply: |s, given| given.addresses().map(|seeds| s.node.seeds = seeds),
        show: |s| Some(Shown::List(s.node.seeds.clone())),
    },
    Setting {
        name: "weight",
        value_name: "1..16",
        help: "Share of the topics relative to other nodes",
        heading: IDENTITY,
        repeated: false,
        apply: |s, given| {
            given
                .number(1..=16)
                .map(|weight| s.node.weight = weight as u8)
        },
        show: |s| number(s.node.weight),
    },
    Setting {
        name: "zone",
        value_name: "LABEL",
        help: "A label for where the node runs; shown to people",
        heading: IDENTITY,
        repeated: false,
        apply: |s, given| given.word(0..=64).map(|zone| s.node.zone = zone),
        show: |s| text(&s.node.zone),
    },
    Setting {
        name: "bind",
        value_name: "IP",
        help: "Address to listen on; 0.0.0.0 opens it to the network",
        heading: ADDRESSES,
        repeated: false,
        apply: |s, given| given.ip().map(|ip| s.node.bind = ip),
        show: |s| text(&s.node.bind.to_string()),
    },
    Setting {
        name: "port",
        value_name: "PORT",
        help: "Port for clients and HTTP; 0 takes free ones",
        heading: ADDRESSES,
        repeated: false,
        apply: |s, given| given.port().map(|port| s.node.port = port),
        show: |s| number(s.node.port),
    },
    Setting {
        name: "gossip-port",
        value_name: "PORT",
        help: "Port for gossip between nodes (default: port + 1)",
        heading: ADDRESSES,
        repeated: false,
        apply: |s, given| given.port().map(|port| s.node.gossip_port = Some(port)),
        show: |s| s.node.gossip_port.and_then(number),
    },
    Setting {
        name: "link-port",
        value_name: "PORT",
        help: "Port for data between nodes (default: port + 2)",
        heading: ADDRESSES,
        repeated: false,
        apply: |s, given| given.port().map(|port| s.node.link_port = Some(port)),
        show: |s| s.node.link_port.and_then(number),
    },
    Setting {
        name: "advertise",
        value_name: "HOST",
        help: "Host that other nodes are told (default: the bound address)",
        heading: ADDRESSES,
        repeated: false,
        apply: |s, given| given.host().map(|host| s.node.advertise = Some(host)),
        show: |s| s.node.advertise.as_deref().and_then(text),
    },
    Setting {
        name: "max-message",
        value_name: "SIZE",
        help: "Largest message taken, all frames together",
        heading: LIMITS,
        repeated: false,
        apply: |s, given| {
            given
                .size(KIB..=GIB)
                .map(|bytes| s.node.limits.max_message_bytes = bytes)
        },
        show: |s| size(s.node.limits.max_message_bytes),
    },
    Setting {
        name: "max-frames",
        value_name: "N",
        help: "Most frames in one message",
        heading: LIMITS,
        repeated: false,
        apply: |s, given| {
            given
                .number(1..=1_000_000)
                .map(|most| s.node.limits.max_frames = most as usize)
        },
        show: |s| count(s.node.limits.max_frames),
    },
    Setting {
        name: "max-connections",
        value_name: "N",
        help: "Most connections at a time, HTTP included",
        heading: LIMITS,
        repeated: false,
        apply: |s, given| {
            given
                .number(1..=1_000_000)
                .map(|most| s.node.limits.max_connections = most as usize)
        },
        show: |s| count(s.node.limits.max_connections),
    },
    Setting {
        name: "max-subscriptions",
        value_name: "N",
        help: "Most subscriptions of one client connection",
        heading: LIMITS,
        repeated: false,
        apply: |s, given| {
            given
                .number(1..=10_000_000)
                .map(|most| s.node.limits.max_subscriptions = most as usize)
        },
        show: |s| count(s.node.limits.max_subscriptions),
    },
    Setting {
        name: "handshake-timeout",
        value_name: "DURATION",
        help: "When a silent new client is closed",
        heading: LIMITS,
        repeated: false,
        apply: |s, given| {
            given
                .duration(Duration::from_millis(100)..=Duration::from_secs(300))
                .map(|duration| s.node.limits.handshake_timeout = duration)
        },
        show: |s| text(&units::show_duration(s.node.limits.handshake_timeout)),
    },
    Setting {
        name: "connection-budget",
        value_name: "SIZE",
        help: "Bytes of one publisher on their way before it is held back",
        heading: LIMITS,
        repeated: false,
        apply: |s, given| {
            given
                .size(64 * KIB..=64 * GIB)
                .map(|bytes| s.node.limits.connection_budget_bytes = bytes)
        },
        show: |s| size(s.node.limits.connection_budget_bytes),
    },
    Setting {
        name: "node-budget",
        value_name: "SIZE",
        help: "The same for all publishers together",
        heading: LIMITS,
        repeated: false,
        apply: |s, given| {
            given
                .size(MIB..=1024 * GIB)
                .map(|bytes| s.node.limits.node_budget_bytes = bytes)
        },
        show: |s| size(s.node.limits.node_budget_bytes),
    },
    Setting {
        name: "queue-size",
        value_name: "SIZE",
        help: "Most bytes that wait for one subscriber",
        heading: LIMITS,
        repeated: false,
        apply: |s, given| {
            given
                .size(64 * KIB..=64 * GIB)
                .map(|bytes| s.node.queue.bytes = bytes)
        },
        show: |s| size(s.node.queue.bytes),
    },
    Setting {
        name: "queue-policy",
        value_name: "POLICY",
        help: "Full queue: drop-newest, drop-oldest, disconnect, block",
        heading: LIMITS,
        repeated: false,
        apply: |s, given| {
            given
                .choice(&QueuePolicy::ALL)
                .map(|policy| s.node.queue.policy = policy)
        },
        show: |s| {
            QueuePolicy::ALL
                .iter()
                .find(|(_, policy)| *policy == s.node.queue.policy)
                .and_then(|(name, _)| text(name))
        },
    },
    Setting {
        name: rules::NAME,
        value_name: "PREFIX=POLICY[:SIZE]",
        help: "Own policy and size for topics with this prefix; repeat it for more",
        heading: LIMITS,
        repeated: true,
        apply: |s, given| rules::read(given).map(|rules| s.node.queue_rules = rules),
        show: |s| Some(Shown::Tables(rules::show(&s.node.queue_rules))),
    },
    Setting {
        name: services::NAME,
        value_name: "NAME:KEY=VALUE…",
        help: "Deadline, in-flight, idempotent, breaker or rep-port of a service; repeat it",
        heading: LIMITS,
        repeated: true,
        apply: |s, given| services::read(given).map(|rules| s.node.service_rules = rules),
        show: |s| Some(Shown::Tables(services::show(&s.node.service_rules))),
    },
    Setting {
        name: "drain-timeout",
        value_name: "DURATION",
        help: "How long the node may take to hand on what it has before it ends",
        heading: LIMITS,
        repeated: false,
        apply: |s, given| {
            given
                .duration(Duration::ZERO..=Duration::from_secs(3600))
                .map(|duration| s.node.drain_timeout = duration)
        },
        show: |s| text(&units::show_duration(s.node.drain_timeout)),
    },
    Setting {
        name: "log",
        value_name: "LEVEL",
        help: "off, error, warn, info, debug, trace or MODULE=LEVEL,…",
        heading: LOGGING,
        repeated: false,
        apply: |s, given| given.log_filter().map(|filter| s.log = filter),
        show: |s| text(&s.log),
    },
    Setting {
        name: "log-format",
        value_name: "FORMAT",
        help: "text for people, json for machines",
        heading: LOGGING,
        repeated: false,
        apply: |s, given| {
            given
                .choice(&LogFormat::ALL)
                .map(|format| s.log_format = format)
        },
        show: |s| {
            LogFormat::ALL
                .iter()
                .find(|(_, format)| *format == s.log_format)
                .and_then(|(name, _)| text(name))
        },
    },
];

fn text(value: &str) -> Option<Shown> {
    Some(Shown::Text(value.to_string()))
}

fn number(value: impl Into<u64>) -> Option<Shown> {
    Some(Shown::Number(value.into()))
}

fn count(value: usize) -> Option<Shown> {
    number(value as u64)
}

fn size(bytes: usize) -> Option<Shown> {
    text(&units::show_size(bytes as u64))
}
