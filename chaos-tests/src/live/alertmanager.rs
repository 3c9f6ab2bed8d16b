//! A real Alertmanager with the configuration of `dashboards/`, only sooner.

use super::http;
use super::server::Server;
use super::sooner;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A running Alertmanager. It ends when this is dropped.
pub struct Alertmanager {
    server: Server,
}

#[derive(Deserialize)]
struct Held {
    labels: BTreeMap<String, String>,
}

impl Alertmanager {
    /// Starts one that knows no other.
    ///
    /// # Panics
    /// If it is not there or does not start.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("room for a folder");
        sooner::alertmanager(folder.path()).expect("the files of dashboards/");
        let arguments = [
            "--config.file=alertmanager.yml",
            "--storage.path=data",
            "--cluster.listen-address=",
        ];
        let listen = "--web.listen-address=";
        let arguments = arguments.map(String::from);
        let server = Server::start("prometheus-alertmanager", &arguments, listen, None, folder);
        Self { server }
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.server.address
    }

    /// The names of the alerts that it holds now, inhibited ones too; `None` while it does not
    /// answer.
    pub fn alerts(&self) -> Option<BTreeSet<String>> {
        let held: Vec<Held> = http::json(&self.server.address, "/api/v2/alerts").ok()?;
        let names = held.into_iter().map(|it| it.labels["alertname"].clone());
        Some(names.collect())
    }
}
