//! Crashes, cuts, losses and stalls: who is declared dead, how soon, and who is not.

use zmesh_gossip::{Body, Event, Kind, State};

use crate::network::{Network, Node, host, ms, secs};

fn nobody_died(net: &Network) -> bool {
    !net.nodes
        .values()
        .any(|node| node.saw(|event| matches!(event, Event::Died { .. })))
}

/// Time from a fault of the last of `count` nodes until all others hold it dead, in milliseconds,
/// sorted.
fn times_to_death(count: usize, seeds: u64, fault: fn(&mut Network, usize)) -> Vec<u64> {
    let mut times: Vec<u64> = (0..seeds)
        .map(|seed| {
            let mut net = Network::started(seed, count);
            net.run(secs(2) + ms(seed * 37));
            let last = count - 1;
            fault(&mut net, last);
            let name = format!("n{last}");
            let took = net.run_until(secs(10), |net| {
                net.nodes
                    .values()
                    .all(|node| node.state_of(&name) == Some(State::Dead))
            });
            took.as_millis() as u64
        })
        .collect();
    times.sort_unstable();
    times
}

#[test]
fn a_silent_host_is_found_dead_within_the_bounds() {
    for (count, seeds, median, longest) in [
        (2, 20, 2000, 2600),
        (3, 40, 1800, 2500),
        (32, 10, 2300, 3100),
    ] {
        let times = times_to_death(count, seeds, Network::vanish);
        assert!(times[times.len() / 2] <= median, "{count} nodes: {times:?}");
        assert!(
            times[times.len() - 1] <= longest,
            "{count} nodes: {times:?}"
        );
    }
}

#[test]
fn a_killed_process_is_found_dead_in_little_more_than_a_second() {
    for (count, seeds) in [(2, 10), (3, 20), (32, 5)] {
        let times = times_to_death(count, seeds, Network::kill);
        assert!(times[times.len() - 1] <= 1200, "{count} nodes: {times:?}");
    }
}

#[test]
fn two_of_three_killed_at_once_are_found_dead_by_the_third() {
    let mut net = Network::started(1, 3);
    net.run(secs(2));
    net.kill(1);
    net.kill(2);
    let took = net.run_until(secs(3), |net| net.agree(1));
    assert!(took < ms(2000), "{took:?}");
}

#[test]
fn a_broken_connection_alone_kills_nobody() {
    let mut net = Network::started(2, 5);
    for i in 0..4 {
        net.with(i, |machine, now| machine.handle_reset(&host(4), now));
        net.with(i, |machine, now| machine.handle_refused(&host(4), now));
    }
    net.run(secs(10));
    assert!(nobody_died(&net) && net.agree(5));
}

#[test]
fn a_suspect_that_answers_is_alive_again_and_never_left_the_view() {
    let mut net = Network::started(3, 5);
    let victim = net.node(0).record_of("n4").unwrap();
    let mut claim = victim.clone();
    claim.state = State::Suspect;
    claim.accusers = [zmesh_gossip::NodeId([7; 16])].into();
    net.with(0, |machine, now| machine.handle_card(claim, now));
    assert_eq!(net.node(0).state_of("n4"), Some(State::Suspect));
    assert_eq!(net.node(0).view.len(), 5);
    net.run_until(secs(1), |net| {
        net.node(0).state_of("n4") == Some(State::Alive)
    });
    assert!(net.node(0).record_of("n4").unwrap().incarnation > victim.incarnation);
    assert!(
        net.node(4)
            .saw(|event| matches!(event, Event::Refuted { .. }))
    );
    assert!(nobody_died(&net));
}

#[test]
fn a_living_node_that_is_declared_dead_comes_back_by_itself() {
    let mut net = Network::started(4, 5);
    let mut claim = net.node(0).record_of("n4").unwrap();
    claim.state = State::Dead;
    net.with(0, |machine, now| machine.handle_card(claim, now));
    assert_eq!(net.node(0).state_of("n4"), Some(State::Dead));
    net.run_until(secs(2), |net| {
        let alive = |node: &Node| node.state_of("n4") == Some(State::Alive);
        net.nodes.values().all(alive) && net.agree(5)
    });
}

