//! How long it takes until everybody knows that a node is gone.

use super::cases::Case;
use super::limits::{FOUND, FOUND_SILENT, HELD_DEAD};
use super::plans::idle;
use crate::live::site::Site;
use crate::live::wait;
use std::time::{Duration, Instant};

/// Nodes are more patient for about ten seconds after a cut, whose end brought late answers.
const FORGOTTEN: Duration = Duration::from_secs(12);

/// How often a node goes in one run.
const TIMES: usize = 20;

/// Figures that are asked for by name, and are none of the faults that are run without one.
pub const FIGURES: [Case; 6] = [
    kill("detect-kill-3", |_| idle(3)),
    kill("detect-kill-5", |_| idle(5)),
    kill("detect-kill-16", |_| idle(16)),
    lose("detect-cut-3", |_| idle(3)),
    lose("detect-cut-5", |_| idle(5)),
    lose("detect-cut-16", |_| idle(16)),
];

const fn kill(name: &'static str, plan: fn(u32) -> crate::live::site::Plan) -> Case {
    Case {
        name,
        what: "kill -9 of a node, 20 times: time until all others hold it dead",
        plan,
        limits: FOUND,
        fault: |site| {
            each_time(site, |site, victim, watch| {
                site.kill(victim);
                watch.wait_until_dead(site);
                site.settle();
                site.start_again(victim);
            });
        },
    }
}

const fn lose(name: &'static str, plan: fn(u32) -> crate::live::site::Plan) -> Case {
    Case {
        name,
        what: "a node is cut off, 20 times: time until all others hold it dead",
        plan,
        limits: FOUND_SILENT,
        fault: |site| {
            each_time(site, |site, victim, watch| {
                site.parts_owners();
                site.network.isolate(&[victim]);
                watch.wait_until_dead(site);
                let mut others = site.up();
                others.retain(|other| *other != victim);
                site.settle_among(&others);
                site.network.heal();
                site.settle();
                site.hold(FORGOTTEN);
            });
        },
    }
}

/// Each node in turn, but never a seed: whoever comes back asks one.
fn each_time(site: &mut Site, fault: impl Fn(&mut Site, usize, Watch)) {
    let victims: Vec<usize> = site.up().into_iter().skip(2).collect();
    for victim in victims.into_iter().cycle().take(TIMES) {
        let watch = Watch::start(site, victim);
        fault(site, victim, watch);
        site.settle();
    }
}

/// Waits for what others say of a node.
struct Watch {
    begin: Instant,
    line: String,
    /// Other nodes, with the lengths of their logs at the begin.
    others: Vec<(usize, usize)>,
}

impl Watch {
    fn start(site: &Site, victim: usize) -> Self {
        let others = site.up().into_iter().filter(|it| *it != victim);
        Self {
            others: others.map(|it| (it, site.nodes[it].log().len())).collect(),
            line: format!(
                "event=\"member.dead\" subject=\"{}\"",
                site.nodes[victim].options.name
            ),
            begin: Instant::now(),
        }
    }

    fn wait_until_dead(self, site: &mut Site) {
        for (host, begin) in &self.others {
            let node = &site.nodes[*host];
            wait::until_true(&format!("{} at n{}", self.line, host + 1), || {
                node.log()[*begin..].contains(&self.line)
            });
        }
        site.measure(HELD_DEAD, self.begin.elapsed());
    }
}
