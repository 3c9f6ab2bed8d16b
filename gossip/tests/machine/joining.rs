//! Nodes find one another, refuse one another, replace one another and say goodbye.

use std::time::Duration;

use zmesh_gossip::{Body, Event, Output, Refusal, State};

use crate::network::{Network, host, ms, secs};

#[test]
fn a_node_without_seeds_is_alone_at_once_and_in_its_own_view() {
    let mut net = Network::new(1);
    net.start(0, &[]);
    let took = net.run_until(secs(1), |net| net.agree(1));
    assert!(took <= ms(250), "{took:?}");
    assert_eq!(net.node(0).joined, Some(true));
}

#[test]
fn nodes_with_one_seed_come_to_one_view() {
    for seed in 0..20 {
        Network::started(seed, 5);
    }
}

#[test]
fn a_chain_of_seeds_converges_in_any_order_of_starts() {
    for seed in 0..30 {
        let mut net = Network::new(seed);
        let mut order: Vec<usize> = (0..5).collect();
        order.rotate_left(seed as usize % 5);
        if seed % 2 == 0 {
            order.reverse();
        }
        for i in order {
            let before = if i == 0 {
                Vec::new()
            } else {
                vec![host(i - 1)]
            };
            net.start(i, &before.iter().map(String::as_str).collect::<Vec<_>>());
            net.run(ms(seed * 100));
        }
        net.run_until(secs(12), |net| net.agree(5));
    }
}

#[test]
fn a_seed_that_starts_last_is_found_by_those_who_wait_for_it() {
    let mut net = Network::new(3);
    net.start(1, &["10.0.0.0:1"]);
    net.start(2, &["10.0.0.0:1"]);
    net.run(secs(60));
    assert_eq!(net.node(1).joined, Some(true));
    net.start(0, &[]);
    net.run_until(secs(7), |net| net.agree(3));
}

#[test]
fn nodes_that_are_each_others_seeds_do_not_wait_for_one_another() {
    let mut net = Network::new(4);
    let all = ["10.0.0.0:1", "10.0.0.1:1", "10.0.0.2:1"];
    (0..3).for_each(|i| net.start(i, &all));
    let took = net.run_until(secs(5), |net| net.agree(3));
    assert!(took < ms(1500), "{took:?}");
    assert!((0..3).all(|i| net.node(i).joined == Some(false)));
}

#[test]
fn a_seed_with_a_dns_name_is_asked_at_every_address_of_the_name() {
    let mut net = Network::new(5);
    net.names
        .insert("seed.example:1".into(), vec!["10.0.9.9:1".into(), host(0)]);
    net.start(0, &[]);
    net.start(1, &["seed.example:1"]);
    net.run_until(secs(2), |net| net.agree(2));
}

#[test]
fn a_joining_node_is_in_no_view_until_it_is_ready() {
    let mut net = Network::started(6, 2);
    let me = net.me("late", "10.0.0.9:1", 1_800_000_000_000);
    // A machine that is not told to be ready: driven by hand.
    let mut late =
        zmesh_gossip::Gossip::new(net.config.clone(), me, vec![host(0)], 1, net.now).unwrap();
    late.handle_timeout(net.now);
    let card = late.me().clone();
    net.with(0, |machine, now| machine.handle_card(card.clone(), now));
    net.run(ms(900));
    assert!(net.node(0).record_of("late").unwrap().is_live());
    assert_eq!(net.node(0).view.len(), 2);
    late.set_ready(net.now);
    let card = late.me().clone();
    net.with(0, |machine, now| machine.handle_card(card, now));
    net.run(ms(250));
    assert_eq!(net.node(0).view.len(), 3);
}

#[test]
fn another_cluster_is_refused_and_both_sides_know_both_names() {
    let mut net = Network::started(7, 2);
    let mut me = net.me("stranger", "10.0.0.9:1", 1_800_000_000_000);
    me.cluster = "other".into();
    net.start_me(me, &["10.0.0.0:1"]);
    net.run(secs(10));
    let reason = Refusal::Cluster {
        joiner: "other".into(),
        seed: "test".into(),
    };
    let stranger = &net.nodes["10.0.0.9:1"];
    assert!(stranger.notices.contains(&Output::Refused {
        by: host(0),
        reason: reason.clone()
    }));
    assert_eq!(stranger.joined, Some(true), "it goes on alone");
    assert_eq!(stranger.machine.members().count(), 1);
    let (name, address) = ("stranger".into(), "10.0.0.9:1".into());
    assert!(net.node(0).notices.contains(&Output::RefusedOther {
        name,
        address,
        reason
    }));
    assert_eq!(net.node(0).machine.members().count(), 2);
}

