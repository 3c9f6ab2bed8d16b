//! What it costs a node to be asked for its metrics: figures for the README.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::live::options::zmesh;
use crate::live::process::Node;
use crate::live::running::Running;
use crate::live::{Mesh, http};

/// `scrape`
#[derive(Clone, Copy, Debug, Args)]
pub struct ScrapeArgs {
    /// Scrapes of an idle node
    #[arg(long, default_value_t = 1000)]
    scrapes: u32,
    /// Pairs of seconds under full load, one with and one without a scrape of all three nodes
    #[arg(long, default_value_t = 60)]
    pairs: u32,
}

/// Prints the figures.
pub fn run(args: ScrapeArgs) -> Result<()> {
    let mesh = Mesh::start(3);
    idle(&mesh.nodes[0], args.scrapes.max(1))?;
    loaded(&mesh, args.pairs.max(2))
}

/// One after the other, from one connection each, as Prometheus may do it.
fn idle(node: &Node, scrapes: u32) -> Result<()> {
    let before = processor(node)?;
    let mut bytes = 0;
    let mut times = Vec::new();
    for _ in 0..scrapes {
        let begun = Instant::now();
        bytes = scrape(node)?;
        times.push(begun.elapsed());
    }
    let wall: Duration = times.iter().sum();
    let after = processor(node)?;
    let [data, all] = [0, 1].map(|it| {
        let busy = after[it].saturating_sub(before[it]);
        busy.as_secs_f64() * 1e6 / f64::from(scrapes)
    });
    times.sort_unstable();
    let at = |share: f64| millis(times[((times.len() - 1) as f64 * share) as usize]);
    println!("idle, {scrapes} scrapes of {} kB:", bytes / 1000);
    println!(
        "  p50 {:.2} ms, p99 {:.2}, slowest {:.2}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    println!(
        "  processor time a scrape: data thread {data:.0} µs, whole node {all:.0} µs (with all \
         else that it did in these {:.1} s)",
        wall.as_secs_f64()
    );
    Ok(())
}

/// Seconds with and without in turn, so that whatever else changes meets both.
fn loaded(mesh: &Mesh, pairs: u32) -> Result<()> {
    let [first, _, last] = &mesh.nodes[..] else {
        bail!("three nodes");
    };
    let topic = mesh.topic_owned_by(1, "S");
    let mut bench = zmesh();
    bench.args(["bench", "--from", &first.client, "--to", &last.client]);
    bench.args(["--topic", &topic, "--count", "100000000000"]);
    let load = bench.stdout(Stdio::null()).spawn();
    let mut load = Running(load.context("cannot start zmesh bench")?);
    thread::sleep(Duration::from_secs(5));
    let mut rates = [Vec::new(), Vec::new()];
    let mut times = Vec::new();
    for turn in 0..2 * pairs {
        let with = turn % 2 == 1;
        let (begun, before) = (Instant::now(), loopback_bytes()?);
        if with {
            for node in &mesh.nodes {
                let begun = Instant::now();
                scrape(node)?;
                times.push(millis(begun.elapsed()));
            }
        }
        thread::sleep(Duration::from_secs(1).saturating_sub(begun.elapsed()));
        let bytes = loopback_bytes()? - before;
        rates[usize::from(with)].push(bytes as f64 / begun.elapsed().as_secs_f64() / 1e6);
    }
    ensure!(
        load.0.try_wait()?.is_none(),
        "the load has ended before its time"
    );
    // Of each second with its neighbour without, since the load itself has its tides.
    let pairs_of = rates[1].iter().zip(&rates[0]);
    let ratios: Vec<f64> = pairs_of.map(|(with, without)| with / without).collect();
    let ratio = Figures::of(&ratios);
    let [without, with] = rates.map(|rates| Figures::of(&rates));
    println!("full load, MB/s on the loopback, {pairs} seconds each:");
    println!(
        "  without scrapes: mean {:.1}, median {:.1}",
        without.mean, without.median
    );
    println!(
        "  with a scrape of each node: mean {:.1}, median {:.1}",
        with.mean, with.median
    );
    println!(
        "  ratio of the means {:.3}, of the medians {:.3}; of neighbours: median {:.3}, mean {:.3} \
         with a standard error of {:.3}",
        with.mean / without.mean,
        with.median / without.median,
        ratio.median,
        ratio.mean,
        ratio.error
    );
    let times = Figures::of(&times);
    println!("  a scrape meanwhile: median {:.1} ms", times.median);
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The bytes of the page.
fn scrape(node: &Node) -> Result<usize> {
    let (status, page) = http::page(&node.client, "/metrics")?;
    ensure!(
        status == 200,
        "the metrics are answered with status {status}"
    );
    Ok(page.len())
}

/// How long the data thread of a node has run on a processor, and all its threads together.
fn processor(node: &Node) -> Result<[Duration; 2]> {
    let tasks = format!("/proc/{}/task", node.pid());
    let mut times = [Duration::ZERO; 2];
    for task in fs::read_dir(&tasks).context("this needs Linux")? {
        let path = task?.path();
        let text = fs::read_to_string(path.join("schedstat"))?;
        let nanos = text.split(' ').next().and_then(|it| it.parse().ok());
        let time = nanos.map(Duration::from_nanos);
        let time = time.context("schedstat has no number")?;
        if fs::read_to_string(path.join("comm"))?.trim() == "data" {
            times[0] = time;
        }
        times[1] += time;
    }
    Ok(times)
}

/// All bytes over the loopback so far.
fn loopback_bytes() -> Result<u64> {
    let text = fs::read_to_string("/proc/net/dev").context("this needs Linux")?;
    let mut lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("lo:"));
    let bytes = lines.next().and_then(|line| line.split_whitespace().next());
    bytes
        .and_then(|it| it.parse().ok())
        .context("/proc/net/dev has no loopback")
}

struct Figures {
    mean: f64,
    median: f64,
    /// Standard error of the mean.
    error: f64,
}

impl Figures {
    fn of(numbers: &[f64]) -> Self {
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let squares = numbers.iter().map(|it| (it - mean).powi(2));
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        Self {
            mean,
            median: sorted[sorted.len() / 2],
            error: (squares.sum::<f64>() / (count - 1.0) / count).sqrt(),
        }
    }
}
