//! One metric with its series, of whichever type.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, Metric as Series, MetricFamily, MetricType};
use prometheus::{CounterVec, GaugeVec, Opts, Registry};

use super::metric::{Kind, Metric};

/// See the module. Clones share their numbers.
#[derive(Clone, Debug)]
pub(super) enum Family {
    Counter(CounterVec),
    Gauge(GaugeVec),
    Histogram(Copied),
}

impl Family {
    /// Registers a metric.
    pub(super) fn new(registry: &Registry, metric: &Metric) -> Result<Self, prometheus::Error> {
        let options = Opts::new(metric.name, metric.help);
        Ok(match metric.kind {
            Kind::Counter => {
                let counters = CounterVec::new(options, metric.labels)?;
                registry.register(Box::new(counters.clone()))?;
                Self::Counter(counters)
            }
            Kind::Gauge => {
                let gauges = GaugeVec::new(options, metric.labels)?;
                registry.register(Box::new(gauges.clone()))?;
                Self::Gauge(gauges)
            }
            Kind::Histogram(bounds) => {
                let copied = Copied::new(metric, bounds)?;
                registry.register(Box::new(copied.clone()))?;
                Self::Histogram(copied)
            }
        })
    }
}

/// A histogram that is counted elsewhere, or here. All of its buckets are there from the start: one
/// that appeared with its first count would have no rate then.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    desc: Desc,
    bounds: &'static [Duration],
    numbers: Arc<Mutex<Numbers>>,
}

#[derive(Debug)]
struct Numbers {
    /// One more than bounds.
    counts: Vec<u64>,
    sum: Duration,
}

impl Copied {
    fn new(metric: &Metric, bounds: &'static [Duration]) -> Result<Self, prometheus::Error> {
        let (name, help) = (metric.name.into(), metric.help.into());
        Ok(Self {
            desc: Desc::new(name, help, Vec::new(), Default::default())?,
            bounds,
            numbers: Arc::new(Mutex::new(Numbers {
                counts: vec![0; bounds.len() + 1],
                sum: Duration::ZERO,
            })),
        })
    }

    /// Takes over what was counted elsewhere.
    pub(super) fn copy(&self, counts: &[u64], sum: Duration) {
        debug_assert_eq!(counts.len(), self.bounds.len() + 1);
        self.change(|numbers| {
            *numbers = Numbers {
                counts: counts.to_vec(),
                sum,
            };
        });
    }

    /// Counts one time.
    pub(super) fn observe(&self, time: Duration) {
        self.change(|numbers| {
            let bucket = self.bounds.partition_point(|bound| *bound < time);
            numbers.counts[bucket] += 1;
            numbers.sum += time;
        });
    }

    /// Held for a few additions, some times a second.
    fn change(&self, change: impl FnOnce(&mut Numbers)) {
        change(&mut self.numbers.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Collector for Copied {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut histogram = Histogram::default();
        let mut buckets = Vec::new();
        let mut below = 0;
        for (bound, count) in self.bounds.iter().zip(&numbers.counts) {
            below += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound.as_secs_f64());
            bucket.set_cumulative_count(below);
            buckets.push(bucket);
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(numbers.counts.iter().sum());
        histogram.set_sample_sum(numbers.sum.as_secs_f64());
        let mut series = Series::default();
        series.set_histogram(histogram);
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![series]);
        vec![family]
    }
}