#[test]
fn another_number_of_partitions_is_refused() {
    let mut net = Network::started(8, 1);
    net.config.partitions = 64;
    net.start(1, &["10.0.0.0:1"]);
    net.run(secs(3));
    let reason = Refusal::Partitions {
        joiner: 64,
        seed: 16_384,
    };
    assert!(net.node(1).notices.contains(&Output::Refused {
        by: host(0),
        reason
    }));
}

#[test]
fn a_restart_replaces_the_old_process_at_once_and_everywhere() {
    for seed in 0..10 {
        let mut net = Network::started(seed, 5);
        let old = net.node(3).machine.me().nonce;
        net.vanish(3);
        net.start(3, &["10.0.0.1:1"]);
        let took = net.run_until(secs(3), |net| net.agree(5));
        assert!(took < ms(1500), "{took:?}");
        assert!((0..5).all(|i| net.node(i).record_of("n3").unwrap().nonce != old));
        assert!(!net.node(0).saw(|event| matches!(event, Event::Died { .. })));
    }
}

#[test]
fn a_restart_with_a_clock_that_went_back_takes_one_more_than_the_epoch_it_finds() {
    let mut net = Network::started(9, 3);
    let old = net.node(2).machine.me().epoch;
    net.vanish(2);
    net.start_as("n2", &host(2), 5, &["10.0.0.0:1"]);
    net.run_until(secs(3), |net| net.agree(3));
    assert!(net.node(2).machine.me().epoch > old);
    assert!(
        net.nodes
            .values()
            .all(|node| node.record_of("n2").unwrap().epoch > old)
    );
}

#[test]
fn a_node_that_moved_to_another_address_replaces_its_silent_former_self() {
    let mut net = Network::started(10, 3);
    net.vanish(2);
    let epoch = 1_900_000_000_000;
    net.start_as("n2", "10.0.0.77:1", epoch, &["10.0.0.0:1"]);
    let took = net.run_until(secs(5), |net| net.agree(3));
    assert!(took < ms(2500), "{took:?}");
}

#[test]
fn of_two_living_processes_with_one_name_the_younger_stops() {
    for (seed, epoch) in [(1, 1_900_000_000_000), (2, 7)] {
        for via in [host(0), host(2)] {
            let mut net = Network::started(seed, 3);
            net.run(secs(2));
            let nonce = net.node(2).machine.me().nonce;
            net.start_as("n2", "10.0.0.99:1", epoch, &[&via]);
            net.run_until(secs(2), |net| net.nodes["10.0.0.99:1"].conflict.is_some());
            assert_eq!(
                net.nodes["10.0.0.99:1"].conflict.as_deref(),
                Some(host(2).as_str())
            );
            net.nodes.remove("10.0.0.99:1");
            net.run(secs(5));
            assert!(net.agree(3), "the older is not disturbed");
            assert!((0..3).all(|i| net.node(i).record_of("n2").unwrap().nonce == nonce));
            assert!(!net.node(0).saw(|e| matches!(e, Event::Restarted { .. })));
        }
    }
}

#[test]
fn namesakes_that_meet_after_a_partition_settle_it_and_the_older_stays() {
    let mut net = Network::started(11, 3);
    net.cut(|from, to, _| (from == "10.0.0.99:1") != (to == "10.0.0.99:1"));
    net.start_as("n2", "10.0.0.99:1", 1_900_000_000_000, &["10.0.0.0:1"]);
    net.run(secs(20));
    assert_eq!(net.nodes["10.0.0.99:1"].joined, Some(true));
    let nonce = net.node(2).machine.me().nonce;
    net.heal();
    net.run_until(secs(10), |net| net.nodes["10.0.0.99:1"].conflict.is_some());
    net.nodes.remove("10.0.0.99:1");
    net.run_until(secs(10), |net| net.agree(3));
    assert!((0..3).all(|i| net.node(i).record_of("n2").unwrap().nonce == nonce));
}

#[test]
fn goodbye_is_heard_by_all_and_ends_quickly() {
    let mut net = Network::started(12, 5);
    net.with(4, |machine, now| machine.leave(now));
    let took = net.run_until(secs(1), |net| net.node(4).departed);
    assert!(took < ms(50), "{took:?}");
    net.vanish(4);
    net.run_until(secs(1), |net| net.agree(4));
    assert!((0..4).all(|i| net.node(i).state_of("n4") == Some(State::Left)));
    net.run(secs(10));
    assert!((0..4).all(|i| net.node(i).state_of("n4") == Some(State::Left)));
}

