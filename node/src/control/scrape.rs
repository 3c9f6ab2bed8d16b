//! `/metrics`: copies what the core, membership and the control thread know into the metrics.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use zmesh_gossip::Kind;
use zmesh_partition::PARTITIONS;

use super::Shared;
use super::api::{Asked, state_name, stopping};
use crate::config::QueuePolicy;
use crate::forward::{DropReason, Instance, PeerStats, Stats, Time, Times, TopicStats};
use crate::hub::{Hub, Phase};
use crate::metrics::{self as catalogue, Metrics, SOCKET_TYPES};
use crate::view::View;
use crate::{queues, services};

/// What the data thread knows at one moment.
struct Look {
    stats: Stats,
    services: services::Stats,
    queues: queues::Stats,
    peers: Vec<PeerStats>,
    topics: Vec<TopicStats>,
    connections: BTreeMap<String, usize>,
    rtts: BTreeMap<Instance, Time>,
}

impl Look {
    fn at(hub: &Hub) -> Self {
        let mut connections: BTreeMap<String, usize> = BTreeMap::new();
        for client in hub.clients.borrow().values() {
            *connections.entry(client.socket_type.clone()).or_default() += 1;
        }
        hub.look(|router| Self {
            stats: hub.stats(),
            services: hub.look_services(|services| services.stats()),
            queues: hub.look_queues(|queues| queues.stats()),
            peers: router.peer_stats().collect(),
            topics: router.topics(),
            connections,
            rtts: hub.link_rtts(),
        })
    }
}

