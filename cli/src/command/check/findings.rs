//! What is not as it should be, seen in two looks at the mesh.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use zmesh_node::report::{Drain, Mesh, Node, Overview};

use super::Level;
use crate::output::{bytes, thousands};

/// Everything that is looked at, in the order in which it is told.
pub(super) const CHECKS: [&str; 8] = [
    "node", "members", "views", "answers", "links", "slow", "drops", "drains",
];

/// Drops that no client and no queue's policy is the cause of.
const LOST: [&str; 3] = ["unreachable", "passed_over", "interest_unknown"];

/// One look.
pub(super) struct Look {
    pub(super) mesh: Mesh,
    /// Of the nodes that are leaving.
    pub(super) drains: Vec<Drain>,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// One of [`CHECKS`].
    pub(super) check: &'static str,
    #[serde(rename = "status")]
    pub(super) level: Level,
    /// Whom it is about.
    pub(super) subject: String,
    /// What to tell.
    pub(super) text: String,
}

impl Finding {
    pub(super) fn new(
        check: &'static str,
        level: Level,
        subject: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self {
            check,
            level,
            subject: subject.into(),
            text: text.into(),
        }
    }
}

/// What was so in both looks, as the second tells it, and what was dropped between them.
pub(super) fn both(first: &Look, second: &Look, members: Option<u32>) -> Vec<Finding> {
    let before = now(first, members);
    let before: BTreeSet<(&str, &str)> = before
        .iter()
        .map(|finding| (finding.check, &*finding.subject))
        .collect();
    let mut found = now(second, members);
    found.retain(|finding| before.contains(&(finding.check, &*finding.subject)));
    found.extend(drops(&first.mesh, &second.mesh));
    found.sort_by_key(|finding| CHECKS.iter().position(|check| *check == finding.check));
    found
}

fn now(look: &Look, members: Option<u32>) -> Vec<Finding> {
    let mesh = &look.mesh;
    let mut found = phases(mesh);
    found.extend(count(mesh, members));
    found.extend(views(mesh));
    for node in &mesh.nodes {
        let Some(error) = &node.error else { continue };
        let text = format!("{} does not answer {}: {error}", node.name, mesh.node);
        found.push(Finding::new("answers", Level::Critical, &node.name, text));
    }
    for overview in overviews(mesh) {
        found.extend(links(overview));
        found.extend(slow(overview));
    }
    found.extend(look.drains.iter().filter_map(hanging));
    found
}

fn overviews(mesh: &Mesh) -> impl Iterator<Item = &Overview> {
    mesh.nodes.iter().filter_map(|node| node.overview.as_ref())
}

/// Nodes that do not work yet or any more. One that leaves is a matter of its drain.
fn phases(mesh: &Mesh) -> Vec<Finding> {
    let nodes = overviews(mesh).map(|overview| &overview.node);
    let level = |node: &Node| match (node.state.as_str(), node.name == mesh.node) {
        ("ready", _) | ("leaving", false) => None,
        (_, true) => Some(Level::Critical),
        (_, false) => Some(Level::Warning),
    };
    let told = nodes.filter_map(|node| {
        let text = format!("{} is {}", node.name, node.state);
        Some(Finding::new("node", level(node)?, &node.name, text))
    });
    told.collect()
}

fn count(mesh: &Mesh, wanted: Option<u32>) -> Vec<Finding> {
    let in_state = |state| mesh.members.iter().filter(move |it| it.state == state);
    let living = living(mesh);
    let number = match wanted.map(u64::from) {
        Some(wanted) if living < wanted => Some((Level::Critical, wanted)),
        Some(wanted) if living > wanted => Some((Level::Warning, wanted)),
        _ => None,
    };
    let mut found: Vec<Finding> = in_state("suspect")
        .map(|member| {
            let text = format!("{} is suspect: it does not answer", member.name);
            Finding::new("members", Level::Warning, &member.name, text)
        })
        .collect();
    if let Some((level, wanted)) = number {
        let dead: Vec<&str> = in_state("dead").map(|member| &*member.name).collect();
        let dead = match dead.is_empty() {
            true => String::new(),
            false => format!(" (dead: {})", dead.join(" ")),
        };
        let noun = if living == 1 { "member" } else { "members" };
        let text = format!("{living} {noun} instead of {wanted}{dead}");
        found.push(Finding::new("members", level, "", text));
    }
    if wanted.is_none() {
        found.extend(in_state("dead").map(|member| {
            let text = format!("{} is dead", member.name);
            Finding::new("members", Level::Critical, &member.name, text)
        }));
    }
    found
}