#[test]
fn goodbye_to_nobody_and_to_the_deaf_ends_too() {
    let mut net = Network::started(13, 1);
    net.with(0, |machine, now| machine.leave(now));
    assert!(net.node(0).departed);
    let mut net = Network::started(13, 2);
    net.cut(|_, _, _| true);
    net.with(0, |machine, now| machine.leave(now));
    let took = net.run_until(secs(1), |net| net.node(0).departed);
    assert!(took <= ms(500), "{took:?}");
}

#[test]
fn a_node_that_wants_to_go_leaves_the_view_and_stays_a_member() {
    let mut net = Network::started(14, 3);
    net.with(2, |machine, now| machine.set_leaving(now));
    net.run_until(secs(2), |net| {
        net.nodes.values().all(|node| node.view.len() == 2)
    });
    assert_eq!(net.node(0).state_of("n2"), Some(State::Alive));
}

#[test]
fn others_hear_when_a_node_that_wants_to_go_has_handed_on_what_it_had() {
    let mut net = Network::started(18, 3);
    let handed_on = |net: &Network, at: usize| {
        let mut members = net.node(at).machine.members();
        members.any(|known| known.member.name == "n2" && known.member.has_handed_on())
    };
    // Who stays has nothing of the kind to say.
    net.with(2, |machine, now| machine.set_handed_on(now));
    net.with(2, |machine, now| machine.set_leaving(now));
    net.run(secs(1));
    assert!(!handed_on(&net, 0) && !handed_on(&net, 1));
    net.with(2, |machine, now| machine.set_handed_on(now));
    // Nor does it become ready again.
    net.with(2, |machine, now| machine.set_ready(now));
    net.run_until(secs(2), |net| handed_on(net, 0) && handed_on(net, 1));
    assert_eq!(net.node(0).state_of("n2"), Some(State::Alive));
}

#[test]
fn one_change_of_many_members_is_published_as_few_views() {
    let mut net = Network::new(15);
    net.start(0, &[]);
    net.run(secs(1));
    (1..10).for_each(|i| net.start(i, &["10.0.0.0:1"]));
    let mut views = 0;
    let mut last = net.node(0).machine.view_hash();
    net.run_until(secs(5), |net| {
        let hash = net.node(0).machine.view_hash();
        views += usize::from(hash != last);
        last = hash;
        net.agree(10)
    });
    assert!(views <= 3, "{views} views");
}

#[test]
fn join_packets_of_another_version_are_refused_with_both_versions() {
    let mut net = Network::started(16, 1);
    let mut stranger = {
        let me = net.me("new", "10.0.0.9:1", 1_800_000_000_000);
        zmesh_gossip::Gossip::new(net.config.clone(), me, vec![host(0)], 1, net.now).unwrap()
    };
    stranger.handle_timeout(net.now);
    let Some(Output::Send { mut packet, .. }) = stranger.poll_output() else {
        panic!()
    };
    packet[0] = 9;
    net.with(0, |machine, now| machine.handle_packet(&packet, now));
    let reason = Refusal::Version { joiner: 9, seed: 1 };
    let (name, address) = ("new".into(), "10.0.0.9:1".into());
    assert!(net.node(0).notices.contains(&Output::RefusedOther {
        name,
        address,
        reason
    }));
}

#[test]
fn a_lost_part_of_the_table_only_delays_the_join() {
    let mut net = Network::new(17);
    net.start(0, &[]);
    let until = net.now + ms(700);
    net.start(1, &["10.0.0.0:1"]);
    net.cut(|_, _, body| matches!(body, Body::JoinAck { .. }));
    net.run(until - net.now);
    net.heal();
    let took = net.run_until(secs(3), |net| net.agree(2));
    assert!(took > Duration::ZERO);
    assert_eq!(net.node(1).joined, Some(false));
}

#[test]
fn a_seed_that_restarts_without_seeds_of_its_own_is_found_by_the_others() {
    for epoch in [1_900_000_000_000, 7] {
        let mut net = Network::started(18, 4);
        net.run(secs(2));
        net.vanish(0);
        net.start_as("n0", &host(0), epoch, &[]);
        let took = net.run_until(secs(6), |net| net.agree(4));
        assert!(took < secs(4), "{took:?}");
        assert!(!net.node(1).saw(|event| matches!(event, Event::Died { .. })));
    }
}

#[test]
fn nodes_that_leave_together_confirm_one_another() {
    let mut net = Network::started(19, 4);
    net.with(0, |machine, now| machine.leave(now));
    net.with(1, |machine, now| machine.leave(now));
    let took = net.run_until(secs(1), |net| net.node(0).departed && net.node(1).departed);
    assert!(took < ms(50), "{took:?}");
}
