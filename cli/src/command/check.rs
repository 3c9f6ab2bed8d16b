//! `zmesh check`: is the mesh well? In one line and an exit code, as monitoring programs ask.

mod findings;
mod format;

use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use zmesh_node::report::{Drain, Mesh};

use crate::address::Address;
use crate::args::{Target, duration};
use crate::exit::Outcome;
use crate::http::{self, Answer};
use crate::output::{self, printable};

use findings::{Finding, Look};

const HELP: &str = "\
Examples:
  zmesh check --members 3                                   for Nagios, Icinga, Sensu
  zmesh check --format json | jq .status
  zmesh check --format prometheus > zmesh.prom.new; mv zmesh.prom.new zmesh.prom
                                                            for node_exporter's textfile collector

It looks twice, --interval apart, and tells what it saw both times.

CRITICAL  the node does not answer or is not ready; fewer members than --members, or without that a
          dead one; views differ; a member does not answer the node; a link is down; messages were
          lost between nodes meanwhile; a drain has taken longer than its --drain-timeout
WARNING   more members than --members; a suspect member; a member that joins; a subscriber whose
          queue is full, or dropped something within the last minute; messages dropped by a client's
          fault or a queue's policy meanwhile; a drain that has used half of its --drain-timeout
UNKNOWN   what answers is no zmesh node of this version, or the arguments are wrong

Exit codes are those of Nagios, unlike those of the other verbs: 0 OK, 1 WARNING, 2 CRITICAL,
3 UNKNOWN. They are the same with every --format.";

/// `zmesh check`
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    target: Target,
    /// How many members there should be; without it, no member may be dead
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    members: Option<u32>,
    /// Time between the two looks, at least 1s: an answer may be half a second old
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Nagios)]
    format: Format,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_secs(1) {
        return Err("must be at least 1s: both looks would see the same".into());
    }
    Ok(interval)
}

/// For whom the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One line, with performance data
    Nagios,
    /// Text for node_exporter's textfile collector
    Prometheus,
    /// One JSON object
    Json,
}

/// How well something is, in the order of Nagios's exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Level {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl Level {
    fn code(self) -> u8 {
        self as u8
    }

    fn name(self) -> &'static str {
        ["OK", "WARNING", "CRITICAL", "UNKNOWN"][self as usize]
    }
}

/// What was found, before it is printed.
struct Checked {
    target: String,
    level: Level,
    /// What is wrong; empty if nothing is.
    findings: Vec<Finding>,
    /// The second look, if there was one.
    mesh: Option<Mesh>,
    /// Messages dropped between the looks.
    dropped: u64,
}

pub(crate) fn run(args: &CheckArgs) -> Result<Outcome> {
    let checked = check(args);
    output::print(&match args.format {
        Format::Nagios => format::nagios(&checked),
        Format::Prometheus => format::prometheus(&checked),
        Format::Json => format::json(&checked)?,
    })?;
    Ok(Outcome::Level(checked.level.code()))
}

fn check(args: &CheckArgs) -> Checked {
    let node = &args.target.node;
    let seen = look(node).and_then(|first| {
        thread::sleep(args.interval);
        Ok((first, look(node)?))
    });
    let (findings, mesh, dropped) = match seen {
        Err(finding) => (vec![finding], None, 0),
        Ok((first, second)) => {
            let found = findings::both(&first, &second, args.members);
            let dropped = findings::dropped_between(&first.mesh, &second.mesh);
            (found, Some(second.mesh), dropped.values().sum())
        }
    };
    let worst = |level| findings.iter().any(|finding| finding.level == level);
    // A thing that is known to be bad matters more than one that is not known.
    let levels = [Level::Critical, Level::Unknown, Level::Warning];
    let level = levels.into_iter().find(|level| worst(*level));
    Checked {
        target: node.to_string(),
        level: level.unwrap_or(Level::Ok),
        findings,
        mesh,
        dropped,
    }
}

/// One look at the mesh, or why there was none.
fn look(node: &Address) -> Result<Look, Finding> {
    let body = match http::get(node, "mesh", &[]) {
        Ok(Answer::Yes(body)) => body,
        Ok(Answer::No(reason)) => {
            let text = format!("{node} cannot say: {}", printable(&reason));
            return Err(Finding::new("node", Level::Critical, "", text));
        }
        Err(error) => {
            // Who answers, but otherwise, is no node; who does not is one that is down.
            let level = match node.is_there() {
                true => Level::Unknown,
                false => Level::Critical,
            };
            return Err(Finding::new("node", level, "", format!("{error:#}")));
        }
    };
    let mesh: Mesh = http::read(node, &body)
        .map_err(|error| Finding::new("node", Level::Unknown, "", format!("{error:#}")))?;
    let leaving = mesh.nodes.iter().filter_map(|it| it.overview.as_ref());
    let leaving = leaving.filter(|it| it.node.state == "leaving");
    let drains = leaving.filter_map(|it| drain(&it.node.client)).collect();
    Ok(Look { mesh, drains })
}

/// How far a node is with its drain, as it says itself.
fn drain(client: &str) -> Option<Drain> {
    let address: Address = client.parse().ok()?;
    match http::get(&address, "drain", &[]) {
        Ok(Answer::Yes(body)) => serde_json::from_str(&body).ok(),
        _ => None,
    }
}
