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

/// What is worth knowing about a connection that does not keep up.
fn note(connection: &Connection) -> String {
    match (connection.full_for_seconds, connection.paused) {
        (Some(seconds), _) => {
            format!("full for {} ({})", age(seconds), connection.queue_policy)
        }
        (None, true) => "held back".into(),
        (None, false) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_does_not_keep_up_is_pointed_out() {
        let slow = Connection {
            full_for_seconds: Some(65.0),
            queue_policy: "drop-newest".into(),
            ..Connection::default()
        };
        let held = Connection {
            paused: true,
            ..Connection::default()
        };
        let shown = table(&Connections {
            connections: vec![slow, held],
        });
        assert!(shown.contains("full for 1m 5s (drop-newest)"), "{shown}");
        assert!(shown.contains("held back"), "{shown}");
        assert_eq!(table(&Connections::default()), "no clients are connected");
    }
}
