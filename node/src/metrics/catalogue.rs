//! Every metric of a node: its name, its type, its labels, and what it says.
//!
//! Labels are bounded: lists in this code, names of members, and at most twenty topics. Every
//! series also has the labels `cluster` and `node`.

mod queues;
mod requests;

use zmesh_gossip::RTT_BOUNDS;

use super::metric::{Metric, counter, gauge, histogram};
use crate::forward::Times;

pub(crate) use queues::*;
pub(crate) use requests::*;

/// Every metric of a node but those of its process (`process_*`).
pub const METRICS: &[Metric] = &[
    BUILD_INFO,
    READY,
    STATE,
    DRAIN_SECONDS,
    DRAIN_TIMEOUT,
    CONFIG_HASH,
    CONFIG_RELOADS,
    MEMBERS,
    VIEW_HASH,
    VIEW_MEMBERS,
    VIEW_CHANGES,
    SUSPICIONS,
    REFUTATIONS,
    DEATHS,
    LEAVES,
    JOINS,
    FLAPS,
    STALLS,
    HEALTH,
    SYNCS,
    JOINS_REFUSED,
    PROBE_RTT,
    PROBES,
    GOSSIP_PACKETS,
    GOSSIP_BYTES,
    GOSSIP_REJECTED,
    GOSSIP_CLOSED,
    GOSSIP_LAG,
    LINKS,
    LINK_UP,
    LINK_MESSAGES,
    LINK_BYTES,
    LINK_PENDING,
    LINK_RTT,
    LINK_SESSIONS,
    LINKS_REFUSED,
    CONNECTIONS,
    CONNECTIONS_OPENED,
    CONNECTIONS_CLOSED,
    SUBSCRIPTIONS,
    SUBSCRIPTION_READY,
    QUEUED_BYTES,
    QUEUED_MESSAGES,
    QUEUES_FULL,
    SUBSCRIBERS_SLOW,
    SLOW_CONSUMERS,
    PUBLISHERS_THROTTLED,
    THROTTLED_SECONDS,
    TAKEN,
    TAKEN_BYTES,
    DONE,
    DONE_SECONDS,
    ROUTED,
    ACKED,
    REQUESTS,
    REQUEST_SECONDS,
    REQUESTS_IN_FLIGHT,
    REQUESTS_WAITING,
    REQUEST_RETRIES,
    BREAKERS_OPEN,
    WORKERS,
    TASKS_TAKEN,
    TASKS_UNTAKEN,
    TASKS_GIVEN,
    TASKS_ENDED,
    TASKS,
    TASK_BYTES,
    QUEUES,
    QUEUE_WORKERS,
    FORWARDED,
    FORWARDED_BYTES,
    MATCHED,
    DELIVERED,
    DELIVERED_BYTES,
    DROPPED,
    DROPPED_BYTES,
    DUPLICATE_RECORDS,
    UNDONE_BYTES,
    UNDONE_MESSAGES,
    UNACKED_BYTES,
    UNACKED_MESSAGES,
    TOPIC_MESSAGES,
    PARTITIONS_OWNED,
    RING_SHARE,
    PARTITION_MOVES,
    PARTITION_MOVE_WAIT,
    MOVING_PARTITIONS,
    DATA_LAG,
    EVENTS,
];

pub(crate) const BUILD_INFO: Metric = gauge(
    "zmesh_build_info",
    &["version"],
    "Always 1; the label says what runs.",
);
pub(crate) const READY: Metric = gauge(
    "zmesh_ready",
    &[],
    "1 while the node takes messages, else 0.",
);
pub(crate) const STATE: Metric = gauge(
    "zmesh_state",
    &["state"],
    "1 for what the node is doing (joining, ready, leaving), 0 for the others.",
);
pub(crate) const DRAIN_SECONDS: Metric = gauge(
    "zmesh_drain_seconds",
    &[],
    "Time since the node began to go; 0 while it stays.",
);
pub(crate) const DRAIN_TIMEOUT: Metric = gauge(
    "zmesh_drain_timeout_seconds",
    &[],
    "How long it may take to go (drain-timeout).",
);
pub(crate) const CONFIG_HASH: Metric = gauge(
    "zmesh_config_hash",
    &[],
    "Upper 48 bits of a hash of the settings, without those that are a node's own (name, zone, \
     weight, addresses, seeds, drain-timeout, logging): equal where nodes are set alike.",
);

