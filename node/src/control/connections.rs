//! `/api/v1/connections`: the clients, and which of them are slow.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::api::{Asked, stopping};
use crate::forward::{ClientId, ClientStats, LaneStats, Time};
use crate::hub::{ClientInfo, Hub};
use crate::report;

/// Slow connections that an overview lists at most.
const SLOW_LISTED: usize = 10;

/// A drop this long ago is news no more.
const LATELY: Time = Time::from_secs(60);

pub(super) async fn connections(State(shared): Asked) -> Response {
    match shared.data.ask(list_connections).await {
        Some(connections) => Json(report::Connections { connections }).into_response(),
        None => stopping(),
    }
}

/// Subscribers whose queue is full now, or dropped something lately; those with the most bytes
/// first.
pub(super) fn slow_connections(hub: &Hub) -> Vec<report::Connection> {
    let now = hub.now();
    let clients = hub.clients.borrow();
    let lately = |at: &Time| now.saturating_sub(*at) < LATELY;
    let slow = clients.iter().filter_map(|(id, info)| {
        let stats = hub.look(|router| router.client_stats(*id))?;
        let drops = stats.lanes.iter().filter_map(|lane| lane.dropped_at);
        let slow = stats.full_since.is_some() || drops.max().as_ref().is_some_and(lately);
        slow.then(|| describe(*id, info, &stats, now))
    });
    let mut slow: Vec<report::Connection> = slow.collect();
    slow.sort_by_key(|connection| std::cmp::Reverse(connection.queue_bytes));
    slow.truncate(SLOW_LISTED);
    slow
}

fn list_connections(hub: &Hub) -> Vec<report::Connection> {
    let now = hub.now();
    let clients = hub.clients.borrow();
    let described = clients.iter().filter_map(|(id, info)| {
        let stats = hub.look(|router| router.client_stats(*id))?;
        Some(describe(*id, info, &stats, now))
    });
    described.collect()
}

fn describe(id: ClientId, info: &ClientInfo, stats: &ClientStats, now: Time) -> report::Connection {
    let ago = |at: Option<Time>| at.map(|at| now.saturating_sub(at).as_secs_f64());
    let lanes = &stats.lanes;
    let mut by_reason = BTreeMap::new();
    for lane in lanes.iter().filter(|lane| lane.dropped_messages > 0) {
        *by_reason.entry(lane.reason.name().to_string()).or_insert(0) += lane.dropped_messages;
    }
    let unwritten = info.handle.unwritten.get();
    report::Connection {
        id: id.0.into(),
        peer: info.peer.to_string(),
        socket_type: info.socket_type.clone(),
        zmtp: format!("3.{}", info.zmtp_minor),
        age_seconds: now.saturating_sub(info.since).as_secs_f64(),
        subscriptions: stats.subscriptions as u32,
        taken_messages: stats.taken_messages,
        delivered_messages: stats.delivered_messages,
        dropped_messages: stats.dropped_messages,
        dropped_bytes: lanes.iter().map(|lane| lane.dropped_bytes).sum(),
        dropped_by_reason: by_reason,
        seconds_since_drop: ago(lanes.iter().filter_map(|lane| lane.dropped_at).max()),
        queue_messages: stats.queue_messages,
        queue_bytes: stats.queue_bytes as u64,
        queue_policy: lanes.first().map_or("", |lane| lane.policy.name()).into(),
        full_for_seconds: ago(stats.full_since),
        queue: lanes.iter().map(|lane| part(lane, now)).collect(),
        unwritten_messages: unwritten.messages,
        unwritten_bytes: unwritten.bytes,
        undone_bytes: stats.undone_bytes as u64,
        paused: stats.paused,
    }
}

fn part(lane: &LaneStats, now: Time) -> report::QueuePart {
    let ago = |at: Option<Time>| at.map(|at| now.saturating_sub(at).as_secs_f64());
    report::QueuePart {
        prefix: String::from_utf8_lossy(&lane.prefix).into_owned(),
        policy: lane.policy.name().into(),
        limit_bytes: lane.limit_bytes as u64,
        messages: lane.messages,
        bytes: lane.bytes as u64,
        dropped_messages: lane.dropped_messages,
        dropped_bytes: lane.dropped_bytes,
        seconds_since_drop: ago(lane.dropped_at),
        full_for_seconds: ago(lane.full_since),
    }
}
