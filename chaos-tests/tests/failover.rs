//! Nodes come, go and die under load: clients of the others notice a pause, nothing else.
//!
//! Two publishers at the first node send numbered messages on several topics without a break; a
//! subscriber at the second node must see every number of every publisher once and in order.

use chaos_tests::live::mesh::settle;
use chaos_tests::live::socket::{publisher, receive_data, subscriber};
use chaos_tests::live::wait::PATIENCE;
use chaos_tests::live::{Mesh, Node, wait};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use zmesh_node::report;

const TOPICS: u64 = 24;

/// Messages a second of each publisher. Enough that some are on their way at any moment.
const RATE: u64 = 20_000;

/// How many messages must have arrived before something happens, and again after it.
const ENOUGH: u64 = 40_000;

/// Runs traffic from the first node to the second while `change` happens to the mesh, and checks
/// what arrives.
fn nothing_is_lost_while(mesh: &mut Mesh, change: impl FnOnce(&mut Mesh)) {
    let context = zmq::Context::new();
    let (from, to) = (mesh.nodes[0].endpoint(), mesh.nodes[1].endpoint());
    let socket = subscriber(&context, to, &["load."]);
    let publishers = [publisher(&context, from.clone()), publisher(&context, from)];
    let (stop, arrived) = (&AtomicBool::new(false), &AtomicU64::new(0));
    thread::scope(|scope| {
        let senders: Vec<_> = (0..)
            .zip(publishers)
            .map(|(name, socket)| scope.spawn(move || publish(name, socket, stop)))
            .collect();
        let checker = scope.spawn(move || check(socket, arrived));
        let stopper = StopOnDrop(stop);
        wait_for(arrived, ENOUGH);
        change(mesh);
        wait_for(arrived, arrived.load(Ordering::SeqCst) + ENOUGH);
        drop(stopper);
        let sent: u64 = senders
            .into_iter()
            .map(|sender| sender.join().unwrap())
            .sum();
        assert_eq!(
            checker.join().unwrap(),
            sent,
            "messages received, of those sent"
        );
    });
    for node in &mesh.nodes[..2] {
        let dropped = node.status().dropped_messages;
        assert!(dropped.values().all(|&count| count == 0), "{dropped:?}");
    }
}

/// Lets the senders end also when a check fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Waits for the counter; a counter that stands still for too long is a failure.
fn wait_for(arrived: &AtomicU64, count: u64) {
    wait::until_true(&format!("{count} messages"), || {
        arrived.load(Ordering::SeqCst) >= count
    });
}

/// Sends numbered messages on all topics in turn until told to stop, then one last on each topic.
/// Gives how many.
fn publish(name: u64, socket: zmq::Socket, stop: &AtomicBool) -> u64 {
    let mut number = 0;
    let mut last_round = None;
    while last_round != Some(number) {
        let topic = format!("load.{}", number % TOPICS);
        let round = (number / TOPICS).to_string();
        let last = if last_round.is_some() { "last" } else { "" };
        socket
            .send_multipart([&topic, &name.to_string(), &round, last], 0)
            .unwrap();
        number += 1;
        if number % 40 == 0 {
            thread::sleep(Duration::from_millis(40 * 1000 / RATE));
        }
        if last_round.is_none() && number % TOPICS == 0 && stop.load(Ordering::SeqCst) {
            last_round = Some(number + TOPICS);
        }
    }
    socket.set_linger(-1).unwrap();
    number
}

/// Receives until the last message of every publisher and topic. Gives how many there were.
fn check(socket: zmq::Socket, arrived: &AtomicU64) -> u64 {
    let mut next = std::collections::HashMap::new();
    let mut ended = 0;
    while ended < 2 * TOPICS {
        let message = receive_data(&socket, PATIENCE).expect("messages keep coming");
        let text = |frame: usize| String::from_utf8(message[frame].clone()).unwrap();
        let stream = (text(0), text(1));
        let round: u64 = text(2).parse().unwrap();
        let expected = next.entry(stream.clone()).or_insert(0);
        assert_eq!(
            round, *expected,
            "of publisher {} on {}",
            stream.1, stream.0
        );
        *expected += 1;
        ended += u64::from(text(3) == "last");
        arrived.fetch_add(1, Ordering::SeqCst);
    }
    next.values().sum()
}

#[test]
fn a_killed_owner_costs_clients_of_other_nodes_a_pause_and_nothing_else() {
    let mut mesh = Mesh::start(3);
    nothing_is_lost_while(&mut mesh, |mesh| {
        assert!(
            mesh.nodes[2].status().partitions > 4000,
            "n3 owns a third of the topics"
        );
        mesh.nodes[2].kill();
        let rest = [&mesh.nodes[0], &mesh.nodes[1]];
        settle(&rest);
    });
}

