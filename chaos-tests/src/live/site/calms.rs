//! Times in which nothing happens that may give a topic to another owner.

use super::Site;
use crate::live::history::order::Calm;
use crate::live::namespace::monotonic;
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Calms {
    over: Vec<Calm>,
    /// The one that lasts: when it began, and how often each node had changed its view then.
    now: Option<(u64, BTreeMap<usize, u64>)>,
}

impl Calms {
    /// Those that are over.
    pub(super) fn over(&self) -> &[Calm] {
        &self.over
    }
}

impl Site {
    /// The nodes are settled: whatever is sent from now on goes through the owners of their view.
    pub(super) fn begin_calm(&mut self) {
        if self.calms.now.is_none() {
            let changes = self.view_changes();
            self.calms.now = Some((monotonic(), changes));
        }
    }

    /// Something is about to happen to a node. Complains if a view changed before it did.
    pub(super) fn end_calm(&mut self) {
        let Some((from, before)) = self.calms.now.take() else {
            return;
        };
        let to = monotonic();
        self.calms.over.push(Calm { from, to });
        let after = self.view_changes();
        if after != before {
            self.complain(changed(&before, &after));
        }
    }

    fn view_changes(&self) -> BTreeMap<usize, u64> {
        let hosts = self.up().into_iter();
        let changes = |host: usize| self.nodes[host].metric("zmesh_view_changes_total", "");
        hosts.map(|host| (host, changes(host))).collect()
    }
}

fn changed(before: &BTreeMap<usize, u64>, after: &BTreeMap<usize, u64>) -> String {
    let nodes = after.iter().filter_map(|(host, now)| {
        let then = before.get(host).copied().unwrap_or(0);
        (then != *now).then(|| format!("n{} {} times", host + 1, now - then))
    });
    let nodes: Vec<String> = nodes.collect();
    format!(
        "views changed although nothing had happened: {}",
        nodes.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changed_its_view_is_named() {
        let before = [(0, 3), (1, 3), (4, 2)].into();
        let after = [(0, 3), (1, 5), (4, 2)].into();
        let text = changed(&before, &after);
        assert!(text.ends_with(": n2 2 times"), "{text}");
    }
}
