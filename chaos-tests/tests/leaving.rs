//! A node that is asked to stop hands over what it has, to the other nodes and to its own clients.

use chaos_tests::live::raw::Raw;
use chaos_tests::live::socket::{publisher, receive_data, subscriber};
use chaos_tests::live::wait::{self, PATIENCE};
use chaos_tests::live::{Mesh, Node};
use zmesh_node::report;

/// Messages published, of 16 KiB each: more than sockets hold, less than a queue does.
const COUNT: u32 = 1500;

fn publish(socket: &zmq::Socket, topic: &str) {
    for number in 0..COUNT {
        let mut payload = vec![0; 16 << 10];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        socket
            .send_multipart([topic.as_bytes(), &payload], 0)
            .unwrap();
    }
}

fn all_taken(node: &Node) {
    wait::until_true("everything to be taken", || {
        node.status().taken_messages >= u64::from(COUNT)
    });
}

fn ends_well(node: &mut Node) {
    assert_eq!(node.wait_end(), Some(0));
    let log = node.log();
    assert!(log.contains("drained dropped_messages=0"), "{log}");
}

#[test]
fn what_a_publisher_gave_to_a_leaving_node_arrives_at_the_others() {
    let mut mesh = Mesh::start(2);
    let context = zmq::Context::new();
    let topic = mesh.topic_owned_by(0, "moved");
    let reader = subscriber(&context, mesh.nodes[1].endpoint(), &[&topic]);
    let sender = publisher(&context, mesh.nodes[0].endpoint());
    publish(&sender, &topic);
    all_taken(&mesh.nodes[0]);
    mesh.nodes[0].signal("TERM");
    for number in 0..COUNT {
        let message = receive_data(&reader, PATIENCE).expect("every message");
        assert_eq!(message[1][..4], number.to_be_bytes());
    }
    ends_well(&mut mesh.nodes[0]);
}

#[test]
fn a_leaving_node_gives_its_subscribers_what_waits_for_them() {
    let mut mesh = Mesh::start(2);
    let context = zmq::Context::new();
    let mut slow = Raw::handshake(&mesh.nodes[0].client, "SUB");
    slow.subscribe(b"slow");
    wait::until_true("the subscription", || {
        let held = mesh.nodes[0].ask::<report::Subscriptions>("/api/v1/subscriptions");
        held.is_some_and(|it| it.subscriptions.iter().any(|it| it.ready))
    });
    let sender = publisher(&context, mesh.nodes[1].endpoint());
    publish(&sender, "slow");
    all_taken(&mesh.nodes[1]);
    wait::until_true("a full queue", || {
        let held = mesh.nodes[0].ask::<report::Connections>("/api/v1/connections");
        held.is_some_and(|it| it.connections.iter().any(|it| it.queue_messages > 100))
    });
    mesh.nodes[0].signal("TERM");
    for number in 0..COUNT {
        assert_eq!(slow.frame().1, b"slow");
        assert_eq!(slow.frame().1[..4], number.to_be_bytes());
    }
    ends_well(&mut mesh.nodes[0]);
}
