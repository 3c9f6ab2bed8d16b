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

/// What the questions `query` and `query_range` find.
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
    /// Its values, each with its time in seconds since 1970; `None` for one that is no number.
    pub fn values(&self) -> impl Iterator<Item = (f64, Option<f64>)> {
        let values = self.values.iter().chain(&self.value);
        values.map(|(time, text)| {
            let number: Option<f64> = text.parse().ok();
            (*time, number.filter(|it| it.is_finite()))
        })
    }

    /// Its values that are numbers.
    pub fn numbers(&self) -> impl Iterator<Item = f64> {
        self.values().filter_map(|(_, number)| number)
    }
}

/// The series of an expression, from whatever `get` answers to a path with status and body: `verb`
/// is `query` or `query_range`, with its own pairs beside the expression.
///
/// # Errors
/// If there is no answer, or the expression is wrong.
pub fn series(
    verb: &str,
    expression: &str,
    pairs: &[(&str, f64)],
    get: impl FnOnce(&str) -> Result<(u16, String)>,
) -> Result<Vec<Series>> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("query", expression);
    for (name, value) in pairs {
        query.append_pair(name, &value.to_string());
    }
    let path = format!("/api/v1/{verb}?{}", query.finish());
    Ok(read::<Found>(&path, get(&path)?)?.result)
}

fn read<T: serde::de::DeserializeOwned>(path: &str, page: (u16, String)) -> Result<T> {
    let (status, body) = page;
    let answer: Answer<T> =
        serde_json::from_str(&body).with_context(|| format!("{path}: {status} {body}"))?;
    match answer.data {
        Some(data) => Ok(data),
        None => bail!("{path}: {}", answer.error),
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

    /// Its `host:port`.
    pub fn address(&self) -> &str {
        &self.server.address
    }

    /// The series of an expression as they are now.
    ///
    /// # Errors
    /// If it does not answer, or the expression is wrong.
    pub fn query(&self, expression: &str) -> Result<Vec<Series>> {
        series("query", expression, &[], |path| self.page(path))
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
        let times = [("start", self.began), ("end", now()), ("step", 1.0)];
        series("query_range", expression, &times, |path| self.page(path))
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

    fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        read(path, self.page(path)?)
    }

    fn page(&self, path: &str) -> Result<(u16, String)> {
        let address = &self.server.address;
        self.server.beside(|| http::page(address, path))
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
