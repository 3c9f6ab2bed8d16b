//! Request/reply through live meshes: any REQ socket asks at any node, a worker at any node
//! answers, and nobody waits for ever.

use chaos_tests::live::options::zmesh;
use chaos_tests::live::raw::{Raw, frame};
use chaos_tests::live::running::Running;
use chaos_tests::live::socket::{Message, connect, receive};
use chaos_tests::live::wait::PATIENCE;
use chaos_tests::live::{Mesh, Node, wait};
use std::process::Stdio;
use std::time::{Duration, Instant};
use zmesh_node::report;

/// What a request may take: its deadline and a little.
const IN_TIME: Duration = Duration::from_millis(5100);

fn text(frame: &[u8]) -> String {
    String::from_utf8_lossy(frame).into_owned()
}

/// A REQ socket at a node.
fn asker(node: &Node) -> zmq::Socket {
    connect(&zmq::Context::new(), zmq::REQ, &[node.endpoint()])
}

/// Asks and waits for what comes.
fn ask(socket: &zmq::Socket, service: &str, body: &[&str]) -> Message {
    let mut frames = vec![service];
    frames.extend(body);
    socket.send_multipart(frames, 0).unwrap();
    receive(socket, PATIENCE).expect("nobody waits for ever")
}

/// The code of an error.
fn code(answer: &Message) -> &str {
    match &answer[..] {
        [first, code, words, _] if first == b"$zmesh.error" => {
            assert!(!words.is_empty(), "it says why");
            std::str::from_utf8(code).unwrap()
        }
        _ => "answered",
    }
}

/// A DEALER socket that serves something, once its owner knows of it.
fn worker(node: &Node, service: &str, credit: &str) -> zmq::Socket {
    let socket = connect(&zmq::Context::new(), zmq::DEALER, &[node.endpoint()]);
    socket
        .send_multipart(["$zmesh.serve", service, credit], 0)
        .unwrap();
    wait::until_true("the worker", || {
        let told: Option<report::Services> = node.ask("/api/v1/services");
        let services = told.map(|told| told.services).unwrap_or_default();
        let mut workers = services.iter().filter(|it| it.name == service);
        let here = |it: &report::Worker| it.node == node.options.name;
        workers.any(|it| it.workers.iter().any(here))
    });
    socket
}

/// Answers one request with its own body behind a word.
fn answer_one(socket: &zmq::Socket) -> Message {
    let request = receive(socket, PATIENCE).expect("a request comes");
    let mut answer = vec![request[0].clone(), b"done".to_vec()];
    answer.extend_from_slice(&request[1..]);
    socket.send_multipart(answer, 0).unwrap();
    request
}

#[test]
fn a_request_at_one_node_is_answered_by_a_worker_at_another() {
    let mesh = Mesh::start(3);
    let service = mesh.topic_owned_by(1, "service");
    let worker = worker(&mesh.nodes[2], &service, "1");
    let asking = asker(&mesh.nodes[0]);
    std::thread::scope(|scope| {
        // It is closed when all has come: before, it would throw away what it has yet to send.
        let worker = scope.spawn(move || {
            (0..101).for_each(|_| drop(answer_one(&worker)));
            worker
        });
        for number in 0..100 {
            let number = number.to_string();
            let answer = ask(&asking, &service, &[&number, ""]);
            assert_eq!(answer, [b"done", number.as_bytes(), b""]);
        }
        // A large body, and one that an asker names itself.
        let dealer = connect(
            &zmq::Context::new(),
            zmq::DEALER,
            &[mesh.nodes[1].endpoint()],
        );
        let large = "x".repeat(3 << 20);
        let request = ["$zmesh.request", "my name", &service, &large];
        dealer.send_multipart(request, 0).unwrap();
        let answer = receive(&dealer, PATIENCE).expect("it comes");
        assert_eq!(answer[..2], [&b"$zmesh.reply"[..], b"my name"]);
        assert_eq!(answer[3], large.as_bytes());
        drop(worker.join());
    });
}

