//! What is wrong with a board, without asking any Prometheus.

use std::collections::BTreeSet;

use zmesh_node::metrics::METRICS;

use super::expression::{groups, kept, legend_labels, mentions, metrics};
use super::model::{Board, GridPos, Panel, Target};
use super::{BOARDS, NOT_ON_A_BOARD, PROCESS_METRICS};

/// Types of panels that Grafana 10 and later have and will keep.
const PANEL_TYPES: [&str; 7] = [
    "timeseries",
    "stat",
    "table",
    "heatmap",
    "state-timeline",
    "bargauge",
    "gauge",
];
/// Columns of a board.
const COLUMNS: u32 = 24;
/// Recording rules that boards may use, with their labels.
const RULES: [(&str, &[&str]); 1] = [("zmesh:messages_unaccounted", &["cluster"])];

/// The labels of a metric or rule, or `None` if there is none of that name.
fn labels(name: &str) -> Option<Vec<&'static str>> {
    let own = ["cluster", "node"];
    if let Some(metric) = METRICS.iter().find(|metric| metric.name == name) {
        return Some([&own[..], metric.labels, &["le"]].concat());
    }
    if PROCESS_METRICS.iter().any(|(process, ..)| *process == name) {
        return Some(own.into());
    }
    let rule = RULES.iter().find(|(rule, _)| *rule == name);
    rule.map(|(_, labels)| labels.to_vec())
}

/// The metrics that a board shows.
pub fn shown(board: &Board) -> BTreeSet<String> {
    let targets = board.panels.iter().flat_map(|panel| &panel.targets);
    targets.flat_map(|target| metrics(&target.expr)).collect()
}

/// What is wrong with this board.
pub fn complaints(name: &str, board: &Board) -> Vec<String> {
    let mut found = Vec::new();
    let uid = format!("zmesh-{name}");
    if board.uid != uid {
        found.push(format!("its uid is {}, not {uid}", board.uid));
    }
    if board.schema_version != 39 {
        found.push(format!("its schemaVersion is {}", board.schema_version));
    }
    let ids: BTreeSet<u32> = board.panels.iter().map(|panel| panel.id).collect();
    if ids.len() != board.panels.len() {
        found.push("two panels have the same id".into());
    }
    for variable in &board.templating.list {
        let (name, kind) = (&variable.name, &variable.kind);
        if kind == "query" && !asks_for(board, name) {
            found.push(format!("no panel asks for its variable {name}"));
        }
    }
    for (number, panel) in board.panels.iter().enumerate() {
        let wrong = of_panel(panel).into_iter();
        found.extend(wrong.map(|what| format!("{}: {what}", panel.title)));
        for other in &board.panels[number + 1..] {
            if overlap(panel.grid_pos, other.grid_pos) {
                found.push(format!("{} lies upon {}", panel.title, other.title));
            }
        }
    }
    found
        .iter()
        .map(|what| format!("{name}.json: {what}"))
        .collect()
}

fn asks_for(board: &Board, variable: &str) -> bool {
    let mut targets = board.panels.iter().flat_map(|panel| &panel.targets);
    targets.any(|target| target.expr.contains(&format!("${variable}")))
}

fn overlap(a: GridPos, b: GridPos) -> bool {
    a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h
}

fn of_panel(panel: &Panel) -> Vec<String> {
    let mut found = Vec::new();
    if !PANEL_TYPES.contains(&panel.kind.as_str()) {
        found.push(format!("the type {} is not among ours", panel.kind));
    }
    if panel.description.is_empty() {
        found.push("no description: say what it means and what to do".into());
    }
    if panel.field_config.defaults.unit.is_empty() {
        found.push("no unit".into());
    }
    if panel.grid_pos.x + panel.grid_pos.w > COLUMNS {
        found.push(format!("it ends right of column {COLUMNS}"));
    }
    let references: BTreeSet<&str> = panel.targets.iter().map(|it| it.ref_id.as_str()).collect();
    if references.len() != panel.targets.len() || references.is_empty() {
        found.push("each target needs a refId of its own".into());
    }
    found.extend(panel.targets.iter().flat_map(of_target));
    found
}

fn of_target(target: &Target) -> Vec<String> {
    let mut found = Vec::new();
    let expression = &target.expr;
    let metrics = metrics(expression);
    let known: Vec<_> = metrics.iter().map(|name| (name, labels(name))).collect();
    for (name, _) in known.iter().filter(|(_, labels)| labels.is_none()) {
        found.push(format!("{name} does not exist"));
    }
    let has: BTreeSet<&str> = known.into_iter().filter_map(|it| it.1).flatten().collect();
    for label in groups(expression).iter().flatten() {
        if !has.contains(label.as_str()) {
            found.push(format!("no metric of {expression} has the label {label}"));
        }
    }
    for label in legend_labels(&target.legend_format) {
        let there = match kept(expression) {
            Some(kept) => kept.iter().any(|kept| kept == label),
            None => has.contains(label),
        };
        if !there {
            found.push(format!(
                "the legend names {label}, which {expression} loses"
            ));
        }
    }
    let chosen = expression.matches(r#"{cluster=~"$cluster""#).count();
    if metrics.is_empty() || chosen != mentions(expression).len() {
        found.push(format!("{expression} does not choose by $cluster"));
    }
    found
}

/// What is wrong with all of them: metrics that no board shows, without a reason.
pub fn not_shown(boards: &[(&str, Board)]) -> Vec<String> {
    assert_eq!(boards.len(), BOARDS.len(), "all boards");
    let shown: BTreeSet<String> = boards.iter().flat_map(|(_, board)| shown(board)).collect();
    let process = PROCESS_METRICS.iter().map(|(name, ..)| *name);
    let all: BTreeSet<&str> = METRICS.iter().map(|it| it.name).chain(process).collect();
    let mut found = Vec::new();
    for name in &all {
        let excused = NOT_ON_A_BOARD.iter().any(|(other, _)| other == name);
        match (shown.contains(*name), excused) {
            (false, false) => found.push(format!(
                "{name} is on no board: put it on one, or into NOT_ON_A_BOARD with the reason"
            )),
            (true, true) => found.push(format!("{name} is on a board and in NOT_ON_A_BOARD")),
            _ => {}
        }
    }
    for (name, _) in NOT_ON_A_BOARD
        .iter()
        .filter(|(name, _)| !all.contains(name))
    {
        found.push(format!("NOT_ON_A_BOARD names {name}, which does not exist"));
    }
    found
}
