//! The simulation of whole meshes, live chaos, and pictures of boards, from the command line.

use std::process::ExitCode;
use std::time::Duration;

use chaos_tests::boards::command::{self, Boards};
use chaos_tests::live_chaos::{self, LiveArgs};
use chaos_tests::scrape_cost::{self, ScrapeArgs};
use chaos_tests::sim::plan::Plan;
use chaos_tests::sim::search::{Search, search};
use chaos_tests::sim::swarm;
use chaos_tests::sim::tables::Tables;
use chaos_tests::sim::watch::Stamp;
use clap::{Args, Parser, Subcommand};

/// Tries to break the promises of a mesh.
#[derive(Debug, Parser)]
#[command(name = "chaos-tests")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Whole nodes in one virtual time, with faults that a seed decides
    Sim(Sim),
    /// Real nodes and clients on hosts of their own, and faults
    Live(LiveArgs),
    /// How soon the dead are found, beside models of others: figures for docs/reliability.md
    Detect(chaos_tests::sim::detect::Detect),
    /// Draws each Grafana board as a picture, from a real Prometheus
    Boards(Boards),
    /// What a scrape costs a node, idle and under full load: figures for the README
    Scrape(ScrapeArgs),
    /// Prints docs/metrics.md: every metric of a node, and the boards that show it
    Metrics,
}

#[derive(Debug, Args)]
struct Sim {
    /// Run this seed and print its plan and what it broke
    #[arg(long)]
    seed: Option<u64>,
    /// Tell the way of a message of that run, as it is named where it was lost
    #[arg(long, value_name = "PUBLISHER.TOPIC.NUMBER", requires = "seed")]
    follow: Option<Stamp>,
    /// Nodes at the start; drawn from the seed if not given
    #[arg(long)]
    nodes: Option<usize>,
    /// Search for so many minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// First seed of a search; drawn from the clock if not given
    #[arg(long)]
    first: Option<u64>,
    /// Search so many seeds
    #[arg(long)]
    seeds: Option<u64>,
    /// Runs at a time
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Sim(sim) => sim.run(),
        Verb::Live(live) => ended(live_chaos::run(&live)),
        Verb::Detect(detect) => detect.run(),
        Verb::Boards(boards) => ended(boards.run()),
        Verb::Scrape(scrape) => ended(scrape_cost::run(scrape)),
        Verb::Metrics => ended(command::metrics()),
    }
}

fn ended(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Sim {
    fn run(&self) -> ExitCode {
        match self.seed {
            Some(seed) => self.replay(seed),
            None => self.search(),
        }
    }

    fn replay(&self, seed: u64) -> ExitCode {
        let mut plan = Plan::of_seed(seed, self.nodes);
        plan.follow = self.follow;
        println!("{plan:#?}");
        let outcome = swarm::run(plan, &mut Tables::default());
        println!("{outcome:#?}");
        if outcome.violations.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn search(&self) -> ExitCode {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = clock.map_or(0, |since| since.as_secs());
        let first = self.first.unwrap_or(now * 1000);
        let limited = self.minutes.is_some();
        let what = Search {
            first,
            seeds: self.seeds.unwrap_or(if limited { u64::MAX } else { 1000 }),
            time: self
                .minutes
                .map(|minutes| Duration::from_secs(60 * minutes)),
            nodes: self.nodes,
            threads: self.threads,
        };
        println!("from seed {first}");
        let found = search(what, |line| println!("{line}"));
        println!("{found}");
        if found.broken.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
