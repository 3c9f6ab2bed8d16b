//! Questions to the HTTP API of a node.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use crate::address::Address;
use crate::output::printable;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// A node with its most connections answers with less.
const MAX_ANSWER_BYTES: u64 = 256 << 20;

/// What came back.
type Called = std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>;

/// What a node said.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The JSON that was asked for.
    Yes(String),
    /// The node cannot say, and why.
    No(String),
}

/// Asks a node for `/api/v1/…`.
pub(crate) fn get(node: &Address, path: &str, query: &[(&str, &str)]) -> Result<Answer> {
    let request = agent()
        .get(url(node, path))
        .query_pairs(query.iter().copied());
    // What was asked about does not exist; without a question it is the path that does not.
    answer(node, request.call(), !query.is_empty())
}

/// Tells a node to do something.
pub(crate) fn post(node: &Address, path: &str, query: &[(&str, &str)]) -> Result<Answer> {
    let request = agent()
        .post(url(node, path))
        .query_pairs(query.iter().copied());
    answer(node, request.send_empty(), !query.is_empty())
}

/// A page that is not of the API, such as `/metrics`, with the value of its `Date` header.
pub(crate) fn page(node: &Address, path: &str) -> Result<(String, Option<String>)> {
    let called = agent().get(format!("http://{node}{path}")).call();
    let date = called.as_ref().ok().and_then(|response| {
        let header = response.headers().get("date")?;
        Some(header.to_str().ok()?.to_string())
    });
    match answer(node, called, false)? {
        Answer::Yes(body) => Ok((body, date)),
        Answer::No(reason) => bail!("{node} cannot say: {}", printable(&reason)),
    }
}

/// What a node says, in the shape that a node of this version would say it in.
pub(crate) fn read<T: DeserializeOwned>(node: &Address, body: &str) -> Result<T> {
    serde_json::from_str(body).with_context(|| {
        format!("{node} answers otherwise than a zmesh node of this version would: is it one?")
    })
}

fn url(node: &Address, path: &str) -> String {
    format!("http://{node}/api/v1/{path}")
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(ANSWER_TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(0)
        // A proxy for the web would be asked for the loopback of its own machine.
        .proxy(None)
        .build();
    config.into()
}

fn answer(node: &Address, called: Called, may_be_missing: bool) -> Result<Answer> {
    let mut response = called.map_err(|error| match error {
        ureq::Error::Io(error) => node.nobody_there(&error),
        ureq::Error::Protocol(_) => anyhow::anyhow!(
            "what answers at {node} is no zmesh client address: is it the gossip or the link port? \
             These are mostly the two after it"
        ),
        error => node.nobody_there(&error),
    })?;
    let status = response.status();
    let body = response
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER_BYTES)
        .read_to_string();
    let body = body.with_context(|| format!("the answer of {node} broke off: try again"))?;
    match status.as_u16() {
        200 => Ok(Answer::Yes(body)),
        502 | 503 => Ok(Answer::No(first_line(&body))),
        400 => bail!("{node} refuses: {}", printable(&first_line(&body))),
        404 if may_be_missing => Ok(Answer::No(first_line(&body))),
        _ => bail!(
            "{node} answers with HTTP status {status}: is it a zmesh node of the same version?"
        ),
    }
}

/// The reason that a node gives, cut to what a line of a terminal takes.
fn first_line(body: &str) -> String {
    let line = body.lines().next().filter(|line| !line.trim().is_empty());
    line.unwrap_or("it gives no reason")
        .chars()
        .take(200)
        .collect()
}
