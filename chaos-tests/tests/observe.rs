//! What a node tells of itself and of the mesh: metrics that add up, events, the way of a message.

use chaos_tests::live::http::{self, metric};
use chaos_tests::live::raw::Raw;
use chaos_tests::live::socket::{connect, publisher, receive, receive_data, subscriber};
use chaos_tests::live::wait::PATIENCE;
use chaos_tests::live::{Mesh, Node, wait};
use std::collections::BTreeSet;
use zmesh_node::report;

/// Reads events until one is of this kind and about this subject.
fn until_event(socket: &zmq::Socket, event: &str, subject: &str) -> report::Event {
    loop {
        let message = receive(socket, PATIENCE).expect("the event comes");
        let told: report::Event = serde_json::from_slice(&message[1]).expect("it is JSON");
        assert_eq!(
            message[0],
            format!("$zmesh.event.{}", told.event).as_bytes()
        );
        assert_eq!(message.len(), 2);
        if told.event == event && told.subject == subject {
            return told;
        }
    }
}

/// A SUB socket that gets these topics of the node itself.
fn watching(node: &Node, prefixes: &[&str]) -> zmq::Socket {
    let socket = connect(&zmq::Context::new(), zmq::SUB, &[node.endpoint()]);
    for prefix in prefixes {
        socket.set_subscribe(prefix.as_bytes()).unwrap();
    }
    let wanted = prefixes.len() as u32;
    wait::until_true("the subscriptions", || {
        let all = node.ask::<report::Connections>("/api/v1/connections");
        let mut all = all.into_iter().flat_map(|it| it.connections);
        all.any(|it| it.socket_type == "SUB" && it.subscriptions >= wanted)
    });
    socket
}

#[test]
fn a_plain_sub_socket_is_told_what_happens_to_the_mesh() {
    let mut mesh = Mesh::start(3);
    let events = watching(&mesh.nodes[0], &["$zmesh.event."]);
    mesh.nodes.remove(2).kill();
    let down = until_event(&events, "link.down", "n3");
    let dead = until_event(&events, "member.dead", "n3");
    assert_eq!(dead.node, "n1");
    assert!(
        dead.seq > down.seq && dead.at_ms >= down.at_ms,
        "{down:?} {dead:?}"
    );
    let moved = until_event(&events, "owner.moved", "n1");
    // Some may move between those who are left, to keep shares even.
    assert!(moved.fields["cause"].ends_with("death"), "{moved:?}");
    assert_eq!(moved.fields["members"], "2");
    let gained: f64 = moved.fields["gained"].parse().unwrap();
    let counted = |cause: &str| {
        let labels = format!("cause=\"{cause}\",direction=\"gained\"");
        let name = "zmesh_partition_moves_total";
        metric(&mesh.nodes[0].client, name, &labels).unwrap()
    };
    assert!(counted("death") > 0.0);
    assert!(counted("death") + counted("balance") >= gained);
    // The same events are in the HTTP API, and counted.
    let listed: report::Events = mesh.nodes[0].ask("/api/v1/events").unwrap();
    assert!(listed.events.contains(&dead), "{listed:?}");
    let labels = "event=\"member.dead\"";
    let count = metric(&mesh.nodes[0].client, "zmesh_events_total", labels).unwrap();
    assert_eq!(count, 1.0);
}

#[test]
fn who_subscribes_to_everything_is_not_told_of_events() {
    let mut mesh = Mesh::start(2);
    let context = zmq::Context::new();
    let all = subscriber(&context, mesh.nodes[0].endpoint(), &["", "$", "$zmesh"]);
    let some = watching(&mesh.nodes[0], &["$zmesh.event.member."]);
    mesh.nodes.remove(1).kill();
    let first = until_event(&some, "member.dead", "n2");
    assert!(first.event.starts_with("member."));
    let sender = publisher(&context, mesh.nodes[0].endpoint());
    sender.send_multipart(["last", ""], 0).unwrap();
    let message = receive_data(&all, PATIENCE).expect("the message comes");
    assert_eq!(message[0], b"last", "nothing came before it");
}