#[test]
fn whoever_asks_in_vain_is_told_why_and_in_time() {
    let mesh = Mesh::start(2);
    let service = mesh.topic_owned_by(1, "service");
    let asking = asker(&mesh.nodes[0]);
    assert_eq!(code(&ask(&asking, &service, &[""])), "no_worker");
    let stalled = worker(&mesh.nodes[1], &service, "2");
    let asked = Instant::now();
    let answer = ask(&asking, &service, &["a"]);
    assert_eq!(code(&answer), "timeout");
    assert!(asked.elapsed() < IN_TIME, "{:?}", asked.elapsed());
    // Its id is the one that the worker has, and a late answer reaches nobody.
    let request = answer_one(&stalled);
    assert_eq!(text(&answer[3]), text(&request[0]));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            receive(&stalled, PATIENCE).expect("a request comes");
            drop(stalled);
        });
        assert_eq!(code(&ask(&asking, &service, &["b"])), "worker_lost");
    });
    assert_eq!(code(&ask(&asking, &service, &["c"])), "no_worker");
}

#[test]
fn what_may_be_done_twice_goes_to_another_worker_when_one_is_lost() {
    let mesh = Mesh::start_with(3, &["--service", "twice:idempotent=yes"]);
    let first = worker(&mesh.nodes[1], "twice", "1");
    let asking = asker(&mesh.nodes[0]);
    asking.send_multipart(["twice", "body"], 0).unwrap();
    let request = receive(&first, PATIENCE).expect("a request comes");
    let second = worker(&mesh.nodes[2], "twice", "1");
    drop(first);
    let again = answer_one(&second);
    assert_eq!(text(&again[0]), format!("{}.1", text(&request[0])));
    let answer = receive(&asking, PATIENCE).expect("an answer");
    assert_eq!(answer, [&b"done"[..], b"body"]);
    assert_eq!(mesh.nodes[0].metric("zmesh_request_retries_total", ""), 1);
}

#[test]
fn a_service_has_its_own_deadline_and_its_failures_have_names_in_the_log() {
    let mesh = Mesh::start_with(2, &["--service", "quick:deadline=300ms"]);
    let _stalled = worker(&mesh.nodes[1], "quick", "1");
    let answer = ask(&asker(&mesh.nodes[0]), "quick", &["a"]);
    assert_eq!(code(&answer), "timeout");
    assert!(text(&answer[2]).starts_with("no answer within 0.3 s: "));
    let line = format!(
        "request={} service=\"quick\" code=\"timeout\"",
        text(&answer[3])
    );
    wait::until_true("a line", || mesh.nodes[0].log().contains(&line));
}

#[test]
fn a_service_whose_workers_keep_failing_is_not_asked_until_one_is_better() {
    let mesh = Mesh::start_with(2, &["--service", "weak:breaker=2"]);
    let asking = asker(&mesh.nodes[0]);
    for _ in 0..2 {
        let worker = worker(&mesh.nodes[1], "weak", "1");
        asking.send_multipart(["weak", "body"], 0).unwrap();
        receive(&worker, PATIENCE).expect("a request comes");
        drop(worker);
        let answer = receive(&asking, PATIENCE).expect("nobody waits for ever");
        assert_eq!(code(&answer), "worker_lost");
    }
    let answer = ask(&asking, "weak", &["body"]);
    assert_eq!(code(&answer), "busy");
    assert!(text(&answer[2]).starts_with("the last 2 requests of this service failed"));
    let open = || mesh.nodes[0].metric("zmesh_service_breakers_open", "");
    assert_eq!(open(), 1);
    let good = worker(&mesh.nodes[1], "weak", "1");
    std::thread::scope(|scope| {
        let good = scope.spawn(move || {
            answer_one(&good);
            good
        });
        wait::until_true("an answer", || {
            code(&ask(&asking, "weak", &["body"])) == "answered"
        });
        drop(good.join());
    });
    assert_eq!(open(), 0);
}

