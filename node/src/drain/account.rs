//! What a draining node has left, for whom, and how that is told.

use std::cmp::Reverse;

use crate::forward::{Amount, DropReason, Left};
use crate::hub::{ClientInfo, Hub};
use crate::report;
use crate::view::View;

/// Clients that a report lists at most.
const CLIENTS_LISTED: usize = 100;

/// Clients, and nodes, that the log names at most.
const NAMED: usize = 10;

/// Dropped messages, in the order of [`DropReason::ALL`].
type Dropped = [u64; DropReason::ALL.len()];

/// How a node stands, as its data thread sees it.
pub(super) struct Standing {
    dropped: Dropped,
    left: Left,
    queued: Amount,
    requests: usize,
    tasks: usize,
    clients: Vec<report::DrainClient>,
}

impl Standing {
    pub(super) fn of(hub: &Hub) -> Self {
        let (queued, clients) = waiting_clients(hub);
        Self {
            dropped: hub.look(|router| router.stats()).dropped,
            left: hub.look(|router| router.left()),
            queued,
            requests: hub.look_services(|services| services.unfinished()),
            tasks: hub.look_queues(|queues| queues.tasks_left()),
            clients,
        }
    }

    /// As a report, with what was dropped since there were `before`.
    pub(super) fn report(self, before: Option<Dropped>, view: &View) -> report::Drain {
        let before = before.unwrap_or(self.dropped);
        let dropped = DropReason::ALL.into_iter().filter_map(|(name, reason)| {
            let count = self.dropped[reason as usize] - before[reason as usize];
            // What was never to be delivered is none of the drain's doing.
            (count > 0 && reason != DropReason::Reserved).then(|| (name.to_string(), count))
        });
        report::Drain {
            dropped_messages: dropped.collect(),
            undone: shape(Amount::sum(self.left.undone.values())),
            unacked: shape(Amount::sum(self.left.unacked.values())),
            queued: shape(self.queued),
            requests: self.requests as u64,
            tasks: self.tasks as u64,
            nodes: waiting_nodes(&self.left, view),
            clients: self.clients,
            ..report::Drain::default()
        }
    }
}

/// What waits for this node's clients, together and for each, those with the most bytes first.
fn waiting_clients(hub: &Hub) -> (Amount, Vec<report::DrainClient>) {
    let clients = hub.clients.borrow();
    let waiting = clients.iter().filter_map(|(id, info)| {
        let queue = hub.look(|router| router.client_waiting(*id));
        let amount = Amount::sum(&[queue, info.handle.unwritten.get()]);
        (amount.messages > 0).then_some((amount, info))
    });
    let mut waiting: Vec<(Amount, &ClientInfo)> = waiting.collect();
    waiting.sort_by_key(|(amount, _)| Reverse(amount.bytes));
    let sum = Amount::sum(waiting.iter().map(|(amount, _)| amount));
    let client = |(amount, info): &(Amount, &ClientInfo)| report::DrainClient {
        peer: info.peer.to_string(),
        socket_type: info.socket_type.clone(),
        queued: shape(*amount),
    };
    (
        sum,
        waiting.iter().take(CLIENTS_LISTED).map(client).collect(),
    )
}

fn waiting_nodes(left: &Left, view: &View) -> Vec<report::DrainNode> {
    let mut instances: Vec<_> = left.undone.keys().chain(left.unacked.keys()).collect();
    instances.sort_unstable();
    instances.dedup();
    let name = |nonce: u64| {
        let mut members = view.membership.members.iter().map(|known| &known.member);
        let member = members.find(|member| member.nonce == nonce);
        member.map_or_else(|| format!("{nonce:016x}"), |member| member.name.clone())
    };
    let amount = |amount: Option<&Amount>| shape(amount.copied().unwrap_or_default());
    let nodes = instances.into_iter().map(|instance| report::DrainNode {
        name: name(instance.0),
        undone: amount(left.undone.get(instance)),
        unacked: amount(left.unacked.get(instance)),
    });
    nodes.collect()
}

fn shape(amount: Amount) -> report::Amount {
    report::Amount {
        messages: amount.messages,
        bytes: amount.bytes,
    }
}

/// One line for a drain that went well, and what was left of one that did not.
pub(super) fn tell(report: &report::Drain) {
    let dropped: u64 = report.dropped_messages.values().sum();
    let seconds = report.seconds;
    if report.state == "cut_short" {
        name_the_slow(report, true);
    } else if dropped == 0 {
        tracing::info!(dropped_messages = 0, seconds, "drained");
    } else {
        let reasons = by_reason(report);
        tracing::warn!(dropped_messages = dropped, reasons, seconds, "drained");
    }
}

