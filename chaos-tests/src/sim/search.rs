//! Many seeds: how they are run side by side, counted, and told of.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::plan::Plan;
use super::swarm::{Outcome, run};
use super::tables::Tables;
use super::watch::Counts;

/// Which seeds to run.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// The first.
    pub first: u64,
    /// How many, unless the time is up before.
    pub seeds: u64,
    /// How long at most.
    pub time: Option<Duration>,
    /// Nodes of each run; drawn from the seed if not said.
    pub nodes: Option<usize>,
    /// Runs at a time.
    pub threads: usize,
}

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Found {
    /// Seeds that were run.
    pub seeds: u64,
    /// What they saw together.
    pub counts: Counts,
    /// The longest time until a mesh was well again.
    pub slowest: Duration,
    /// For each seed that broke a promise, the line that runs it again.
    pub broken: Vec<String>,
}

/// Runs one seed. What is wrong is told in a line that says how to run it again.
pub fn check(seed: u64, nodes: Option<usize>, tables: &mut Tables) -> Result<Outcome, String> {
    let plan = Plan::of_seed(seed, nodes);
    let outcome = catch_unwind(AssertUnwindSafe(|| run(plan, tables)));
    let broken = match outcome {
        Ok(outcome) if outcome.violations.is_empty() => return Ok(outcome),
        Ok(outcome) => {
            let (kind, text) = &outcome.violations[0];
            format!("{kind:?} (of {}): {text}", outcome.violations.len())
        }
        Err(_) => "panicked".into(),
    };
    let nodes = nodes.map_or(String::new(), |nodes| format!(" --nodes {nodes}"));
    Err(format!(
        "cargo run --release -p chaos-tests -- sim --seed {seed}{nodes}  # {broken}"
    ))
}

/// Runs seeds until all are run or the time is up. `tell` hears of each that broke a promise.
pub fn search(search: Search, tell: impl Fn(&str) + Sync) -> Found {
    let found = Mutex::new(Found::default());
    let next = AtomicU64::new(search.first);
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..search.threads.max(1) {
            scope.spawn(|| {
                let mut tables = Tables::default();
                while !over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= search.first.saturating_add(search.seeds) {
                        return;
                    }
                    let result = check(seed, search.nodes, &mut tables);
                    if let Err(line) = &result {
                        tell(line);
                    }
                    if let Ok(mut found) = found.lock() {
                        found.add(result);
                    }
                    if search.time.is_some_and(|time| begun.elapsed() >= time) {
                        over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_default()
}

impl Found {
    fn add(&mut self, result: Result<Outcome, String>) {
        self.seeds += 1;
        match result {
            Ok(outcome) => {
                self.counts.add(&outcome.counts);
                self.slowest = self.slowest.max(outcome.converged_after);
            }
            Err(line) => self.broken.push(line),
        }
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let it = &self.counts;
        write!(
            f,
            "{} seeds, {} broke a promise; {} faults injected, {} messages published, {} \
             delivered, {} promised, {} let go by a stated rule; {} false deaths; {} events; \
             slowest to mend {:.1} s",
            self.seeds,
            self.broken.len(),
            it.faults,
            it.published,
            it.delivered,
            it.promised,
            it.excused,
            it.false_deaths,
            it.events,
            self.slowest.as_secs_f64(),
        )
    }
}
