//! One address speaks ZMTP and HTTP: what each client finds there.

use chaos_tests::live::http::{json, page};
use chaos_tests::live::options::own_host;
use chaos_tests::live::raw::{Raw, frame, greeting, ready};
use chaos_tests::live::socket::{publisher, receive_data, subscriber};
use chaos_tests::live::wait::PATIENCE;
use chaos_tests::live::{Mesh, Node, Options, mesh, wait};
use zmesh_node::report;

#[test]
fn every_page_of_the_api_is_there_and_has_its_shape() {
    let mesh = Mesh::start(2);
    let address = &mesh.nodes[0].client;
    let context = zmq::Context::new();
    let _subscriber = subscriber(&context, mesh.nodes[0].endpoint(), &["here"]);
    assert_eq!(page(address, "/livez").unwrap().0, 200);
    assert_eq!(page(address, "/readyz").unwrap().0, 200);
    assert_eq!(page(address, "/no/such/page").unwrap().0, 404);
    let node: report::Node = json(address, "/api/v1/node").unwrap();
    assert_eq!(
        (node.name.as_str(), node.state.as_str(), node.view_size),
        ("n1", "ready", 2)
    );
    let members: report::Members = json(address, "/api/v1/members").unwrap();
    assert_eq!(members.members.iter().filter(|member| member.me).count(), 1);
    let ring: report::Ring = json(address, "/api/v1/ring").unwrap();
    assert_eq!((ring.owners.len(), ring.view_hash), (2, members.view_hash));
    let links: report::Links = json(address, "/api/v1/links").unwrap();
    assert_eq!(
        (links.links[0].peer.as_str(), links.links[0].state.as_str()),
        ("n2", "up")
    );
    let connections: report::Connections = json(address, "/api/v1/connections").unwrap();
    assert_eq!(connections.connections[0].socket_type, "SUB");
    let held: report::Subscriptions = json(address, "/api/v1/subscriptions").unwrap();
    assert!(
        held.subscriptions
            .iter()
            .any(|it| it.prefix == "here" && it.ready)
    );
    let owner: report::Owner = json(address, "/api/v1/owner?topic=a%20b").unwrap();
    assert_eq!((owner.topic.as_str(), owner.successors.len()), ("a b", 1));
}

#[test]
fn the_metrics_count_what_clients_do() {
    let mesh = Mesh::start(1);
    let address = &mesh.nodes[0].client;
    let context = zmq::Context::new();
    let receiver = subscriber(&context, mesh.nodes[0].endpoint(), &["m"]);
    let sender = publisher(&context, mesh.nodes[0].endpoint());
    for _ in 0..100 {
        sender.send("m", 0).unwrap();
    }
    for _ in 0..100 {
        receive_data(&receiver, PATIENCE).unwrap();
    }
    let metric = |name: &str, labels: &str| {
        chaos_tests::live::http::metric(address, name, labels).unwrap_or_default()
    };
    wait::until_true("the counters", || {
        metric("zmesh_messages_taken_total", "") == 100.0
    });
    assert!(metric("zmesh_messages_delivered_total", "") >= 100.0);
    assert_eq!(metric("zmesh_connections", "SUB"), 1.0);
    assert_eq!(metric("zmesh_members", "alive"), 1.0);
    assert!(metric("process_resident_memory_bytes", "") > 0.0);
}

#[test]
fn a_node_that_has_not_joined_yet_is_alive_and_not_ready() {
    // A seed that takes connections and never answers keeps the node joining for a while.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let seed = silent.local_addr().unwrap().to_string();
    let host = own_host();
    let options = Options::new("alone", &mesh::new_cluster()).seed(&seed);
    let mut node = Node::spawn(options.at(&host, [5555, 5556, 5557]));
    let address = format!("{host}:5555");
    let first = wait::until("the first answer", || page(&address, "/readyz").ok());
    // On a busy machine the first answer may come after the node has given up on its seed.
    assert!(
        first.0 == 503 || node.stdout().contains("ready "),
        "{first:?}"
    );
    assert_eq!(page(&address, "/livez").unwrap().0, 200);
    node.wait_ready();
    assert_eq!(page(&address, "/readyz").unwrap().0, 200);
}

