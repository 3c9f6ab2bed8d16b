//! Courses of events that chance takes too seldom, or in which what must happen is not only that
//! nothing is lost.

use std::time::Duration;

use zmesh_node::config::QueuePolicy;
use zmesh_node::forward::{BadMessage, DropReason, Instance, Message, Named, Router, Times};
use zmesh_partition::{Member, Partition, Table};

use crate::message::TOPICS;
use crate::oracle::dropped;
use crate::plan::{Plan, Planted};
use crate::world::World;

const A: Instance = Instance(101);
const B: Instance = Instance(201);
const C: Instance = Instance(301);

fn at_rest(plan: Plan) -> World {
    let mut world = World::new(Plan {
        publish: 0.0,
        ..plan
    });
    assert!(world.come_to_rest());
    world
}

fn seconds_later(world: &mut World, seconds: u64) {
    let until = world.now + Duration::from_secs(seconds);
    while world.now < until {
        world.step();
    }
}

fn owed(world: &World, node: Instance) -> usize {
    let here = world.subscribers.iter().filter(|s| s.node == node);
    here.map(|subscriber| subscriber.owed.len()).sum()
}

/// Among so many nodes.
fn owner_of(topic: &str, nodes: u8) -> Instance {
    let member = |id: u8| Member {
        id: [id; 16],
        weight: 1,
    };
    let members: Vec<Member> = (0..nodes).map(member).collect();
    let owner = Table::new(&members).owner(Partition::of_topic(topic.as_bytes()));
    let id = owner.expect("there are members")[0];
    Instance(u64::from(id) * 100 + 101)
}

/// A subscriber to everything on a node, that was told so.
fn subscriber_to_all(world: &mut World, node: Instance) -> usize {
    world.open_subscriber(node);
    let index = world.subscribers.len() - 1;
    world.subscribe_to(index, "");
    assert!(world.come_to_rest());
    index
}

#[test]
fn an_owner_whose_link_stays_down_is_gone_around() {
    let mut world = at_rest(Plan::calm(1));
    subscriber_to_all(&mut world, B);
    let until = world.now + Duration::from_secs(3600);
    assert!(TOPICS.iter().any(|topic| owner_of(topic, 3) == C));
    world.cuts.insert((0, 2), until);
    let id = world.process(A).dialed[&C];
    world.break_session(id);
    world.publish_everything();
    assert!(owed(&world, B) > 0);
    seconds_later(&mut world, 4);
    assert!(!world.process(A).dialed.contains_key(&C));
    assert_eq!(owed(&world, B), 0);
}

#[test]
fn a_full_subscriber_holds_publishers_back_for_as_long_as_it_likes_and_then_lets_them_go() {
    let mut plan = Plan::calm(2);
    plan.queue.policy = QueuePolicy::Block;
    plan.queue.bytes = 200;
    let mut world = at_rest(plan);
    let index = subscriber_to_all(&mut world, B);
    world.subscribers[index].asleep = true;
    for _ in 0..4 {
        world.publish_everything();
    }
    let publisher = world.publishers.iter().position(|p| p.node == A);
    let publisher = publisher.expect("each node has one");
    seconds_later(&mut world, 30);
    world.publish(publisher);
    assert!(world.publishers[publisher].waiting);
    assert!(world.process(A).router.stats().undone_bytes > 0);
    let before = world.process(A).router.stats().throttled_time;
    seconds_later(&mut world, 10);
    let stats = world.process(A).router.stats();
    assert_eq!(stats.throttled, 1);
    let throttled = (stats.throttled_time - before).as_secs_f64();
    assert!((throttled - 10.0).abs() < 1.0, "{throttled}");
    world.subscribers[index].asleep = false;
    world.subscribers[index].awake = true;
    assert!(world.come_to_rest(), "{:?}", world.unrest());
    assert_eq!(owed(&world, B), 0);
    assert_eq!(world.oracle.violations, []);
    let stats = world.process(A).router.stats();
    assert_eq!(stats.throttled, 0);
    // What waited for the sleeper took as long as it slept.
    let (last, bounds) = (stats.done_times.counts().last(), Times::BOUNDS);
    assert!(last > Some(&0), "longer than {:?}", bounds.last());
    let counted: u64 = stats.done_times.counts().iter().sum();
    assert_eq!(counted, stats.done_messages);
}

