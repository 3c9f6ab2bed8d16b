//! One look at the mesh, and the difference of two.

use anyhow::{Result, bail};
use serde::de::DeserializeOwned;
use zmesh_node::report::{Connections, Links, Mesh, Overview};

use crate::address::Address;
use crate::http::{self, Answer};
use crate::output::printable;

/// Looks closer together than this say nothing of rates.
const LEAST_MS: u64 = 500;

/// What one look shall tell beside the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// The node whose links and clients are wanted; `None` for the one that answers.
    pub(super) node: Option<String>,
    pub(super) links: bool,
    pub(super) clients: bool,
}

impl Wish {
    pub(super) fn everything() -> Self {
        Self {
            node: None,
            links: true,
            clients: true,
        }
    }
}

/// One look.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    pub(super) mesh: Mesh,
    /// Of which node the links and clients are.
    pub(super) node: String,
    pub(super) links: Option<Links>,
    pub(super) clients: Option<Connections>,
    /// Why there are no links or clients.
    pub(super) missing: Option<String>,
}

/// The mesh as the node tells it.
pub(super) fn mesh_text(node: &Address) -> Result<String> {
    match http::get(node, "mesh", &[])? {
        Answer::Yes(body) => {
            let _: Mesh = http::read(node, &body)?;
            Ok(body)
        }
        Answer::No(reason) => bail!("{node} cannot say: {}: try again", printable(&reason)),
    }
}

impl Sample {
    pub(super) fn take(node: &Address, wish: &Wish) -> Result<Self> {
        let mesh: Mesh = http::read(node, &mesh_text(node)?)?;
        let of = wish.node.clone().unwrap_or_else(|| mesh.node.clone());
        let mut sample = Self {
            mesh,
            node: of,
            ..Self::default()
        };
        if wish.links {
            sample.links = sample.of_node(node, "links");
        }
        if wish.clients {
            sample.clients = sample.of_node(node, "connections");
        }
        Ok(sample)
    }

    fn of_node<T: DeserializeOwned>(&mut self, node: &Address, path: &str) -> Option<T> {
        let read = match http::get(node, path, &[("node", &self.node)]) {
            Ok(Answer::Yes(body)) => http::read(node, &body).map_err(|error| format!("{error:#}")),
            Ok(Answer::No(reason)) => Err(reason),
            Err(error) => Err(format!("{error:#}")),
        };
        read.map_err(|error| self.missing = Some(error)).ok()
    }

    pub(super) fn overviews(&self) -> impl Iterator<Item = &Overview> {
        let nodes = self.mesh.nodes.iter();
        nodes.filter_map(|node| node.overview.as_ref())
    }

    pub(super) fn overview(&self, name: &str) -> Option<&Overview> {
        self.overviews().find(|it| it.node.name == name)
    }
}

/// The last look and an earlier one, from which rates are made.
pub(super) struct History {
    pub(super) before: Option<Sample>,
    pub(super) now: Sample,
}

impl History {
    pub(super) fn new(now: Sample) -> Self {
        Self { before: None, now }
    }

    pub(super) fn push(&mut self, sample: Sample) {
        let passed = sample.mesh.at_ms.saturating_sub(self.now.mesh.at_ms);
        let last = std::mem::replace(&mut self.now, sample);
        if passed >= LEAST_MS {
            self.before = Some(last);
        }
    }

    /// Seconds between the two looks, by the clock of the node that answered.
    fn seconds(&self) -> Option<f64> {
        let before = self.before.as_ref()?;
        let passed = self.now.mesh.at_ms.checked_sub(before.mesh.at_ms)?;
        (passed > 0).then_some(passed as f64 / 1000.0)
    }

    /// How fast a counter rises. One that fell is that of a new process.
    pub(super) fn rate(&self, before: Option<u64>, now: u64) -> Option<f64> {
        let risen = now.checked_sub(before?).unwrap_or(now);
        Some(risen as f64 / self.seconds()?)
    }

