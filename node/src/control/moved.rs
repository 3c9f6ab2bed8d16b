//! What a new view moves: partitions that come to this node, and that go from it.

use std::collections::BTreeMap;

use zmesh_gossip::{NodeId, State};
use zmesh_partition::moves;

use crate::events::{Events, Kind};
use crate::metrics::{PARTITION_MOVES, VIEW_CHANGES};
use crate::view::View;

/// Why a partition moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Join,
    Leave,
    Death,
    Balance,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Death => "death",
            Self::Balance => "balance",
        }
    }
}

/// Partitions that came and went, by cause.
#[derive(Debug, Default, PartialEq, Eq)]
struct Moved {
    gained: BTreeMap<Cause, u64>,
    lost: BTreeMap<Cause, u64>,
}

/// Counts what moved, and tells of it.
pub(super) fn tell_view(events: &Events, old: &View, new: &View, me: NodeId) {
    let moved = moved(old, new, me);
    let metrics = events.metrics();
    metrics.add(&VIEW_CHANGES, &[], 1);
    for (direction, by_cause) in [("gained", &moved.gained), ("lost", &moved.lost)] {
        for (cause, count) in by_cause {
            metrics.add(&PARTITION_MOVES, &[direction, cause.name()], *count);
        }
    }
    let (gained, lost): (u64, u64) = (moved.gained.values().sum(), moved.lost.values().sum());
    let causes = moved.gained.keys().chain(moved.lost.keys());
    let mut causes: Vec<&str> = causes.map(|cause| cause.name()).collect();
    causes.sort_unstable();
    causes.dedup();
    let (members, owned) = (
        new.membership.view.len(),
        new.ring.table().partitions_of(me.0),
    );
    let node = events.node();
    let text = format!(
        "a view of {members}: {node} gained {gained} partitions and lost {lost}, it owns {owned}"
    );
    let fields = [
        ("members", members.to_string()),
        ("hash", format!("{:016x}", new.ring_hash)),
        ("gained", gained.to_string()),
        ("lost", lost.to_string()),
        ("owned", owned.to_string()),
        ("cause", causes.join(",")),
    ];
    events.tell(Kind::OwnerMoved, node, &text, &fields);
}

fn moved(old: &View, new: &View, me: NodeId) -> Moved {
    let mut moved = Moved::default();
    let (before, after) = (old.ring.table(), new.ring.table());
    if before.is_empty() {
        let owned = after.partitions_of(me.0).into();
        moved.gained.insert(Cause::Join, owned);
    }
    for partition in moves(before, after).partitions {
        let (Some(from), Some(to)) = (before.owner(partition), after.owner(partition)) else {
            continue;
        };
        let by_cause = if to == me.0 {
            &mut moved.gained
        } else if from == me.0 {
            &mut moved.lost
        } else {
            continue;
        };
        *by_cause.entry(cause(old, new, from, to)).or_default() += 1;
    }
    moved
}

fn cause(old: &View, new: &View, from: [u8; 16], to: [u8; 16]) -> Cause {
    if !new.ring.table().members().contains(&from) {
        return match new.member(from) {
            Some(member) if member.state == State::Dead => Cause::Death,
            _ => Cause::Leave,
        };
    }
    if old.ring.table().members().contains(&to) {
        Cause::Balance
    } else {
        Cause::Join
    }
}