/// Members held alive, suspect ones among them.
pub(super) fn living(mesh: &Mesh) -> u64 {
    let states = mesh.members.iter().map(|member| member.state.as_str());
    states
        .filter(|state| ["alive", "suspect"].contains(state))
        .count() as u64
}

/// Nodes by the view that they hold. One that leaves is in no view, but holds one.
pub(super) fn by_view(mesh: &Mesh) -> BTreeMap<&str, Vec<&str>> {
    let mut views: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for overview in overviews(mesh) {
        let node = &overview.node;
        views.entry(&node.view_hash).or_default().push(&node.name);
    }
    views
}

fn views(mesh: &Mesh) -> Option<Finding> {
    let views = by_view(mesh);
    if views.len() < 2 {
        return None;
    }
    let sides: Vec<String> = views.values().map(|names| some_of(names)).collect();
    let text = format!("views differ: {}", sides.join(" / "));
    Some(Finding::new("views", Level::Critical, "", text))
}

fn links(overview: &Overview) -> Option<Finding> {
    let down: Vec<&str> = overview.links_down.iter().map(String::as_str).collect();
    let name = &overview.node.name;
    let text = format!("link from {name} to {} is down", some_of(&down));
    (!down.is_empty()).then(|| Finding::new("links", Level::Critical, name, text))
}

fn slow(overview: &Overview) -> Option<Finding> {
    let worst = overview.slow.first()?;
    let (name, peers) = (&overview.node.name, overview.slow.len());
    let text = format!(
        "{peers} slow subscriber{} at {name}, first {} ({} queued, {} dropped)",
        if peers == 1 { "" } else { "s" },
        worst.peer,
        bytes(worst.queue_bytes),
        thousands(worst.dropped_messages)
    );
    Some(Finding::new("slow", Level::Warning, name, text))
}

fn hanging(drain: &Drain) -> Option<Finding> {
    let used = drain.seconds / drain.timeout_seconds.max(0.001);
    let level = match used {
        _ if drain.state != "leaving" || used < 0.5 => return None,
        _ if used < 1.0 => Level::Warning,
        _ => Level::Critical,
    };
    let text = format!(
        "{} has been leaving for {:.0} s of {:.0}: it waits for {}",
        drain.node, drain.seconds, drain.timeout_seconds, drain.waits_for
    );
    Some(Finding::new("drains", level, &drain.node, text))
}

/// What was dropped between two looks, by reason. A count that fell is that of a new process.
pub(super) fn dropped_between(first: &Mesh, second: &Mesh) -> BTreeMap<String, u64> {
    let mut dropped = BTreeMap::new();
    for overview in overviews(second) {
        let now = &overview.node;
        let before = overviews(first).find(|it| it.node.name == now.name);
        // Who did not answer then has counted since its start, nobody knows what when.
        let Some(before) = before else { continue };
        for (reason, count) in &now.dropped_messages {
            let earlier = before.node.dropped_messages.get(reason);
            let earlier = earlier.copied().unwrap_or(0);
            let more = count.checked_sub(earlier).unwrap_or(*count);
            if more > 0 {
                *dropped.entry(reason.clone()).or_insert(0) += more;
            }
        }
    }
    dropped
}

fn drops(first: &Mesh, second: &Mesh) -> Vec<Finding> {
    let dropped = dropped_between(first, second);
    let told = dropped.iter().map(|(reason, count)| {
        let level = match LOST.contains(&reason.as_str()) {
            true => Level::Critical,
            false => Level::Warning,
        };
        let text = format!("{} messages dropped now ({reason})", thousands(*count));
        Finding::new("drops", level, reason, text)
    });
    told.collect()
}