pub(super) async fn metrics(State(shared): Asked) -> Response {
    let Some(look) = shared.data.ask(Look::at).await else {
        return stopping();
    };
    let view = Arc::clone(&shared.view.borrow());
    let metrics = &shared.metrics;
    copy_node(&shared, metrics);
    copy_view(metrics, &view, &shared);
    copy_gossip(metrics, &view.membership.stats);
    copy_messages(metrics, &look.stats);
    copy_requests(metrics, &look.services);
    copy_queues(metrics, &look.queues);
    copy_clients(metrics, &look);
    copy_links(&shared, &look, &view);
    copy_topics(metrics, &look);
    match metrics.text() {
        Ok(text) => {
            let kind = (
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            );
            ([kind], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn copy_node(shared: &Shared, metrics: &Metrics) {
    let phase = *shared.phase.borrow();
    metrics.set(&catalogue::READY, &[], flag(phase == Phase::Ready));
    for other in [Phase::Joining, Phase::Ready, Phase::Leaving] {
        metrics.set(&catalogue::STATE, &[other.name()], flag(phase == other));
    }
    let (since, timeout) = shared.drain.clock();
    metrics.set(&catalogue::DRAIN_SECONDS, &[], since.as_secs_f64());
    metrics.set(&catalogue::DRAIN_TIMEOUT, &[], timeout.as_secs_f64());
    metrics.set(
        &catalogue::CONFIG_HASH,
        &[],
        upper_bits(shared.config_hash.load(Ordering::Relaxed)),
    );
}

fn copy_view(metrics: &Metrics, view: &View, shared: &Shared) {
    metrics.set(
        &catalogue::VIEW_HASH,
        &[],
        upper_bits(view.membership.view_hash),
    );
    let members = view.membership.view.len() as f64;
    metrics.set(&catalogue::VIEW_MEMBERS, &[], members);
    let owned = f64::from(view.ring.table().partitions_of(shared.id.0));
    metrics.set(&catalogue::PARTITIONS_OWNED, &[], owned);
    let share = owned / f64::from(PARTITIONS);
    metrics.set(&catalogue::RING_SHARE, &[], share);
    for state in ["alive", "suspect", "dead", "left"] {
        let members = view.membership.members.iter();
        let those = members.filter(|it| state_name(it.member.state) == state);
        metrics.set(&catalogue::MEMBERS, &[state], those.count() as f64);
    }
}

fn copy_gossip(metrics: &Metrics, gossip: &zmesh_gossip::Stats) {
    let raise = |metric, count: u64| metrics.raise(metric, &[], count as f64);
    raise(&catalogue::SUSPICIONS, gossip.suspicions);
    raise(&catalogue::REFUTATIONS, gossip.refutations);
    raise(&catalogue::DEATHS, gossip.deaths);
    raise(&catalogue::LEAVES, gossip.leaves);
    raise(&catalogue::JOINS, gossip.joins);
    raise(&catalogue::FLAPS, gossip.flaps);
    raise(&catalogue::STALLS, gossip.stalls);
    raise(&catalogue::SYNCS, gossip.syncs);
    metrics.set(&catalogue::HEALTH, &[], gossip.health as f64);
    metrics.copy(&catalogue::PROBE_RTT, &gossip.rtt_counts, gossip.rtt_sum);
    let probes = |stage, count: u64| metrics.raise(&catalogue::PROBES, &[stage], count as f64);
    probes("started", gossip.probes);
    probes("indirect", gossip.probes_indirect);
    probes("failed", gossip.probes_failed);
    probes("spared", gossip.probes_spared);
    probes("wrong_target", gossip.wrong_targets);
    for (kind, name) in Kind::ALL {
        let packets = |direction, count: u64| {
            metrics.raise(&catalogue::GOSSIP_PACKETS, &[name, direction], count as f64);
        };
        packets("sent", gossip.sent_of(kind));
        packets("received", gossip.received_of(kind));
        let bytes = |direction, count: u64| {
            metrics.raise(&catalogue::GOSSIP_BYTES, &[name, direction], count as f64);
        };
        bytes("sent", gossip.sent_bytes_by[kind as usize]);
        bytes("received", gossip.received_bytes_by[kind as usize]);
    }
    let read: u64 = gossip.received_bytes_by.iter().sum();
    let unreadable = gossip.received_bytes.saturating_sub(read) as f64;
    metrics.raise(
        &catalogue::GOSSIP_BYTES,
        &["unreadable", "received"],
        unreadable,
    );
    let rejected = |reason, count: u64| {
        metrics.raise(&catalogue::GOSSIP_REJECTED, &[reason], count as f64);
    };
    rejected("malformed", gossip.malformed);
    rejected("foreign", gossip.foreign);
}

fn copy_messages(metrics: &Metrics, stats: &Stats) {
    let raise = |metric, count: u64| metrics.raise(metric, &[], count as f64);
    raise(&catalogue::TAKEN, stats.taken_messages);
    raise(&catalogue::TAKEN_BYTES, stats.taken_bytes);
    raise(&catalogue::DONE, stats.done_messages);
    raise(&catalogue::ROUTED, stats.routed_messages);
    raise(&catalogue::ACKED, stats.acked_messages);
    raise(&catalogue::FORWARDED, stats.forwarded_messages);
    raise(&catalogue::FORWARDED_BYTES, stats.forwarded_bytes);
    raise(&catalogue::MATCHED, stats.matched_messages);
    raise(&catalogue::DELIVERED, stats.delivered_messages);
    raise(&catalogue::DELIVERED_BYTES, stats.delivered_bytes);
    raise(&catalogue::DUPLICATE_RECORDS, stats.duplicate_records);
    for (name, reason) in DropReason::ALL {
        let labels = [name, reason.place().name()];
        let count = stats.dropped[reason as usize] as f64;
        metrics.raise(&catalogue::DROPPED, &labels, count);
        let bytes = stats.dropped_bytes[reason as usize] as f64;
        metrics.raise(&catalogue::DROPPED_BYTES, &labels, bytes);
    }
    let set = |metric, value: f64| metrics.set(metric, &[], value);
    set(&catalogue::UNDONE_MESSAGES, stats.undone_messages as f64);
    set(&catalogue::UNDONE_BYTES, stats.undone_bytes as f64);
    set(&catalogue::UNACKED_MESSAGES, stats.unacked_messages as f64);
    set(&catalogue::UNACKED_BYTES, stats.unacked_bytes as f64);
    set(
        &catalogue::MOVING_PARTITIONS,
        stats.moving_partitions as f64,
    );
    let times = |metric, times: &Times| {
        metrics.copy(metric, times.counts(), times.sum());
    };
    times(&catalogue::DONE_SECONDS, &stats.done_times);
    times(&catalogue::PARTITION_MOVE_WAIT, &stats.move_times);
}

fn copy_clients(metrics: &Metrics, look: &Look) {
    let stats = &look.stats;
    let set = |metric, value: f64| metrics.set(metric, &[], value);
    set(&catalogue::SUBSCRIPTIONS, stats.prefixes as f64);
    set(&catalogue::QUEUED_BYTES, stats.queued_bytes as f64);
    set(&catalogue::QUEUED_MESSAGES, stats.queued_messages as f64);
    set(&catalogue::QUEUES_FULL, stats.full_queues as f64);
    set(&catalogue::SUBSCRIBERS_SLOW, stats.slow as f64);
    set(&catalogue::PUBLISHERS_THROTTLED, stats.throttled as f64);
    let throttled = stats.throttled_time.as_secs_f64();
    metrics.raise(&catalogue::THROTTLED_SECONDS, &[], throttled);
    for (name, policy) in QueuePolicy::ALL {
        let count = stats.became_slow[policy as usize] as f64;
        let action = name.replace('-', "_");
        metrics.raise(&catalogue::SLOW_CONSUMERS, &[&action], count);
    }
    for socket_type in SOCKET_TYPES {
        let count = look.connections.get(socket_type).copied().unwrap_or(0);
        metrics.set(&catalogue::CONNECTIONS, &[socket_type], count as f64);
    }
}

fn copy_queues(metrics: &Metrics, stats: &queues::Stats) {
    let set = |metric, labels: &[&str], value: usize| metrics.set(metric, labels, value as f64);
    let raise = |metric, labels: &[&str], count: u64| metrics.raise(metric, labels, count as f64);
    raise(&catalogue::TASKS_TAKEN, &[], stats.taken);
    set(&catalogue::TASKS_UNTAKEN, &[], stats.untaken);
    let counts = stats.counts;
    raise(
        &catalogue::TASKS_GIVEN,
        &["first"],
        counts.given - counts.again,
    );
    raise(&catalogue::TASKS_GIVEN, &["again"], counts.again);
    raise(&catalogue::TASKS_ENDED, &["done"], counts.done);
    raise(&catalogue::TASKS_ENDED, &["dead"], counts.dead);
    raise(
        &catalogue::TASKS_ENDED,
        &["dead_dropped"],
        counts.dead_dropped,
    );
    set(&catalogue::TASKS, &["ready"], stats.ready);
    set(&catalogue::TASKS, &["given"], stats.given);
    set(&catalogue::TASKS, &["dead"], stats.dead);
    set(&catalogue::TASK_BYTES, &[], stats.bytes);
    set(
        &catalogue::QUEUES,
        &["complete"],
        stats.queues - stats.uncopied,
    );
    set(&catalogue::QUEUES, &["incomplete"], stats.uncopied);
    set(&catalogue::QUEUE_WORKERS, &[], stats.workers);
}

fn copy_requests(metrics: &Metrics, stats: &services::Stats) {
    let answered = stats.answered.counts().iter().sum::<u64>();
    metrics.raise(&catalogue::REQUESTS, &["answered"], answered as f64);
    for (name, code) in services::Code::ALL {
        let count = stats.failed[code as usize];
        metrics.raise(&catalogue::REQUESTS, &[name], count as f64);
    }
    metrics.raise(&catalogue::REQUEST_RETRIES, &[], stats.retries as f64);
    let (counts, sum) = (stats.answered.counts(), stats.answered.sum());
    metrics.copy(&catalogue::REQUEST_SECONDS, counts, sum);
    for (gauge, count) in [
        (&catalogue::REQUESTS_IN_FLIGHT, stats.in_flight),
        (&catalogue::REQUESTS_WAITING, stats.waiting),
        (&catalogue::BREAKERS_OPEN, stats.breakers_open),
        (&catalogue::WORKERS, stats.workers),
    ] {
        metrics.set(gauge, &[], count as f64);
    }
}

fn copy_links(shared: &Shared, look: &Look, view: &View) {
    let metrics = &shared.metrics;
    let up = look.peers.iter().filter(|peer| peer.up).count();
    metrics.set(&catalogue::LINKS, &["up"], up as f64);
    let down = look.peers.len() - up;
    metrics.set(&catalogue::LINKS, &["down"], down as f64);
    for gauge in [
        &catalogue::LINK_UP,
        &catalogue::LINK_PENDING,
        &catalogue::LINK_RTT,
        &catalogue::LINK_MESSAGES,
        &catalogue::LINK_BYTES,
        &catalogue::LINK_SESSIONS,
    ] {
        metrics.clear(gauge);
    }
    let names = view.names();
    let totals = shared.link_totals.lock();
    let mut totals = totals.unwrap_or_else(PoisonError::into_inner);
    totals.update(&look.peers, &names);
    for (name, total) in totals.iter() {
        metrics.add(&catalogue::LINK_MESSAGES, &[name], total.messages);
        metrics.add(&catalogue::LINK_BYTES, &[name], total.bytes);
        metrics.add(&catalogue::LINK_SESSIONS, &[name], total.sessions);
    }
    for peer in &look.peers {
        let Some(name) = names.get(&peer.instance.0) else {
            continue;
        };
        // Two processes of one name, while one takes over from the other, are one series.
        let labels = [*name];
        metrics.set(&catalogue::LINK_UP, &labels, flag(peer.up));
        let pending = peer.pending_bytes as f64;
        metrics.set(&catalogue::LINK_PENDING, &labels, pending);
        if let Some(rtt) = look.rtts.get(&peer.instance) {
            metrics.set(&catalogue::LINK_RTT, &labels, rtt.as_secs_f64());
        }
    }
}

fn copy_topics(metrics: &Metrics, look: &Look) {
    metrics.clear(&catalogue::TOPIC_MESSAGES);
    for topic in &look.topics {
        let name = String::from_utf8_lossy(&topic.key);
        metrics.add(&catalogue::TOPIC_MESSAGES, &[&*name], topic.messages);
    }
    let others = look.stats.other_topics;
    metrics.add(&catalogue::TOPIC_MESSAGES, &["_other"], others);
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// As much of a hash as a metric holds exactly.
fn upper_bits(hash: u64) -> f64 {
    (hash >> 16) as f64
}
