//! Several forwarding cores against each other in memory, with faults that a seed decides.

mod clients;
mod dice;
mod faults;
mod links;
mod membership;
mod message;
mod oracle;
mod plan;
mod scenarios;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use faults::{Outcome, run};
use oracle::Kind;
use plan::{Plan, Planted};

/// Seeds of the ordinary test.
const SEEDS: u64 = 500;

/// Runs a seed. What is wrong is told in a line that says how to run it again.
fn check(seed: u64) -> Result<Outcome, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(Plan::of_seed(seed))));
    let broken = match outcome {
        Ok(outcome) if outcome.violations.is_empty() => return Ok(outcome),
        Ok(outcome) => format!(
            "{:?} (of {})",
            outcome.violations[0],
            outcome.violations.len()
        ),
        Err(_) => "panicked".into(),
    };
    Err(format!(
        "ZMESH_SEED={seed} cargo test -p zmesh-node --test forward -- one_seed  # {broken}"
    ))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_is_lost_doubled_or_reordered_and_everything_comes_to_rest() {
    let first = number("ZMESH_FIRST_SEED").unwrap_or(0);
    let seeds = number("ZMESH_SEEDS").unwrap_or(SEEDS);
    let (mut published, mut delivered) = (0, 0);
    let mut broken = Vec::new();
    for seed in first..first + seeds {
        match check(seed) {
            Ok(outcome) => {
                published += outcome.published;
                delivered += outcome.delivered;
            }
            Err(line) => broken.push(line),
        }
    }
    println!("{seeds} seeds, {published} messages published, {delivered} delivered");
    assert!(
        broken.is_empty(),
        "{} seeds:\n{}",
        broken.len(),
        broken.join("\n")
    );
}

#[test]
fn one_seed() {
    if let Some(seed) = number("ZMESH_SEED") {
        println!("{:#?}", Plan::of_seed(seed));
        let outcome = run(Plan::of_seed(seed));
        assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
    }
}

#[test]
fn the_same_seed_takes_the_same_course() {
    for seed in 0..20 {
        let traces = [seed, seed, seed + 1].map(|seed| run(Plan::of_seed(seed)).trace);
        assert_eq!(traces[0], traces[1], "seed {seed}");
        assert_ne!(traces[1], traces[2], "seed {seed}");
    }
}

/// What is planted must be found, and without it nothing must be.
#[track_caller]
fn finds(planted: Planted, kind: Kind) {
    for seed in 0..3 {
        let calm = Plan::calm(seed);
        assert_eq!(run(calm.clone()).violations, []);
        let planted = Plan {
            planted: Some(planted),
            ..calm
        };
        let found = run(planted).violations;
        let found = found.iter().any(|(found, _)| *found == kind);
        assert!(
            found,
            "seed {seed}: {planted:?} was not found",
            planted = kind
        );
    }
}

#[test]
fn a_message_that_comes_twice_is_found() {
    finds(Planted::Double, Kind::Doubled);
}

#[test]
fn a_message_that_does_not_come_is_found() {
    finds(Planted::Loss, Kind::Lost);
    finds(Planted::Loss, Kind::Miscounted);
}

#[test]
fn messages_in_the_wrong_order_are_found() {
    finds(Planted::Swap, Kind::Reordered);
}

#[test]
fn a_done_that_is_lost_is_found() {
    finds(Planted::LostDone, Kind::Restless);
}

#[test]
fn an_ack_that_is_lost_is_found() {
    finds(Planted::LostAck, Kind::PassedOver);
}

#[test]
fn a_publisher_that_is_never_woken_is_found() {
    finds(Planted::LostWake, Kind::Restless);
}

#[test]
fn a_subscriber_that_is_never_told_is_found() {
    finds(Planted::LostInterestAck, Kind::Restless);
}