#[test]
fn a_slow_subscriber_is_told_of_once_and_again_when_it_keeps_up() {
    let mesh = Mesh::start_with(1, &["--queue-size", "64KiB"]);
    let node = &mesh.nodes[0];
    let mut slow = Raw::handshake(&node.client, "SUB");
    slow.subscribe(b"T");
    let address = slow.stream.local_addr().unwrap().to_string();
    let events = watching(node, &["$zmesh.event.slow."]);
    let context = zmq::Context::new();
    let sender = publisher(&context, node.endpoint());
    let payload = vec![b'.'; 16 << 10];
    wait::until_true("a full queue", || {
        for _ in 0..100 {
            sender.send_multipart([&b"T"[..], &payload], 0).unwrap();
        }
        metric(&node.client, "zmesh_queues_full", "").unwrap() == 1.0
    });
    let full = until_event(&events, "slow.full", &address);
    assert_eq!(full.fields["policy"], "drop-newest");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Reads until the node closes, at the end of the test.
            use std::io::Read;
            let mut buffer = [0; 65536];
            while slow.stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
        let relieved = until_event(&events, "slow.relieved", &address);
        let status = node.status();
        let dropped = status.dropped_messages["queue_full"].to_string();
        assert_eq!(relieved.fields["dropped"], dropped);
        let labels = "action=\"drop_newest\"";
        let times = metric(&node.client, "zmesh_slow_consumers_total", labels).unwrap();
        assert_eq!(times, 1.0);
        node.signal("TERM");
    });
}

/// What came minus what went and was dropped, at each of the three places.
fn unaccounted(node: &Node) -> [f64; 3] {
    let value = |name: &str, labels: &str| metric(&node.client, name, labels).unwrap();
    let dropped = |labels: &str| value("zmesh_messages_dropped_total", labels);
    let unknown = dropped("reason=\"interest_unknown\"");
    [
        value("zmesh_messages_taken_total", "")
            - value("zmesh_messages_done_total", "")
            - dropped("place=\"origin\""),
        value("zmesh_messages_routed_total", "")
            - value("zmesh_messages_acked_total", "")
            - (dropped("place=\"owner\"") - unknown),
        value("zmesh_messages_matched_total", "")
            - value("zmesh_messages_delivered_total", "")
            - dropped("place=\"subscriber\""),
    ]
}

#[test]
fn at_rest_every_message_is_accounted_for_at_every_place() {
    let mut mesh = Mesh::start_with(3, &["--queue-size", "64KiB"]);
    let context = zmq::Context::new();
    let fast = subscriber(&context, mesh.nodes[1].endpoint(), &["", "$forb"]);
    let mut slow = Raw::handshake(&mesh.nodes[2].client, "SUB");
    slow.subscribe(b"T");
    let sender = publisher(&context, mesh.nodes[0].endpoint());
    let payload = vec![b'.'; 8 << 10];
    // As fast as the fast one reads, so that nothing is dropped but for the other.
    for _ in 0..600 {
        for number in 0..5 {
            let topic = format!("T{number}");
            let frames = [topic.as_bytes(), &payload];
            sender.send_multipart(frames, 0).unwrap();
        }
        sender.send_multipart(["$forbidden", ""], 0).unwrap();
        for _ in 0..5 {
            receive_data(&fast, PATIENCE).expect("the fast one gets all");
        }
    }
    let dropped = |mesh: &Mesh, labels: &str| {
        let all = mesh.nodes.iter();
        let counts = all.map(|it| metric(&it.client, "zmesh_messages_dropped_total", labels));
        counts.map(Result::unwrap).sum::<f64>()
    };
    assert_eq!(dropped(&mesh, "place=\"origin\""), 600.0);
    assert!(dropped(&mesh, "reason=\"queue_full\"") > 0.0);
    // What waits for the slow one is dropped with it.
    drop(slow);
    wait::until_true("rest", || {
        mesh.nodes.iter().all(|node| unaccounted(node) == [0.0; 3])
    });
    assert!(dropped(&mesh, "reason=\"subscriber_gone\"") > 0.0);
    // A node that dies takes its numbers with it: those of the others still add up.
    mesh.nodes.remove(2).kill();
    for number in 0..1000 {
        let topic = format!("T{}", number % 50);
        sender.send_multipart([topic.as_bytes(), b"x"], 0).unwrap();
    }
    for _ in 0..1000 {
        receive_data(&fast, PATIENCE).expect("all of them");
    }
    wait::until_true("rest without it", || {
        mesh.nodes.iter().all(|node| unaccounted(node) == [0.0; 3])
    });
}

