//! Links that show alive who is not heard over gossip.

use std::collections::BTreeMap;
use std::time::Duration;

use zmesh_gossip::{Event, State};

use crate::network::{Network, host, ms, secs};

fn hear(net: &mut Network, nodes: &[usize], nonce: u64) {
    for &i in nodes {
        let ago = BTreeMap::from([(nonce, ms(0))]);
        net.with(i, |machine, now| machine.handle_signs_of_life(ago, now));
    }
}

/// Time passes in which the links of these nodes hear the last of five, as often as a node tells.
fn run_hearing(net: &mut Network, nodes: &[usize], time: Duration) {
    let nonce = net.node(4).machine.me().nonce;
    let mut passed = Duration::ZERO;
    while passed < time {
        hear(net, nodes, nonce);
        net.run(ms(250));
        passed += ms(250);
    }
}

/// Whether one of the others has suspected the last.
fn suspected(net: &Network) -> bool {
    let suspects = |e: &Event| matches!(e, Event::Suspected { name } if name == "n4");
    (0..4).any(|i| net.node(i).saw(suspects))
}

fn mute(net: &mut Network) {
    net.cut(|from, _, _| from == host(4));
}

#[test]
fn nobody_suspects_whom_its_link_shows_alive() {
    let mut net = Network::started(31, 5);
    mute(&mut net);
    run_hearing(&mut net, &[0, 1, 2, 3], secs(8));
    assert!(!suspected(&net), "{}", net.describe());
    net.heal();
    run_hearing(&mut net, &[0, 1, 2, 3], secs(10));
    mute(&mut net);
    run_hearing(&mut net, &[0, 1, 2, 3], secs(8));
    assert!(!suspected(&net), "the patience was not renewed");
}

#[test]
fn a_node_that_lives_on_its_links_alone_is_dead_in_the_end() {
    let mut net = Network::started(32, 5);
    let nonce = net.node(4).machine.me().nonce;
    net.run(secs(5));
    mute(&mut net);
    // Helpers are told in time for their answers, too.
    for _ in 0..800 {
        hear(&mut net, &[0, 1, 2, 3], nonce);
        net.run(ms(50));
    }
    let dead = |i| net.node(i).state_of("n4") == Some(State::Dead);
    assert!((0..4).all(dead), "{}", net.describe());
}

#[test]
fn one_helper_that_hears_a_member_over_its_link_is_enough() {
    let mut net = Network::started(33, 5);
    mute(&mut net);
    run_hearing(&mut net, &[1, 2, 3], secs(6));
    assert!(!suspected(&net), "{}", net.describe());
}

#[test]
fn a_death_that_is_told_of_one_who_is_heard_waits_for_the_refutation() {
    let mut net = Network::started(34, 5);
    let mut claim = net.node(0).record_of("n4").unwrap();
    claim.state = State::Dead;
    run_hearing(&mut net, &[1, 2, 3], ms(250));
    net.with(0, |machine, now| machine.handle_card(claim, now));
    run_hearing(&mut net, &[1, 2, 3], secs(3));
    assert!(net.agree(5), "{}", net.describe());
    let died = |e: &Event| matches!(e, Event::Died { .. });
    assert!((1..4).all(|i| !net.node(i).saw(died)));
    assert!(net.node(0).saw(died));
}

#[test]
fn a_process_that_refuses_connections_is_not_spared() {
    let mut net = Network::started(35, 5);
    let nonce = net.node(4).machine.me().nonce;
    net.run(secs(2));
    net.kill(4);
    // What its links had brought is read at every moment, also between a question and its refusal.
    for _ in 0..1200 {
        hear(&mut net, &[0, 1, 2, 3], nonce);
        net.run(ms(1));
    }
    let dead = |i| net.node(i).state_of("n4") == Some(State::Dead);
    assert!((0..4).all(dead), "{}", net.describe());
}

#[test]
fn both_sides_of_a_cut_are_found_as_soon_as_one_host() {
    for seed in 0..20 {
        let mut net = Network::started(seed, 5);
        net.run(secs(2) + ms(seed * 37));
        let side = |address: &str| address < "10.0.0.3:1";
        net.cut(move |from, to, _| side(from) != side(to));
        net.run_until(ms(3200), |net| {
            let three = (0..3).all(|i| net.node(i).view.len() == 3);
            three && (3..5).all(|i| net.node(i).view.len() == 2)
        });
    }
}