    /// How fast a counter of a node rises.
    pub(super) fn node_rate(&self, name: &str, counter: fn(&Overview) -> u64) -> Option<f64> {
        let before = self.before.as_ref()?.overview(name).map(counter);
        self.rate(before, counter(self.now.overview(name)?))
    }

    /// The part of messages that were done faster than this, of those of a node between the looks.
    pub(super) fn done_us(&self, name: &str, part: f64) -> Option<u64> {
        let before = &self.before.as_ref()?.overview(name)?.done;
        let now = &self.now.overview(name)?.done;
        now.quantile_us(before, part)
    }
}

pub(super) fn dropped(overview: &Overview) -> u64 {
    let counts = overview.node.dropped_messages.values();
    counts.fold(0, |sum, count| sum.saturating_add(*count))
}

/// The mesh in a line.
pub(super) fn headline(history: &History) -> String {
    let (sample, mesh) = (&history.now, &history.now.mesh);
    let in_state = |state| mesh.members.iter().filter(|it| it.state == state).count();
    let mut views: Vec<&str> = sample.overviews().map(|it| &*it.node.view_hash).collect();
    views.sort_unstable();
    views.dedup();
    let mut states = vec![format!("{} alive", in_state("alive"))];
    for state in ["suspect", "dead"] {
        if in_state(state) > 0 {
            states.push(format!("{} {state}", in_state(state)));
        }
    }
    let views = match views.len() {
        1 => "one view".into(),
        number => format!("{number} VIEWS"),
    };
    let sum = |counter: fn(&Overview) -> u64| {
        let rates = mesh.nodes.iter();
        let rates = rates.filter_map(|node| history.node_rate(&node.name, counter));
        short(rates.sum())
    };
    format!(
        "{}: {}, {views}; {}/s in, {}/s out, {}/s dropped; by {}",
        mesh.cluster,
        states.join(", "),
        sum(|it| it.node.taken_messages),
        sum(|it| it.node.delivered_messages),
        sum(dropped),
        mesh.node,
    )
}

/// A number in at most five characters, such as `12.3k`.
pub(super) fn short(number: f64) -> String {
    // Of no numbers the sum is -0.
    let number = number + 0.0;
    match number {
        _ if number < 9.95 && number.fract() > 0.049 => format!("{number:.1}"),
        _ if number < 9999.5 => format!("{number:.0}"),
        _ if number < 999_950.0 => format!("{:.1}k", number / 1e3),
        _ if number < 999_950_000.0 => format!("{:.1}M", number / 1e6),
        _ => format!("{:.1}G", number / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn at(ms: u64) -> Sample {
        let mut sample = Sample::default();
        sample.mesh.at_ms = ms;
        sample
    }

    #[test]
    fn a_rate_is_the_difference_and_a_counter_that_fell_began_anew() {
        let mut history = History::new(at(1000));
        assert_eq!(history.rate(Some(1), 5), None, "one look only");
        history.push(at(3000));
        assert_eq!(history.rate(Some(1), 5), Some(2.0));
        assert_eq!(history.rate(Some(10), 4), Some(2.0));
        assert_eq!(history.rate(None, 4), None);
    }

    #[test]
    fn a_look_soon_after_another_is_compared_with_the_one_before() {
        let mut history = History::new(at(1000));
        history.push(at(2000));
        history.push(at(2010));
        assert_eq!(history.before.as_ref().map(|it| it.mesh.at_ms), Some(1000));
        history.push(at(3010));
        assert_eq!(history.before.map(|it| it.mesh.at_ms), Some(2010));
    }

    #[test]
    fn numbers_stay_short() {
        let shown = [0.0, 0.5, 12.3, 9999.0, 12_340.0, 1.5e6, 2e9].map(short);
        assert_eq!(shown, ["0", "0.5", "12", "9999", "12.3k", "1.5M", "2.0G"]);
    }
}