/// A list that fits into a line.
fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown = names[..names.len().min(SHOWN)].join(" ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zmesh_node::report::{Connection, Member, MeshNode};

    fn look(names: &[&str]) -> Look {
        let member = |name: &&str| Member {
            name: (*name).into(),
            state: "alive".into(),
            ..Member::default()
        };
        let node = |name: &&str| Node {
            name: (*name).into(),
            state: "ready".into(),
            ..Node::default()
        };
        let overview = |name: &&str| Overview {
            node: node(name),
            ..Overview::default()
        };
        let node = |name: &&str| MeshNode {
            name: (*name).into(),
            error: None,
            overview: Some(overview(name)),
        };
        let mesh = Mesh {
            node: names[0].into(),
            members: names.iter().map(member).collect(),
            nodes: names.iter().map(node).collect(),
            ..Mesh::default()
        };
        let drains = Vec::new();
        Look { mesh, drains }
    }

    fn overview(look: &mut Look, node: usize) -> &mut Overview {
        look.mesh.nodes[node].overview.as_mut().expect("it answers")
    }

    /// The findings of two looks of which the second was changed in this way, and the first too.
    fn found(members: Option<u32>, change: impl Fn(&mut Look)) -> Vec<(Level, String)> {
        let mut looks = [look(&["a", "b"]), look(&["a", "b"])];
        looks.iter_mut().for_each(change);
        let found = both(&looks[0], &looks[1], members).into_iter();
        found.map(|it| (it.level, it.text)).collect()
    }

    fn one(members: Option<u32>, change: impl Fn(&mut Look)) -> (Level, String) {
        let found = found(members, change);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    #[test]
    fn a_mesh_that_is_well_gives_nothing_to_tell() {
        assert!(found(None, |_| {}).is_empty());
        assert!(found(Some(2), |_| {}).is_empty());
    }

    #[test]
    fn members_are_counted_or_none_may_be_dead() {
        let dead = |look: &mut Look| look.mesh.members[1].state = "dead".into();
        assert_eq!(one(None, dead), (Level::Critical, "b is dead".into()));
        let (level, text) = one(Some(2), dead);
        assert_eq!(level, Level::Critical);
        assert_eq!(text, "1 member instead of 2 (dead: b)");
        assert!(
            found(Some(1), dead).is_empty(),
            "as many as there should be"
        );
        assert_eq!(one(Some(1), |_| {}).0, Level::Warning);
        let suspect = |look: &mut Look| look.mesh.members[1].state = "suspect".into();
        assert_eq!(one(Some(2), suspect).0, Level::Warning);
    }

    #[test]
    fn views_answers_links_and_phases_are_looked_at() {
        let views = |look: &mut Look| overview(look, 1).node.view_hash = "x".into();
        assert_eq!(
            one(None, views),
            (Level::Critical, "views differ: a / b".into())
        );
        let silent = |look: &mut Look| look.mesh.nodes[1].error = Some("no".into());
        assert_eq!(one(None, silent).0, Level::Critical);
        let down = |look: &mut Look| overview(look, 1).links_down = vec!["a".into()];
        assert_eq!(one(None, down).1, "link from b to a is down");
        let joining =
            |which| move |look: &mut Look| overview(look, which).node.state = "joining".into();
        assert_eq!(one(None, joining(0)).0, Level::Critical);
        assert_eq!(one(None, joining(1)).0, Level::Warning);
    }

    #[test]
    fn what_was_so_in_one_look_only_is_not_told() {
        let (first, mut second) = (look(&["a", "b"]), look(&["a", "b"]));
        overview(&mut second, 0).links_down = vec!["b".into()];
        assert!(both(&first, &second, None).is_empty());
        assert!(both(&second, &first, None).is_empty());
    }

    #[test]
    fn drops_count_from_one_look_to_the_next() {
        let (mut first, mut second) = (look(&["a", "b"]), look(&["a", "b"]));
        let count = |look: &mut Look, reason: &str, count| {
            let dropped = &mut overview(look, 0).node.dropped_messages;
            dropped.insert(reason.into(), count);
        };
        count(&mut first, "queue_full", 5);
        count(&mut second, "queue_full", 5);
        assert!(both(&first, &second, None).is_empty(), "long ago");
        count(&mut second, "queue_full", 7);
        assert_eq!(both(&first, &second, None)[0].level, Level::Warning);
        count(&mut second, "queue_full", 1);
        assert_eq!(dropped_between(&first.mesh, &second.mesh)["queue_full"], 1);
        count(&mut second, "unreachable", 1);
        let found = both(&first, &second, None);
        assert!(found.iter().any(|it| it.level == Level::Critical));
    }

    #[test]
    fn a_slow_subscriber_and_a_drain_that_hangs_are_told() {
        let slow = |look: &mut Look| overview(look, 1).slow = vec![Connection::default()];
        assert_eq!(one(None, slow).0, Level::Warning);
        let drain = |seconds| {
            move |look: &mut Look| {
                look.drains = vec![Drain {
                    node: "b".into(),
                    state: "leaving".into(),
                    seconds,
                    timeout_seconds: 30.0,
                    ..Drain::default()
                }];
            }
        };
        assert!(found(None, drain(3.0)).is_empty());
        assert_eq!(one(None, drain(16.0)).0, Level::Warning);
        assert_eq!(one(None, drain(31.0)).0, Level::Critical);
    }
}
