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
        let histogram = metric.kind == Kind::Histogram;
        let seconds = metric.name.ends_with("_seconds");
        assert!(!histogram || seconds, "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.name);
    }
}
