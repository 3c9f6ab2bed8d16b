//! What a node is started with: flags over `ZMESH_*` variables over a TOML file over defaults.

pub(crate) mod catalogue;
mod environment;
mod file;
pub(crate) mod given;
pub(crate) mod print;
mod rules;
mod services;
mod tables;
pub(crate) mod units;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use zmesh_node::config::Config;

use catalogue::{SETTINGS, Setting};
use given::Given;

/// Everything that can be set about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// What the node itself is told.
    pub(crate) node: Config,
    /// What is logged, such as `info`.
    pub(crate) log: String,
    /// How it is logged.
    pub(crate) log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// One short line for a person.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    pub(crate) const ALL: [(&'static str, Self); 2] = [("text", Self::Text), ("json", Self::Json)];
}

/// A value with the place it came from, for messages.
struct Origin {
    setting: &'static Setting,
    given: Given,
    /// Such as `zmesh.toml:3: port = 99999`.
    place: String,
}

/// Where settings are read from; the process's own in the program, made-up ones in tests.
#[derive(Default)]
pub(crate) struct Sources {
    /// Flags as given, in the order of the catalogue.
    pub(crate) flags: Vec<(&'static str, Given)>,
    /// `--config FILE`.
    pub(crate) file: Option<PathBuf>,
    /// All variables of the process.
    pub(crate) variables: Vec<(OsString, OsString)>,
}

impl Settings {
    /// The defaults, without a name yet.
    pub(crate) fn defaults() -> Self {
        Self {
            node: Config::named(""),
            log: "info".into(),
            log_format: LogFormat::Text,
        }
    }

    /// Reads every source, strongest last, and checks that the whole makes sense.
    pub(crate) fn load(sources: &Sources) -> Result<Self> {
        let variables = environment::read(&sources.variables)?;
        let path = sources.file.as_deref().or(variables.config.as_deref());
        let from_file = path.map_or_else(|| Ok(Vec::new()), file::read)?;
        let given = from_file
            .into_iter()
            .chain(variables.settings)
            .chain(flags(&sources.flags)?);
        Self::of(given, || host_name(Path::new("/proc/sys/kernel/hostname")))
    }

    /// The settings that a file of this text gives on a host of this name.
    pub(crate) fn of_file(text: &str, host: &str) -> Result<Self> {
        Self::of(file::parse("settings.toml", text)?, || Ok(host.into()))
    }

    fn of(
        given: impl IntoIterator<Item = Origin>,
        host_name: impl FnOnce() -> Result<String>,
    ) -> Result<Self> {
        let mut settings = Self::defaults();
        for origin in given {
            let Origin {
                setting,
                given,
                place,
            } = origin;
            (setting.apply)(&mut settings, &given)
                .map_err(|refusal| anyhow::anyhow!("{place}: {refusal}"))?;
        }
        if settings.node.name.is_empty() {
            settings.node.name = host_name()?;
        }
        settings.check_ports()?;
        settings.check_addresses()?;
        settings.check_budgets()?;
        Ok(settings)
    }

    /// The settings as a TOML file that gives the same settings again.
    pub(crate) fn to_toml(&self) -> String {
        print::to_toml(self)
    }

    /// Three ports that exist and differ.
    fn check_ports(&self) -> Result<()> {
        let node = &self.node;
        let following = |offset: u16, name: &str| match node.port {
            0 => Ok(0),
            port => port.checked_add(offset).with_context(|| {
                format!("port {port} leaves no room for the {name} after it: set --{name} too")
            }),
        };
        let gossip = node
            .gossip_port
            .map_or_else(|| following(1, "gossip-port"), Ok)?;
        let link = node
            .link_port
            .map_or_else(|| following(2, "link-port"), Ok)?;
        let pairs = [
            ("port", node.port, "gossip-port", gossip),
            ("port", node.port, "link-port", link),
            ("gossip-port", gossip, "link-port", link),
        ];
        match pairs
            .iter()
            .find(|(_, one, _, other)| one == other && *one != 0)
        {
            None => Ok(()),
            Some((one, port, other, _)) => {
                bail!("{one} and {other} are both {port}: give each its own")
            }
        }
    }

    /// An address that others can connect to.
    fn check_addresses(&self) -> Result<()> {
        let told = self
            .node
            .advertise
            .as_deref()
            .and_then(|host| host.parse::<IpAddr>().ok());
        match told.filter(IpAddr::is_unspecified) {
            None => Ok(()),
            Some(ip) => bail!(
                "advertise = {ip} is an address to listen on, not one to connect to: name the host \
                 under which the other nodes reach this one"
            ),
        }
    }

    /// A share that is not larger than the whole.
    fn check_budgets(&self) -> Result<()> {
        let limits = &self.node.limits;
        if limits.connection_budget_bytes > limits.node_budget_bytes {
            bail!(
                "connection-budget ({}) must not be larger than node-budget ({})",
                units::show_size(limits.connection_budget_bytes as u64),
                units::show_size(limits.node_budget_bytes as u64)
            );
        }
        Ok(())
    }
}

/// The setting of this name.
fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The name most like a wrong one.
fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.replace('_', "-").to_lowercase();
    names.max_by(|one, other| {
        let (one, other) = (
            strsim::jaro_winkler(&wrong, one),
            strsim::jaro_winkler(&wrong, other),
        );
        one.total_cmp(&other)
    })
}

fn flags(given: &[(&'static str, Given)]) -> Result<Vec<Origin>> {
    given
        .iter()
        .map(|(name, given)| {
            let setting = find(name).with_context(|| format!("--{name} is not a setting"))?;
            let place = format!("--{name} {}", given.shown());
            Ok(Origin {
                setting,
                given: given.clone(),
                place,
            })
        })
        .collect()
}

/// The name of this machine.
fn host_name(kernel: &Path) -> Result<String> {
    let name = match std::fs::read_to_string(kernel) {
        Ok(name) => name,
        Err(_) => {
            let output = std::process::Command::new("hostname").output();
            let output = output.context("cannot find the host name: give --name NAME")?;
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
    };
    Given::Text(name.trim().to_string())
        .word(1..=64)
        .map_err(|refusal| anyhow::anyhow!("the host name {refusal}: give --name NAME"))
}

#[cfg(test)]
mod tests;