#[test]
fn a_node_that_acks_nothing_is_passed_over_and_taken_up_again() {
    let mut world = at_rest(Plan::calm(3));
    let index = subscriber_to_all(&mut world, B);
    let until = world.now + Duration::from_secs(3600);
    for from in [0, 2] {
        world.cuts.insert((from, 1), until);
        let dialer = world.instances()[usize::from(from)];
        let id = world.process(dialer).dialed[&B];
        world.break_session(id);
    }
    world.publish_everything();
    seconds_later(&mut world, 25);
    assert!(world.oracle.passed_over > 0);
    for node in world.instances() {
        let stats = world.process(node).router.stats();
        assert_eq!(
            (stats.undone_bytes, stats.unacked_bytes),
            (0, 0),
            "{node:?}"
        );
    }
    let missing = world.subscribers[index].owed.len() as u64;
    let routers = world.processes.values().map(|process| &process.router);
    let counted = |router: &Router| dropped(&router.stats(), DropReason::PassedOver);
    let counted: u64 = routers.map(counted).sum();
    assert!(missing > 0 && missing <= counted, "{missing} of {counted}");
    world.subscribers[index].owed.clear();
    world.heal();
    assert!(world.come_to_rest());
    world.publish_everything();
    assert!(world.come_to_rest());
    assert_eq!(world.subscribers[index].owed.len(), 0);
}

#[test]
fn a_node_that_stood_still_does_not_pass_over_the_others_for_it() {
    let mut world = at_rest(Plan::calm(7));
    subscriber_to_all(&mut world, B);
    world.publish_everything();
    world.move_clients();
    assert!(owed(&world, B) > 0);
    world.now += Duration::from_secs(30);
    world.pass_time(0);
    assert_eq!(world.oracle.passed_over, 0);
    assert!(world.come_to_rest());
    assert_eq!(owed(&world, B), 0);
}

#[test]
fn a_node_that_was_passed_over_is_taken_up_again_when_its_link_is_there() {
    let mut world = at_rest(Plan::calm(9));
    subscriber_to_all(&mut world, B);
    let until = world.now + Duration::from_secs(3600);
    for (from, to) in [(2, 1), (1, 2)] {
        world.cuts.insert((from, to), until);
        let ends = [from, to].map(|id| world.instances()[usize::from(id)]);
        let id = world.process(ends[0]).dialed[&ends[1]];
        world.break_session(id);
    }
    world.publish_everything();
    seconds_later(&mut world, 25);
    let stats = world.process(C).router.stats();
    assert!(dropped(&stats, DropReason::PassedOver) > 0);
    for subscriber in &mut world.subscribers {
        subscriber.owed.clear();
    }
    // Its own link comes back, and only later the one to it.
    world.cuts.insert((1, 2), world.now);
    while !world.process(C).accepted.contains_key(&B) {
        world.step();
    }
    world.publish_everything();
    world.step();
    assert!(!world.process(C).dialed.contains_key(&B));
    world.heal();
    assert!(world.come_to_rest());
    assert_eq!(owed(&world, B), 0);
}

#[test]
fn a_node_that_was_passed_over_is_taken_up_again_when_it_answers_a_ping() {
    let mut world = at_rest(Plan::calm(10));
    subscriber_to_all(&mut world, B);
    // So B has nothing to say to C, the owner, but acks.
    world.publishers.retain(|publisher| publisher.node == A);
    world.plan.planted = Some(Planted::LostAck);
    world.publish_everything();
    while world.oracle.passed_over == 0 {
        world.step();
    }
    seconds_later(&mut world, 1);
    world.plan.planted = None;
    for node in [A, C] {
        world.input(node, |router, now| router.handle_sign_of_life(B, now));
    }
    world.publish_everything();
    assert!(world.come_to_rest());
    assert_eq!(owed(&world, B), 0);
}

