//! What the runs came to, for people and as JSON.

use std::fmt;

use serde_json::{Value, json};

use super::BenchArgs;
use super::latency::Latency;
use super::session::{Path, Plan};
use super::spread::Spread;
use super::throughput::Throughput;
use crate::output::{Align::*, Table, thousands};

/// Every run of every path, in the order of the plans.
pub(super) struct Report {
    pub(super) throughput: Vec<Throughputs>,
    pub(super) latency: Vec<Latencies>,
    setting: Value,
    rate: u64,
    size: u64,
}

/// The throughput runs of one path.
pub(super) struct Throughputs {
    pub(super) path: Path,
    pub(super) runs: Vec<Throughput>,
}

/// The latency runs of one path.
pub(super) struct Latencies {
    pub(super) path: Path,
    pub(super) runs: Vec<Latency>,
}

impl Throughputs {
    fn speed(&self) -> Spread {
        Spread::of(self.runs.iter().map(Throughput::messages_per_second))
    }

    fn megabytes(&self) -> Spread {
        Spread::of(self.runs.iter().map(|run| run.megabytes_per_second))
    }

    fn lost(&self) -> u64 {
        self.runs.iter().map(|run| run.lost).sum()
    }

    fn json(&self) -> Value {
        json!({
            "path": self.path.to_string(),
            "messages_per_second": self.speed().json(),
            "megabytes_per_second": self.megabytes().json(),
            "lost": self.lost(),
            "runs": self.runs,
        })
    }
}

impl Latencies {
    fn spread(&self, of: impl Fn(&Latency) -> f64) -> Spread {
        Spread::of(self.runs.iter().map(of))
    }

    fn lost(&self) -> u64 {
        self.runs.iter().map(|run| run.lost).sum()
    }

    fn json(&self) -> Value {
        json!({
            "path": self.path.to_string(),
            "p50_us": self.spread(|run| run.p50_us).json(),
            "p90_us": self.spread(|run| run.p90_us).json(),
            "p99_us": self.spread(|run| run.p99_us).json(),
            "p999_us": self.spread(|run| run.p999_us).json(),
            "max_us": self.spread(|run| run.max_us).json(),
            "lost": self.lost(),
            "runs": self.runs,
        })
    }
}

impl Report {
    /// An empty report of the runs to come.
    pub(super) fn new(args: &BenchArgs, plans: &[Plan]) -> Self {
        let paths = || plans.iter().map(|plan| plan.path);
        let ends = paths().find_map(|path| match path {
            Path::Direct => None,
            Path::Mesh { from, to } => Some((from.to_string(), to.to_string())),
        });
        let (from, to) = ends.unzip();
        let setting = json!({
            "from": from,
            "to": to,
            "size": args.size,
            "count": args.count,
            "publishers": args.publishers,
            "subscribers": args.subscribers,
            "topics": args.topics,
            "topic": args.topic,
            "rate": args.rate,
            "seconds": args.seconds,
        });
        Self {
            throughput: paths()
                .map(|path| Throughputs {
                    path,
                    runs: Vec::new(),
                })
                .collect(),
            latency: paths()
                .map(|path| Latencies {
                    path,
                    runs: Vec::new(),
                })
                .collect(),
            setting,
            rate: args.rate,
            size: args.size,
        }
    }

    /// Messages that did not arrive in any run.
    pub(super) fn lost(&self) -> u64 {
        let throughput: u64 = self.throughput.iter().map(Throughputs::lost).sum();
        let latency: u64 = self.latency.iter().map(Latencies::lost).sum();
        throughput + latency
    }

    /// The report as one JSON object; what was not measured is left out.
    pub(super) fn to_json(&self) -> String {
        let throughput = measured(&self.throughput, |path| path.runs.len());
        let latency = measured(&self.latency, |path| path.runs.len());
        let mut report = json!({"setting": self.setting, "lost": self.lost()});
        if !throughput.is_empty() {
            report["throughput"] = throughput.iter().map(|path| path.json()).collect();
        }
        if !latency.is_empty() {
            report["latency"] = latency.iter().map(|path| path.json()).collect();
        }
        if let Some((throughput, latency)) = self.ratios() {
            report["mesh_to_direct"] =
                json!({"messages_per_second": throughput, "p50_us": latency});
        }
        report.to_string()
    }

