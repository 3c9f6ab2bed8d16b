//! What there is to say: ids of records that changed, each told a number of times.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::id::NodeId;

/// Ids of changed records, the least told first. At most one per record of the table.
///
/// A member that knows everything need not be told anything: meeting one counts for every rumor
/// like telling it once more. So news that has reached all ends soon, and the start of a large
/// mesh does not send each record of each member many times over.
#[derive(Debug, Default)]
pub(crate) struct Rumors {
    /// How often a rumor was told, less the meetings there had been when it was new.
    order: BTreeSet<(i64, NodeId)>,
    told: BTreeMap<NodeId, i64>,
    /// Meetings with members that know everything.
    meetings: i64,
}

impl Rumors {
    /// The record of `id` has changed: it is news again.
    pub(crate) fn add(&mut self, id: NodeId) {
        self.remove(id);
        self.told.insert(id, -self.meetings);
        self.order.insert((-self.meetings, id));
    }

    /// A member was met that knows everything.
    pub(crate) fn met_one_who_knows(&mut self, limit: u32) {
        if self.order.is_empty() {
            return;
        }
        self.meetings += 1;
        while let Some(&(told, id)) = self.order.last()
            && told + self.meetings >= i64::from(limit)
        {
            self.remove(id);
        }
    }

    pub(crate) fn remove(&mut self, id: NodeId) {
        if let Some(told) = self.told.remove(&id) {
            self.order.remove(&(told, id));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(crate) fn is_waiting(&self, id: NodeId) -> bool {
        self.told.contains_key(&id)
    }

    /// Ids in the order in which they should be told.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.order.iter().map(|&(_, id)| id)
    }

    /// The record of `id` has been told once more; after `limit` times it is old news.
    pub(crate) fn told(&mut self, id: NodeId, limit: u32) {
        let Some(told) = self.told.get(&id).copied() else {
            return;
        };
        self.remove(id);
        if told + 1 + self.meetings < i64::from(limit) {
            self.told.insert(id, told + 1);
            self.order.insert((told + 1, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_told_comes_first_and_old_news_ends() {
        let [a, b] = [NodeId([1; 16]), NodeId([2; 16])];
        let mut rumors = Rumors::default();
        rumors.add(a);
        rumors.told(a, 2);
        rumors.add(b);
        assert!(rumors.waiting().eq([b, a]));
        rumors.told(a, 2);
        assert!(rumors.waiting().eq([b]));
        rumors.add(a);
        assert!(rumors.waiting().eq([a, b]));
    }

    #[test]
    fn who_knows_everything_need_not_be_told() {
        let [a, b] = [NodeId([1; 16]), NodeId([2; 16])];
        let mut rumors = Rumors::default();
        rumors.add(a);
        rumors.met_one_who_knows(3);
        rumors.add(b);
        rumors.told(a, 3);
        assert!(rumors.waiting().eq([b, a]));
        rumors.met_one_who_knows(3);
        assert!(rumors.waiting().eq([b]));
        rumors.told(b, 3);
        rumors.met_one_who_knows(3);
        assert!(rumors.is_empty());
    }
}
