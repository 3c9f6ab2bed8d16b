//! `docs/metrics.md`: every metric, made from the catalogue of the node and from the boards.

use std::fmt::Write;

use zmesh_node::metrics::{Kind, METRICS};

use super::check::shown;
use super::model::Board;
use super::{NOT_ON_A_BOARD, PROCESS_METRICS};

const HEAD: &str = "\
# Metrics

Every node answers `GET /metrics` at its client address. Every series has the labels `cluster` and
`node` (the node's name) beside those named here. Counters begin at 0 when a node starts.

The three equations that hold in each node, at any time:

- where a message is taken: `taken = done + dropped{place=\"origin\"} + undone`
- at the owner of its topic: `routed = acked + dropped{place=\"owner\"} + unacked`, without the
  drops of the reason `interest_unknown`
- where it is delivered: `matched = delivered + dropped{place=\"subscriber\"} + queued`

The boards are in [dashboards/grafana](../dashboards/grafana). This page is made from the code and
the boards: `cargo run -p chaos-tests -- metrics > docs/metrics.md`

| metric | type | labels | what it says | boards |
|---|---|---|---|---|
";

/// The page.
pub fn page(boards: &[(&str, Board)]) -> String {
    let mut page = String::from(HEAD);
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels: Vec<String> = metric.labels.iter().map(|it| format!("`{it}`")).collect();
        let labels = labels.join(", ");
        row(&mut page, boards, metric.name, [kind, &labels, metric.help]);
    }
    page.push_str("\nOf the process, on Linux:\n\n");
    page.push_str("| metric | type | labels | what it says | boards |\n|---|---|---|---|---|\n");
    for (name, kind, help) in PROCESS_METRICS {
        row(&mut page, boards, name, [kind, "", help]);
    }
    page.push_str("\nNot on a board, because:\n\n");
    for (name, why) in NOT_ON_A_BOARD {
        line(&mut page, &format!("- `{name}`: {why}."));
    }
    page
}

fn row(page: &mut String, boards: &[(&str, Board)], name: &str, cells: [&str; 3]) {
    let on = boards
        .iter()
        .filter(|(_, board)| shown(board).contains(name));
    let on: Vec<&str> = on.map(|(file, _)| *file).collect();
    let [kind, labels, help] = cells;
    let help = help.replace('|', "\\|");
    let on = if on.is_empty() {
        "(below)".into()
    } else {
        on.join(", ")
    };
    line(
        page,
        &format!("| `{name}` | {kind} | {labels} | {help} | {on} |"),
    );
}

fn line(page: &mut String, line: &str) {
    writeln!(page, "{line}").expect("a string takes any text");
}
