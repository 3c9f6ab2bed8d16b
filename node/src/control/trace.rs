//! `/api/v1/trace`: sends one marked message, and asks every node what it did with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use zmesh_partition::Partition;

use super::Shared;
use super::api::{Asked, stopping};
use super::elsewhere::ask_all;
use super::explain::TopicQuery;
use crate::forward::{Hop, Instance};
use crate::report;
use crate::view::View;

/// How long the message may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest topic: whoever is asked what became of it says the topic again.
const TOPIC_BYTES: usize = 4096;

/// Time between two looks whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[derive(Deserialize)]
pub(super) struct MarkQuery {
    /// In hexadecimal digits.
    id: String,
}

/// What one node did with a marked message.
#[derive(Serialize, Deserialize)]
pub(super) struct Hops {
    hops: Vec<report::Hop>,
}

/// What this node did with a marked message.
pub(super) async fn hops(State(shared): Asked, Query(query): Query<MarkQuery>) -> Response {
    let Ok(id) = u64::from_str_radix(&query.id, 16) else {
        let text = "the id of a trace is made of hexadecimal digits\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    match hops_here(&shared, id).await {
        Some(hops) => Json(Hops { hops }).into_response(),
        None => stopping(),
    }
}

/// Sends a marked message and waits until it is done, 5 s at most.
pub(super) async fn trace(State(shared): Asked, Query(query): Query<TopicQuery>) -> Response {
    let topic = query.topic;
    if topic.len() > TOPIC_BYTES || topic.starts_with('$') {
        let text = "a topic that can be traced has at most 4096 bytes, and does not begin with $\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    let id: u64 = rand::random();
    let Some(own) = send(&shared, id, topic.clone()).await else {
        return stopping();
    };
    let path = format!("/api/v1/trace?id={id:016x}");
    let mut hops = own;
    let mut errors = BTreeMap::new();
    for (name, answer) in ask_all::<Hops>(shared.others(), Method::GET, path).await {
        match answer {
            Ok(answer) => hops.extend(answer.hops),
            Err(error) => drop(errors.insert(name, error)),
        }
    }
    hops.sort_by_key(|hop| hop.at_us);
    let time_of = |what: &str| {
        let mut own = hops.iter().filter(|hop| hop.node == shared.name);
        own.find(|hop| hop.what == what).map(|hop| hop.at_us)
    };
    let done_us = time_of("taken")
        .zip(time_of("done"))
        .map(|(taken, done)| done.saturating_sub(taken));
    Json(report::Trace {
        partition: Partition::of_topic(topic.as_bytes()).get(),
        topic,
        id: format!("{id:016x}"),
        done: done_us.is_some(),
        done_us,
        hops,
        errors,
    })
    .into_response()
}

/// Sends it, and returns what happened to it here until it was done or the patience ended.
async fn send(shared: &Shared, id: u64, topic: String) -> Option<Vec<report::Hop>> {
    let give = move |hub: &crate::hub::Hub| {
        hub.input(|router, now| router.handle_trace(id, topic.as_bytes(), now));
    };
    shared.data.ask(give).await?;
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let hops = hops_here(shared, id).await?;
        let done = hops.iter().any(|hop| hop.what == "done");
        if done || tokio::time::Instant::now() >= until {
            return Some(hops);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn hops_here(shared: &Shared, id: u64) -> Option<Vec<report::Hop>> {
    let hops = shared.data.ask(move |hub| hub.hops(id)).await?;
    let view = Arc::clone(&shared.view.borrow());
    let hops = hops.into_iter();
    Some(
        hops.map(|(hop, at)| describe(&shared.name, &view, hop, at))
            .collect(),
    )
}

fn describe(node: &str, view: &View, hop: Hop, at: SystemTime) -> report::Hop {
    let names = view.names();
    let name = |instance: &Instance| {
        let known = names.get(&instance.0).map(|name| (*name).to_string());
        known.unwrap_or_else(|| format!("{:016x}", instance.0))
    };
    let (what, to, clients) = match hop {
        Hop::Taken(owner) => ("taken", owner.iter().map(name).collect(), 0),
        Hop::Served(nodes) => ("served", nodes.iter().map(name).collect(), 0),
        Hop::Delivered(clients) => ("delivered", Vec::new(), clients),
        Hop::Done => ("done", Vec::new(), 0),
    };
    report::Hop {
        node: node.into(),
        what: what.into(),
        at_us: at
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_micros() as u64,
        to,
        clients,
    }
}