#[test]
fn a_prefix_given_up_and_taken_again_is_in_force_only_when_it_is_in_force_again() {
    let mut world = at_rest(Plan::calm(4));
    let index = subscriber_to_all(&mut world, B);
    for _ in 0..3 {
        let held = world.subscribers[index].prefixes.len();
        world.unsubscribe(index);
        assert_eq!(world.subscribers[index].prefixes.len(), held - 1);
        world.subscribe_to(index, "");
        let told = |world: &World| world.subscribers[index].prefixes[""].ready.is_some();
        while !told(&world) {
            world.step();
        }
        world.publish_everything();
        assert!(world.come_to_rest());
        assert_eq!(owed(&world, B), 0);
    }
}

#[test]
fn what_a_node_misses_while_it_is_held_dead_by_mistake_is_counted() {
    let mut world = at_rest(Plan::calm(5));
    let index = subscriber_to_all(&mut world, B);
    let until = world.now + Duration::from_secs(20);
    for node in [A, C] {
        world.process(node).membership.doubt(B, until);
        world.refresh(node);
    }
    for _ in 0..3 {
        world.publish_everything();
        seconds_later(&mut world, 1);
    }
    seconds_later(&mut world, 20);
    assert!(world.come_to_rest());
    let missing = world.subscribers[index].owed.len() as u64;
    let routers = world.processes.values().map(|process| &process.router);
    let counted = |router: &Router| dropped(&router.stats(), DropReason::Unreachable);
    let counted: u64 = routers.map(counted).sum();
    assert!(missing > 0 && missing <= counted, "{missing} of {counted}");
    world.subscribers[index].owed.clear();
    world.publish_everything();
    assert!(world.come_to_rest());
    assert_eq!(world.subscribers[index].owed.len(), 0);
}

#[test]
fn what_a_node_held_dead_publishes_to_its_own_clients_waits_until_it_is_held_alive() {
    let mut world = at_rest(Plan::calm(8));
    let index = subscriber_to_all(&mut world, B);
    let until = world.now + Duration::from_secs(3);
    for node in [A, C] {
        world.process(node).membership.doubt(B, until);
        world.refresh(node);
    }
    for _ in 0..3 {
        world.publish_everything();
        seconds_later(&mut world, 1);
    }
    assert!(world.come_to_rest());
    let owed = world.subscribers[index].owed.values();
    assert_eq!(owed.filter(|owed| owed.origin == B).count(), 0);
    assert_eq!(world.oracle.passed_over, 0);
}

#[test]
fn a_node_that_waits_for_the_interest_of_another_is_not_passed_over() {
    let mut world = at_rest(Plan::calm(6));
    subscriber_to_all(&mut world, B);
    // A member that cannot say what it wants.
    let silent = world.start(7);
    let until = world.now + Duration::from_secs(3600);
    world.cuts.extend([0, 1, 2].map(|to| ((7, to), until)));
    world.process(A).membership.learn(silent);
    world.refresh(A);
    world.publish_everything();
    seconds_later(&mut world, 2);
    assert!(owed(&world, B) > 0);
    seconds_later(&mut world, 6);
    assert_eq!(owed(&world, B), 0);
    assert_eq!(world.oracle.passed_over, 0);
}

/// What a node's clients want, at this version.
fn interest(version: u64, snapshot: bool) -> Message {
    Message::Interest {
        version,
        snapshot,
        changes: vec![(true, b"a".to_vec())],
    }
}

