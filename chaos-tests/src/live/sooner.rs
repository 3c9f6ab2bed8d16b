//! The real rules and configurations of `dashboards/`, changed so that a test need not wait for
//! them: the expressions, thresholds, labels and texts stay as they are.
//!
//! - What an alert waits (`for`) and every range in square brackets is divided by [`FACTOR`].
//! - Nothing gets shorter than [`LEAST_FOR`] or [`LEAST_RANGE`] seconds: a rate needs some scrapes.
//! - Scrapes and evaluations come every second, and the Alertmanager waits a second.
//!
//! Times inside of thresholds are not changed.

use crate::tidy::root;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// How much shorter times are.
pub const FACTOR: u64 = 10;
/// The shortest that an alert waits, in seconds.
pub const LEAST_FOR: u64 = 2;
/// The shortest range, in seconds.
pub const LEAST_RANGE: u64 = 5;

/// A YAML file, by its path from the root of the workspace.
pub fn yaml(path: &str) -> Result<Value> {
    let text = fs::read_to_string(root().join(path)).with_context(|| format!("{path}: no file"))?;
    let mut read: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&text).with_context(|| path.to_string())?;
    read.apply_merge().with_context(|| path.to_string())?;
    serde_json::to_value(read).with_context(|| path.to_string())
}

/// Seconds of a duration as Prometheus writes it: `90s`, `5m`, `1h`.
fn seconds(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => bail!("{text} is no duration of one unit"),
    };
    Ok(digits.parse::<u64>().context("a number")? * unit)
}

fn shorter(text: &str, least: u64) -> Result<String> {
    Ok(format!("{}s", (seconds(text)? / FACTOR).max(least)))
}

/// An expression with shorter ranges.
pub fn expression(text: &str) -> Result<String> {
    let mut parts = text.split('[');
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (range, rest) = part.split_once(']').context("a bracket is closed")?;
        out += &format!("[{}]{rest}", shorter(range, LEAST_RANGE)?);
    }
    Ok(out)
}

/// A file of rules, changed.
pub fn rules(path: &str) -> Result<Value> {
    let mut file = yaml(path)?;
    let groups = file["groups"].as_array_mut().context("groups")?;
    let all = groups
        .iter_mut()
        .filter_map(|it| it["rules"].as_array_mut());
    for rule in all.flatten() {
        let text = rule["expr"].as_str().context("every rule has expr")?;
        rule["expr"] = expression(text)?.into();
        if let Some(waits) = rule.get("for").and_then(Value::as_str) {
            rule["for"] = shorter(waits, LEAST_FOR)?.into();
        }
    }
    Ok(file)
}

/// `dashboards/prometheus.yml` for these nodes and this Alertmanager, with its rules, changed and
/// written into a folder. JSON is YAML, too.
pub fn prometheus(folder: &Path, nodes: &[String], alertmanager: Option<&str>) -> Result<()> {
    let mut config = yaml("dashboards/prometheus.yml")?;
    config["global"] = json!({"scrape_interval": "1s", "evaluation_interval": "1s"});
    config["scrape_configs"][0]["static_configs"][0]["targets"] = json!(nodes);
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] =
        json!(alertmanager.as_slice());
    let files = config["rule_files"].as_array().context("rule_files")?;
    for file in files.iter().filter_map(Value::as_str) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        let changed = rules(&format!("dashboards/{file}"))?;
        fs::write(path, changed.to_string())?;
    }
    fs::write(folder.join("prometheus.yml"), config.to_string())?;
    Ok(())
}

/// `dashboards/alertmanager.yml`, changed and written into a folder.
pub fn alertmanager(folder: &Path) -> Result<()> {
    let mut config = yaml("dashboards/alertmanager.yml")?;
    for wait in ["group_wait", "group_interval"] {
        config["route"][wait] = "1s".into();
    }
    fs::write(folder.join("alertmanager.yml"), config.to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_get_shorter_and_nothing_else() {
        let text = r#"rate(a{b="c"}[1m]) > 0.5 and max_over_time(d[1h]) - e[10s]"#;
        let changed = r#"rate(a{b="c"}[6s]) > 0.5 and max_over_time(d[360s]) - e[5s]"#;
        assert_eq!(expression(text).unwrap(), changed);
        assert!(expression("rate(a[1h30m])").is_err());
    }
}
