//! `/api/v1/explain`: what becomes of a message on a topic, and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use zmesh_partition::{Partition, candidates};

use super::Shared;
use super::api::{Asked, hash_text, name_of, stopping};
use super::elsewhere::{ask_all, with_query};
use crate::report;
use crate::view::View;

#[derive(Deserialize)]
pub(super) struct TopicQuery {
    pub(super) topic: String,
}

/// What this node alone knows.
pub(super) async fn explain_here(
    State(shared): Asked,
    Query(query): Query<TopicQuery>,
) -> Response {
    match here(&shared, query.topic).await {
        Some(node) => Json(node).into_response(),
        None => stopping(),
    }
}

/// What all nodes know.
pub(super) async fn explain(State(shared): Asked, Query(query): Query<TopicQuery>) -> Response {
    let topic = query.topic;
    if topic.starts_with('$') && !topic.starts_with("$zmesh.") {
        let text = "topics that begin with $ are the mesh's own: what is published on them is \
                    dropped\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    let view = Arc::clone(&shared.view.borrow());
    let partition = Partition::of_topic(topic.as_bytes());
    let owners = view.ring.table().owners(partition);
    let mut names = owners.iter().map(|id| name_of(&view, *id));
    let Some(owner) = names.next() else {
        let text = "no owner: this node's view is empty, it has not joined yet\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let successors = names.collect();
    let path = with_query("/api/v1/explain-here", &[("topic", &topic)]);
    let others = ask_all(shared.others(), Method::GET, path);
    let (own, others) = tokio::join!(here(&shared, topic.clone()), others);
    let Some(own) = own else { return stopping() };
    let others = others.into_iter().map(|(name, answer)| {
        answer.unwrap_or_else(|error| report::ExplainNode {
            name,
            error: Some(error),
            ..report::ExplainNode::default()
        })
    });
    let mut nodes: Vec<report::ExplainNode> = others.chain([own]).collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let reason = {
        let view = Arc::clone(&view);
        tokio::task::spawn_blocking(move || why(&view, partition)).await
    };
    let key = zmesh_partition::key(topic.as_bytes());
    Json(report::Explain {
        key: String::from_utf8_lossy(key).into_owned(),
        partition: partition.get(),
        owner,
        why: reason.unwrap_or_default(),
        successors,
        view_hash: hash_text(view.membership.view_hash),
        nodes,
        topic,
    })
    .into_response()
}

async fn here(shared: &Shared, topic: String) -> Option<report::ExplainNode> {
    let partition = Partition::of_topic(topic.as_bytes());
    let asked = shared.data.ask(move |hub| {
        let found = hub.input(|router, now| (router.explain(topic.as_bytes()), now));
        let clients = hub.clients.borrow();
        let peers = found.0.clients.iter();
        let peers: Vec<String> = peers
            .filter_map(|id| clients.get(id).map(|client| client.peer.to_string()))
            .collect();
        (found, peers)
    });
    let ((known, now), clients) = asked.await?;
    let view = Arc::clone(&shared.view.borrow());
    let owner = view.ring.table().owner(partition);
    let prefixes = known.prefixes.iter();
    Some(report::ExplainNode {
        name: shared.name.clone(),
        error: None,
        owner: owner.map(|id| name_of(&view, id)).unwrap_or_default(),
        prefixes: prefixes
            .map(|prefix| String::from_utf8_lossy(prefix).into_owned())
            .collect(),
        subscribers: known.subscribers as u32,
        clients,
        queue_policy: known.policy.name().into(),
        moving: known.moving,
        undone_messages: known.undone_messages,
        last_drop: known.last_drop.map(|(reason, at)| report::LastDrop {
            reason: reason.name().into(),
            seconds_ago: now.saturating_sub(at).as_secs_f64(),
        }),
    })
}

/// Why the owner of a partition is its owner, in words. Makes the ring anew: some milliseconds.
fn why(view: &View, partition: Partition) -> String {
    let table = view.ring.table();
    let on_ring: Vec<zmesh_partition::Member> = table
        .members()
        .iter()
        .map(|id| zmesh_partition::Member {
            id: *id,
            weight: view.member(*id).map_or(1, |member| member.weight),
        })
        .collect();
    let order = candidates(&on_ring, partition);
    let owner = table.owner(partition);
    let before: Vec<String> = order
        .iter()
        .take_while(|id| Some(**id) != owner)
        .map(|id| name_of(view, *id))
        .collect();
    let members = on_ring.len();
    if members == 1 {
        "it is the only member".into()
    } else if before.is_empty() {
        format!("of {members} members it comes first on the ring, seen from the partition's place")
    } else {
        format!(
            "{} come{} before it on the ring, and may own no more: nobody owns more than 1.10 of \
             its share",
            before.join(", "),
            if before.len() == 1 { "s" } else { "" }
        )
    }
}