    /// Mesh by direct, of the medians: messages a second and p50 latency.
    fn ratios(&self) -> Option<(f64, f64)> {
        let [direct, mesh] = self.throughput.as_slice() else {
            return None;
        };
        let throughput = mesh.speed().median / direct.speed().median;
        let [direct, mesh] = self.latency.as_slice() else {
            return None;
        };
        let p50 = |path: &Latencies| path.spread(|run| run.p50_us).median;
        Some((throughput, p50(mesh) / p50(direct)))
    }

    fn throughput_table(&self) -> String {
        let mut table = Table::new(&[
            ("THROUGHPUT", Left),
            ("SIZE", Right),
            ("MESSAGES/S", Right),
            ("LOWEST", Right),
            ("HIGHEST", Right),
            ("MB/S", Right),
            ("LOST", Right),
            ("RUNS", Right),
        ]);
        for path in measured(&self.throughput, |path| path.runs.len()) {
            let speed = path.speed();
            table.row([
                path.path.to_string(),
                format!("{} B", self.size),
                thousands(speed.median as u64),
                thousands(speed.min as u64),
                thousands(speed.max as u64),
                format!("{:.1}", path.megabytes().median),
                thousands(path.lost()),
                path.runs.len().to_string(),
            ]);
        }
        table.to_string()
    }

    fn latency_table(&self) -> String {
        let mut table = Table::new(&[
            ("LATENCY µs", Left),
            ("SIZE", Right),
            ("RATE", Right),
            ("P50", Right),
            ("P90", Right),
            ("P99", Right),
            ("P99.9", Right),
            ("MAX", Right),
            ("LOST", Right),
            ("RUNS", Right),
        ]);
        for path in measured(&self.latency, |path| path.runs.len()) {
            let median = |of: fn(&Latency) -> f64| format!("{:.0}", path.spread(of).median);
            table.row([
                path.path.to_string(),
                format!("{} B", self.size),
                format!("{}/s", thousands(self.rate)),
                median(|run| run.p50_us),
                median(|run| run.p90_us),
                median(|run| run.p99_us),
                median(|run| run.p999_us),
                median(|run| run.max_us),
                thousands(path.lost()),
                path.runs.len().to_string(),
            ]);
        }
        table.to_string()
    }
}

/// The paths that have been measured.
fn measured<T>(paths: &[T], runs: impl Fn(&T) -> usize) -> Vec<&T> {
    paths.iter().filter(|path| runs(path) > 0).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.throughput.iter().any(|path| !path.runs.is_empty()) {
            parts.push(self.throughput_table());
        }
        if self.latency.iter().any(|path| !path.runs.is_empty()) {
            parts.push(self.latency_table());
        }
        if let Some((throughput, latency)) = self.ratios() {
            parts.push(format!(
                "mesh / direct: {throughput:.2} × the messages a second, {latency:.2} × the p50"
            ));
        }
        f.write_str(&parts.join("\n\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throughput(path: Path, seconds: f64) -> Throughputs {
        let run = Throughput {
            messages: 1000,
            received: 1000,
            seconds,
            megabytes_per_second: 1.0,
            lost: 0,
        };
        Throughputs {
            path,
            runs: vec![run],
        }
    }

    fn latency(path: Path, p50_us: f64) -> Latencies {
        let run = Latency {
            p50_us,
            p90_us: 1.0,
            p99_us: 1.0,
            p999_us: 1.0,
            max_us: 1.0,
            publisher_p99_us: 1.0,
            messages: 1000,
            lost: 0,
        };
        Latencies {
            path,
            runs: vec![run],
        }
    }

    #[test]
    fn a_comparison_ends_with_the_ratio_of_the_medians() {
        let address = ([127, 0, 0, 1], 5555).into();
        let mesh = Path::Mesh {
            from: address,
            to: address,
        };
        let report = Report {
            throughput: vec![throughput(Path::Direct, 1.0), throughput(mesh, 2.0)],
            latency: vec![latency(Path::Direct, 40.0), latency(mesh, 60.0)],
            setting: json!({}),
            rate: 10_000,
            size: 128,
        };
        let shown = report.to_string();
        assert!(shown.ends_with("mesh / direct: 0.50 × the messages a second, 1.50 × the p50"));
        let json: Value = serde_json::from_str(&report.to_json()).expect("JSON");
        assert_eq!(json["mesh_to_direct"]["messages_per_second"], 0.5);
        assert_eq!(json["throughput"][1]["path"], "mesh");
    }
}
