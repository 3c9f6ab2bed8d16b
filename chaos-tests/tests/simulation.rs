//! Whole nodes in virtual time: a fixed set of seeds and a fresh one, and every check against a
//! mistake that it must find.

use std::time::Duration;

use chaos_tests::sim::plan::{Fault, Plan};
use chaos_tests::sim::search::{Search, search};
use chaos_tests::sim::swarm::run;
use chaos_tests::sim::tables::Tables;
use chaos_tests::sim::watch::{Kind, Planted};

/// Seeds that are always run, and the time for those that nobody has run before.
const FIXED: u64 = 60;
const FRESH: Duration = Duration::from_secs(40);

#[track_caller]
fn holds(what: Search) {
    println!("from seed {}", what.first);
    let found = search(what, |line| println!("{line}"));
    println!("{found}");
    assert!(found.broken.is_empty(), "\n{}\n", found.broken.join("\n"));
    assert!(found.counts.published > 0 && found.counts.faults > 0);
}

fn seeds(first: u64, seeds: u64, time: Option<Duration>) -> Search {
    Search {
        first,
        seeds,
        time,
        nodes: None,
        threads: 2,
    }
}

#[test]
fn no_fixed_seed_breaks_a_promise() {
    holds(seeds(0, FIXED, None));
}

#[test]
fn no_fresh_seed_breaks_a_promise() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let first = now.unwrap_or_default().as_secs() * 1000;
    holds(seeds(first, u64::MAX, Some(FRESH)));
}

#[test]
fn the_same_seed_takes_the_same_course() {
    let mut tables = Tables::default();
    for seed in 0..5 {
        let mut trace = |seed| run(Plan::of_seed(seed, None), &mut tables).trace;
        let (one, other, next) = (trace(seed), trace(seed), trace(seed + 1));
        assert_eq!(one, other, "seed {seed}");
        assert_ne!(one, next, "seed {seed}");
    }
}

/// What is planted must be found, and without it nothing must be.
#[track_caller]
fn finds(planted: Planted, kind: Kind, change: impl Fn(&mut Plan)) {
    let mut tables = Tables::default();
    for seed in 0..2 {
        let mut plan = Plan::calm(seed, 4);
        change(&mut plan);
        let violations = run(plan.clone(), &mut tables).violations;
        assert_eq!(violations, [], "seed {seed} without a mistake");
        plan.planted = Some(planted);
        let violations = run(plan, &mut tables).violations;
        let found = violations.iter().any(|(found, _)| *found == kind);
        assert!(found, "seed {seed}: {planted:?} gave {violations:?}");
    }
}

fn as_it_is(_: &mut Plan) {}

/// Nodes are killed and cut off now and then.
fn with(fault: Fault) -> impl Fn(&mut Plan) {
    move |plan| {
        plan.trouble = Duration::from_secs(40);
        plan.longest_fault = Duration::from_secs(30);
        plan.faults = vec![(fault, Duration::from_secs(8))];
    }
}

#[test]
fn a_record_that_goes_back_is_found() {
    finds(Planted::WentBack, Kind::WentBack, as_it_is);
}

#[test]
fn a_process_that_comes_back_to_life_is_found() {
    finds(Planted::Resurrection, Kind::Resurrected, as_it_is);
}

#[test]
fn a_record_raised_by_another_is_found() {
    finds(Planted::RaisedByOther, Kind::RaisedByOther, as_it_is);
}

#[test]
fn a_node_that_hears_nobody_and_declares_deaths_is_found() {
    finds(Planted::DeafDeath, Kind::DeafDeath, |plan| {
        with(Fault::Isolate)(plan);
        plan.trouble = Duration::from_secs(120);
    });
}

#[test]
fn a_table_of_its_own_is_found() {
    finds(Planted::WrongTable, Kind::Tables, as_it_is);
}

#[test]
fn a_message_that_comes_twice_is_found() {
    finds(Planted::Double, Kind::Doubled, as_it_is);
}

#[test]
fn a_message_that_does_not_come_is_found() {
    finds(Planted::Loss, Kind::Lost, as_it_is);
}

#[test]
fn messages_in_the_wrong_order_are_found() {
    finds(Planted::Swap, Kind::Reordered, as_it_is);
}

#[test]
fn a_message_that_changes_on_its_way_is_found() {
    finds(Planted::Damage, Kind::Damaged, as_it_is);
}

#[test]
fn a_subscriber_with_an_order_of_its_own_is_found() {
    finds(Planted::OwnOrder, Kind::TopicOrder, as_it_is);
}

#[test]
fn a_count_that_does_not_add_up_is_found() {
    finds(Planted::Miscount, Kind::Miscounted, as_it_is);
}

#[test]
fn a_node_that_takes_more_than_its_budget_is_found() {
    finds(Planted::Hoard, Kind::Unbounded, |plan| {
        plan.latency = (Duration::from_millis(40), Duration::from_millis(20));
        plan.publish_every = Duration::from_millis(4);
        plan.burst = 12;
        plan.connection_budget = 400;
        plan.node_budget = 1200;
    });
}

#[test]
fn a_mesh_that_does_not_mend_is_found() {
    finds(Planted::LastingCut, Kind::Restless, as_it_is);
}

#[test]
fn a_publisher_that_is_owed_for_ever_is_found() {
    finds(Planted::LostDone, Kind::Restless, as_it_is);
}

#[test]
fn acks_that_are_lost_are_found() {
    finds(Planted::LostAcks, Kind::Restless, as_it_is);
}

#[test]
fn a_node_that_is_passed_over_although_all_is_well_is_found() {
    finds(Planted::LateCut, Kind::PassedOver, as_it_is);
}

#[test]
fn messages_that_nobody_counted_are_found() {
    finds(Planted::LostCount, Kind::Uncounted, with(Fault::Isolate));
}

#[test]
fn a_node_that_does_not_get_out_is_found() {
    finds(Planted::StuckDrain, Kind::Undrained, with(Fault::Leave));
}