pub(crate) const CONFIG_RELOADS: Metric = counter(
    "zmesh_config_reloads_total",
    &["result"],
    "Times the settings were read again while the node ran (SIGHUP), by what came of it (applied, \
     unchanged, refused).",
);

pub(crate) const MEMBERS: Metric = gauge(
    "zmesh_members",
    &["state"],
    "Members known, by state (alive, suspect, dead, left).",
);
pub(crate) const VIEW_HASH: Metric = gauge(
    "zmesh_view_hash",
    &[],
    "Upper 48 bits of the hash of the view: equal where nodes agree.",
);
pub(crate) const VIEW_MEMBERS: Metric =
    gauge("zmesh_view_members", &[], "Members that share the topics.");
pub(crate) const VIEW_CHANGES: Metric =
    counter("zmesh_view_changes_total", &[], "Views published.");
pub(crate) const SUSPICIONS: Metric = counter(
    "zmesh_gossip_suspicions_total",
    &[],
    "Members that became suspect.",
);
pub(crate) const REFUTATIONS: Metric = counter(
    "zmesh_gossip_refutations_total",
    &[],
    "Claims that this node is suspect or dead which it refuted.",
);
pub(crate) const DEATHS: Metric = counter(
    "zmesh_gossip_deaths_total",
    &[],
    "Members that were declared, or learned, dead.",
);
pub(crate) const LEAVES: Metric = counter(
    "zmesh_gossip_leaves_total",
    &[],
    "Members that said goodbye.",
);
pub(crate) const JOINS: Metric = counter(
    "zmesh_gossip_joins_total",
    &[],
    "Nodes let in through this one.",
);
pub(crate) const FLAPS: Metric = counter(
    "zmesh_gossip_flaps_total",
    &[],
    "Members that were held dead and turned out to live.",
);
pub(crate) const STALLS: Metric = counter(
    "zmesh_gossip_stalls_total",
    &[],
    "Times that this process stood still for long.",
);
pub(crate) const HEALTH: Metric = gauge(
    "zmesh_gossip_health",
    &[],
    "How much this node distrusts its own accusations, 0 (not at all) to 8: probes go wrong \
     here, or this process was late.",
);
pub(crate) const SYNCS: Metric = counter(
    "zmesh_gossip_syncs_total",
    &[],
    "Tables that this node asked for because digests differed.",
);
pub(crate) const JOINS_REFUSED: Metric = counter(
    "zmesh_joins_refused_total",
    &["reason", "by"],
    "Joins refused because of other values (cluster, version, partitions), by this node or by \
     a seed of its.",
);
pub(crate) const PROBE_RTT: Metric = histogram(
    "zmesh_gossip_probe_rtt_seconds",
    &RTT_BOUNDS,
    "Time until a member answered a probe.",
);
pub(crate) const PROBES: Metric = counter(
    "zmesh_gossip_probes_total",
    &["stage"],
    "Probes of members: started, asked of helpers too (indirect), failed, spared since the \
     link had brought something, answered by somebody else (wrong_target).",
);
pub(crate) const GOSSIP_PACKETS: Metric = counter(
    "zmesh_gossip_packets_total",
    &["type", "direction"],
    "Gossip packets, by type and direction (sent, received).",
);
pub(crate) const GOSSIP_BYTES: Metric = counter(
    "zmesh_gossip_bytes_total",
    &["type", "direction"],
    "Bytes of gossip packets, by type and direction; those that could not be read have the \
     type unreadable.",
);
pub(crate) const GOSSIP_REJECTED: Metric = counter(
    "zmesh_gossip_packets_rejected_total",
    &["reason"],
    "Gossip packets that could not be read (malformed) or came from elsewhere (foreign).",
);
pub(crate) const GOSSIP_CLOSED: Metric = counter(
    "zmesh_gossip_connections_closed_total",
    &["reason"],
    "Connections to the gossip port that were closed, by reason.",
);
pub(crate) const GOSSIP_LAG: Metric = histogram(
    "zmesh_gossip_lag_seconds",
    &Times::BOUNDS,
    "How late the gossip thread came to what it had to do: it is starved if this grows.",
);

