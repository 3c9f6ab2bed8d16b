//! Gossip while the data plane takes everything that the machine has: whoever is slow is not dead.

use crate::live::process::Node;
use crate::live::site::Site;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};
use zmesh_node::report;

/// Time between two looks at what the nodes hold of each other.
const LOOK: Duration = Duration::from_secs(1);

/// Less than this of the processors' time, in percent, is no saturation.
const BUSY: u64 = 90;

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
    let mut looks = Looks::default();
    while start.elapsed() < time {
        site.hold(LOOK);
        looks.take(&site.nodes);
    }
    let percent = busy.since(&Busy::now());
    site.say(format!(
        "the processors were busy {percent} %, {} times somebody was suspect",
        looks.suspects
    ));
    let complaints = looks.complaints().into_iter().chain(idle(percent));
    complaints.for_each(|it| site.complain(it));
    let after = changes(site);
    if before != after {
        site.complain(format!("views changed: {before:?} before, {after:?} after"));
    }
    // Who is suspect at the end has the time to refute it.
    site.settle();
    for host in site.up() {
        let log = site.nodes[host].log();
        if let Some(line) = log.lines().find(|line| line.contains("member.dead")) {
            site.complain(format!("n{}: {line}", host + 1));
        }
    }
}

fn idle(percent: u64) -> Option<String> {
    let complaint =
        || format!("the processors were busy {percent} % of the time, not {BUSY}: no saturation");
    (percent < BUSY).then(complaint)
}

/// What every node held of the others, look by look.
#[derive(Debug, Default)]
struct Looks {
    times: usize,
    /// How often each node answered.
    answers: BTreeMap<String, usize>,
    /// How often a node held another suspect.
    suspects: usize,
    wrong: BTreeSet<String>,
}

impl Looks {
    fn take(&mut self, nodes: &[Node]) {
        self.times += 1;
        for node in nodes {
            self.note(&node.options.name, members(node));
        }
    }

    fn note(&mut self, node: &str, members: Option<Vec<report::Member>>) {
        *self.answers.entry(node.into()).or_default() += usize::from(members.is_some());
        for member in members.into_iter().flatten() {
            match member.state.as_str() {
                "alive" => {}
                "suspect" => self.suspects += 1,
                state => drop(
                    self.wrong
                        .insert(format!("{node} holds {} {state}", member.name)),
                ),
            }
        }
    }

    /// Who was held for gone, and who did not say what it holds in half of the looks or more.
    fn complaints(&self) -> Vec<String> {
        let seldom = self.answers.iter().filter(|it| it.1 * 2 <= self.times);
        let unseen = seldom
            .map(|(node, answers)| format!("{node} answered {answers} of {} looks", self.times));
        self.wrong.iter().cloned().chain(unseen).collect()
    }
}

/// None if the node is too busy to say.
fn members(node: &Node) -> Option<Vec<report::Member>> {
    let members = node.ask::<report::Members>("/api/v1/members");
    members.map(|it| it.members)
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

    /// Which part of the time until then they were, in percent.
    fn since(&self, then: &Self) -> u64 {
        let all = (then.all - self.all).max(1);
        let busy = all - (then.idle - self.idle).min(all);
        busy * 100 / all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, state: &str) -> report::Member {
        report::Member {
            name: name.into(),
            state: state.into(),
            ..report::Member::default()
        }
    }

    #[test]
    fn who_is_held_for_gone_is_told_once() {
        let mut looks = Looks {
            times: 2,
            ..Looks::default()
        };
        for state in ["suspect", "dead", "dead"] {
            looks.note("n1", Some(vec![member("n2", state), member("n3", "alive")]));
        }
        assert_eq!(looks.suspects, 1);
        assert_eq!(looks.complaints(), ["n1 holds n2 dead"]);
    }

    #[test]
    fn who_does_not_answer_is_told() {
        let mut looks = Looks {
            times: 3,
            ..Looks::default()
        };
        for answer in [true, false, true] {
            looks.note("n1", answer.then(Vec::new));
            looks.note("n2", (!answer).then(Vec::new));
        }
        assert_eq!(looks.complaints(), ["n2 answered 1 of 3 looks"]);
    }

    #[test]
    fn processors_that_were_idle_were_not_saturated() {
        let (then, now) = (Busy { idle: 10, all: 100 }, Busy { idle: 50, all: 200 });
        assert_eq!(then.since(&now), 60);
        assert!(idle(60).is_some() && idle(BUSY).is_none());
    }
}
