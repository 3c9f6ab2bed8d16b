//! `zmesh events`: what happens to the mesh, line by line, as nodes tell it to a plain SUB socket.

mod follow;

use anyhow::{Context, Result};
use zmesh_node::report::Event;

use crate::args::Target;
use crate::date;
use crate::exit::Outcome;
use crate::output::{Output, printable, printable_bytes};

use follow::Following;

/// What the topic of every event begins with.
const TOPIC: &str = "$zmesh.event.";

const HELP: &str = "\
Examples:
  zmesh events                          what the node at 127.0.0.1:5555 sees
  zmesh events member. link.down        these kinds only
  zmesh events --mesh slow.             what any living member sees, and those that come later
  zmesh events --json member.dead | while read -r event; do page-me \"$event\"; done

Kinds: member.discovered .restarted .suspected .alive .dead .left, owner.moved, link.up .down,
slow.full .relieved .disconnected, node.ready .reloaded .leaving. Times are of the clock of the
node that saw it, in UTC. With --mesh a death is told by each node that sees it.
Any ZeroMQ program gets the same: a SUB socket that subscribes to \"$zmesh.event.\".";

/// `zmesh events`
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    target: Target,
    /// What the kinds of events begin with; without any, all
    prefix: Vec<String>,
    /// Follow every living member, not the one node alone
    #[arg(long)]
    mesh: bool,
    /// One JSON object an event, as the node tells it
    #[arg(long)]
    json: bool,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

pub(crate) fn run(args: &EventsArgs) -> Result<Outcome> {
    let mut following = Following::start(&args.target.node, &topics(&args.prefix), args.mesh)?;
    let mut output = Output::stdout();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let frames = following.next()?.unwrap_or_default();
        let [topic, body] = &frames[..] else {
            continue;
        };
        if !topic.starts_with(TOPIC.as_bytes()) {
            continue;
        }
        let line = match args.json {
            true => json_line(body),
            false => line(topic, body),
        };
        output.line(&line)?;
        output.flush()?;
        left -= 1;
    }
    Ok(Outcome::Done)
}

/// The topics of kinds. The whole topic will do as well.
fn topics(prefixes: &[String]) -> Vec<String> {
    if prefixes.is_empty() {
        return vec![TOPIC.into()];
    }
    let bare = prefixes
        .iter()
        .map(|prefix| prefix.strip_prefix(TOPIC).unwrap_or(prefix));
    bare.map(|prefix| format!("{TOPIC}{prefix}")).collect()
}

/// The event as it came, on one line and without anything that could move a terminal's cursor.
fn json_line(body: &[u8]) -> String {
    let mut line = String::with_capacity(body.len());
    for c in String::from_utf8_lossy(body).chars() {
        match c.is_control() {
            true => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => line.push(c),
        }
    }
    line
}

fn line(topic: &[u8], body: &[u8]) -> String {
    let event = serde_json::from_slice::<Event>(body).context("no event");
    match event {
        Ok(event) => format!(
            "{}  {:<8}  {:<17}  {}",
            date::utc(event.at_ms),
            printable(&event.node),
            printable(&event.event),
            printable(&event.text)
        ),
        // Of a later version: better told as it is than not at all.
        Err(_) => format!("{}  {}", printable_bytes(topic), printable_bytes(body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_become_topics() {
        assert_eq!(topics(&[]), ["$zmesh.event."]);
        let given = ["member.".to_string(), "$zmesh.event.link.down".to_string()];
        assert_eq!(
            topics(&given),
            ["$zmesh.event.member.", "$zmesh.event.link.down"]
        );
    }

    #[test]
    fn an_event_is_one_line_and_cannot_move_the_cursor() {
        let event = Event {
            event: "member.dead".into(),
            node: "n1".into(),
            at_ms: 1_795_729_410_102,
            text: "member \u{1b}[2J\n is dead".into(),
            ..Event::default()
        };
        let body = serde_json::to_vec(&event).expect("JSON");
        assert_eq!(
            line(b"$zmesh.event.member.dead", &body),
            "2026-11-26 21:43:30.102  n1        member.dead        member \\u{1b}[2J\\n is dead"
        );
        assert_eq!(json_line(&body).lines().count(), 1);
        assert_eq!(line(b"t", b"{\xff"), "t  {\\xff");
    }
}
