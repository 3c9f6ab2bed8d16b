//! The node's HTTP API as a test reads it.

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The body of a page, whatever its status, with the status.
pub fn page(address: &str, path: &str) -> Result<(u16, String)> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into();
    let mut response = agent.get(format!("http://{address}{path}")).call()?;
    Ok((
        response.status().as_u16(),
        response.body_mut().read_to_string()?,
    ))
}

/// A JSON page.
pub fn json<T: DeserializeOwned>(address: &str, path: &str) -> Result<T> {
    let (status, body) = page(address, path)?;
    serde_json::from_str(&body).with_context(|| format!("{path}: {status} {body}"))
}

/// The sum of a metric's samples whose labels contain this text.
pub fn metric(address: &str, name: &str, labels: &str) -> Result<f64> {
    let (_, body) = page(address, "/metrics")?;
    let samples = body.lines().filter(|line| {
        let rest = line.strip_prefix(name).unwrap_or("-");
        rest.starts_with(['{', ' ']) && rest.contains(labels)
    });
    Ok(samples
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum())
}
