//! What is remembered, forgotten, mended and refuted: the life of records.

use zmesh_gossip::{Body, Kind, State};

use crate::network::{Network, Node, host, ms, secs};

#[test]
fn the_dead_stay_dead_and_are_forgotten_after_a_day() {
    let mut net = Network::started(10, 3);
    let old_news = net.node(0).record_of("n2").unwrap();
    net.vanish(2);
    net.run_until(secs(5), |net| net.agree(2));
    net.with(0, |machine, now| machine.handle_card(old_news.clone(), now));
    net.run(secs(60));
    assert!((0..2).all(|i| net.node(i).state_of("n2") == Some(State::Dead)));
    assert!(net.agree(2));
}

#[test]
fn tombstones_age_while_they_are_handed_round_and_end_everywhere() {
    let mut net = Network::new(11);
    net.config.tombstone_keep = secs(240);
    net.config.tombstone_spread = secs(120);
    (0..3).for_each(|i| net.start(i, if i == 0 { &[] } else { &["10.0.0.0:1"] }));
    net.run_until(secs(5), |net| net.agree(3));
    net.vanish(2);
    net.run(secs(100));
    net.start(3, &["10.0.0.1:1"]);
    net.run(secs(10));
    assert_eq!(
        net.node(3).state_of("n2"),
        Some(State::Dead),
        "told with its age"
    );
    net.run(secs(30));
    net.start(4, &["10.0.0.1:1"]);
    net.run(secs(10));
    assert_eq!(net.node(4).state_of("n2"), None, "too old to be told");
    net.run(secs(110));
    assert!(
        net.nodes.values().all(|node| node.state_of("n2").is_none()),
        "{}",
        net.describe()
    );
}

#[test]
fn a_rumor_that_everybody_missed_is_mended_by_the_digests() {
    let mut net = Network::started(12, 6);
    net.run(secs(5));
    let syncs = net.node(3).machine.stats().syncs;
    // Node 0 learns of a member while nothing but probes without records gets through.
    net.cut(|from, _, _| from == host(0));
    let mut stranger = net.node(5).record_of("n5").unwrap();
    stranger.name = "ghost".into();
    stranger.id = zmesh_gossip::NodeId::new("test", "ghost");
    stranger.state = State::Left;
    net.with(0, |machine, now| machine.handle_card(stranger, now));
    net.run(ms(950));
    net.heal();
    net.run_until(secs(5), |net| {
        net.nodes
            .values()
            .all(|node| node.state_of("ghost") == Some(State::Left))
    });
    let synced: u64 = net
        .nodes
        .values()
        .map(|node| node.machine.stats().syncs)
        .sum();
    assert!(synced > syncs);
}

#[test]
fn a_sync_mends_the_table_of_the_one_who_is_asked_too() {
    let mut net = Network::started(24, 2);
    net.run(secs(5));
    net.cut(|from, _, _| from == host(0));
    let mut stranger = net.node(1).record_of("n1").unwrap();
    stranger.name = "ghost".into();
    stranger.id = zmesh_gossip::NodeId::new("test", "ghost");
    stranger.state = State::Left;
    net.with(0, |machine, now| machine.handle_card(stranger, now));
    net.run(ms(950));
    net.cut(|from, _, body| from == host(1) && matches!(body, Body::SyncReq { .. }));
    net.run_until(secs(5), |net| {
        net.node(1).state_of("ghost") == Some(State::Left)
    });
}

