//! Questions to a Prometheus.

use anyhow::{Context, Result};

use crate::live::http;
use crate::live::prometheus::{Series, series};

/// A Prometheus, and the time that the pictures show.
#[derive(Debug)]
pub(super) struct Prometheus {
    /// `http://host:port`.
    pub(super) url: String,
    /// Where the pictures begin and end, in seconds since 1970.
    pub(super) from: f64,
    pub(super) to: f64,
    /// Seconds between two points.
    pub(super) step: u64,
}

impl Prometheus {
    /// How many points a line has at most.
    pub(super) fn points(&self) -> usize {
        ((self.to - self.from) / self.step as f64) as usize + 1
    }

    /// The series, and for each its values by step.
    pub(super) fn range(&self, expression: &str) -> Result<Vec<(Series, Vec<Option<f64>>)>> {
        let (from, to, step) = (self.from, self.to, self.step);
        let times = [("start", from), ("end", to), ("step", step as f64)];
        let place = |series: &Series| {
            let mut line = vec![None; self.points()];
            for (time, value) in series.values() {
                let index = ((time - from) / step as f64).round() as usize;
                if let Some(point) = line.get_mut(index) {
                    *point = value;
                }
            }
            line
        };
        let series = self.ask("query_range", expression, &times)?;
        Ok(series
            .into_iter()
            .map(|series| {
                let line = place(&series);
                (series, line)
            })
            .collect())
    }

    /// The series as they are at the end.
    pub(super) fn instant(&self, expression: &str) -> Result<Vec<Series>> {
        self.ask("query", expression, &[("time", self.to)])
    }

    fn ask(&self, verb: &str, expression: &str, times: &[(&str, f64)]) -> Result<Vec<Series>> {
        let url = self.url.trim_end_matches('/');
        let address = url.strip_prefix("http://").unwrap_or(url);
        series(verb, expression, times, |path| {
            let page = http::page(address, path);
            page.with_context(|| format!("no answer from {url}: is a Prometheus there?"))
        })
    }
}
