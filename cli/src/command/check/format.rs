//! The result of the checks, for each of those who ask.

use std::fmt::Write;

use anyhow::Result;
use serde_json::json;
use zmesh_node::report::{Mesh, Overview};

use super::findings::{CHECKS, Finding, by_view, living};
use super::{Checked, Level};
use crate::output::printable;

/// Findings that one line takes.
const TOLD: usize = 8;

/// A number that is told beside the verdict.
struct Measure {
    name: &'static str,
    help: &'static str,
    value: u64,
    /// Unit in performance data: `c` for what only rises, `B` for bytes.
    unit: &'static str,
}

fn measures(checked: &Checked) -> Vec<Measure> {
    let Some(mesh) = &checked.mesh else {
        return Vec::new();
    };
    let overviews = || mesh.nodes.iter().filter_map(|node| node.overview.as_ref());
    let sum = |value: fn(&Overview) -> u64| overviews().map(value).sum::<u64>();
    let dead = mesh.members.iter().filter(|it| it.state == "dead").count();
    let silent = mesh.nodes.iter().filter(|it| it.error.is_some()).count();
    let measure = |name, value, unit, help| Measure {
        name,
        help,
        value,
        unit,
    };
    vec![
        measure("members", living(mesh), "", "Members held alive."),
        measure("dead", dead as u64, "", "Members held dead."),
        measure("views", by_view(mesh).len() as u64, "", "Different views."),
        measure("silent", silent as u64, "", "Members without an answer."),
        measure(
            "links_down",
            sum(|it| it.links_down.len() as u64),
            "",
            "Links that are down.",
        ),
        measure(
            "slow",
            sum(|it| it.slow.len() as u64),
            "",
            "Slow subscribers, at most 10 a node.",
        ),
        measure(
            "throttled",
            sum(|it| it.publishers_throttled.into()),
            "",
            "Publishers that are not read from now.",
        ),
        measure(
            "dropped_now",
            checked.dropped,
            "",
            "Messages dropped between the two looks.",
        ),
        measure(
            "queued_bytes",
            sum(|it| it.queued_bytes),
            "B",
            "Bytes that wait for subscribers.",
        ),
        measure(
            "undone_bytes",
            sum(|it| it.node.undone_bytes),
            "B",
            "Bytes that were taken and are not done.",
        ),
        measure(
            "taken",
            sum(|it| it.node.taken_messages),
            "c",
            "Messages taken by nodes that answer.",
        ),
        measure(
            "delivered",
            sum(|it| it.node.delivered_messages),
            "c",
            "Messages delivered by nodes that answer.",
        ),
    ]
}

/// One line: the verdict, why, and after `|` the performance data.
pub(super) fn nagios(checked: &Checked) -> String {
    let told = match &checked.mesh {
        Some(mesh) if checked.findings.is_empty() => well(mesh),
        _ => problems(&checked.findings),
    };
    let performance: Vec<String> = measures(checked)
        .iter()
        .map(|it| format!("{}={}{};;;0", it.name, it.value, it.unit))
        .collect();
    // A bar in a name would be taken for the beginning of the performance data.
    let told = printable(&told).replace('|', "/");
    let line = format!("ZMESH {} - {told}", checked.level.name());
    match performance.is_empty() {
        true => line,
        false => format!("{line} | {}", performance.join(" ")),
    }
}

fn well(mesh: &Mesh) -> String {
    let number = living(mesh);
    let nodes = if number == 1 { "node" } else { "nodes" };
    format!("{number} {nodes} of cluster {} in one view", mesh.cluster)
}

fn problems(findings: &[Finding]) -> String {
    // The worst first: the line may be cut where it is shown.
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.level.code()));
    let told = sorted.iter().take(TOLD).map(|finding| finding.text.clone());
    let more = findings.len().saturating_sub(TOLD);
    let more = (more > 0).then(|| format!("and {more} more"));
    told.chain(more).collect::<Vec<_>>().join("; ")
}

