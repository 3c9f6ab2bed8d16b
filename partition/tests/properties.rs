//! What the table promises for every set of members.

use proptest::prelude::*;
use std::collections::HashSet;
use zmesh_partition::{MAX_MEMBERS, Member, MemberId, PARTITIONS, Partition, Table, moves};

/// Members with random ids, `count` of them, and weights from a range.
fn members(
    count: std::ops::RangeInclusive<usize>,
    weights: std::ops::RangeInclusive<u8>,
) -> impl Strategy<Value = Vec<Member>> {
    let pairs = prop::collection::btree_map(any::<MemberId>(), weights, count);
    pairs.prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(id, weight)| Member { id, weight })
            .collect()
    })
}

/// What a member owns, as a multiple of its weighted fair share.
fn load(table: &Table, member: &Member, members: &[Member]) -> f64 {
    let total: u32 = members.iter().map(|member| u32::from(member.weight)).sum();
    let fair = f64::from(PARTITIONS) * f64::from(member.weight) / f64::from(total);
    f64::from(table.partitions_of(member.id)) / fair
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_order_of_members_and_duplicates_do_not_matter(
        (members, shuffled) in members(1..=40, 1..=16).prop_flat_map(|members| {
            let twice = [&members[..], &members[..]].concat();
            (Just(members), Just(twice).prop_shuffle())
        })
    ) {
        prop_assert_eq!(Table::new(&members), Table::new(&shuffled));
    }

    #[test]
    fn every_partition_has_an_owner_and_loads_add_up(members in members(1..=128, 1..=16)) {
        let table = Table::new(&members);
        let mut counted = std::collections::HashMap::new();
        for partition in Partition::all() {
            let owner = table.owner(partition).unwrap();
            prop_assert_eq!(owner, table.owners(partition)[0]);
            *counted.entry(owner).or_insert(0) += 1;
        }
        for member in &members {
            let expected = counted.get(&member.id).copied().unwrap_or(0);
            prop_assert_eq!(table.partitions_of(member.id), expected);
        }
    }

    #[test]
    fn nobody_of_up_to_128_equals_owns_more_than_a_tenth_above_the_mean(
        members in members(1..=128, 1..=1)
    ) {
        let table = Table::new(&members);
        for member in &members {
            prop_assert!(load(&table, member, &members) <= 1.10);
        }
    }

    #[test]
    fn nobody_owns_more_than_a_tenth_above_a_weighted_share(members in members(1..=40, 1..=16)) {
        let table = Table::new(&members);
        for member in &members {
            prop_assert!(load(&table, member, &members) <= 1.10);
        }
    }

    #[test]
    fn a_join_or_a_leave_among_32_moves_little_more_than_it_must(
        members in members(33..=33, 1..=1)
    ) {
        let fewer = Table::new(&members[1..]);
        let more = Table::new(&members);
        for change in [moves(&fewer, &more), moves(&more, &fewer)] {
            let (moved, minimum) = (change.partitions.len(), change.minimum);
            prop_assert!(moved as f64 <= 1.2 * minimum as f64, "{moved} of {minimum}");
        }
    }

    #[test]
    fn successors_are_two_others(members in members(1..=20, 1..=16)) {
        let table = Table::new(&members);
        for partition in Partition::all() {
            let owners = table.owners(partition);
            let distinct: HashSet<_> = owners.iter().collect();
            prop_assert_eq!(owners.len(), members.len().min(3));
            prop_assert_eq!(distinct.len(), owners.len());
        }
    }

    #[test]
    fn what_a_leaver_owned_goes_mostly_to_its_first_successor(
        members in members(2..=32, 1..=1)
    ) {
        let before = Table::new(&members);
        let after = Table::new(&members[1..]);
        let leaver = members[0].id;
        let owned = Partition::all().filter(|&it| before.owner(it) == Some(leaver));
        let followed = owned.filter(|&it| after.owner(it) == before.owners(it).get(1).copied());
        let share = followed.count() as f64 / f64::from(before.partitions_of(leaver));
        prop_assert!(share >= 0.9, "{share}");
    }

    #[test]
    fn topics_spread_evenly(salt in any::<u64>()) {
        let mut counts = [0; 16];
        for number in 0..16_000 {
            let topic = format!("{salt}.{number} and a payload");
            counts[Partition::of_topic(topic.as_bytes()).index() / 1024] += 1;
        }
        // Six standard deviations of a fair share.
        prop_assert!(counts.iter().all(|&count| (816..=1184).contains(&count)), "{counts:?}");
    }
}

#[test]
fn nobody_owns_anything_in_an_empty_table() {
    let table = Table::new(&[]);
    let partition = Partition::of_topic(b"any");
    assert_eq!(table, Table::empty());
    assert!(table.is_empty());
    assert_eq!(
        (table.owner(partition), table.owners(partition).len()),
        (None, 0)
    );
    assert_eq!(table.partitions_of([1; 16]), 0);
}

#[test]
fn nothing_moves_from_or_to_nobody() {
    let one = Table::new(&[Member {
        id: [1; 16],
        weight: 1,
    }]);
    assert!(moves(&Table::empty(), &one).partitions.is_empty());
    assert!(moves(&one, &Table::empty()).partitions.is_empty());
    assert!(moves(&one, &one).partitions.is_empty());
}

#[test]
fn a_weight_out_of_bounds_counts_as_the_nearest_within() {
    let table = |low, high| {
        Table::new(&[
            Member {
                id: [1; 16],
                weight: low,
            },
            Member {
                id: [2; 16],
                weight: high,
            },
        ])
    };
    assert_eq!(table(0, 255), table(1, 16));
}

#[test]
fn of_a_member_named_twice_the_greater_weight_counts() {
    let member = |id, weight| Member {
        id: [id; 16],
        weight,
    };
    let twice = Table::new(&[member(1, 3), member(2, 1), member(1, 1)]);
    assert_eq!(twice, Table::new(&[member(2, 1), member(1, 3)]));
}

#[test]
fn more_members_than_partitions_still_own_one_at_most() {
    let id = |number: usize| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        id
    };
    // Weight 1 keeps this at four million points.
    let members: Vec<_> = (0..MAX_MEMBERS + 5)
        .map(|number| Member {
            id: id(number),
            weight: 1,
        })
        .collect();
    let table = Table::new(&members);
    assert_eq!(table.members().len(), MAX_MEMBERS);
    assert!(
        members
            .iter()
            .all(|member| table.partitions_of(member.id) <= 1)
    );
}
