//! `zmesh explain TOPIC`: what becomes of a message on a topic, and why.

use anyhow::Result;
use zmesh_node::report::{Explain, ExplainNode};

use super::ask::{AskArgs, answer};
use crate::exit::Outcome;
use crate::output::{Align::*, Table, age, printable, thousands};

const EXAMPLES: &str = "\
Examples:
  zmesh explain STOCK.AAPL
  zmesh explain STOCK.AAPL --json | jq -r .why

A row is one node: how many of its clients want the topic, by which prefixes, and what happens
when their queue is full. LAST DROP is the last message of the topic's partition dropped there.";

/// `zmesh explain`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    ask: AskArgs,
    /// The topic, as a publisher would send it
    topic: String,
}

pub(crate) fn run(args: &ExplainArgs) -> Result<Outcome> {
    answer(&args.ask, "explain", &[("topic", &args.topic)], text)
}

fn text(report: &Explain) -> String {
    let successors = match report.successors.is_empty() {
        true => "none".into(),
        false => report.successors.join(", "),
    };
    let rows = [
        ("topic", report.topic.clone()),
        ("key", report.key.clone()),
        ("partition", thousands(report.partition.into())),
        ("owner", report.owner.clone()),
        ("why", report.why.clone()),
        ("successors", successors),
        ("view", report.view_hash.clone()),
        ("wanted by", wanted_by(&report.nodes)),
    ];
    let rows = rows
        .iter()
        .map(|(name, value)| format!("{name:<11} {}", printable(value)));
    let rows: Vec<String> = rows.collect();
    format!("{}\n\n{}", rows.join("\n"), table(report))
}

fn wanted_by(nodes: &[ExplainNode]) -> String {
    let subscribers = nodes.iter().map(|node| u64::from(node.subscribers)).sum();
    let places = nodes.iter().filter(|node| node.subscribers > 0).count();
    match subscribers {
        0 => "nobody: a message is taken and goes nowhere".into(),
        _ => format!(
            "{} subscriber{} at {places} of {} nodes",
            thousands(subscribers),
            if subscribers == 1 { "" } else { "s" },
            nodes.len()
        ),
    }
}

fn table(report: &Explain) -> Table {
    let mut table = Table::new(&[
        ("NODE", Left),
        ("SUBSCRIBERS", Right),
        ("PREFIXES", Left),
        ("CLIENTS", Left),
        ("QUEUE", Left),
        ("LAST DROP", Left),
        ("NOTE", Left),
    ]);
    for node in &report.nodes {
        let drop = node.last_drop.as_ref();
        let drop = drop.map(|it| format!("{}, {} ago", it.reason, age(it.seconds_ago)));
        let prefixes = node.prefixes.iter().map(|it| format!("{it:?}"));
        table.row([
            node.name.clone(),
            match node.error {
                Some(_) => "?".into(),
                None => thousands(node.subscribers.into()),
            },
            prefixes.collect::<Vec<_>>().join(" "),
            clients(node),
            node.queue_policy.clone(),
            drop.unwrap_or_default(),
            note(report, node),
        ]);
    }
    table
}

/// As many addresses as a line takes.
fn clients(node: &ExplainNode) -> String {
    const SHOWN: usize = 3;
    let shown = &node.clients[..node.clients.len().min(SHOWN)];
    let more = u64::from(node.subscribers).saturating_sub(shown.len() as u64);
    let more = (more > 0 && node.error.is_none()).then(|| format!("and {} more", thousands(more)));
    let all: Vec<String> = shown.iter().cloned().chain(more).collect();
    all.join(" ")
}

fn note(report: &Explain, node: &ExplainNode) -> String {
    if let Some(error) = &node.error {
        return format!("did not answer: {error}");
    }
    let owner = (node.name == report.owner).then(|| "owner".to_string());
    let other = (node.owner != report.owner)
        .then(|| format!("holds {} for the owner: views differ", node.owner));
    let moving = node
        .moving
        .then(|| "moving: waits for the old owner".to_string());
    let undone = (node.undone_messages > 0)
        .then(|| format!("{} on the way", thousands(node.undone_messages)));
    let notes = [owner, other, moving, undone];
    notes.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use zmesh_node::report::LastDrop;

    fn node(name: &str, subscribers: u32) -> ExplainNode {
        ExplainNode {
            name: name.into(),
            owner: "n1".into(),
            subscribers,
            queue_policy: "drop-newest".into(),
            ..ExplainNode::default()
        }
    }

    #[test]
    fn owner_subscribers_and_the_last_drop_are_told() {
        let reader = ExplainNode {
            prefixes: vec!["ST".into(), "\u{1b}[2J".into()],
            clients: vec!["10.0.0.1:1".into()],
            last_drop: Some(LastDrop {
                reason: "queue_full".into(),
                seconds_ago: 65.0,
            }),
            ..node("n2", 5)
        };
        let report = Explain {
            topic: "STOCK".into(),
            owner: "n1".into(),
            why: "it comes first".into(),
            nodes: vec![node("n1", 0), reader],
            ..Explain::default()
        };
        let shown = text(&report);
        assert!(shown.contains("why         it comes first"), "{shown}");
        assert!(shown.contains("5 subscribers at 1 of 2 nodes"), "{shown}");
        assert!(shown.contains("10.0.0.1:1 and 4 more"), "{shown}");
        assert!(shown.contains("queue_full, 1m 5s ago"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn another_opinion_and_a_silent_node_are_pointed_out() {
        let silent = ExplainNode {
            error: Some("no answer".into()),
            ..ExplainNode::default()
        };
        let report = Explain {
            owner: "n2".into(),
            nodes: vec![node("n1", 0), silent],
            ..Explain::default()
        };
        let shown = text(&report);
        assert!(shown.contains("holds n1 for the owner"), "{shown}");
        assert!(shown.contains("did not answer: no answer"), "{shown}");
        assert!(shown.contains("nobody"), "{shown}");
    }
}
