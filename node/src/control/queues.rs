//! `/api/v1/queues` and `/api/v1/dead-tasks`: which work queues there are, and what became of
//! their tasks.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Shared;
use super::api::{Asked, stopping};
use super::elsewhere::{ask_all, with_query};
use crate::hub::Hub;
use crate::queues::{QueueStats, TaskId};
use crate::report;
use crate::zmtp::frames::frames;

/// Queues of one node that are listed at most.
const LISTED: usize = 10_000;

/// Dead tasks that are listed at most.
const TASKS_LISTED: usize = 1000;

/// Of each frame of a task this much is shown.
const FRAME_BYTES: usize = 1000;

/// Those that are at this node.
pub(super) async fn queues_here(State(shared): Asked) -> Response {
    match here(&shared).await {
        Some(queues) => Json(queues).into_response(),
        None => stopping(),
    }
}

/// Those of all nodes.
pub(super) async fn queues(State(shared): Asked) -> Response {
    let path = "/api/v1/queues-here".into();
    let others = ask_all(shared.others(), Method::GET, path);
    let (own, others) = tokio::join!(here(&shared), others);
    let Some(mut all) = own else {
        return stopping();
    };
    for (name, answer) in others {
        match answer {
            Ok(report::Queues { queues, .. }) => all.queues.extend(queues),
            Err(_) => all.silent.push(name),
        }
    }
    let key = |it: &report::Queue| (it.name.clone(), it.owner.clone());
    all.queues.sort_by_key(key);
    Json(all).into_response()
}

async fn here(shared: &Shared) -> Option<report::Queues> {
    let ask = |hub: &Hub| hub.look_queues(|queues| queues.list(LISTED));
    let listed = shared.data.ask(ask).await?;
    let view = Arc::clone(&shared.view.borrow());
    let names = view.names();
    let name = |node: u64| names.get(&node).map_or_else(String::new, |it| (*it).into());
    let shape = |queue: QueueStats| report::Queue {
        name: String::from_utf8_lossy(&queue.name).into_owned(),
        owner: shared.name.clone(),
        copy: queue.copy.map(|(node, _)| name(node.0)),
        copied: queue.copy.is_some_and(|(_, complete)| complete),
        ready: queue.ready as u64,
        given: queue.given as u64,
        dead: queue.dead as u64,
        untaken: queue.untaken as u64,
        bytes: queue.bytes as u64,
        given_total: queue.counts.given,
        again_total: queue.counts.again,
        done_total: queue.counts.done,
        workers: queue
            .workers
            .into_iter()
            .map(|(node, client, credit, has)| report::Worker {
                node: name(node.0),
                id: client.0.into(),
                credit,
                outstanding: has as u32,
            })
            .collect(),
    };
    Some(report::Queues {
        queues: listed.into_iter().map(shape).collect(),
        silent: Vec::new(),
    })
}

#[derive(Deserialize)]
pub(super) struct QueueQuery {
    queue: String,
}

/// Those of a queue at this node.
pub(super) async fn dead_here(State(shared): Asked, Query(query): Query<QueueQuery>) -> Response {
    match dead_at(&shared, query.queue).await {
        Some(tasks) => Json(tasks).into_response(),
        None => stopping(),
    }
}

/// Those of a queue, wherever they are.
pub(super) async fn dead_tasks(State(shared): Asked, Query(query): Query<QueueQuery>) -> Response {
    let path = with_query("/api/v1/dead-tasks-here", &[("queue", &query.queue)]);
    let others = ask_all::<report::DeadTasks>(shared.others(), Method::GET, path);
    let (own, others) = tokio::join!(dead_at(&shared, query.queue), others);
    let Some(mut all) = own else {
        return stopping();
    };
    let others = others.into_iter().filter_map(|(_, answer)| answer.ok());
    all.tasks.extend(others.flat_map(|answer| answer.tasks));
    all.tasks.truncate(TASKS_LISTED);
    Json(all).into_response()
}

async fn dead_at(shared: &Shared, queue: String) -> Option<report::DeadTasks> {
    let ask = move |hub: &Hub| hub.look_queues(|it| it.dead_tasks(queue.as_bytes(), TASKS_LISTED));
    let tasks = shared.data.ask(ask).await?.into_iter();
    let shape = |(id, attempts, body): (TaskId, u8, bytes::Bytes)| report::DeadTask {
        id: id.shown(0),
        attempts,
        frames: frames(&body, 0..body.len())
            .filter_map(|(_, range)| body.get(range))
            .map(|frame| String::from_utf8_lossy(&frame[..frame.len().min(FRAME_BYTES)]).into())
            .collect(),
    };
    Some(report::DeadTasks {
        tasks: tasks.map(shape).collect(),
    })
}