/// Text for the textfile collector of node_exporter.
pub(super) fn prometheus(checked: &Checked) -> String {
    let target = label(&checked.target);
    let cluster = checked.mesh.as_ref().map_or("", |mesh| &mesh.cluster);
    let cluster = label(cluster);
    let labels = format!("target=\"{target}\",cluster=\"{cluster}\"");
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, samples: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    };
    let levels = "0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.";
    gauge(
        "zmesh_check_status",
        &format!("How well the mesh is: {levels}"),
        &[(labels.clone(), checked.level.code().into())],
    );
    let found: Vec<(String, u64)> = CHECKS
        .iter()
        .map(|check| {
            let level = level_of(checked, check);
            (format!("{labels},check=\"{check}\""), level.code().into())
        })
        .collect();
    let help = format!("How well each thing is that is checked: {levels}");
    gauge("zmesh_check_result", &help, &found);
    for measure in measures(checked) {
        let name = format!("zmesh_check_{}", measure.name);
        gauge(&name, measure.help, &[(labels.clone(), measure.value)]);
    }
    text
}

/// The worst of one check. Without a look, all but the first are not known.
fn level_of(checked: &Checked, check: &str) -> Level {
    let findings = checked.findings.iter().filter(|it| it.check == check);
    let worst = findings.map(|it| it.level).max_by_key(|level| level.code());
    worst.unwrap_or(match checked.mesh {
        Some(_) => Level::Ok,
        None => Level::Unknown,
    })
}

/// The value of a label, without what would end it.
fn label(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('\n', "\\n")
}

/// One JSON object.
pub(super) fn json(checked: &Checked) -> Result<String> {
    let measures = measures(checked);
    let measures: serde_json::Map<String, serde_json::Value> = measures
        .iter()
        .map(|it| (it.name.into(), it.value.into()))
        .collect();
    let checks: serde_json::Map<String, serde_json::Value> = CHECKS
        .iter()
        .map(|check| ((*check).into(), level_of(checked, check).name().into()))
        .collect();
    Ok(serde_json::to_string(&json!({
        "status": checked.level,
        "code": checked.level.code(),
        "target": checked.target,
        "cluster": checked.mesh.as_ref().map(|mesh| &mesh.cluster),
        "checks": checks,
        "findings": checked.findings,
        "measures": measures,
    }))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(level: Level, findings: Vec<Finding>, mesh: Option<Mesh>) -> Checked {
        Checked {
            target: "127.0.0.1:5555".into(),
            level,
            findings,
            mesh,
            dropped: 3,
        }
    }

    #[test]
    fn nagios_gets_one_line_with_the_worst_first_and_one_bar() {
        let findings = vec![
            Finding::new("slow", Level::Warning, "", "slow"),
            Finding::new("members", Level::Critical, "", "a|b\nis dead"),
        ];
        let line = nagios(&checked(Level::Critical, findings, Some(Mesh::default())));
        let told = "ZMESH CRITICAL - a/b\\nis dead; slow | members=0;;;0 ";
        assert!(line.starts_with(told), "{line}");
        assert!(line.contains(" dropped_now=3;;;0 "), "{line}");
        assert_eq!((line.lines().count(), line.matches('|').count()), (1, 1));
    }

    #[test]
    fn nothing_is_measured_where_nobody_answers() {
        let findings = vec![Finding::new("node", Level::Critical, "", "nobody")];
        let gone = checked(Level::Critical, findings, None);
        assert_eq!(nagios(&gone), "ZMESH CRITICAL - nobody");
        let text = prometheus(&gone);
        assert!(text.contains("check=\"node\"} 2\n"), "{text}");
        assert!(text.contains("check=\"links\"} 3\n"), "{text}");
        assert!(!text.contains("zmesh_check_members"), "{text}");
    }

    #[test]
    fn json_has_the_verdict_of_each_check() {
        let findings = vec![Finding::new("slow", Level::Warning, "a", "slow")];
        let text = json(&checked(Level::Warning, findings, Some(Mesh::default())));
        let json: serde_json::Value = serde_json::from_str(&text.expect("JSON")).expect("JSON");
        assert_eq!(json["status"], "WARNING");
        assert_eq!(json["checks"]["slow"], "WARNING");
        assert_eq!(json["checks"]["links"], "OK");
        assert_eq!(json["findings"][0]["subject"], "a");
    }
}