#[test]
fn a_page_of_metrics_stays_small_with_a_thousand_topics_and_clients() {
    let mesh = Mesh::start(2);
    let node = &mesh.nodes[0];
    let clients: Vec<Raw> = (0..1000)
        .map(|number| {
            let mut client = Raw::handshake(&node.client, "SUB");
            client.subscribe(format!("topic.{number}.").as_bytes());
            client
        })
        .collect();
    let context = zmq::Context::new();
    let sender = publisher(&context, mesh.nodes[1].endpoint());
    let reader = subscriber(&context, node.endpoint(), &["topic."]);
    let series = || {
        let (_, text) = http::page(&node.client, "/metrics").unwrap();
        let topics = text.lines().filter(|line| {
            line.starts_with("zmesh_topic_messages_total{") && !line.contains("topic=\"_other\"")
        });
        (topics.count(), text)
    };
    wait::until_true("twenty topics by name", || {
        for number in 0..1000 {
            let topic = format!("topic.{number}.x");
            sender.send_multipart([topic.as_bytes(), b"x"], 0).unwrap();
        }
        for _ in 0..1000 {
            receive_data(&reader, PATIENCE).expect("all of them");
        }
        series().0 == 20
    });
    let (named, text) = series();
    assert_eq!(named, 20);
    assert!(text.len() < 200_000, "{} bytes", text.len());
    let labels = "socket_type=\"SUB\"";
    let connected = metric(&node.client, "zmesh_connections", labels).unwrap();
    assert_eq!(connected, (clients.len() + 1) as f64);
}

#[test]
fn every_series_says_whose_it_is_and_every_metric_of_the_catalogue_is_there() {
    let mesh = Mesh::start(2);
    let node = &mesh.nodes[0];
    let trace = post::<report::Trace>(node, "/api/v1/trace?topic=T");
    assert!(trace.done, "{trace:?}");
    let (_, text) = http::page(&node.client, "/metrics").unwrap();
    let whose = format!("cluster=\"{}\"", mesh.cluster);
    let mut names = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(
            line.contains(&whose) && line.contains("node=\"n1\""),
            "{line}"
        );
        let end = line.find(['{', ' ']).unwrap();
        let name = line[..end].to_string();
        for suffix in ["_bucket", "_sum", "_count"] {
            names.extend(name.strip_suffix(suffix).map(String::from));
        }
        names.insert(name);
    }
    for metric in zmesh_node::metrics::METRICS {
        assert!(names.contains(metric.name), "{} has no series", metric.name);
    }
}