#[test]
fn loss_in_one_direction_between_two_nodes_is_bridged_by_helpers() {
    let mut net = Network::started(5, 5);
    net.cut(|from, to, _| from == host(0) && to == host(1));
    net.run(secs(60));
    assert!(nobody_died(&net) && net.agree(5), "{}", net.describe());
    assert_eq!(net.node(0).machine.stats().suspicions, 0);
    assert!(net.node(0).machine.stats().probes_indirect > 0);
}

#[test]
fn a_node_that_hears_nothing_is_declared_dead_and_declares_nobody_dead_for_long() {
    let mut net = Network::started(6, 5);
    net.cut(|_, to, _| to == host(4));
    net.run(secs(6));
    assert!(
        (0..4).all(|i| net.node(i).state_of("n4") == Some(State::Dead)),
        "{}",
        net.describe()
    );
    assert!(!net.node(4).saw(|event| matches!(event, Event::Died { .. })));
    net.heal();
    net.run_until(secs(10), |net| net.agree(5));
    assert!(!net.node(4).saw(|event| matches!(event, Event::Died { .. })));
}

#[test]
fn a_process_that_stood_still_declares_nobody_dead() {
    for gap in [ms(700), secs(2), secs(60)] {
        let mut net = Network::started(7, 5);
        net.freeze(2, gap);
        net.run(gap + secs(5));
        let node = net.node(2);
        assert!(node.saw(|event| matches!(event, Event::Stalled { .. })));
        assert!(!node.saw(|event| matches!(event, Event::Died { .. } | Event::Suspected { .. })));
        net.run_until(secs(10), |net| net.agree(5));
    }
}

#[test]
fn a_question_asked_before_a_stall_is_not_held_against_the_one_asked() {
    let mut net = Network::started(7, 5);
    let pings = |net: &Network| net.node(2).machine.stats().sent_of(Kind::Ping);
    let before = pings(&net);
    net.run_until(secs(1), |net| pings(net) > before);
    net.freeze(2, secs(2));
    net.cut(|_, to, body| to == host(2) && matches!(body, Body::Ack { .. }));
    net.run(secs(2) - ms(1));
    net.heal();
    net.run(secs(3));
    assert!(
        net.node(2)
            .saw(|event| matches!(event, Event::Stalled { .. }))
    );
    assert!(
        !net.node(2)
            .saw(|event| matches!(event, Event::Suspected { .. }))
    );
}

#[test]
fn a_healthy_helper_that_gets_no_answer_is_an_accuser() {
    let mut net = Network::started(21, 3);
    net.run(secs(2));
    net.vanish(2);
    let suspected = |node: &Node| node.state_of("n2") == Some(State::Suspect);
    net.run_until(secs(3), |net| net.nodes.values().any(suspected));
    let accuser = net.nodes.values().find(|node| suspected(node)).unwrap();
    assert_eq!(accuser.record_of("n2").unwrap().accusers.len(), 2);
}

#[test]
fn many_that_are_silent_at_once_for_several_members_are_found_as_soon_as_one() {
    let mut net = Network::started(22, 10);
    net.run(secs(2));
    (6..10).for_each(|i| net.vanish(i));
    net.run_until(secs(4), |net| net.agree(6));
}

#[test]
fn a_call_alone_brings_a_node_back_that_is_held_dead() {
    let mut net = Network::started(23, 5);
    net.cut(|from, to, _| (from == host(4)) != (to == host(4)));
    net.run_until(secs(40), |net| {
        net.node(4).view.len() == 1 && net.node(0).view.len() == 4
    });
    net.run(secs(30));
    net.cut(|_, _, body| {
        use Body::{Accuse, Join, SyncReq, SyncRes};
        matches!(body, Accuse | Join { .. } | SyncReq { .. } | SyncRes { .. })
    });
    net.run_until(secs(130), |net| net.agree(5));
}

