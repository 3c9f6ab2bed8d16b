//! What holds for every metric.

use std::collections::BTreeSet;

use super::super::metric::Kind;
use super::*;

#[test]
fn names_say_their_type_and_unit_and_each_is_there_once() {
    let names: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), METRICS.len());
    for metric in METRICS {
        let counter = metric.kind == Kind::Counter;
        assert_eq!(metric.name.ends_with("_total"), counter, "{}", metric.name);
        let histogram = matches!(metric.kind, Kind::Histogram(_));
        let seconds = metric.name.ends_with("_seconds");
        assert!(!histogram || seconds, "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.name);
    }
}

#[test]
fn every_bucket_is_there_before_the_first_count() {
    let metrics = super::super::Metrics::new("m", "a", "1").expect("good names");
    let text = String::from_utf8(metrics.text().expect("text")).expect("UTF-8");
    for metric in METRICS {
        let Kind::Histogram(bounds) = metric.kind else {
            continue;
        };
        let name = format!("{}_bucket{{", metric.name);
        let buckets = text.lines().filter(|line| line.starts_with(&name));
        assert_eq!(buckets.count(), bounds.len() + 1, "{}", metric.name);
    }
}
