//! What pages of other sites may not make a node do.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses what a page of another site asks for, unless it only reads. It stands before all else,
/// since a request that is passed on to another node comes from this one there.
pub(super) async fn refuse_foreign(request: Request, next: Next) -> Response {
    if request.method().is_safe() || !is_foreign(request.headers()) {
        return next.run(request).await;
    }
    let verb = request.uri().path().rsplit('/').next().unwrap_or_default();
    let verb = if verb == "reach" { "doctor" } else { verb };
    let text = format!("asked by a page of another site; use `zmesh {verb}`\n");
    (StatusCode::FORBIDDEN, text).into_response()
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