#[test]
fn two_nodes_that_return_at_once_do_not_wait_for_each_other() {
    let mut world = at_rest(Plan::calm(12));
    let now = world.now;
    let here = world.process(A).membership.topology();
    let mut alone = here.clone();
    alone
        .gone
        .extend(alone.peers.drain(..).map(|peer| peer.instance));
    let router = &mut world.process(A).router;
    router.handle_topology(alone, now);
    for peer in [B, C] {
        router.handle_accepted_closed(peer);
        router.handle_link_down(peer, now);
    }
    // Their links are there, and what they want is still on its way when both are held alive.
    router.handle_accepted(B, now);
    router.handle_accepted(C, now);
    router.handle_topology(here, now);
    for (peer, version) in [(B, 1), (C, 1)] {
        assert!(!router.is_held(peer));
        let interest = interest(version, true);
        router.handle_message(peer, interest, now).unwrap();
    }
    assert!(!router.is_held(B) && !router.is_held(C));
}

#[test]
fn what_others_say_of_a_node_that_is_held_dead_counts_when_it_is_back() {
    let mut world = at_rest(Plan::calm(13));
    let now = world.now;
    let here = world.process(A).membership.topology();
    let mut without = here.clone();
    without.peers.retain(|peer| peer.instance != B);
    without.gone.insert(B);
    let card = here.peers[0].card.clone();
    let router = &mut world.process(A).router;
    router.handle_topology(without, now);
    // The link of B stands all the while, and brings nothing.
    let members = vec![Named {
        instance: B,
        card,
        interest: 1000,
    }];
    router
        .handle_message(C, Message::View { members }, now)
        .unwrap();
    assert!(!router.is_held(C));
    router.handle_topology(here, now);
    assert!(router.is_held(C));
    router
        .handle_message(B, interest(1000, false), now)
        .unwrap();
    assert!(!router.is_held(C));
}

#[test]
fn a_link_begins_with_what_its_nodes_clients_want() {
    let mut world = at_rest(Plan::calm(14));
    let now = world.now;
    let router = &mut world.process(A).router;
    router.handle_accepted(B, now);
    let error = router.handle_message(B, interest(1000, false), now);
    assert_eq!(error, Err(BadMessage::Unintroduced));
}

#[test]
fn no_subscription_is_ready_while_a_member_that_may_live_is_held_dead() {
    let mut world = at_rest(Plan::calm(9));
    world.open_subscriber(B);
    let index = world.subscribers.len() - 1;
    let until = world.now + Duration::from_secs(2);
    world.process(B).membership.doubt(C, until);
    world.refresh(B);
    world.subscribe_to(index, "");
    seconds_later(&mut world, 1);
    // Everybody B holds alive knows of the prefix. C, whom A holds alive, does not.
    assert!(world.subscribers[index].prefixes[""].ready.is_none());
    seconds_later(&mut world, 3);
    assert!(world.subscribers[index].prefixes[""].ready.is_some());
    world.publish_everything();
    assert!(world.come_to_rest());
    assert_eq!(owed(&world, B), 0);
}

#[test]
fn a_subscription_is_ready_some_seconds_after_a_member_has_died() {
    let mut world = at_rest(Plan::calm(10));
    world.open_subscriber(B);
    let index = world.subscribers.len() - 1;
    let until = world.now + Duration::from_secs(3600);
    world.process(B).membership.doubt(C, until);
    world.refresh(B);
    world.subscribe_to(index, "");
    seconds_later(&mut world, 4);
    assert!(world.subscribers[index].prefixes[""].ready.is_some());
}

#[test]
fn who_hears_anew_what_a_node_wants_names_the_version_to_the_others_again() {
    let mut world = at_rest(Plan::calm(11));
    let now = world.now;
    let router = &mut world.process(A).router;
    while router.take_message(C).is_some() {}
    router.handle_accepted_closed(B);
    router.handle_accepted(B, now);
    router.handle_message(B, interest(1000, true), now).unwrap();
    let Some(Message::View { members }) = router.take_message(C) else {
        panic!("a view comes before the next record");
    };
    let named: Vec<_> = members
        .iter()
        .map(|it| (it.instance, it.interest))
        .collect();
    assert_eq!(named, [(B, 1000)]);
}
