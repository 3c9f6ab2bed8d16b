//! Asks other nodes over their HTTP API: the whole mesh can be seen from any node.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Shared;
use super::api::Asked;

/// A node that has not answered by then is said not to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Longest answer that is taken from another node.
const ANSWER_BYTES: usize = 64 << 20;

/// Nodes that are asked at a time.
const AT_A_TIME: usize = 32;

/// Another living member.
#[derive(Clone, Debug)]
pub(super) struct Other {
    pub(super) name: String,
    /// `host:port` of its client address.
    pub(super) client: String,
}

impl Shared {
    /// The other living members, sorted by name.
    pub(super) fn others(&self) -> Vec<Other> {
        let view = Arc::clone(&self.view.borrow());
        let members = view.membership.members.iter().map(|known| &known.member);
        let others = members.filter(|member| member.is_live() && member.id != self.id);
        let mut others: Vec<Other> = others
            .map(|member| Other {
                name: member.name.clone(),
                client: member.client.clone(),
            })
            .collect();
        others.sort_by(|a, b| a.name.cmp(&b.name));
        others
    }
}

/// Asks every one of these nodes the same. The answers are in their order.
pub(super) async fn ask_all<T: DeserializeOwned + Send + 'static>(
    others: Vec<Other>,
    method: Method,
    path: String,
) -> Vec<(String, Result<T, String>)> {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut asked = JoinSet::new();
    for (place, other) in others.into_iter().enumerate() {
        let (places, method, path) = (Arc::clone(&places), method.clone(), path.clone());
        asked.spawn(async move {
            let _place = places.acquire_owned().await;
            let answer = ask_for(&other.client, method, &path).await;
            (place, other.name, answer)
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(place, _, _)| *place);
    let answers = answers.into_iter();
    answers.map(|(_, name, answer)| (name, answer)).collect()
}

async fn ask_for<T: DeserializeOwned>(
    address: &str,
    method: Method,
    path: &str,
) -> Result<T, String> {
    let (status, body) = ask(address, method, path).await?;
    if status != StatusCode::OK {
        return Err(format!("{address} answers with HTTP status {status}"));
    }
    serde_json::from_slice(&body)
        .map_err(|error| format!("{address} answers otherwise than expected: {error}"))
}

/// One request to another node.
pub(super) async fn ask(
    address: &str,
    method: Method,
    path: &str,
) -> Result<(StatusCode, Vec<u8>), String> {
    match tokio::time::timeout(PATIENCE, exchange(address, method, path)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("{address}: {error}")),
        Err(_) => Err(format!(
            "{address} does not answer within {} s",
            PATIENCE.as_secs()
        )),
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(
    address: &str,
    method: Method,
    path: &str,
) -> Result<(StatusCode, Vec<u8>), Failure> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the exchange: nothing is kept open between two questions.
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, address)
        .header(header::CONNECTION, "close")
        .body(Body::empty())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES);
        let body = body.collect().await?.to_bytes();
        Ok((status, body.to_vec()))
    };
    let answer = answer.await;
    connection.abort();
    answer
}

/// `…?node=NAME` asks that member instead of this node.
pub(super) async fn pass_on(State(shared): Asked, request: Request, next: Next) -> Response {
    let (name, rest) = node_of(request.uri());
    let Some(name) = name.filter(|name| *name != shared.name) else {
        return next.run(request).await;
    };
    let Some(other) = shared.others().into_iter().find(|it| it.name == name) else {
        let text = format!("no living member of this name: {name}\n");
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    match ask(&other.client, request.method().clone(), &rest).await {
        Ok((status, body)) => {
            let kind = if body.starts_with(b"{") {
                "application/json"
            } else {
                "text/plain; charset=utf-8"
            };
            (status, [(header::CONTENT_TYPE, kind)], body).into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error}\n")).into_response(),
    }
}

/// The name of the node that is asked for, and the path without it.
fn node_of(uri: &Uri) -> (Option<String>, String) {
    let mut name = None;
    let mut rest = Vec::new();
    let query = uri.query().unwrap_or_default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "node" => name = Some(value.into_owned()),
            _ => rest.push((key, value)),
        }
    }
    let path = uri.path();
    (name, with_query(path, &rest))
}

/// A path with a query.
pub(super) fn with_query(path: &str, pairs: &[(impl AsRef<str>, impl AsRef<str>)]) -> String {
    if pairs.is_empty() {
        return path.into();
    }
    let start = path.len() + 1;
    let mut query = form_urlencoded::Serializer::for_suffix(format!("{path}?"), start);
    query.extend_pairs(
        pairs
            .iter()
            .map(|(key, value)| (key.as_ref(), value.as_ref())),
    );
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_out_of_the_query_and_the_rest_is_left() {
        let parts = |text: &str| node_of(&text.parse().unwrap());
        assert_eq!(
            parts("/api/v1/explain?topic=a%20b&node=n%2F1+x"),
            (Some("n/1 x".into()), "/api/v1/explain?topic=a+b".into())
        );
        assert_eq!(parts("/api/v1/links"), (None, "/api/v1/links".into()));
        assert_eq!(parts("/a?node=%zz&"), (Some("%zz".into()), "/a".into()));
    }

    #[test]
    fn what_is_put_into_a_query_is_read_again() {
        let text = "a b+c%/&=?#\u{e4}\u{1f980}$zmesh.";
        let path = with_query("/a", &[("node", text), ("topic", text)]);
        let (name, rest) = node_of(&path.parse().unwrap());
        assert_eq!(name.as_deref(), Some(text));
        assert_eq!(rest, with_query("/a", &[("topic", text)]));
    }
}
