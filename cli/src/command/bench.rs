//! `zmesh bench`: what a mesh carries and how long it takes, seen from ordinary ZeroMQ sockets.

mod latency;
mod report;
mod route;
mod session;
mod spread;
mod throughput;

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::address::Address;
use crate::args::{Target, duration, size};
use crate::exit::Outcome;
use crate::output;
use report::Report;
use session::{Path, Plan};

const EXAMPLES: &str = "\
Examples:
  zmesh bench --from 127.0.0.1:5555 --to 127.0.0.1:5575      messages a second through the mesh
  zmesh bench --direct                                       the same without a node
  zmesh bench latency --from 127.0.0.1:5555 --to 127.0.0.1:5575 --rate 10000
  zmesh bench compare --from 127.0.0.1:5555 --to 127.0.0.1:5575
                                                             both in turn, and the ratio

Publishers and subscribers are libzmq sockets in threads of this program; a message is two frames,
topic and payload. `zmesh owner bench` says which node owns the topic; --topic chooses another.
Latency is measured from the time at which a message was due. Exit code 1 if a message was lost.";

/// `zmesh bench`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    /// throughput, latency or compare
    #[arg(value_enum, hide_possible_values = true, default_value_t = Mode::Throughput)]
    mode: Mode,
    #[command(flatten)]
    target: Target,
    /// Where the publishers connect [default: --node]
    #[arg(long, value_name = "HOST:PORT")]
    from: Option<Address>,
    /// Where the subscribers connect [default: --node]
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<Address>,
    /// Connect subscribers and publishers to each other, without a node
    #[arg(long, conflicts_with_all = ["from", "to"])]
    direct: bool,
    /// Size of the payload
    #[arg(long, default_value = "128", value_parser = size)]
    size: u64,
    /// Messages of a throughput run, all together
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Number of publishers
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    publishers: u16,
    /// Number of subscribers; each gets every message
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    subscribers: u16,
    /// Number of topics, used in turn
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    topics: u16,
    /// The first topic; the others begin with it
    #[arg(long, default_value = "bench")]
    topic: String,
    /// Messages a second of a latency run, all together
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=MAX_RATE))]
    rate: u64,
    /// Length of a latency run
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How often to repeat [default: 1, compare: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: Option<u16>,
    /// How long to wait until all hear each other
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// The result as JSON
    #[arg(long)]
    json: bool,
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    // As many messages a second as get through.
    Throughput,
    // How long messages take at a fixed rate.
    Latency,
    // Both, with the mesh and without it in turn.
    Compare,
}

/// Highest rate of a latency run, in messages a second.
const MAX_RATE: u64 = 1_000_000;
/// Largest payload: a node takes no larger message by default.
const MAX_SIZE: u64 = 64 << 20;

pub(crate) fn run(args: &BenchArgs) -> Result<Outcome> {
    anyhow::ensure!(args.size <= MAX_SIZE, "--size must be at most 64MiB");
    let plan = |path| Plan {
        path,
        size: args.size as usize,
        publishers: args.publishers.into(),
        subscribers: args.subscribers.into(),
        topics: session::topics(&args.topic, args.topics.into()),
        timeout: args.timeout,
    };
    let mesh = || -> Result<Plan> {
        let from = args
            .from
            .as_ref()
            .unwrap_or(&args.target.node)
            .reach(args.timeout)?;
        let to = args
            .to
            .as_ref()
            .unwrap_or(&args.target.node)
            .reach(args.timeout)?;
        Ok(plan(Path::Mesh { from, to }))
    };
    let plans = match (args.mode, args.direct) {
        (Mode::Compare, true) => {
            anyhow::bail!("compare measures direct connections anyway: leave --direct out")
        }
        (Mode::Compare, false) => vec![plan(Path::Direct), mesh()?],
        (_, true) => vec![plan(Path::Direct)],
        (_, false) => vec![mesh()?],
    };
    for route in plans.iter().filter_map(route::describe) {
        eprintln!("route: {route}");
    }
    let report = measure(args, &plans)?;
    output::print(&if args.json {
        report.to_json()
    } else {
        report.to_string()
    })?;
    match report.lost() {
        0 => Ok(Outcome::Done),
        lost => {
            eprintln!(
                "{lost} messages were lost; `zmesh status` and `zmesh connections` say where"
            );
            Ok(Outcome::Negative)
        }
    }
}

/// Runs every plan in turn, as often as asked for, so that what else the machine does meets all
/// of them alike.
fn measure(args: &BenchArgs, plans: &[Plan]) -> Result<Report> {
    let runs = args
        .runs
        .unwrap_or(if args.mode == Mode::Compare { 5 } else { 1 });
    let mut report = Report::new(args, plans);
    if args.mode != Mode::Latency {
        for run in 1..=runs {
            for (plan, results) in plans.iter().zip(&mut report.throughput) {
                let result = throughput::run(plan, args.count)?;
                let speed = output::thousands(result.messages_per_second() as u64);
                eprintln!("throughput {run}/{runs} {}: {speed} messages/s", plan.path);
                results.runs.push(result);
            }
        }
    }
    if args.mode != Mode::Throughput {
        for run in 1..=runs {
            for (plan, results) in plans.iter().zip(&mut report.latency) {
                let result = latency::run(plan, args.rate, args.seconds)?;
                eprintln!(
                    "latency {run}/{runs} {}: p50 {:.1} µs",
                    plan.path, result.p50_us
                );
                results.runs.push(result);
            }
        }
    }
    Ok(report)
}