fn post<T: serde::de::DeserializeOwned>(node: &Node, path: &str) -> T {
    let url = format!("http://{}{path}", node.client);
    let mut response = ureq::post(url).send_empty().unwrap();
    let body = response.body_mut().read_to_string().unwrap();
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[test]
fn a_marked_message_tells_its_way_and_no_client_gets_it() {
    let mesh = Mesh::start(3);
    let topic = mesh.topic_owned_by(1, "T");
    let context = zmq::Context::new();
    let reader = subscriber(&context, mesh.nodes[2].endpoint(), &["T", ""]);
    let trace: report::Trace = post(&mesh.nodes[0], &format!("/api/v1/trace?topic={topic}"));
    assert!(trace.done && trace.done_us.is_some(), "{trace:?}");
    let way: Vec<(&str, &str, &[String], u32)> = trace
        .hops
        .iter()
        .map(|hop| (&*hop.node, &*hop.what, &*hop.to, hop.clients))
        .collect();
    let (n2, n3) = (["n2".to_string()], ["n3".to_string()]);
    let expected: [(&str, &str, &[String], u32); 4] = [
        ("n1", "taken", &n2, 0),
        ("n2", "served", &n3, 0),
        ("n3", "delivered", &[], 1),
        ("n1", "done", &[], 0),
    ];
    assert_eq!(way, expected);
    let sender = publisher(&context, mesh.nodes[0].endpoint());
    sender.send_multipart([topic.as_str(), "last"], 0).unwrap();
    let message = receive_data(&reader, PATIENCE).expect("the message comes");
    assert_eq!(message[1], b"last", "the marked one did not come before it");
}

#[test]
fn any_node_explains_where_a_topic_goes_and_who_wants_it() {
    let mesh = Mesh::start(3);
    let topic = mesh.topic_owned_by(1, "T");
    let context = zmq::Context::new();
    let _reader = subscriber(&context, mesh.nodes[2].endpoint(), &["T", "other"]);
    let path = format!("/api/v1/explain?topic={topic}%20text");
    let explain: report::Explain = mesh.nodes[0].ask(&path).unwrap();
    assert_eq!((&*explain.key, &*explain.owner), (&*topic, "n2"));
    assert_eq!(explain.successors.len(), 2);
    assert!(!explain.why.is_empty());
    let wanted: Vec<(&str, u32, &[String])> = explain
        .nodes
        .iter()
        .map(|node| (&*node.name, node.subscribers, &*node.prefixes))
        .collect();
    let prefixes = ["T".to_string()];
    assert_eq!(
        wanted,
        [("n1", 0, &[][..]), ("n2", 0, &[]), ("n3", 1, &prefixes)]
    );
    assert!(
        explain
            .nodes
            .iter()
            .all(|node| node.owner == "n2" && node.error.is_none())
    );
}

#[test]
fn any_node_tells_of_every_other_and_of_the_whole_mesh() {
    let mut mesh = Mesh::start(3);
    let one = &mesh.nodes[0];
    let other: report::Node = one.ask("/api/v1/node?node=n3").unwrap();
    assert_eq!(other.client, mesh.nodes[2].client);
    let (status, text) = http::page(&one.client, "/api/v1/node?node=nobody").unwrap();
    assert_eq!(
        (status, &*text),
        (404, "no living member of this name: nobody\n")
    );
    let whole: report::Mesh = one.ask("/api/v1/mesh").unwrap();
    let names: Vec<&str> = whole.nodes.iter().map(|node| &*node.name).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    for node in &whole.nodes {
        let overview = node.overview.as_ref().expect("it answered");
        assert_eq!((overview.links_up, &*overview.node.state), (2, "ready"));
    }
    let reach: report::Reach = post(one, "/api/v1/reach?node=n2");
    assert_eq!((&*reach.node, reach.attempts.len()), ("n2", 6));
    assert!(
        reach.attempts.iter().all(|it| it.error.is_none()),
        "{reach:?}"
    );
    mesh.nodes.remove(1).kill();
    wait::until_true("the dead one to be told of", || {
        let whole: Option<report::Mesh> = mesh.nodes[1].ask("/api/v1/mesh");
        whole.is_some_and(|whole| {
            let dead = whole
                .members
                .iter()
                .any(|it| it.name == "n2" && it.state == "dead");
            let mut events = whole.events.iter();
            dead && events.any(|it| it.event == "member.dead" && it.node == "n1")
        })
    });
}

#[test]
fn the_mesh_is_streamed_and_the_stream_ends_with_the_node() {
    use std::io::{BufRead, BufReader};
    let mesh = Mesh::start(2);
    let url = format!("http://{}/api/v1/stream", mesh.nodes[0].client);
    let response = ureq::get(url).call().unwrap();
    let mut lines = BufReader::new(response.into_body().into_reader()).lines();
    let mut meshes = Vec::new();
    while meshes.len() < 3 {
        let line = lines.next().expect("it goes on").expect("text");
        if let Some(json) = line.strip_prefix("data: ") {
            meshes.push(serde_json::from_str::<report::Mesh>(json).unwrap());
        }
    }
    let times: BTreeSet<u64> = meshes.iter().map(|mesh| mesh.at_ms).collect();
    assert_eq!(times.len(), 3, "each is another");
    mesh.nodes[0].signal("TERM");
    // Whatever still comes, there is an end.
    lines.map_while(Result::ok).for_each(drop);
}

#[test]
fn a_page_of_another_site_can_not_make_a_node_send_or_try_anything() {
    let mesh = Mesh::start(2);
    // Passed on, it would come from a node.
    let elsewhere = "/api/v1/reach?node=n2";
    for path in [
        "/api/v1/trace?topic=T",
        "/api/v1/drain",
        "/api/v1/reach",
        elsewhere,
    ] {
        let url = format!("http://{}{path}", mesh.nodes[0].client);
        let request = ureq::post(url).header("origin", "http://example.org");
        let agent_says = request.config().http_status_as_error(false).build();
        let response = agent_says.send_empty().unwrap();
        assert_eq!(response.status().as_u16(), 403, "{path}");
    }
}

#[test]
fn links_are_counted_over_a_restart_of_their_peer() {
    let mut mesh = Mesh::start(2);
    let came_up = |mesh: &Mesh| {
        let name = "zmesh_link_sessions_total";
        metric(&mesh.nodes[0].client, name, "peer=\"n2\"").unwrap()
    };
    let before = came_up(&mesh);
    assert!(before >= 1.0);
    mesh.nodes[1].kill();
    mesh.nodes[1].restart();
    mesh.settle();
    assert!(came_up(&mesh) > before);
}

#[test]
fn the_end_of_a_link_is_told_also_when_membership_ends_it() {
    let mesh = Mesh::start(3);
    let events = watching(&mesh.nodes[0], &["$zmesh.event."]);
    // No connection of its breaks: it is held dead before its link is given up for its silence.
    mesh.nodes[2].signal("STOP");
    until_event(&events, "member.dead", "n3");
    let down = until_event(&events, "link.down", "n3");
    assert!(!down.fields["why"].is_empty());
    mesh.nodes[2].signal("CONT");
}

#[test]
fn a_browser_that_leaves_is_no_bad_http_and_half_a_question_is() {
    use std::io::{Read, Write};
    let mesh = Mesh::start(1);
    let node = &mesh.nodes[0];
    let connect = || std::net::TcpStream::connect(&node.client).unwrap();
    let mut page = connect();
    page.write_all(b"GET /api/v1/stream HTTP/1.1\r\nHost: n\r\n\r\n")
        .unwrap();
    page.read_exact(&mut [0; 100]).expect("the stream begins");
    drop(page);
    let mut answer = String::new();
    // The first is counted, if it is, long before the second is closed.
    for _ in 0..2 {
        let mut idle = connect();
        idle.set_read_timeout(Some(PATIENCE)).unwrap();
        idle.write_all(b"GET /livez HTTP/1.1\r\nHost: n\r\n\r\n")
            .unwrap();
        idle.read_to_string(&mut answer).expect("it is closed");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(node.closed("bad_http"), 0);
    let mut half = connect();
    half.set_read_timeout(Some(PATIENCE)).unwrap();
    half.write_all(b"GET /livez HTTP/1.1\r\nHo").unwrap();
    half.read_to_string(&mut answer).expect("it is closed");
    wait::until_true("the count", || node.closed("bad_http") == 1);
}
