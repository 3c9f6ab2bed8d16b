//! `zmesh connections`: the clients of one node, and which of them are slow.

use anyhow::Result;
use zmesh_node::report::{Connection, Connections};

use super::{AskArgs, answer};
use crate::exit::Outcome;
use crate::output::{Align::*, Table, age, bytes, thousands};

pub(crate) fn run(args: &AskArgs) -> Result<Outcome> {
    answer(args, "connections", &[], table)
}

fn table(report: &Connections) -> String {
    if report.connections.is_empty() {
        return "no clients are connected".into();
    }
    let mut table = Table::new(&[
        ("ID", Right),
        ("PEER", Left),
        ("TYPE", Left),
        ("AGE", Right),
        ("PREFIXES", Right),
        ("TAKEN", Right),
        ("DELIVERED", Right),
        ("DROPPED", Right),
        ("QUEUE", Right),
        ("ON THE WAY", Right),
        ("NOTE", Left),
    ]);
    for connection in &report.connections {
        table.row([
            connection.id.to_string(),
            connection.peer.clone(),
            connection.socket_type.clone(),
            age(connection.age_seconds),
            thousands(connection.subscriptions.into()),
            thousands(connection.taken_messages),
            thousands(connection.delivered_messages),
            thousands(connection.dropped_messages),
            bytes(connection.queue_bytes),
            bytes(connection.undone_bytes),
            note(connection),
        ]);
    }
    table.to_string()
}

/// What is worth knowing about a connection that does not keep up, or did not lately.
fn note(connection: &Connection) -> String {
    let full = connection.queue.iter().filter_map(|part| {
        let rule = match part.prefix.as_str() {
            "" => String::new(),
            prefix => format!(" for {prefix}"),
        };
        let since = age(part.full_for_seconds?);
        Some(format!("full for {since} ({}{rule})", part.policy))
    });
    let dropped = connection.seconds_since_drop;
    let dropped = dropped.map(|seconds| format!("last drop {} ago", age(seconds)));
    let held = connection.paused.then(|| "held back".to_string());
    let notes: Vec<String> = full.chain(dropped).chain(held).collect();
    notes.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use zmesh_node::report::QueuePart;

    #[test]
    fn a_client_that_does_not_keep_up_is_pointed_out() {
        let part = |prefix: &str, policy: &str, full_for_seconds| QueuePart {
            prefix: prefix.into(),
            policy: policy.into(),
            full_for_seconds,
            ..QueuePart::default()
        };
        let slow = Connection {
            queue: vec![
                part("", "drop-newest", Some(65.0)),
                part("STOCK.", "drop-oldest", Some(3.0)),
                part("FX", "block", None),
            ],
            seconds_since_drop: Some(2.0),
            ..Connection::default()
        };
        let held = Connection {
            paused: true,
            ..Connection::default()
        };
        let shown = table(&Connections {
            connections: vec![slow, held],
        });
        let note = "full for 1m 5s (drop-newest), full for 3s (drop-oldest for STOCK.), \
                    last drop 2s ago";
        assert!(shown.contains(note), "{shown}");
        assert!(shown.contains("held back"), "{shown}");
        assert_eq!(table(&Connections::default()), "no clients are connected");
    }
}
