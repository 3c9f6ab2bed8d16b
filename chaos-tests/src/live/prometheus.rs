//! A real Prometheus that watches a mesh with the rules of `dashboards/rules`, only sooner.

use super::http;
use super::network::Host;
use super::server::Server;
use super::sooner;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

/// A running Prometheus. It ends when this is dropped.
pub struct Prometheus {
    server: Server,
    began: f64,
}

/// A series of an answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Series {
    /// All its labels.
    #[serde(rename = "metric")]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    value: Option<(f64, String)>,
}

/// An alert that waits or fires.
#[derive(Clone, Debug, Deserialize)]
pub struct Alert {
    /// All its labels, its name as `alertname`.
    pub labels: BTreeMap<String, String>,
    /// What it tells a person.
    pub annotations: BTreeMap<String, String>,
    /// `pending` or `firing`.
    pub state: String,
}

#[derive(Deserialize)]
struct Answer<T> {
    #[serde(default)]
    error: String,
    data: Option<T>,
}

#[derive(Deserialize)]
struct Found {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Alerts {
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

/// A rule, and how its last evaluation went.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Of the alert, or of the series that it records.
    pub name: String,
    /// `ok`, `err`, or `unknown` before the first evaluation.
    pub health: String,
    /// Why it is not.
    #[serde(default)]
    pub last_error: String,
}

impl Series {
    /// Its values that are numbers.
    pub fn numbers(&self) -> impl Iterator<Item = f64> {
        let values = self.values.iter().chain(&self.value);
        values
            .filter_map(|(_, text)| text.parse().ok())
            .filter(|it: &f64| it.is_finite())
    }
}

impl Prometheus {
    /// Starts to scrape these nodes each second; tells this Alertmanager, if there is one.
    ///
    /// # Panics
    /// If Prometheus is not there or does not start.
    pub fn start(nodes: &[String], alertmanager: Option<&str>, host: Option<&Host>) -> Self {
        let folder = tempfile::tempdir().expect("room for a folder");
        sooner::prometheus(folder.path(), nodes, alertmanager).expect("the files of dashboards/");
        let arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data"];
        let arguments = arguments.map(String::from);
        let listen = "--web.listen-address=";
        let began = now();
        let server = Server::start("prometheus", &arguments, listen, host, folder);
        Self { server, began }
    }

    /// The series of an expression as they are now.
    ///
    /// # Errors
    /// If it does not answer, or the expression is wrong.
    pub fn query(&self, expression: &str) -> Result<Vec<Series>> {
        let path = format!("/api/v1/query?query={}", escaped(expression));
        Ok(self.ask::<Found>(&path)?.result)
    }

    /// The one number of an expression now; `None` if it has none.
    pub fn number(&self, expression: &str) -> Option<f64> {
        self.query(expression).ok()?.first()?.numbers().next()
    }

    /// The series of an expression for each second since the start.
    ///
    /// # Errors
    /// If it does not answer, or the expression is wrong.
    pub fn since_start(&self, expression: &str) -> Result<Vec<Series>> {
        let (from, to) = (self.began, now());
        let path = format!(
            "/api/v1/query_range?query={}&start={from}&end={to}&step=1",
            escaped(expression)
        );
        Ok(self.ask::<Found>(&path)?.result)
    }

    /// All rules.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn rules(&self) -> Result<Vec<Rule>> {
        let groups = self.ask::<Groups>("/api/v1/rules")?.groups;
        Ok(groups.into_iter().flat_map(|group| group.rules).collect())
    }

    /// The alerts that fire now.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn firing(&self) -> Result<Vec<Alert>> {
        let alerts = self.ask::<Alerts>("/api/v1/alerts")?.alerts;
        let firing = alerts.into_iter().filter(|it| it.state == "firing");
        Ok(firing.collect())
    }

    /// The names of the alerts that fire now; `None` while it does not answer.
    pub fn firing_names(&self) -> Option<BTreeSet<String>> {
        let firing = self.firing().ok()?;
        Some(firing.into_iter().map(|it| it.name().into()).collect())
    }

    fn ask<T: serde::de::DeserializeOwned + Send>(&self, path: &str) -> Result<T> {
        let address = &self.server.address;
        let (status, body) = self.server.beside(|| http::page(address, path))?;
        let answer: Answer<T> =
            serde_json::from_str(&body).with_context(|| format!("{path}: {status} {body}"))?;
        match answer.data {
            Some(data) => Ok(data),
            None => bail!("{path}: {}", answer.error),
        }
    }
}

impl Alert {
    /// The name of its rule.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// As a part of an address.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
