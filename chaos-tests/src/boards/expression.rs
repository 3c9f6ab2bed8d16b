//! What a test must know of an expression in PromQL: its metrics, and the labels that it keeps.

use std::collections::BTreeSet;

/// Functions that throw labels away.
const AGGREGATIONS: [&str; 6] = ["sum", "avg", "min", "max", "count", "count_values"];

/// An expression without what stands in quotes.
fn unquoted(expression: &str) -> String {
    expression.split('"').step_by(2).collect()
}

fn words(expression: &str) -> Vec<String> {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let text = unquoted(expression);
    let words = text.split(|c| !inside(c)).filter(|word| !word.is_empty());
    words.map(String::from).collect()
}

/// The metrics and recording rules that it reads, each time it does, buckets by the name of their
/// histogram.
pub fn mentions(expression: &str) -> Vec<String> {
    let names = words(expression).into_iter().filter(|word| {
        let starts = ["zmesh_", "zmesh:", "process_"];
        starts.iter().any(|start| word.starts_with(start))
    });
    names
        .map(|name| name.strip_suffix("_bucket").unwrap_or(&name).to_string())
        .collect()
}

/// The same, each once.
pub fn metrics(expression: &str) -> BTreeSet<String> {
    mentions(expression).into_iter().collect()
}

/// The labels by which it groups, outermost first; none if it does not.
pub fn groups(expression: &str) -> Vec<Vec<String>> {
    let text = unquoted(expression);
    let lists = text.split("by (").skip(1);
    lists
        .map(|rest| {
            let list = rest.split(')').next().unwrap_or_default();
            list.split(',').map(|label| label.trim().into()).collect()
        })
        .collect()
}

/// The labels that the answer has; `None` if those of its metric.
pub fn kept(expression: &str) -> Option<Vec<String>> {
    if let Some(first) = groups(expression).into_iter().next() {
        return Some(first);
    }
    let words = words(expression);
    let aggregates = words
        .iter()
        .any(|word| AGGREGATIONS.contains(&word.as_str()));
    aggregates.then(Vec::new)
}

/// The labels that a legend names.
pub fn legend_labels(legend: &str) -> Vec<&str> {
    let parts = legend.split("{{").skip(1);
    parts.filter_map(|part| part.split("}}").next()).collect()
}

/// The expression with Grafana's variables replaced.
pub fn filled(expression: &str, cluster: &str, rate_interval: u64) -> String {
    expression
        .replace("$__rate_interval", &format!("{rate_interval}s"))
        .replace("$cluster", cluster)
        .replace("$node", ".+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_and_labels_are_found() {
        let quantile = r#"histogram_quantile(0.9, sum by (node, le) (rate(zmesh_a_seconds_bucket
            {cluster=~"zmesh_no"}[$__rate_interval])))"#;
        assert_eq!(
            metrics(quantile),
            BTreeSet::from(["zmesh_a_seconds".into()])
        );
        assert_eq!(kept(quantile).unwrap(), ["node", "le"]);
        assert_eq!(kept("sum(zmesh_a) - sum(zmesh_b)"), Some(Vec::new()));
        assert_eq!(kept("zmesh:rule{}"), None);
        assert_eq!(legend_labels("{{a}} at {{b}}"), ["a", "b"]);
        let text = filled(r#"rate(x{cluster=~"$cluster"}[$__rate_interval])"#, "c", 4);
        assert_eq!(text, r#"rate(x{cluster=~"c"}[4s])"#);
    }
}
