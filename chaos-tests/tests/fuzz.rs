//! The fuzzer's entry points, with the committed corpus, with examples that were damaged at random,
//! and with random bytes. What a fuzzer once found stays in the corpus.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chaos_tests::fuzz::{TARGETS, Target};
use chaos_tests::tidy::root;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

/// Damaged examples, and random inputs, of each target.
const CASES: u32 = 400;

/// Longest random input.
const LONGEST: usize = 300;

/// What can happen to an input.
#[derive(Clone, Debug)]
enum Damage {
    Change(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// Goes on with another input from there.
    Splice(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<Index>;
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Damage::Change(at, byte)),
        (place(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (place(), 1usize..9).prop_map(|(at, count)| Damage::Remove(at, count)),
        (place(), place()).prop_map(|(at, other)| Damage::Splice(at, other)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damage: &Damage, all: &[Vec<u8>]) -> Vec<u8> {
    let place = |at: &Index, length: usize| at.index(length + 1);
    match damage {
        Damage::Change(at, byte) => {
            let at = place(at, bytes.len());
            bytes.get_mut(at).into_iter().for_each(|old| *old = *byte);
        }
        Damage::Insert(at, more) => {
            let at = place(at, bytes.len());
            bytes.splice(at..at, more.iter().copied());
        }
        Damage::Remove(at, count) => {
            let at = place(at, bytes.len());
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Damage::Splice(at, other) => {
            bytes.truncate(place(at, bytes.len()));
            bytes.extend_from_slice(&all[other.index(all.len())]);
        }
    }
    bytes
}

/// The committed corpus of a target.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = root().join("chaos-tests/fuzz/corpus").join(target.name);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Tries bytes; a failure shows them.
fn holds(target: &Target, bytes: &[u8]) -> Result<(), TestCaseError> {
    let run = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    run.map_err(|_| TestCaseError::fail(format!("{} fails with {bytes:?}", target.name)))
}

#[track_caller]
fn check(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("every entry point is a target");
    let mut inputs = (target.examples)();
    inputs.extend(corpus(target));
    for input in &inputs {
        holds(target, input).unwrap();
    }
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    let damages = (any::<Index>(), prop::collection::vec(damage(), 1..6));
    let mutated = runner.run(&damages, |(input, damages)| {
        let input = input.get(&inputs).clone();
        let damage = |bytes, damage| damaged(bytes, damage, &inputs);
        holds(target, &damages.iter().fold(input, damage))
    });
    mutated.unwrap();
    let random = prop::collection::vec(any::<u8>(), 0..LONGEST);
    runner.run(&random, |bytes| holds(target, &bytes)).unwrap();
}

#[test]
fn zmtp_traffic_is_cut_up_the_same_however_it_arrives() {
    check("zmtp_frames");
}

#[test]
fn a_zmtp_handshake_ends_whatever_the_peer_says() {
    check("zmtp_handshake");
}

#[test]
fn the_first_bytes_tell_http_from_zmtp() {
    check("http_sniff");
}

#[test]
fn every_gossip_packet_is_read_or_refused() {
    check("gossip_packet");
}

#[test]
fn a_membership_machine_keeps_its_rules_whatever_it_hears() {
    check("gossip_machine");
}

#[test]
fn requests_come_to_an_end_whatever_clients_and_nodes_say() {
    check("requests");
}

#[test]
fn every_link_message_is_read_or_refused() {
    check("link_message");
}

#[test]
fn a_forwarding_core_keeps_its_rules_whatever_others_send() {
    check("link_session");
}

#[test]
fn subscribers_get_what_they_asked_for_whatever_clients_send() {
    check("client_session");
}

#[test]
fn every_configuration_file_is_read_or_refused_with_a_line() {
    check("settings_file");
}

/// The fuzzer runs all of them, and nothing else is in its corpus.
#[test]
fn every_entry_point_has_a_fuzz_target_and_a_corpus() {
    let folder = root().join("chaos-tests/fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let mut names: Vec<_> = TARGETS
        .iter()
        .map(|target| target.name.to_string())
        .collect();
    for name in &names {
        let path = format!("fuzz_targets/{name}.rs");
        assert!(
            manifest.contains(&format!("name = \"{name}\"\npath = \"{path}\"")),
            "{name}"
        );
        let code = fs::read_to_string(folder.join(path)).unwrap();
        assert!(code.contains(&format!("fuzz::{name}::run")), "{name}");
    }
    let corpora = fs::read_dir(folder.join("corpus")).unwrap();
    let mut found: Vec<_> = corpora
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    found.sort();
    assert_eq!(names, found);
}