#[test]
fn a_flood_of_records_fills_the_table_and_no_more() {
    let mut net = Network::new(18);
    net.config.max_members = 50;
    (0..3).for_each(|i| net.start(i, if i == 0 { &[] } else { &["10.0.0.0:1"] }));
    net.run_until(secs(5), |net| net.agree(3));
    let template = net.node(1).record_of("n1").unwrap();
    for i in 0..500 {
        let mut record = template.clone();
        record.name = format!("ghost{i}");
        record.id = zmesh_gossip::NodeId::new("test", &record.name);
        record.state = if i % 2 == 0 { State::Left } else { State::Dead };
        net.with(0, |machine, now| machine.handle_card(record, now));
    }
    net.run(secs(5));
    let said = net.node(0).machine.stats().sent_of(Kind::Gossip);
    net.run(secs(5));
    let now_said = net.node(0).machine.stats().sent_of(Kind::Gossip);
    assert_eq!(now_said, said, "nothing is left to say");
    assert!(
        net.nodes
            .values()
            .all(|node| node.machine.members().count() <= 50)
    );
    assert!(net.agree(3), "the living keep their places");
    let mut forged = template.clone();
    forged.name = "somebody else".into();
    let rejected = net.node(0).machine.stats().records_rejected;
    net.with(0, |machine, now| machine.handle_card(forged, now));
    assert_eq!(net.node(0).machine.stats().records_rejected, rejected + 1);
}

#[test]
fn a_claim_with_the_highest_incarnation_is_refuted_too() {
    let mut net = Network::started(20, 3);
    let mut claim = net.node(2).record_of("n2").unwrap();
    claim.incarnation = 1 << 48;
    claim.state = State::Dead;
    assert_eq!(claim.check(), Ok(()));
    net.with(0, |machine, now| machine.handle_card(claim, now));
    net.run_until(secs(5), |net| {
        let alive = |node: &Node| node.state_of("n2") == Some(State::Alive);
        net.nodes.values().all(alive) && net.agree(3)
    });
    let malformed: u64 = net
        .nodes
        .values()
        .map(|node| node.machine.stats().malformed)
        .sum();
    assert_eq!(malformed, 0);
}

#[test]
fn damaged_packets_do_no_lasting_harm() {
    for seed in 0..10 {
        let mut net = Network::started(seed, 6);
        net.damage_percent(20);
        net.run(secs(120));
        net.heal();
        net.run_until(secs(90), |net| {
            let alive = |node: &Node| {
                node.machine
                    .members()
                    .all(|known| known.member.state == State::Alive)
            };
            net.agree(6) && net.nodes.values().all(alive)
        });
        assert!(
            net.nodes
                .values()
                .all(|node| node.machine.members().count() == 6)
        );
    }
}

/// Found by fuzzing: it answered with an epoch that no node reads, and was dead to all.
#[test]
fn a_node_can_be_read_whatever_is_claimed_of_it() {
    for foreign in [0, 1] {
        let mut net = Network::started(13, 3);
        let mut claim = net.node(0).record_of("n0").unwrap();
        claim.nonce += foreign;
        claim.epoch = 1 << 56;
        claim.incarnation = 1 << 48;
        assert_eq!(claim.check(), Ok(()));
        net.with(0, |machine, now| machine.handle_card(claim, now));
        assert_eq!(net.node(0).machine.me().check(), Ok(()));
        net.run(secs(10));
        assert!(net.agree(3), "{}", net.describe());
    }
}

/// Found by fuzzing: its own record was the oldest tombstone, gave way, and was missed.
#[test]
fn a_node_that_leaves_keeps_its_record_when_its_table_is_full() {
    let mut net = Network::new(21);
    net.config.max_members = 3;
    (0..3).for_each(|i| net.start(i, if i == 0 { &[] } else { &["10.0.0.0:1"] }));
    net.run_until(secs(5), |net| net.agree(3));
    let mut stranger = net.node(1).record_of("n1").unwrap();
    stranger.name = "n3".into();
    stranger.id = zmesh_gossip::NodeId::new("test", "n3");
    net.with(0, |machine, now| machine.leave(now));
    net.with(0, |machine, now| machine.handle_card(stranger, now));
    assert_eq!(net.node(0).machine.me().state, State::Left);
    assert_eq!(net.node(0).state_of("n3"), None, "there is no room");
}