#[test]
fn subscriptions_are_taken_as_messages_and_as_commands() {
    let mesh = Mesh::start(1);
    let address = &mesh.nodes[0].client;
    let context = zmq::Context::new();
    let sender = publisher(&context, mesh.nodes[0].endpoint());
    let command = |name: &str, prefix: &str| {
        let body = [&[name.len() as u8][..], name.as_bytes(), prefix.as_bytes()].concat();
        [&[4, body.len() as u8][..], &body].concat()
    };
    let mut old = Raw::handshake(address, "SUB");
    old.subscribe(b"key");
    let mut new = Raw::connect(address);
    new.say(
        &[
            &greeting(1)[..],
            &ready("SUB"),
            &command("SUBSCRIBE", "key"),
        ]
        .concat(),
    );
    let mut theirs = [0; 64];
    std::io::Read::read_exact(&mut new.stream, &mut theirs).unwrap();
    assert!(new.frame().1.starts_with(b"\x05READY"));
    let held = |count| {
        wait::until_true(&format!("{count} subscriptions"), || {
            let held = mesh.nodes[0].ask::<report::Subscriptions>("/api/v1/subscriptions");
            held.is_some_and(|it| it.subscriptions.iter().any(|it| it.connections == count))
        });
    };
    held(2);
    sender.send("key 1", 0).unwrap();
    assert_eq!(old.frame(), (0, b"key 1".to_vec()));
    assert_eq!(new.frame(), (0, b"key 1".to_vec()));
    new.say(&command("CANCEL", "key"));
    held(1);
    sender.send("key 2", 0).unwrap();
    assert_eq!(old.frame(), (0, b"key 2".to_vec()));
    new.say(&command("PING", "\0\0context"));
    assert_eq!(
        new.frame(),
        (4, b"\x04PONGcontext".to_vec()),
        "and not key 2"
    );
}

#[test]
fn a_publisher_whose_bytes_come_one_by_one_is_understood() {
    let mesh = Mesh::start(1);
    let context = zmq::Context::new();
    let receiver = subscriber(&context, mesh.nodes[0].endpoint(), &["slowly"]);
    let mut sender = Raw::connect(&mesh.nodes[0].client);
    sender.stream.set_nodelay(true).unwrap();
    let long = vec![7; 300];
    let message = [
        frame(b"slowly", true),
        frame(b"", true),
        frame(&long, false),
    ]
    .concat();
    let all = [
        &greeting(0)[..],
        &ready("PUB"),
        &message,
        &frame(b"slowly", false),
    ]
    .concat();
    for byte in all {
        sender.say(&[byte]);
    }
    let received = receive_data(&receiver, PATIENCE).unwrap();
    assert_eq!(received, [&b"slowly"[..], b"", &long]);
    assert_eq!(receive_data(&receiver, PATIENCE).unwrap(), [b"slowly"]);
}

/// A subscriber that is slow would find the question behind what it has yet to read.
#[test]
fn a_publisher_is_asked_for_a_sign_of_life_and_a_subscriber_is_not() {
    let mesh = Mesh::start(1);
    let open = |socket_type| {
        let mut raw = Raw::connect(&mesh.nodes[0].client);
        raw.say(&[&greeting(1)[..], &ready(socket_type)].concat());
        let mut theirs = [0; 64];
        std::io::Read::read_exact(&mut raw.stream, &mut theirs).unwrap();
        assert!(raw.frame().1.starts_with(b"\x05READY"));
        raw
    };
    let subscriber = open("SUB");
    let mut publisher = open("PUB");
    assert_eq!(publisher.frame(), (4, b"\x09SUBSCRIBE".to_vec()));
    assert!(publisher.frame().1.starts_with(b"\x04PING"));
    assert!(!subscriber.has_data());
}

#[test]
fn a_publisher_may_answer_in_the_middle_of_a_message_as_libzmq_does() {
    let mesh = Mesh::start(1);
    let node = &mesh.nodes[0];
    let receiver = subscriber(&zmq::Context::new(), node.endpoint(), &["key"]);
    let mut sender = Raw::handshake(&node.client, "PUB");
    let pong = b"\x04\x05\x04PONG";
    sender.say(&[&frame(b"key", true)[..], pong, &frame(b"1", false), pong].concat());
    sender.say(&frame(b"key", true));
    sender.say(pong);
    sender.say(&frame(b"2", false));
    for number in ["1", "2"] {
        let message = receive_data(&receiver, PATIENCE).expect("it comes");
        assert_eq!(message, [b"key", number.as_bytes()]);
    }
    assert_eq!(node.closed("bad_frame"), 0);
}
