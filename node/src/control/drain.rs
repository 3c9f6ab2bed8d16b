//! `/api/v1/drain`: asks the node to go, and tells how far it is.

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Shared;
use super::api::{Asked, stopping};

/// Longest time that an answer is held back until the drain has ended.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
pub(super) struct DrainQuery {
    /// Seconds for which the answer may be held back until the drain has ended.
    #[serde(default)]
    wait: u64,
}

/// How far the node is.
pub(super) async fn drain(State(shared): Asked, Query(query): Query<DrainQuery>) -> Response {
    standing(&shared, Duration::from_secs(query.wait).min(LONGEST_WAIT)).await
}

/// Asks the node to go. A second time changes nothing.
pub(super) async fn begin_drain(State(shared): Asked) -> Response {
    shared.drain.begin();
    standing(&shared, Duration::ZERO).await
}

async fn standing(shared: &Shared, wait: Duration) -> Response {
    let phase = || shared.phase.borrow().name();
    match shared.drain.follow(phase, wait).await {
        Some(report) => Json(report).into_response(),
        None => stopping(),
    }
}