pub(crate) const LINKS: Metric = gauge(
    "zmesh_links",
    &["state"],
    "Links to other nodes, by state (up, down).",
);
pub(crate) const LINK_UP: Metric = gauge(
    "zmesh_link_up",
    &["peer"],
    "1 while the link to this member is up.",
);
pub(crate) const LINK_MESSAGES: Metric = counter(
    "zmesh_link_messages_total",
    &["peer"],
    "Messages of publishers given to the link to this member; requests are not counted.",
);
pub(crate) const LINK_BYTES: Metric =
    counter("zmesh_link_bytes_total", &["peer"], "Bytes of those.");
pub(crate) const LINK_PENDING: Metric = gauge(
    "zmesh_link_pending_bytes",
    &["peer"],
    "Bytes of publishers that wait for the link to this member.",
);
pub(crate) const LINK_RTT: Metric = gauge(
    "zmesh_link_rtt_seconds",
    &["peer"],
    "Time until this member answered the last ping over its link, behind the messages that \
     were on it.",
);
pub(crate) const LINK_SESSIONS: Metric = counter(
    "zmesh_link_sessions_total",
    &["peer"],
    "Times that the link to this member came up.",
);
pub(crate) const LINKS_REFUSED: Metric = counter(
    "zmesh_links_refused_total",
    &["reason"],
    "Connections to the link port refused, or closed for what they said, by reason.",
);

pub(crate) const CONNECTIONS: Metric = gauge(
    "zmesh_connections",
    &["socket_type"],
    "Clients connected by ZMTP, by the socket type of the client.",
);
pub(crate) const CONNECTIONS_OPENED: Metric = counter(
    "zmesh_connections_opened_total",
    &["socket_type"],
    "ZMTP handshakes completed, by the socket type of the client.",
);
pub(crate) const CONNECTIONS_CLOSED: Metric = counter(
    "zmesh_connections_closed_total",
    &["reason"],
    "Connections to the client address that were closed, by reason.",
);
pub(crate) const SUBSCRIPTIONS: Metric = gauge(
    "zmesh_subscriptions",
    &[],
    "Distinct prefixes that this node's clients subscribe to.",
);
pub(crate) const SUBSCRIPTION_READY: Metric = histogram(
    "zmesh_subscription_ready_seconds",
    &Times::BOUNDS,
    "Time from a subscription until every member has acknowledged it.",
);
pub(crate) const QUEUED_BYTES: Metric = gauge(
    "zmesh_queued_bytes",
    &[],
    "Bytes that wait in subscribers' queues.",
);
pub(crate) const QUEUED_MESSAGES: Metric = gauge(
    "zmesh_queued_messages",
    &[],
    "Messages that wait in subscribers' queues.",
);
pub(crate) const SUBSCRIBERS_SLOW: Metric = gauge(
    "zmesh_subscribers_slow",
    &[],
    "Subscribers that do not keep up: a queue of theirs was full, and has not been well since.",
);
pub(crate) const QUEUES_FULL: Metric = gauge(
    "zmesh_queues_full",
    &[],
    "Subscribers whose queue is full now.",
);
pub(crate) const SLOW_CONSUMERS: Metric = counter(
    "zmesh_slow_consumers_total",
    &["action"],
    "Times that a subscriber's queue became full after it had kept up, by what its policy does \
     (drop_newest, drop_oldest, disconnect, block).",
);
pub(crate) const PUBLISHERS_THROTTLED: Metric = gauge(
    "zmesh_publishers_throttled",
    &[],
    "Publishers that are not read from now, since too much of theirs is on its way.",
);
pub(crate) const THROTTLED_SECONDS: Metric = counter(
    "zmesh_publisher_throttled_seconds_total",
    &[],
    "For how long publishers were not read from, all of them together; looked at four times a \
     second.",
);

pub(crate) const TAKEN: Metric = counter(
    "zmesh_messages_taken_total",
    &[],
    "Messages taken from clients.",
);
pub(crate) const TAKEN_BYTES: Metric =
    counter("zmesh_bytes_taken_total", &[], "Bytes taken from clients.");
