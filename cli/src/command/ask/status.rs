//! `zmesh status`: one node at a glance.

use std::collections::BTreeMap;

use anyhow::Result;
use zmesh_node::report::Node;

use super::{AskArgs, answer};
use crate::exit::Outcome;
use crate::output::{age, bytes, printable, thousands};

pub(crate) fn run(args: &AskArgs) -> Result<Outcome> {
    answer(args, "node", &[], lines)
}

fn lines(report: &Node) -> String {
    let taken = (report.taken_messages, report.taken_bytes);
    let delivered = (report.delivered_messages, report.delivered_bytes);
    let rows = [
        (
            "node",
            format!("{} in cluster {}", report.name, report.cluster),
        ),
        (
            "state",
            format!("{}, up {}", report.state, age(report.uptime_seconds)),
        ),
        ("version", report.version.clone()),
        ("client", report.client.clone()),
        ("gossip", report.gossip.clone()),
        ("link", report.link.clone()),
        (
            "view",
            format!("{} nodes, {}", report.view_size, report.view_hash),
        ),
        (
            "owns",
            format!("{} partitions", thousands(report.partitions.into())),
        ),
        ("clients", connected(report)),
        ("taken", volume(taken)),
        (
            "forwarded",
            format!("{} messages", thousands(report.forwarded_messages)),
        ),
        ("delivered", volume(delivered)),
        ("dropped", by_reason(&report.dropped_messages)),
        ("closed", by_reason(&report.closed_connections)),
        ("on the way", bytes(report.undone_bytes)),
    ];
    let lines = rows
        .iter()
        .map(|(name, value)| format!("{name:<11} {}", printable(value)));
    lines.collect::<Vec<_>>().join("\n")
}

fn connected(report: &Node) -> String {
    let prefixes = thousands(report.subscriptions.into());
    format!(
        "{} connected, {prefixes} prefixes",
        thousands(report.connections.into())
    )
}

fn volume((messages, size): (u64, u64)) -> String {
    format!("{} messages, {}", thousands(messages), bytes(size))
}

/// The sum, then each reason that counts.
fn by_reason(counts: &BTreeMap<String, u64>) -> String {
    let sum = counts
        .values()
        .fold(0u64, |sum, count| sum.saturating_add(*count));
    let reasons: Vec<String> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{reason} {}", thousands(*count)))
        .collect();
    match reasons.is_empty() {
        true => thousands(sum),
        false => format!("{} ({})", thousands(sum), reasons.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_summed_and_told_by_reason() {
        let reason = |name: &str, count| (name.to_string(), count);
        let counts = [
            reason("queue_full", 1200),
            reason("unreachable", 34),
            reason("no", 0),
        ];
        let report = Node {
            dropped_messages: counts.into(),
            ..Node::default()
        };
        let shown = lines(&report);
        assert!(
            shown.contains("dropped     1,234 (queue_full 1,200, unreachable 34)"),
            "{shown}"
        );
        assert!(shown.contains("closed      0"), "{shown}");
    }
}