#[test]
fn rep_sockets_serve_the_service_of_their_port() {
    let flags = ["--service", "old:rep-port=0"];
    let mut mesh = Mesh::start(1);
    let options = mesh.next_options().flags(&flags);
    mesh.nodes.push(Node::start(options));
    mesh.settle();
    let log = mesh.nodes[1].log();
    let address = log.split("address=").nth(1).expect("the log says where");
    let address = address.split_whitespace().next().unwrap();
    let endpoint = format!("tcp://{address}");
    let context = zmq::Context::new();
    let rep = connect(&context, zmq::REP, std::slice::from_ref(&endpoint));
    let services = || mesh.nodes[0].ask::<report::Services>("/api/v1/services");
    wait::until_true("the worker", || {
        services().is_some_and(|it| it.services.iter().any(|it| !it.workers.is_empty()))
    });
    let asking = asker(&mesh.nodes[0]);
    std::thread::scope(|scope| {
        let rep = scope.spawn(move || {
            for _ in 0..20 {
                let request = receive(&rep, PATIENCE).expect("a request comes");
                let answer = [&b"done"[..], &request[0], b""];
                rep.send_multipart(answer, 0).unwrap();
            }
            // One that it has when it goes is lost.
            receive(&rep, PATIENCE).expect("a request comes");
        });
        for number in 0..20 {
            let number = number.to_string();
            let answer = ask(&asking, "old", &[&number, ""]);
            assert_eq!(answer, [b"done", number.as_bytes(), b""]);
        }
        let lost = ask(&asking, "old", &["last"]);
        assert_eq!(code(&lost), "worker_lost");
        drop(rep.join());
    });
    // Others are refused there, and REP sockets elsewhere.
    let refused = mesh.nodes[1].closed("unsupported_socket_type");
    let _other = connect(&context, zmq::REQ, &[endpoint]);
    let _elsewhere = connect(&context, zmq::REP, &[mesh.nodes[1].endpoint()]);
    wait::until_true("two refusals", || {
        mesh.nodes[1].closed("unsupported_socket_type") >= refused + 2
    });
}

#[test]
fn a_worker_whose_node_dies_is_lost_at_once() {
    let mut mesh = Mesh::start(3);
    let service = mesh.topic_owned_by(1, "service");
    let worker = worker(&mesh.nodes[2], &service, "1");
    let asking = asker(&mesh.nodes[0]);
    asking
        .send_multipart([service.as_str(), "body"], 0)
        .unwrap();
    receive(&worker, PATIENCE).expect("a request comes");
    mesh.nodes.remove(2).kill();
    let answer = receive(&asking, PATIENCE).expect("nobody waits for ever");
    assert_eq!(code(&answer), "worker_lost");
}

#[test]
fn a_service_outlives_its_owner() {
    let mut mesh = Mesh::start(3);
    let service = mesh.topic_owned_by(1, "service");
    let worker = worker(&mesh.nodes[2], &service, "1");
    let asking = asker(&mesh.nodes[0]);
    std::thread::scope(|scope| {
        let (done, over) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            while over.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                if receive(&worker, Duration::from_millis(50)).is_some_and(|request| {
                    worker
                        .send_multipart([&request[0], &request[1]], 0)
                        .is_err()
                }) {
                    return;
                }
            }
        });
        assert_eq!(ask(&asking, &service, &["1"]), [b"1"]);
        mesh.nodes.remove(1).kill();
        // One that was with the owner may be lost; it is told so in time, and the next go on.
        wait::until_true("the next owner", || {
            let asked = Instant::now();
            let answer = ask(&asking, &service, &["2"]);
            assert!(asked.elapsed() < IN_TIME, "{:?}", asked.elapsed());
            code(&answer) == "answered"
        });
        drop(done);
    });
}

#[test]
fn a_drain_waits_for_what_workers_have() {
    let mut mesh = Mesh::start(2);
    let service = mesh.topic_owned_by(0, "service");
    let worker = worker(&mesh.nodes[1], &service, "5");
    let asking = asker(&mesh.nodes[0]);
    asking
        .send_multipart([service.as_str(), "body"], 0)
        .unwrap();
    let request = receive(&worker, PATIENCE).expect("a request comes");
    let leaving = mesh.nodes.remove(1);
    leaving.signal("TERM");
    wait::until_true("the drain", || leaving.log().contains("draining"));
    let second = asker(&mesh.nodes[0]);
    wait::until_true("that it gets nothing more", || {
        code(&ask(&second, &service, &[""])) == "no_worker"
    });
    worker
        .send_multipart([&request[0], &b"late".to_vec()], 0)
        .unwrap();
    assert_eq!(receive(&asking, PATIENCE).unwrap(), [b"late"]);
    let mut leaving = leaving;
    assert_eq!(leaving.wait_end(), Some(0));
}