#[test]
fn an_owner_and_its_successor_killed_at_once_cost_nothing_but_a_pause() {
    let mut mesh = Mesh::start(5);
    nothing_is_lost_while(&mut mesh, |mesh| {
        mesh.nodes[2].kill();
        mesh.nodes[3].kill();
        settle(&[&mesh.nodes[0], &mesh.nodes[1], &mesh.nodes[4]]);
        mesh.nodes[4].kill();
        settle(&[&mesh.nodes[0], &mesh.nodes[1]]);
    });
}

#[test]
fn the_topics_of_a_dead_owner_go_to_its_successor() {
    let mut mesh = Mesh::start(3);
    let ask = |mesh: &Mesh, topic: &str| {
        let path = format!("/api/v1/owner?topic={topic}");
        wait::until("the owner", || mesh.nodes[0].ask::<report::Owner>(&path))
    };
    let topics: Vec<String> = (0..300).map(|number| format!("t{number}")).collect();
    let before: Vec<_> = topics.iter().map(|topic| ask(&mesh, topic)).collect();
    mesh.nodes[2].kill();
    settle(&[&mesh.nodes[0], &mesh.nodes[1]]);
    let (mut orphans, mut followed, mut others_moved) = (0, 0, 0);
    for (topic, before) in topics.iter().zip(&before) {
        let owner = ask(&mesh, topic).owner;
        if before.owner == "n3" {
            orphans += 1;
            followed += u32::from(owner == before.successors[0]);
        } else {
            others_moved += u32::from(owner != before.owner);
        }
    }
    assert!(
        others_moved <= 15,
        "{others_moved} topics of the living moved"
    );
    assert!(
        orphans > 50 && followed * 10 >= orphans * 9,
        "{followed} of {orphans}"
    );
}

#[test]
fn an_owner_that_dies_and_comes_back_costs_nothing_but_pauses() {
    let mut mesh = Mesh::start(4);
    nothing_is_lost_while(&mut mesh, |mesh| {
        mesh.nodes[3].restart();
        mesh.settle();
        mesh.nodes[2].restart();
        mesh.settle();
    });
}

#[test]
fn nodes_that_join_and_leave_cost_nothing() {
    let mut mesh = Mesh::start(2);
    nothing_is_lost_while(&mut mesh, |mesh| {
        for _ in 0..2 {
            let options = mesh.next_options();
            mesh.nodes.push(Node::start(options));
            mesh.settle();
        }
        for mut node in mesh.nodes.drain(2..) {
            node.signal("TERM");
            assert_eq!(node.wait_end(), Some(0), "{}", node.log());
        }
        mesh.settle();
    });
}

#[test]
fn an_owner_that_stands_still_for_a_while_costs_nothing() {
    let mut mesh = Mesh::start(3);
    nothing_is_lost_while(&mut mesh, |mesh| {
        mesh.nodes[2].signal("STOP");
        settle(&[&mesh.nodes[0], &mesh.nodes[1]]);
        mesh.nodes[2].signal("CONT");
        mesh.settle();
    });
}

#[test]
fn at_rest_everything_taken_was_delivered() {
    let mesh = Mesh::start(3);
    let context = zmq::Context::new();
    let sockets: Vec<_> = mesh
        .nodes
        .iter()
        .map(|node| subscriber(&context, node.endpoint(), &["rest"]))
        .collect();
    let ready: u64 = mesh
        .nodes
        .iter()
        .map(|node| node.status().delivered_messages)
        .sum();
    let sender = publisher(&context, mesh.nodes[0].endpoint());
    for number in 0..5000_u32 {
        let topic = format!("rest.{}", number % 10);
        sender
            .send_multipart([topic.as_bytes(), &number.to_be_bytes()], 0)
            .unwrap();
    }
    for socket in &sockets {
        for _ in 0..5000 {
            receive_data(socket, PATIENCE).expect("every message");
        }
    }
    let statuses: Vec<_> = mesh.nodes.iter().map(|node| node.status()).collect();
    assert_eq!(statuses[0].taken_messages, 5000);
    let delivered: u64 = statuses
        .iter()
        .map(|status| status.delivered_messages)
        .sum();
    assert_eq!(delivered - ready, 15_000);
    wait::until_true("nothing to be owed", || {
        mesh.nodes
            .iter()
            .all(|node| node.status().undone_bytes == 0)
    });
}

#[test]
fn an_origin_that_stands_still_for_a_while_costs_nothing() {
    let mut mesh = Mesh::start(3);
    nothing_is_lost_while(&mut mesh, |mesh| {
        mesh.nodes[0].signal("STOP");
        settle(&[&mesh.nodes[1], &mesh.nodes[2]]);
        mesh.nodes[0].signal("CONT");
        mesh.settle();
    });
}
