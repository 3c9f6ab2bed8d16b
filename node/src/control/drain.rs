//! `/api/v1/drain`: asks the node to go, and tells how far it is.

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
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
pub(super) async fn begin_drain(State(shared): Asked, headers: HeaderMap) -> Response {
    if let Some(refusal) = refuse_foreign(&headers, "zmesh drain") {
        return refusal;
    }
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

/// The answer to what a page of another site asks for.
pub(super) fn refuse_foreign(headers: &HeaderMap, remedy: &str) -> Option<Response> {
    is_foreign(headers).then(|| {
        let text = format!("asked by a page of another site; use `{remedy}`\n");
        (StatusCode::FORBIDDEN, text).into_response()
    })
}

/// Whether a browser asks on behalf of a page that did not come from here: any page of the web may
/// make a browser send this, and a node on a person's own machine must not go for that.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let page = origin.to_str().ok().and_then(|it| it.split_once("://"));
    page.map(|(_, host)| host) != text(header::HOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_may_not_ask() {
        let headers = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "127.0.0.1:5555".parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            headers
        };
        assert!(!is_foreign(&headers(None)));
        assert!(!is_foreign(&headers(Some("http://127.0.0.1:5555"))));
        for origin in ["http://example.org", "null", "http://127.0.0.1:8080"] {
            assert!(is_foreign(&headers(Some(origin))), "{origin}");
        }
    }
}