#[test]
fn words_that_make_no_sense_are_answered_and_harm_nobody() {
    let mesh = Mesh::start(1);
    let node = &mesh.nodes[0];
    let socket = connect(&zmq::Context::new(), zmq::DEALER, &[node.endpoint()]);
    let long = "s".repeat(10 << 10);
    let bad: [&[&str]; 15] = [
        &["$zmesh.nope"],
        &["$zmesh.serve"],
        &["$zmesh.serve", "a"],
        &["$zmesh.serve", "a", "0"],
        &["$zmesh.serve", "a", "-1"],
        &["$zmesh.serve", "a", "9223372036854775808"],
        &["$zmesh.serve", "a", "many"],
        &["$zmesh.serve", "a", "1", "more"],
        &["$zmesh.serve", "", "1"],
        &["$zmesh.serve", &long, "1"],
        &["$zmesh.unserve"],
        &["$zmesh.unserve", "a"],
        &["$zmesh.request", "id"],
        &["$zmesh.request", &long, "a"],
        &[&long, "body"],
    ];
    for frames in bad {
        socket.send_multipart(frames, 0).unwrap();
        let answer = receive(&socket, PATIENCE).expect("an answer");
        assert_eq!(code(&answer), "bad_request", "{frames:?}");
    }
    socket
        .send_multipart(["$zmesh.serve", "a", "1"], 0)
        .unwrap();
    for id in ["nobody-1", "0000000000000000-1"] {
        socket.send_multipart([id, "body"], 0).unwrap();
        let answer = receive(&socket, PATIENCE).expect("an answer");
        assert_eq!(code(&answer), "bad_request", "{id:?}");
    }
    // The connection lives on, and so does everybody else's.
    let asking = asker(node);
    asking.send_multipart(["a", "body"], 0).unwrap();
    answer_one(&socket);
    let answer = receive(&asking, PATIENCE).unwrap();
    assert_eq!(answer, [&b"done"[..], b"body"]);
    // A REQ socket that leaves out its delimiter is a DEALER.
    let mut raw = Raw::handshake(&node.client, "REQ");
    raw.say(&frame(b"nobody", false));
    assert_eq!(raw.frame().1, b"$zmesh.error");
}

#[test]
fn the_verbs_ask_and_answer() {
    let mesh = Mesh::start(2);
    let reply = zmesh()
        .args(["reply", "upper", "--command", "tr a-z A-Z"])
        .args(["--node", &mesh.nodes[1].client])
        .spawn();
    let _reply = Running(reply.unwrap());
    let request = |arguments: &[&str]| {
        let mut command = zmesh();
        command.arg("request").args(arguments);
        command.args(["--node", &mesh.nodes[0].client]);
        command.stdin(Stdio::null()).output().unwrap()
    };
    wait::until_true("the worker", || {
        mesh.nodes[1].metric("zmesh_workers", "") > 0
    });
    let answer = request(&["upper", "a b", "c"]);
    assert_eq!(text(&answer.stdout), "A B\tC\n", "{}", text(&answer.stderr));
    let services: report::Services = mesh.nodes[0].ask("/api/v1/services").unwrap();
    let [upper] = &services.services[..] else {
        panic!("one service: {services:?}")
    };
    assert_eq!((upper.name.as_str(), upper.workers.len()), ("upper", 1));
    assert_eq!(upper.workers[0].node, "n2");
    let answer = request(&["upper", "x", "--json"]);
    assert_eq!(text(&answer.stdout), "{\"frames\":[\"X\"]}\n");
    let nobody = request(&["lower", "x"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        text(&nobody.stderr).starts_with("no_worker: "),
        "{}",
        text(&nobody.stderr)
    );
}
