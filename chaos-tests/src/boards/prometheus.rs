//! Questions to a Prometheus.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

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

/// A series of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Series {
    #[serde(rename = "metric")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    value: Option<(f64, String)>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

impl Series {
    /// The one number of an instant answer.
    pub(super) fn number(&self) -> Option<f64> {
        read(&self.value.as_ref()?.1)
    }
}

fn read(text: &str) -> Option<f64> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|it| it.is_finite())
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
            for (time, value) in &series.values {
                let index = ((time - from) / step as f64).round() as usize;
                if let Some(point) = line.get_mut(index) {
                    *point = read(value);
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
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        let url = format!("{}/api/v1/{verb}", self.url.trim_end_matches('/'));
        let mut request = agent.get(&url).query("query", expression);
        for (name, time) in times {
            request = request.query(*name, time.to_string());
        }
        let mut response = request
            .call()
            .with_context(|| format!("no answer from {url}: is a Prometheus there?"))?;
        let body = response.body_mut().read_to_string()?;
        let answer: Answer =
            serde_json::from_str(&body).with_context(|| format!("{url} says {body}"))?;
        match answer.data {
            Some(data) => Ok(data.result),
            None => bail!("{expression}: {}", answer.error),
        }
    }
}
