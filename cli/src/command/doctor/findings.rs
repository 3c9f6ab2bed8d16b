//! What else members should have in common: views, links, versions, settings, clocks.

use std::collections::BTreeMap;

use super::look::Look;
use super::{Diagnosis, Finding};

/// Seconds between two clocks that are worth a word; HTTP tells whole seconds.
const APART: i64 = 3;

pub(super) fn judge(look: &Look, diagnosis: &mut Diagnosis) {
    for node in &look.mesh.nodes {
        let Some(error) = &node.error else { continue };
        diagnosis.problems.push(Finding::new(
            format!("{} does not answer {}: {error}", node.name, look.mesh.node),
            "see whether it runs and is not stopped, and whether its client port is open",
        ));
    }
    diagnosis.problems.extend(views(look));
    diagnosis.problems.extend(links(look));
    diagnosis.notes.extend(members(look));
    diagnosis.notes.extend(versions(look));
    diagnosis.notes.extend(settings(look));
    diagnosis.notes.extend(clocks(look));
    diagnosis.notes.extend(refused(look));
}

/// Names by a value, told as `a b: VALUE / c: VALUE`; `None` if all have the same.
fn differ<'a>(values: impl Iterator<Item = (&'a str, String)>) -> Option<String> {
    let mut by_value: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, value) in values {
        by_value.entry(value).or_default().push(name);
    }
    let sides = by_value.iter();
    let sides: Vec<String> = sides
        .map(|(value, names)| format!("{}: {value}", names.join(" ")))
        .collect();
    (sides.len() > 1).then(|| sides.join(" / "))
}

fn nodes(look: &Look) -> impl Iterator<Item = &zmesh_node::report::Node> {
    let overviews = look.mesh.nodes.iter();
    overviews.filter_map(|node| Some(&node.overview.as_ref()?.node))
}

fn views(look: &Look) -> Option<Finding> {
    let views = nodes(look).map(|node| (&*node.name, node.view_hash.clone()));
    Some(Finding::new(
        format!("views differ: {}", differ(views)?),
        "for a second after a change that is so; if it stays, gossip between the sides is cut",
    ))
}

fn links(look: &Look) -> Vec<Finding> {
    let overviews = look.mesh.nodes.iter();
    let overviews = overviews.filter_map(|node| node.overview.as_ref());
    let down = overviews.filter(|overview| !overview.links_down.is_empty());
    let told = down.map(|overview| {
        let (name, peers) = (&overview.node.name, overview.links_down.join(" "));
        Finding::new(
            format!("link from {name} to {peers} is down"),
            "if the link address above is reached, the log of both says why it is refused",
        )
    });
    told.collect()
}

fn members(look: &Look) -> Vec<Finding> {
    let gone = look.mesh.members.iter();
    let gone = gone.filter(|member| ["dead", "suspect"].contains(&member.state.as_str()));
    let told = gone.map(|member| {
        Finding::new(
            format!(
                "{} (client {}, gossip {}) is {} as {} sees it",
                member.name, member.client, member.gossip, member.state, look.mesh.node
            ),
            "if it runs, name its client address after `zmesh doctor`; if it is gone for good, it \
             is forgotten after a day",
        )
    });
    told.collect()
}

fn versions(look: &Look) -> Option<Finding> {
    let versions = nodes(look).map(|node| (&*node.name, node.version.clone()));
    Some(Finding::new(
        format!("versions differ: {}", differ(versions)?),
        "that is so while a mesh is renewed node by node; then bring all to one",
    ))
}

fn settings(look: &Look) -> Option<Finding> {
    let hashes = look.seen.iter().filter_map(|seen| {
        let metrics = seen.metrics.as_deref()?;
        let (_, hash) = samples(metrics, "zmesh_config_hash").next()?;
        Some((&*seen.name, format!("{hash:.0}")))
    });
    Some(Finding::new(
        format!("settings differ: {}", differ(hashes)?),
        "compare `zmesh node --print-config` of both: other settings may be meant, or forgotten",
    ))
}