#[test]
fn halves_of_a_mesh_go_on_alone_and_come_together_by_themselves() {
    for seed in 0..5 {
        let mut net = Network::started(seed, 10);
        let half = |address: &str| address < "10.0.0.5:1";
        net.cut(move |from, to, _| half(from) != half(to));
        net.run_until(secs(30), |net| {
            net.nodes.values().all(|node| node.view.len() == 5)
        });
        net.run(secs(60));
        net.nodes.values_mut().for_each(|node| node.events.clear());
        net.heal();
        net.run_until(secs(3), |net| net.agree(10));
        // Nobody believes of its own half what the other half says.
        assert!(nobody_died(&net));
    }
}

#[test]
fn a_node_cut_off_for_good_goes_on_alone_in_the_end() {
    let mut net = Network::started(8, 4);
    net.cut(|from, to, _| (from == host(3)) != (to == host(3)));
    net.run_until(secs(30), |net| {
        net.node(3).view.len() == 1 && net.node(0).view.len() == 3
    });
    net.heal();
    net.run_until(secs(70), |net| net.agree(4));
}

#[test]
fn a_quarter_of_all_packets_lost_kills_nobody() {
    let mut net = Network::started(9, 20);
    net.drop_percent(25);
    net.run(secs(300));
    assert!(nobody_died(&net));
    net.heal();
    net.run_until(secs(10), |net| net.agree(20));
}

#[test]
fn another_process_at_a_members_address_is_not_taken_for_the_member() {
    let mut net = Network::started(13, 4);
    net.run(secs(1));
    net.vanish(3);
    let epoch = 1_900_000_000_000;
    net.start_as("other", &host(3), epoch, &["10.0.0.0:1"]);
    net.run_until(secs(3), |net| net.agree(4));
    assert!((0..3).all(|i| net.node(i).state_of("n3") == Some(State::Dead)));
}

#[test]
fn a_wrong_answer_does_not_lead_to_question_after_question() {
    let mut net = Network::started(13, 4);
    net.run(secs(1));
    net.vanish(3);
    net.start_as("other", &host(3), 1_900_000_000_000, &[]);
    net.cut(|_, _, body| matches!(body, Body::PingRes { .. }));
    let before = net.node(0).machine.stats().sent_of(Kind::Ping);
    net.run(secs(3));
    let pings = net.node(0).machine.stats().sent_of(Kind::Ping) - before;
    assert!(pings < 80, "{pings} pings");
}

#[test]
fn an_idle_mesh_is_quiet() {
    let mut net = Network::started(14, 5);
    net.run(secs(10));
    let before = net.node(0).machine.stats();
    net.run(secs(60));
    let after = net.node(0).machine.stats();
    let rate = (after.sent_bytes - before.sent_bytes) / 60;
    assert!(rate <= 1536, "{rate} bytes a second");
    assert_eq!(after.sent_of(Kind::Gossip), before.sent_of(Kind::Gossip));
    assert_eq!(after.syncs, before.syncs);
}

#[test]
fn a_killed_node_that_restarts_while_suspect_is_replaced() {
    let mut net = Network::started(15, 5);
    net.kill(4);
    net.run(ms(200));
    net.start(4, &["10.0.0.0:1"]);
    net.run_until(secs(3), |net| net.agree(5));
    assert!(!net.node(0).saw(|event| matches!(event, Event::Died { .. })));
}

#[test]
fn the_lag_of_a_wedged_data_thread_is_seen_by_others() {
    let mut net = Network::started(16, 2);
    net.with(1, |machine, _| machine.set_lag(secs(3)));
    net.run_until(secs(3), |net| {
        net.node(0)
            .saw(|event| matches!(event, Event::Lagging { lag, .. } if *lag == secs(3)))
    });
}

#[test]
fn a_node_that_hears_of_a_claim_only_by_an_accusation_refutes_it() {
    let mut net = Network::started(17, 5);
    net.cut(|_, to, body| to == host(4) && !matches!(body, Body::Accuse));
    net.run_until(secs(10), |net| {
        net.node(4).saw(|e| matches!(e, Event::Refuted { .. }))
    });
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut net = Network::started(19, 8);
        net.drop_percent(20);
        net.run(secs(20));
        net.nodes
            .values()
            .map(|node| (node.machine.stats(), node.events.clone()))
            .collect()
    };
    let (first, second): (Vec<_>, Vec<_>) = (run(), run());
    assert_eq!(first, second);
}
