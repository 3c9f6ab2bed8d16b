//! Gossip while the data plane takes everything that the machine has: whoever is slow is not dead.

use crate::live::http;
use crate::live::process::Node;
use crate::live::site::Site;
use std::fs;
use std::time::{Duration, Instant};
use zmesh_node::report;

/// Time between two looks at what the nodes hold of each other.
const LOOK: Duration = Duration::from_secs(1);

/// Lets clients that know no limit publish for a while, and sees that no node is taken for dead.
pub fn saturate(site: &mut Site, time: Duration) {
    let changes = |site: &Site| -> Vec<u64> {
        let nodes = site.nodes.iter();
        nodes
            .map(|node| node.metric("zmesh_view_changes_total", ""))
            .collect()
    };
    let (before, start) = (changes(site), Instant::now());
    let busy = Busy::now();
    let mut suspicions = 0;
    while start.elapsed() < time {
        site.hold(LOOK);
        suspicions += look(site);
    }
    site.say(format!(
        "the processors were busy {}, {suspicions} times somebody was suspect",
        busy.since()
    ));
    let after = changes(site);
    if before != after {
        site.complain(format!("views changed: {before:?} before, {after:?} after"));
    }
    // Who is suspect at the end has the time to refute it.
    site.settle();
    for host in site.up() {
        let log = site.nodes[host].log();
        if let Some(line) = log.lines().find(|line| line.contains("member dead")) {
            site.complain(format!("n{}: {line}", host + 1));
        }
    }
}

/// What every node holds of the others: gives how many are suspect, complains of the others.
fn look(site: &mut Site) -> usize {
    let mut suspects = 0;
    let mut complaints = Vec::new();
    for node in &site.nodes {
        for member in members(node) {
            match member.state.as_str() {
                "alive" => {}
                "suspect" => suspects += 1,
                state => complaints.push(format!(
                    "{} holds {} {state}",
                    node.options.name, member.name
                )),
            }
        }
    }
    complaints.into_iter().for_each(|it| site.complain(it));
    suspects
}

/// None if the node is too busy to say.
fn members(node: &Node) -> Vec<report::Member> {
    let asked = || http::json::<report::Members>(&node.client, "/api/v1/members");
    let members = node.options.inside(asked);
    members.map(|it| it.members).unwrap_or_default()
}

/// Ticks of all processors so far: idle ones and all.
struct Busy {
    idle: u64,
    all: u64,
}

impl Busy {
    fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = first.split(' ').filter_map(|it| it.parse().ok()).collect();
        Self {
            idle: ticks.iter().skip(3).take(2).sum(),
            all: ticks.iter().sum(),
        }
    }

    /// Which part of the time since then they were, for people.
    fn since(&self) -> String {
        let now = Self::now();
        let all = (now.all - self.all).max(1);
        let busy = all - (now.idle - self.idle).min(all);
        format!("{} %", busy * 100 / all)
    }
}