fn by_reason(report: &report::Drain) -> String {
    let reasons = report.dropped_messages.iter();
    let reasons: Vec<String> = reasons
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    reasons.join(", ")
}

/// Names the clients and nodes that a drain waits for, or has waited for in vain.
pub(super) fn name_the_slow(report: &report::Drain, in_vain: bool) {
    for client in report.clients.iter().take(NAMED) {
        let report::Amount { messages, bytes } = client.queued;
        let (peer, socket_type) = (&client.peer, &client.socket_type);
        if in_vain {
            tracing::warn!(
                peer,
                socket_type,
                messages,
                bytes,
                "a client has not read all"
            );
        } else {
            tracing::info!(
                peer,
                socket_type,
                messages,
                bytes,
                "a client has yet to read"
            );
        }
    }
    for node in report.nodes.iter().take(NAMED) {
        let (undone, unacked) = (node.undone.messages, node.unacked.messages);
        let node = &node.name;
        if in_vain {
            tracing::warn!(node, undone, unacked, "a node has not answered for all");
        } else {
            tracing::info!(node, undone, unacked, "a node has yet to answer");
        }
    }
}

/// Why the node ends with an error, and what to do the next time.
pub(super) fn complaint(report: &report::Drain) -> String {
    let amount = |it: report::Amount| format!("{} messages ({})", it.messages, size(it.bytes));
    let names = |of: fn(&report::DrainNode) -> report::Amount| {
        let nodes = report.nodes.iter().filter(|node| of(node).messages > 0);
        let names: Vec<&str> = nodes.map(|node| node.name.as_str()).take(NAMED).collect();
        names.join(", ")
    };
    let mut left = Vec::new();
    let mut remedies = Vec::new();
    if report.queued.messages > 0 {
        let clients = match report.clients.len() {
            1 => "1 client".into(),
            CLIENTS_LISTED => format!("{CLIENTS_LISTED} clients or more"),
            several => format!("{several} clients"),
        };
        left.push(format!("{} for {clients}", amount(report.queued)));
        remedies.push("end clients that do not read before their node");
    }
    if report.undone.messages > 0 {
        let nodes = names(|node| node.undone);
        left.push(format!("{} not done by {nodes}", amount(report.undone)));
    }
    if report.unacked.messages > 0 {
        let (unacked, nodes) = (amount(report.unacked), names(|node| node.unacked));
        left.push(format!("{unacked} not acknowledged by {nodes}"));
    }
    if report.requests > 0 {
        left.push(format!("{} requests without an answer", report.requests));
    }
    if report.tasks > 0 {
        left.push(format!("{} tasks of work queues", report.tasks));
        remedies.push("let another node be there to take the tasks");
    }
    if !report.nodes.is_empty() {
        remedies.push("see with `zmesh connections` what holds those nodes up");
    }
    remedies.push("give it longer with --drain-timeout");
    let dropped = match by_reason(report) {
        reasons if reasons.is_empty() => String::new(),
        reasons => format!("; dropped before: {reasons}"),
    };
    format!(
        "{} s were over before everything was handed on; left: {}{dropped}; {}",
        report.timeout_seconds,
        left.join(", "),
        remedies.join(", or ")
    )
}

fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        MIB.. => format!("{:.1} MiB", bytes as f64 / MIB as f64),
        _ => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_told_with_whom_it_was_for_and_what_to_do() {
        let messages = |messages| report::Amount {
            messages,
            bytes: 10 * messages,
        };
        let node = |name: &str, undone, unacked| report::DrainNode {
            name: name.into(),
            undone: messages(undone),
            unacked: messages(unacked),
        };
        assert_eq!(size(3 << 19), "1.5 MiB");
        let left = report::Drain {
            timeout_seconds: 30.0,
            undone: messages(2),
            unacked: messages(3),
            queued: messages(4),
            nodes: vec![node("b", 2, 0), node("c", 0, 3)],
            clients: vec![report::DrainClient::default()],
            dropped_messages: [("unreachable".to_string(), 7)].into(),
            ..report::Drain::default()
        };
        assert_eq!(
            complaint(&left),
            "30 s were over before everything was handed on; left: 4 messages (40 bytes) for 1 \
             client, 2 messages (20 bytes) not done by b, 3 messages (30 bytes) not \
             acknowledged by c; dropped before: unreachable 7; end clients that do not read before \
             their node, or see with `zmesh connections` what holds those nodes up, or give it \
             longer with --drain-timeout"
        );
    }
}
