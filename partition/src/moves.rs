//! What a change of members costs: the partitions that change hands.

use crate::table::Table;
use crate::topic::Partition;

/// The partitions whose owner differs between two tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// In order.
    pub partitions: Vec<Partition>,
    /// How many of them had to move: their old owner is gone, or their new one has just come.
    pub minimum: usize,
}

/// The partitions that a change from `old` to `new` moves. Where one of them is empty, nobody
/// hands anything to anybody, and nothing moves.
pub fn moves(old: &Table, new: &Table) -> Moves {
    let mut moves = Moves::default();
    for partition in Partition::all() {
        let (Some(from), Some(to)) = (old.owner(partition), new.owner(partition)) else {
            continue;
        };
        if from != to {
            moves.partitions.push(partition);
            let forced = new.index_of(from).is_none() || old.index_of(to).is_none();
            moves.minimum += usize::from(forced);
        }
    }
    moves
}
