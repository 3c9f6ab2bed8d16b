//! `zmesh drain`: asks a node to go, and follows it until it has gone.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use zmesh_node::report::{Amount, Drain};

use super::ask::AskArgs;
use crate::address::Address;
use crate::exit::Outcome;
use crate::http::{self, Answer};
use crate::output::{self, bytes, printable, thousands};

/// The node holds an answer back for so many seconds if there is nothing new to say.
const HOLD_BACK: &str = "2";
/// A node that has handed everything on has ended by then.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks whether it has.
const LOOK: Duration = Duration::from_millis(50);

const EXAMPLES: &str = "\
Examples:
  zmesh drain                          the node at 127.0.0.1:5555
  zmesh drain --node 10.0.0.7:5555     another
  zmesh drain --json | jq .state       drained or cut_short

The node does the same as at SIGTERM or Ctrl-C: it takes no new clients, sends publishers away,
hands on what it has to other nodes and to its subscribers, and ends. It has --drain-timeout for
that, a setting of the node. Exit code 0: nothing was dropped or left. 1: something was.";

/// `zmesh drain`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    ask: AskArgs,
}

pub(crate) fn run(args: &DrainArgs) -> Result<Outcome> {
    let node = &args.ask.target.node;
    let (mut body, mut report) = read(node, http::post(node, "drain", &[])?)?;
    eprintln!("{} is leaving", printable(&report.node));
    while !is_over(&report) {
        let answer = http::get(node, "drain", &[("wait", HOLD_BACK)]);
        let answer = answer.with_context(|| {
            format!("{node} has gone without a word of how its drain ended: its log says why")
        })?;
        (body, report) = read(node, answer)?;
        if !is_over(&report) {
            eprintln!("{}", progress(&report));
        }
    }
    wait_for_end(node);
    output::print(&if args.ask.json {
        body
    } else {
        summary(&report)
    })?;
    let nothing_lost = report.state == "drained" && report.dropped_messages.is_empty();
    Ok(match nothing_lost {
        true => Outcome::Done,
        false => Outcome::Negative,
    })
}

fn read(node: &Address, answer: Answer) -> Result<(String, Drain)> {
    let body = match answer {
        Answer::Yes(body) => body,
        Answer::No(reason) => bail!("{node} does not drain: {}", printable(&reason)),
    };
    let report = serde_json::from_str(&body).with_context(|| {
        format!("{node} answers otherwise than a zmesh node of this version would: is it one?")
    })?;
    Ok((body, report))
}

fn is_over(report: &Drain) -> bool {
    ["drained", "cut_short"].contains(&report.state.as_str())
}

/// Waits until nobody listens there any more, or another process does.
fn wait_for_end(node: &Address) {
    let deadline = Instant::now() + END_PATIENCE;
    while Instant::now() < deadline && node.is_there() {
        let state = match http::get(node, "drain", &[]) {
            Ok(Answer::Yes(body)) => serde_json::from_str::<Drain>(&body).ok(),
            _ => None,
        };
        if state.is_some_and(|report| !is_over(&report)) {
            return;
        }
        thread::sleep(LOOK);
    }
}

/// What is left, in a line.
fn progress(report: &Drain) -> String {
    let seconds = report.seconds;
    let left = left(report);
    let left = if left.is_empty() { "nothing" } else { &left };
    let waits_for = printable(&report.waits_for);
    format!("{seconds:.0} s: waits for {waits_for}; left: {left}")
}

fn summary(report: &Drain) -> String {
    let (name, seconds) = (printable(&report.node), report.seconds);
    let dropped = report.dropped_messages.iter();
    let reasons: Vec<String> = dropped
        .map(|(reason, count)| format!("{} {}", printable(reason), thousands(*count)))
        .collect();
    let sum = report
        .dropped_messages
        .values()
        .fold(0u64, |sum, count| sum.saturating_add(*count));
    let dropped = match reasons.is_empty() {
        true => "0 messages dropped".into(),
        false => format!(
            "{} messages dropped ({})",
            thousands(sum),
            reasons.join(", ")
        ),
    };
    if report.state == "drained" {
        return format!("{name} drained in {seconds:.1} s: {dropped}");
    }
    let left = left(report);
    let mut lines = vec![format!(
        "{name} ended after {seconds:.0} s, before everything was handed on: {dropped}, \
         left were {left}"
    )];
    for client in &report.clients {
        let (peer, kind) = (printable(&client.peer), printable(&client.socket_type));
        lines.push(format!(
            "  {kind} {peer} has not read {}",
            amount(client.queued)
        ));
    }
    for node in &report.nodes {
        let name = printable(&node.name);
        if node.undone.messages > 0 {
            lines.push(format!("  {name} has not done {}", amount(node.undone)));
        }
        if node.unacked.messages > 0 {
            lines.push(format!(
                "  {name} has not acknowledged {}",
                amount(node.unacked)
            ));
        }
    }
    lines.join("\n")
}

fn left(report: &Drain) -> String {
    let parts = [
        ("for its clients", report.queued),
        ("not done", report.undone),
        ("not acknowledged", report.unacked),
    ];
    let parts = parts.into_iter().filter(|(_, it)| it.messages > 0);
    let mut parts: Vec<String> = parts
        .map(|(what, it)| format!("{} {what}", amount(it)))
        .collect();
    let counts = [
        (report.requests, "requests without an answer"),
        (report.tasks, "tasks of work queues"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    parts.extend(counts.map(|(count, what)| format!("{} {what}", thousands(count))));
    parts.join(", ")
}

fn amount(amount: Amount) -> String {
    format!(
        "{} messages ({})",
        thousands(amount.messages),
        bytes(amount.bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use zmesh_node::report::{DrainClient, DrainNode};

    #[test]
    fn a_drain_that_went_well_is_one_line() {
        let report = Drain {
            node: "n1".into(),
            state: "drained".into(),
            seconds: 0.42,
            ..Drain::default()
        };
        assert_eq!(summary(&report), "n1 drained in 0.4 s: 0 messages dropped");
    }

    #[test]
    fn what_was_left_is_told_by_client_and_node() {
        let messages = |messages| Amount {
            messages,
            bytes: 1024 * messages,
        };
        let report = Drain {
            node: "n1".into(),
            state: "cut_short".into(),
            seconds: 30.0,
            dropped_messages: [("unreachable".to_string(), 1200)].into(),
            queued: messages(5),
            unacked: messages(7),
            clients: vec![DrainClient {
                peer: "10.0.0.9:4711".into(),
                socket_type: "SUB".into(),
                queued: messages(5),
            }],
            nodes: vec![DrainNode {
                name: "n2".into(),
                unacked: messages(7),
                ..DrainNode::default()
            }],
            ..Drain::default()
        };
        assert_eq!(
            summary(&report),
            "n1 ended after 30 s, before everything was handed on: 1,200 messages dropped \
             (unreachable 1,200), left were 5 messages (5.0 KiB) for its clients, 7 messages \
             (7.0 KiB) not acknowledged\n  SUB 10.0.0.9:4711 has not read 5 messages (5.0 KiB)\n  \
             n2 has not acknowledged 7 messages (7.0 KiB)"
        );
    }
}
