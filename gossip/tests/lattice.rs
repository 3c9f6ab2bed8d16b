//! Records form a lattice: no order, repetition or grouping of arrivals changes the outcome.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use zmesh_gossip::{Member, NodeId, State};

/// Records of one node whose fields often collide.
fn record() -> impl Strategy<Value = Member> {
    let state = prop_oneof![
        Just(State::Alive),
        Just(State::Suspect),
        Just(State::Dead),
        Just(State::Left)
    ];
    let accusers = prop::collection::btree_set(0u8..8, 0..=4);
    let process = (1u64..3, 0u64..2, 0u64..3);
    (process, state, accusers, 0u64..3, 1u8..3, any::<bool>()).prop_map(
        |((epoch, nonce, incarnation), state, accusers, age, weight, ready)| Member {
            id: NodeId::new("c", "n"),
            name: "n".into(),
            epoch,
            nonce,
            incarnation,
            state,
            client: "h:1".into(),
            gossip: format!("h:{}", nonce + 2),
            link: "h:9".into(),
            zone: String::new(),
            weight,
            ready,
            leaving: false,
            accusers: match state {
                State::Suspect => accusers.into_iter().map(|a| NodeId([a; 16])).collect(),
                _ => BTreeSet::new(),
            },
            age: match state {
                State::Dead | State::Left => Duration::from_secs(age),
                _ => Duration::ZERO,
            },
        },
    )
}

fn merged(a: &Member, b: &Member) -> Member {
    let mut result = a.clone();
    result.merge(b);
    result
}

fn claim(member: &Member) -> (u64, u64, u64, State) {
    (member.epoch, member.nonce, member.incarnation, member.state)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn merging_is_commutative(a in record(), b in record()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
    }

    #[test]
    fn merging_is_associative(a in record(), b in record(), c in record()) {
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
    }

    #[test]
    fn merging_is_idempotent(a in record(), b in record()) {
        prop_assert_eq!(merged(&a, &a), a.clone());
        let once = merged(&a, &b);
        prop_assert_eq!(merged(&once, &b), once);
    }

    #[test]
    fn merging_never_goes_back(a in record(), b in record()) {
        let result = merged(&a, &b);
        prop_assert!(claim(&result) >= claim(&a) && claim(&result) >= claim(&b));
    }

    #[test]
    fn merging_says_whether_anything_but_the_age_changed(a in record(), b in record()) {
        let mut result = a.clone();
        let changed = result.merge(&b);
        let ageless = |member: &Member| Member { age: Duration::ZERO, ..member.clone() };
        prop_assert_eq!(changed, ageless(&result) != ageless(&a));
    }

    #[test]
    fn merging_valid_records_gives_a_valid_record(a in record(), b in record()) {
        prop_assert_eq!(merged(&a, &b).check(), Ok(()));
    }
}
