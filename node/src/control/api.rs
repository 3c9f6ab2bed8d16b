//! The HTTP API: JSON, in the shapes of [`crate::report`]. All of it only reads, but for the drain.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use zmesh_partition::{PARTITIONS, Partition};

use super::Shared;
use super::connections::connections;
use super::console;
use super::drain::{begin_drain, drain};
use super::elsewhere::pass_on;
use super::explain::{explain, explain_here};
use super::foreign::refuse_foreign;
use super::mesh::{events, mesh, overview, stream, topics};
use super::queues::{dead_here, dead_tasks, queues, queues_here};
use super::reach::reach;
use super::scrape::metrics;
use super::services::{services, services_here};
use super::trace::{hops, trace};
use crate::forward::{DropReason, Stats};
use crate::hub::Phase;
use crate::report;
use crate::view::View;

/// Subscriptions that one answer lists at most.
const SUBSCRIPTIONS_LISTED: usize = 10_000;

pub(super) type Asked = State<Arc<Shared>>;

/// All routes.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    // With `?node=NAME` that member is asked.
    let of_any_node = Router::new()
        .route("/api/v1/node", get(node))
        .route("/api/v1/members", get(members))
        .route("/api/v1/ring", get(ring))
        .route("/api/v1/owner", get(owner))
        .route("/api/v1/links", get(links))
        .route("/api/v1/connections", get(connections))
        .route("/api/v1/subscriptions", get(subscriptions))
        .route("/api/v1/overview", get(overview))
        .route("/api/v1/topics", get(topics))
        .route("/api/v1/events", get(events))
        .route("/api/v1/explain-here", get(explain_here))
        .route("/api/v1/services-here", get(services_here))
        .route("/api/v1/queues-here", get(queues_here))
        .route("/api/v1/dead-tasks-here", get(dead_here))
        .route("/api/v1/reach", post(reach))
        .layer(from_fn_with_state(Arc::clone(&shared), pass_on));
    Router::new()
        .route("/", get(console::page))
        .route("/console/{name}", get(console::file))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/mesh", get(mesh))
        .route("/api/v1/stream", get(stream))
        .route("/api/v1/explain", get(explain))
        .route("/api/v1/services", get(services))
        .route("/api/v1/queues", get(queues))
        .route("/api/v1/dead-tasks", get(dead_tasks))
        .route("/api/v1/trace", get(hops).post(trace))
        .route("/api/v1/drain", get(drain).post(begin_drain))
        .merge(of_any_node)
        .method_not_allowed_fallback(|| async {
            let text = "not with this method: what only tells is asked by GET, what does something \
                        (trace, reach, drain) by POST\n";
            (StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .fallback(|| async {
            let text = "not here; try /, /metrics, /readyz or /api/v1/node\n";
            (StatusCode::NOT_FOUND, text)
        })
        .layer(from_fn(refuse_foreign))
        .with_state(shared)
}

/// The data thread has ended: the node is about to.
pub(super) fn stopping() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response()
}

async fn readyz(State(shared): Asked) -> Response {
    let phase = *shared.phase.borrow();
    let status = match phase {
        Phase::Ready => StatusCode::OK,
        Phase::Joining | Phase::Leaving => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{}\n", phase.name())).into_response()
}

pub(super) fn state_name(state: zmesh_gossip::State) -> &'static str {
    use zmesh_gossip::State::{Alive, Dead, Left, Suspect};
    match state {
        Alive => "alive",
        Suspect => "suspect",
        Dead => "dead",
        Left => "left",
    }
}

pub(super) fn hash_text(hash: u64) -> String {
    format!("{hash:016x}")
}

async fn node(State(shared): Asked) -> Response {
    let asked = shared
        .data
        .ask(|hub| (hub.stats(), hub.clients.borrow().len()));
    let Some((stats, connections)) = asked.await else {
        return stopping();
    };
    let view = Arc::clone(&shared.view.borrow());
    Json(describe_node(&shared, &view, &stats, connections)).into_response()
}

/// This node at a glance.
pub(super) fn describe_node(
    shared: &Shared,
    view: &View,
    stats: &Stats,
    connections: usize,
) -> report::Node {
    let dropped = DropReason::ALL
        .into_iter()
        .map(|(name, reason)| (name.to_string(), stats.dropped[reason as usize]));
    let closed = shared.metrics.closed_connections();
    report::Node {
        name: shared.name.clone(),
        cluster: shared.cluster.clone(),
        version: shared.version.into(),
        state: shared.phase.borrow().name().into(),
        uptime_seconds: shared.uptime().as_secs_f64(),
        client: shared.client.clone(),
        gossip: shared.gossip.clone(),
        link: shared.link.clone(),
        view_hash: hash_text(view.membership.view_hash),
        view_size: view.membership.view.len() as u32,
        partitions: view.ring.table().partitions_of(shared.id.0),
        connections: connections as u32,
        subscriptions: stats.prefixes as u32,
        taken_messages: stats.taken_messages,
        taken_bytes: stats.taken_bytes,
        forwarded_messages: stats.forwarded_messages,
        delivered_messages: stats.delivered_messages,
        delivered_bytes: stats.delivered_bytes,
        dropped_messages: dropped.filter(|(_, count)| *count > 0).collect(),
        closed_connections: closed
            .into_iter()
            .map(|(n, count)| (n.into(), count))
            .collect(),
        undone_bytes: stats.undone_bytes as u64,
    }
}

async fn members(State(shared): Asked) -> Json<report::Members> {
    let view = Arc::clone(&shared.view.borrow());
    Json(report::Members {
        members: list_members(&shared, &view),
        view_hash: hash_text(view.membership.view_hash),
    })
}

/// Everyone whom this node has heard of, sorted by name.
pub(super) fn list_members(shared: &Shared, view: &View) -> Vec<report::Member> {
    let mut members: Vec<report::Member> = view
        .membership
        .members
        .iter()
        .map(|known| {
            let member = &known.member;
            report::Member {
                name: member.name.clone(),
                state: state_name(member.state).into(),
                in_view: view.membership.view.contains(&member.id),
                me: member.id == shared.id,
                id: member.id.to_string(),
                epoch: member.epoch,
                incarnation: member.incarnation,
                client: member.client.clone(),
                gossip: member.gossip.clone(),
                link: member.link.clone(),
                zone: member.zone.clone(),
                weight: member.weight,
                rtt_us: known.rtt.map(|rtt| rtt.as_micros() as u64),
                lag_ms: known.lag.as_millis() as u64,
                partitions: view.ring.table().partitions_of(member.id.0),
            }
        })
        .collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}

async fn ring(State(shared): Asked) -> Json<report::Ring> {
    let view = Arc::clone(&shared.view.borrow());
    let ids = view.ring.table().members();
    let mut owners: Vec<report::RingShare> = ids
        .iter()
        .map(|id| {
            let partitions = view.ring.table().partitions_of(*id);
            report::RingShare {
                name: name_of(&view, *id),
                partitions,
                share: f64::from(partitions) / f64::from(PARTITIONS),
                weight: view.member(*id).map_or(1, |member| member.weight),
            }
        })
        .collect();
    owners.sort_by(|a, b| a.name.cmp(&b.name));
    let view_hash = hash_text(view.membership.view_hash);
    Json(report::Ring {
        partitions: PARTITIONS.into(),
        view_hash,
        owners,
    })
}

pub(super) fn name_of(view: &View, id: [u8; 16]) -> String {
    view.member(id)
        .map(|member| member.name.clone())
        .unwrap_or_default()
}

#[derive(Deserialize)]
struct OwnerQuery {
    topic: String,
}

async fn owner(State(shared): Asked, Query(query): Query<OwnerQuery>) -> Response {
    let view = Arc::clone(&shared.view.borrow());
    let partition = Partition::of_topic(query.topic.as_bytes());
    let owners = view.ring.table().owners(partition);
    let mut names = owners.iter().map(|id| name_of(&view, *id));
    let Some(owner) = names.next() else {
        let text = "no owner: this node's view is empty, it has not joined yet\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    Json(report::Owner {
        topic: query.topic,
        partition: partition.get(),
        owner,
        successors: names.collect(),
    })
    .into_response()
}

