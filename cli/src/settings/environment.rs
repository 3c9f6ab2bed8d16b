//! Settings from `ZMESH_*` variables.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::catalogue::{SETTINGS, variable};
use super::given::Given;
use super::{Origin, nearest};

/// Variables that are no setting of a node: `--config` and the `--node` of the other verbs.
const CONFIG: &str = "ZMESH_CONFIG";
const NODE: &str = "ZMESH_NODE";

/// What the variables say.
pub(super) struct Variables {
    /// `ZMESH_CONFIG`.
    pub(super) config: Option<PathBuf>,
    /// The settings, in the order of the catalogue.
    pub(super) settings: Vec<Origin>,
}

/// Reads every variable whose name begins with `ZMESH_`; an empty one counts as unset.
pub(super) fn read(variables: &[(OsString, OsString)]) -> Result<Variables> {
    let ours: Vec<(&str, &OsString)> = variables
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| Some((name.to_str()?, value)))
        .filter(|(name, _)| name.starts_with("ZMESH_"))
        .collect();
    for (name, value) in &ours {
        let known = *name == CONFIG
            || *name == NODE
            || SETTINGS.iter().any(|setting| setting.variable() == *name);
        if !known {
            bail!("{}", unknown(name, &value.to_string_lossy()));
        }
    }
    let value_of = |wanted: &str| {
        ours.iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, v)| *v)
    };
    let mut settings = Vec::new();
    for setting in &SETTINGS {
        let name = setting.variable();
        let Some(value) = value_of(&name) else {
            continue;
        };
        let Some(text) = value.to_str() else {
            bail!("{name} is not UTF-8 text: unset it or write it anew");
        };
        let given = Given::Text(text.to_string());
        let place = format!("{name}={}{}", given.shown(), service_link(text));
        settings.push(Origin {
            setting,
            given,
            place,
        });
    }
    Ok(Variables {
        config: value_of(CONFIG).map(PathBuf::from),
        settings,
    })
}

fn unknown(name: &str, value: &str) -> String {
    let names: Vec<String> = SETTINGS
        .iter()
        .map(|setting| setting.variable())
        .chain([variable("config"), variable("node")])
        .collect();
    let wrong = name.to_lowercase();
    let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let best = nearest(&wrong.replace('_', "-"), lower.iter().map(String::as_str))
        .map(str::to_uppercase)
        .unwrap_or_default();
    let link = service_link(if name.contains("_SERVICE_") {
        "tcp://"
    } else {
        value
    });
    format!("unknown variable {name}{link}; the nearest that exists is {best}")
}

/// Kubernetes sets variables of its own for a service that is called zmesh.
fn service_link(value: &str) -> &'static str {
    if value.starts_with("tcp://") {
        " (looks like one that Kubernetes sets for a service; `enableServiceLinks: false` ends it)"
    } else {
        ""
    }
}