pub(crate) const DONE: Metric = counter(
    "zmesh_messages_done_total",
    &[],
    "Messages taken here that are known to be with everybody who wants them.",
);
pub(crate) const DONE_SECONDS: Metric = histogram(
    "zmesh_message_done_seconds",
    &Times::BOUNDS,
    "From when a message was taken here until it was known to be with every node that wants \
     it, by one clock; acknowledgements wait up to a millisecond for each other.",
);
pub(crate) const ROUTED: Metric = counter(
    "zmesh_messages_routed_total",
    &[],
    "Pairs of a message that this node serves as its owner and a node that wants it.",
);
pub(crate) const ACKED: Metric = counter(
    "zmesh_messages_acked_total",
    &[],
    "Of those, the ones that the node has acknowledged.",
);
pub(crate) const FORWARDED: Metric = counter(
    "zmesh_messages_forwarded_total",
    &[],
    "Messages given to links, each time they were given.",
);
pub(crate) const FORWARDED_BYTES: Metric =
    counter("zmesh_bytes_forwarded_total", &[], "Bytes given to links.");
pub(crate) const MATCHED: Metric = counter(
    "zmesh_messages_matched_total",
    &[],
    "Pairs of a message and a client of this node that wants it.",
);
pub(crate) const DELIVERED: Metric = counter(
    "zmesh_messages_delivered_total",
    &[],
    "Messages handed to clients' sockets.",
);
pub(crate) const DELIVERED_BYTES: Metric =
    counter("zmesh_bytes_delivered_total", &[], "Bytes of those.");
pub(crate) const DROPPED: Metric = counter(
    "zmesh_messages_dropped_total",
    &["reason", "place"],
    "Messages dropped, by reason and place (origin, owner, subscriber).",
);
pub(crate) const DROPPED_BYTES: Metric = counter(
    "zmesh_bytes_dropped_total",
    &["reason", "place"],
    "Bytes of dropped messages, by reason and place.",
);
pub(crate) const DUPLICATE_RECORDS: Metric = counter(
    "zmesh_records_duplicate_total",
    &[],
    "Records that came once more, after a link or an owner was lost, and were skipped.",
);
pub(crate) const UNDONE_BYTES: Metric = gauge(
    "zmesh_undone_bytes",
    &[],
    "Bytes taken from clients and not yet known to be with all who want them.",
);
pub(crate) const UNDONE_MESSAGES: Metric = gauge(
    "zmesh_undone_messages",
    &[],
    "Messages taken from clients and not yet known to be with all who want them.",
);
pub(crate) const UNACKED_BYTES: Metric = gauge(
    "zmesh_unacked_bytes",
    &[],
    "Bytes that this node passed on as owner and that were not yet acknowledged.",
);
pub(crate) const UNACKED_MESSAGES: Metric = gauge(
    "zmesh_unacked_messages",
    &[],
    "Messages routed to nodes that still owe acknowledgements of their streams.",
);
pub(crate) const TOPIC_MESSAGES: Metric = counter(
    "zmesh_topic_messages_total",
    &["topic"],
    "Messages of the busiest topics that this node owns, since the topic is among the twenty \
     busiest; all others together as _other. Above some thousand messages a second an \
     estimate from one record in sixteen.",
);

pub(crate) const PARTITIONS_OWNED: Metric = gauge(
    "zmesh_partitions_owned",
    &[],
    "Partitions that this node owns.",
);
pub(crate) const RING_SHARE: Metric = gauge(
    "zmesh_ring_share",
    &[],
    "The part of all partitions that this node owns, 0 to 1.",
);
pub(crate) const PARTITION_MOVES: Metric = counter(
    "zmesh_partition_moves_total",
    &["direction", "cause"],
    "Partitions that came to this node or went from it (gained, lost), because a member came \
     (join), said goodbye (leave), was lost (death), or to keep shares even (balance).",
);
pub(crate) const PARTITION_MOVE_WAIT: Metric = histogram(
    "zmesh_partition_move_wait_seconds",
    &Times::BOUNDS,
    "How long messages of a partition that moved waited for its old owner.",
);
pub(crate) const MOVING_PARTITIONS: Metric = gauge(
    "zmesh_moving_partitions",
    &[],
    "Partitions whose messages wait for the old owner before they go to the new one.",
);

pub(crate) const DATA_LAG: Metric = histogram(
    "zmesh_data_lag_seconds",
    &Times::BOUNDS,
    "How late the data thread came to what it had to do, looked at four times a second.",
);
pub(crate) const EVENTS: Metric = counter(
    "zmesh_events_total",
    &["event"],
    "Events, by what happened.",
);

#[cfg(test)]
mod tests;