fn clocks(look: &Look) -> Option<Finding> {
    let known: Vec<(&str, i64)> = look
        .seen
        .iter()
        .filter_map(|seen| Some((&*seen.name, seen.ahead?)))
        .collect();
    let (last, least) = known.iter().min_by_key(|(_, ahead)| ahead)?;
    let (first, most) = known.iter().max_by_key(|(_, ahead)| ahead)?;
    (most - least >= APART).then(|| {
        Finding::new(
            format!(
                "the clock of {first} is {} s ahead of that of {last}",
                most - least
            ),
            "the mesh does not mind; times of events and traces do not compare: run NTP on all",
        )
    })
}

/// Joins that were refused since a node started.
fn refused(look: &Look) -> Vec<Finding> {
    let mut told = Vec::new();
    for seen in &look.seen {
        let metrics = seen.metrics.as_deref().unwrap_or_default();
        for (labels, count) in samples(metrics, "zmesh_joins_refused_total") {
            if count < 1.0 {
                continue;
            }
            let label = |name: &str| {
                let start = labels.find(&format!("{name}=\""))? + name.len() + 2;
                labels[start..].split('"').next()
            };
            let reason = label("reason").unwrap_or("unknown");
            let by = match label("by") {
                Some("seed") => format!("a seed has refused {} {count:.0} times", seen.name),
                _ => format!("{} has refused joins {count:.0} times", seen.name),
            };
            told.push(Finding::new(
                format!("{by} since it started: another {reason}"),
                "its log names both values: a --seed points to another mesh, or a node was \
                 started with another --cluster or version",
            ));
        }
    }
    told
}

/// The samples of a metric: labels and value.
fn samples<'a>(page: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    page.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        (labels.is_empty() || labels.starts_with('{')).then_some(())?;
        Some((labels, value.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::super::look::Seen;
    use super::*;
    use zmesh_node::report::{Mesh, MeshNode, Node, Overview};

    fn seen(name: &str, ahead: i64, metrics: &str) -> Seen {
        Seen {
            name: name.into(),
            ahead: Some(ahead),
            metrics: Some(metrics.into()),
            ..Seen::default()
        }
    }

    fn look(seen: Vec<Seen>, views: &[(&str, &str)]) -> Look {
        let nodes = views.iter().map(|(name, view)| {
            let node = Node {
                name: (*name).into(),
                view_hash: (*view).into(),
                version: (*view).into(),
                ..Node::default()
            };
            MeshNode {
                name: (*name).into(),
                overview: Some(Overview {
                    node,
                    ..Overview::default()
                }),
                ..MeshNode::default()
            }
        });
        let mesh = Mesh {
            nodes: nodes.collect(),
            ..Mesh::default()
        };
        Look {
            mesh,
            reaches: Vec::new(),
            seen,
            further: Vec::new(),
        }
    }

    fn told(look: &Look) -> (Vec<String>, Vec<String>) {
        let mut diagnosis = Diagnosis::default();
        judge(look, &mut diagnosis);
        let texts = |all: Vec<Finding>| all.into_iter().map(|it| it.text).collect();
        (texts(diagnosis.problems), texts(diagnosis.notes))
    }

    #[test]
    fn views_that_differ_are_a_problem_and_versions_a_note() {
        let (problems, notes) = told(&look(Vec::new(), &[("a", "x"), ("b", "y"), ("c", "y")]));
        assert_eq!(problems, ["views differ: a: x / b c: y"]);
        assert_eq!(notes, ["versions differ: a: x / b c: y"]);
        let (problems, notes) = told(&look(Vec::new(), &[("a", "x"), ("b", "x")]));
        assert!(problems.is_empty() && notes.is_empty());
    }

    #[test]
    fn clocks_settings_and_refusals_are_notes() {
        let page = "zmesh_config_hash{node=\"b\"} 7\nzmesh_joins_refused_total{by=\"this\",\
                    reason=\"cluster\"} 2\nzmesh_joins_refused_total{by=\"seed\"} 0\n";
        let seen = vec![
            seen("a", -1, "zmesh_config_hash{node=\"a\"} 8\n"),
            seen("b", 4, page),
        ];
        let (problems, notes) = told(&look(seen, &[]));
        assert!(problems.is_empty());
        assert_eq!(
            notes,
            [
                "settings differ: b: 7 / a: 8",
                "the clock of b is 5 s ahead of that of a",
                "b has refused joins 2 times since it started: another cluster",
            ]
        );
    }
}