async fn links(State(shared): Asked) -> Response {
    let asked = shared.data.ask(|hub| {
        let peers = hub.look(|router| router.peer_stats().collect::<Vec<_>>());
        (peers, hub.link_rtts())
    });
    let Some((peers, rtts)) = asked.await else {
        return stopping();
    };
    let view = Arc::clone(&shared.view.borrow());
    let names = view.names();
    let mut links: Vec<report::Link> = peers
        .into_iter()
        .map(|peer| report::Link {
            peer: names
                .get(&peer.instance.0)
                .copied()
                .unwrap_or_default()
                .into(),
            state: if peer.up { "up" } else { "down" }.into(),
            messages: peer.messages,
            bytes: peer.bytes,
            pending_bytes: peer.pending_bytes as u64,
            prefixes: peer.prefixes as u32,
            sessions: peer.sessions,
            rtt_us: rtts.get(&peer.instance).map(|rtt| rtt.as_micros() as u64),
        })
        .collect();
    links.sort_by(|a, b| a.peer.cmp(&b.peer));
    Json(report::Links { links }).into_response()
}

async fn subscriptions(State(shared): Asked) -> Response {
    let asked = shared.data.ask(|hub| {
        hub.look(|router| {
            let listed = router.subscriptions().take(SUBSCRIPTIONS_LISTED);
            let shape = |(prefix, connections, ready): (&[u8], u32, bool)| report::Subscription {
                prefix: String::from_utf8_lossy(prefix).into_owned(),
                connections,
                ready,
            };
            listed.map(shape).collect::<Vec<_>>()
        })
    });
    match asked.await {
        Some(subscriptions) => Json(report::Subscriptions { subscriptions }).into_response(),
        None => stopping(),
    }
}
