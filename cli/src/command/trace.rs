//! `zmesh trace TOPIC`: sends one marked message, which no client gets, and prints its way.

use anyhow::Result;
use zmesh_node::report::{Hop, Trace};

use super::ask::AskArgs;
use crate::exit::Outcome;
use crate::http::{self, Answer};
use crate::output::{self, Align::*, Table, printable, thousands};

const EXAMPLES: &str = "\
Examples:
  zmesh trace STOCK.AAPL                           from the node at 127.0.0.1:5555
  zmesh trace STOCK.AAPL --node 10.0.0.7:5555      from another
  zmesh trace STOCK.AAPL --json | jq .done_us

The message goes the way of any other, but no client gets it. Its hops: taken by the node that is
asked, served by the owner of the topic, delivered at each node whose clients want it, done when the
first node knows that all of them have it.
Exit code 1: it was not done within 5 seconds.";

/// `zmesh trace`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    ask: AskArgs,
    /// The topic, as a publisher would send it
    topic: String,
}

pub(crate) fn run(args: &TraceArgs) -> Result<Outcome> {
    let node = &args.ask.target.node;
    let body = match http::post(node, "trace", &[("topic", &args.topic)])? {
        Answer::Yes(body) => body,
        Answer::No(reason) => {
            eprintln!("{node}: {}", printable(&reason));
            return Ok(Outcome::Negative);
        }
    };
    let report: Trace = http::read(node, &body)?;
    output::print(&if args.ask.json { body } else { text(&report) })?;
    Ok(match report.done {
        true => Outcome::Done,
        false => Outcome::Negative,
    })
}

fn text(report: &Trace) -> String {
    let mut table = Table::new(&[("AFTER", Right), ("NODE", Left), ("HOP", Left), ("", Left)]);
    let start = report.hops.iter().find(|hop| hop.what == "taken");
    let start = start.map_or(0, |hop| hop.at_us);
    for hop in &report.hops {
        let after = match hop.at_us.checked_sub(start) {
            Some(after) => format!("{} µs", thousands(after)),
            None => format!("-{} µs", thousands(start - hop.at_us)),
        };
        table.row([after, hop.node.clone(), hop.what.clone(), detail(hop)]);
    }
    let mut lines = vec![
        format!(
            "topic {}, partition {}",
            printable(&report.topic),
            thousands(report.partition.into())
        ),
        table.to_string(),
    ];
    lines.extend(end(report));
    let errors = report.errors.iter();
    lines.extend(
        errors.map(|(name, error)| {
            format!("{} was not asked: {}", printable(name), printable(error))
        }),
    );
    lines.join("\n")
}

fn detail(hop: &Hop) -> String {
    match hop.what.as_str() {
        "taken" if hop.to.is_empty() => "kept while its partition moves to another owner".into(),
        "taken" => format!("for the owner, {}", hop.to.join(", ")),
        "served" if hop.to.is_empty() => "nobody wants it".into(),
        "served" => format!("to {}", hop.to.join(", ")),
        "delivered" if hop.clients == 1 => "to the one client that wants it".into(),
        "delivered" => format!("to {} clients that want it", thousands(hop.clients.into())),
        "done" => "all who want it have it".into(),
        _ => String::new(),
    }
}

/// How it ended, and what the times are worth.
fn end(report: &Trace) -> Vec<String> {
    let origin = report.hops.iter().find(|hop| hop.what == "taken");
    let origin = origin.map_or("the first node", |hop| hop.node.as_str());
    let origin = printable(origin);
    let clocks = "the times above are of each node's own clock";
    match report.done_us.filter(|_| report.done) {
        Some(micros) => vec![format!(
            "done after {} µs by the one clock of {origin}; {clocks}",
            thousands(micros)
        )],
        None => {
            let (wait, missing) = missing(report);
            vec![
                format!("NOT DONE in time: {wait}{}", printable(&missing)),
                clocks.into(),
            ]
        }
    }
}

/// Where it got stuck, as far as the hops say.
fn missing(report: &Trace) -> (&'static str, String) {
    let hop = |what: &str| report.hops.iter().find(|hop| hop.what == what);
    let delivered = |name: &String| {
        let mut hops = report.hops.iter();
        hops.any(|hop| hop.what == "delivered" && hop.node == *name)
    };
    match (hop("taken"), hop("served")) {
        (None, _) => ("it was not taken", String::new()),
        (Some(taken), None) if taken.to.is_empty() => {
            let text = "its partition is moving to another owner; trace it again";
            (text, String::new())
        }
        (Some(taken), None) => ("not served yet by ", taken.to.join(", ")),
        (Some(_), Some(served)) => {
            let open = served.to.iter().filter(|name| !delivered(name));
            let open: Vec<&str> = open.map(String::as_str).collect();
            match open.is_empty() {
                true => ("delivered, and no word of it came back", String::new()),
                false => ("not delivered yet at ", open.join(", ")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(node: &str, what: &str, at_us: u64, to: &[&str]) -> Hop {
        Hop {
            node: node.into(),
            what: what.into(),
            at_us,
            to: to.iter().map(|name| (*name).into()).collect(),
            clients: 2,
        }
    }

    #[test]
    fn every_hop_has_its_time_since_the_message_was_taken() {
        let report = Trace {
            topic: "T".into(),
            done: true,
            done_us: Some(1200),
            hops: vec![
                hop("n2", "served", 990, &["n3"]),
                hop("n1", "taken", 1000, &["n2"]),
                hop("n3", "delivered", 1400, &[]),
                hop("n1", "done", 2200, &[]),
            ],
            ..Trace::default()
        };
        let shown = text(&report);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[2], "  -10 µs  n2    served     to n3", "{shown}");
        assert_eq!(
            lines[5],
            "1,200 µs  n1    done       all who want it have it"
        );
        assert!(lines[6].starts_with("done after 1,200 µs by the one clock of n1"));
    }

    #[test]
    fn a_message_that_is_not_done_tells_where_it_got_stuck() {
        let mut report = Trace {
            hops: vec![hop("n1", "taken", 1000, &["n2"])],
            ..Trace::default()
        };
        assert!(text(&report).contains("not served yet by n2"));
        report.hops[0].to.clear();
        assert!(text(&report).contains("taken  kept while its partition moves"));
        assert!(text(&report).contains("NOT DONE in time: its partition is moving"));
        report.hops[0].to.push("n2".into());
        report.hops.push(hop("n2", "served", 1010, &["n1", "n3"]));
        report.hops.push(hop("n1", "delivered", 1020, &[]));
        assert!(text(&report).contains("not delivered yet at n3"));
    }
}
