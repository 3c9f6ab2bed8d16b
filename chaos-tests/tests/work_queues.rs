//! Work queues through live meshes: PUSH sockets at any node, workers at any node, and no task that
//! is lost with a worker or with the owner of its queue.

use chaos_tests::live::options::zmesh;
use chaos_tests::live::socket::{Message, connect, receive};
use chaos_tests::live::wait::PATIENCE;
use chaos_tests::live::{Mesh, Node, wait};
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use zmesh_node::report;

fn text(frame: &[u8]) -> String {
    String::from_utf8_lossy(frame).into_owned()
}

fn pusher(node: &Node) -> zmq::Socket {
    connect(&zmq::Context::new(), zmq::PUSH, &[node.endpoint()])
}

fn worker(node: &Node, queue: &str, credit: &str) -> zmq::Socket {
    let socket = connect(&zmq::Context::new(), zmq::DEALER, &[node.endpoint()]);
    let words = ["$zmesh.work", queue, credit];
    socket.send_multipart(words, 0).unwrap();
    socket
}

fn done(socket: &zmq::Socket, task: &Message) {
    let words = [&b"$zmesh.done"[..], &task[0]];
    socket.send_multipart(words, 0).unwrap();
}

/// A queue as its owners tell of it.
fn queue(node: &Node, name: &str) -> Option<report::Queue> {
    let told: report::Queues = node.ask("/api/v1/queues")?;
    let mut queues = told.queues.into_iter();
    queues.find(|it| it.name == name)
}

fn wait_ready(node: &Node, name: &str, count: u64) {
    wait::until_true("tasks that are safe", || {
        queue(node, name).is_some_and(|it| it.copied && it.ready == count && it.untaken == 0)
    });
}

#[test]
fn tasks_that_are_pushed_at_one_node_are_done_at_another_in_their_order() {
    let mesh = Mesh::start(3);
    let name = mesh.topic_owned_by(1, "jobs");
    let sender = pusher(&mesh.nodes[0]);
    let worker = worker(&mesh.nodes[2], &name, "10");
    for number in 0..1000 {
        let number = number.to_string();
        sender.send_multipart([&name, &number, ""], 0).unwrap();
    }
    for number in 0..1000 {
        let task = receive(&worker, PATIENCE).expect("a task comes");
        assert_eq!(task[1..], [number.to_string().as_bytes(), b""]);
        assert!(
            !task[0].contains(&b'.'),
            "for the first time: {}",
            text(&task[0])
        );
        done(&worker, &task);
    }
    wait::until_true("the end of all", || {
        queue(&mesh.nodes[0], &name).is_some_and(|it| it.done_total == 1000 && it.given == 0)
    });
    let told = queue(&mesh.nodes[2], &name).unwrap();
    assert_eq!(
        (told.owner.as_str(), told.ready, told.again_total),
        ("n2", 0, 0)
    );
}

#[test]
fn what_a_worker_has_when_it_goes_or_says_that_it_failed_is_for_another() {
    let mesh = Mesh::start(2);
    let sender = pusher(&mesh.nodes[0]);
    sender.send_multipart(["jobs", "a"], 0).unwrap();
    let first = worker(&mesh.nodes[0], "jobs", "1");
    let task = receive(&first, PATIENCE).expect("a task comes");
    drop(first);
    let second = worker(&mesh.nodes[1], "jobs", "1");
    for attempt in 1..5 {
        let again = receive(&second, PATIENCE).expect("it comes again");
        assert_eq!(text(&again[0]), format!("{}.{attempt}", text(&task[0])));
        let words = [&b"$zmesh.failed"[..], &again[0], b"no disk"];
        second.send_multipart(words, 0).unwrap();
    }
    wait::until_true("a dead task", || {
        queue(&mesh.nodes[0], "jobs").is_some_and(|it| it.dead == 1)
    });
    let path = "/api/v1/dead-tasks?queue=jobs";
    let dead: report::DeadTasks = mesh.nodes[1].ask(path).unwrap();
    assert_eq!(dead.tasks[0].id, text(&task[0]));
    assert_eq!(dead.tasks[0].frames, ["a"]);
}

#[test]
fn the_death_of_the_owner_loses_no_task_that_was_safe() {
    let mut mesh = Mesh::start(3);
    let name = mesh.topic_owned_by(1, "jobs");
    let sender = pusher(&mesh.nodes[0]);
    for number in 0..5000 {
        let number = number.to_string();
        sender.send_multipart([&name, &number], 0).unwrap();
    }
    wait_ready(&mesh.nodes[0], &name, 5000);
    mesh.nodes[1].kill();
    let worker = worker(&mesh.nodes[2], &name, "100");
    for number in 0..5000 {
        let task = receive(&worker, PATIENCE).expect("a task comes");
        assert_eq!(text(&task[1]), number.to_string());
        assert!(
            task[0].ends_with(b".1"),
            "nobody knows whether it was given"
        );
        done(&worker, &task);
    }
}

#[test]
fn a_node_that_leaves_hands_its_queues_on() {
    let mut mesh = Mesh::start(3);
    let name = mesh.topic_owned_by(1, "jobs");
    let sender = pusher(&mesh.nodes[0]);
    for number in 0..5000 {
        let number = number.to_string();
        sender.send_multipart([&name, &number], 0).unwrap();
    }
    wait_ready(&mesh.nodes[0], &name, 5000);
    let mut leaving = mesh.nodes.remove(1);
    leaving.signal("TERM");
    assert_eq!(leaving.wait_end(), Some(0), "{}", leaving.log());
    let worker = worker(&mesh.nodes[1], &name, "100");
    for number in 0..5000 {
        let task = receive(&worker, PATIENCE).expect("a task comes");
        assert_eq!(text(&task[1]), number.to_string());
        done(&worker, &task);
    }
}

#[test]
fn a_node_that_is_alone_says_that_its_tasks_end_with_it() {
    let mut mesh = Mesh::start(1);
    let sender = pusher(&mesh.nodes[0]);
    sender.send_multipart(["jobs", "a"], 0).unwrap();
    wait::until_true("a task", || {
        queue(&mesh.nodes[0], "jobs").is_some_and(|it| it.ready == 1)
    });
    let node = &mut mesh.nodes[0];
    node.signal("TERM");
    assert_eq!(node.wait_end(), Some(2));
    assert!(
        node.log().contains("1 tasks of work queues"),
        "{}",
        node.log()
    );
}

/// Works until told to stop; now and then it goes with what it has, and comes again.
fn work(stop: &AtomicBool, endpoint: &str, name: &str, told: impl Fn(&Message)) {
    let mut rounds = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        let socket = connect(&zmq::Context::new(), zmq::DEALER, &[endpoint.into()]);
        rounds += 1;
        let mut left = 2000 * rounds;
        let mut silence = 0;
        while !stop.load(Ordering::Relaxed) && left > 0 {
            if silence % 10 == 0 {
                let words = ["$zmesh.work", name, "50"];
                let _ = socket.send_multipart(words, zmq::DONTWAIT);
            }
            let Some(task) = receive(&socket, Duration::from_millis(100)) else {
                silence += 1;
                continue;
            };
            silence = 1;
            left -= 1;
            told(&task);
            let words = [&b"$zmesh.done"[..], &task[0]];
            let _ = socket.send_multipart(words, zmq::DONTWAIT);
        }
        socket.set_linger(0).unwrap();
    }
}

#[test]
fn while_workers_and_owners_are_killed_in_turn_every_task_is_done_and_twice_only_with_its_mark() {
    const TASKS: usize = 20_000;
    let mut mesh = Mesh::start(4);
    let names: Vec<String> = (1..4)
        .map(|node| mesh.topic_owned_by(node, "jobs"))
        .collect();
    let endpoints: Vec<String> = mesh.nodes.iter().map(Node::endpoint).collect();
    // By queue and number: how often it was done without the mark, and in all.
    let done: Vec<std::sync::Mutex<BTreeMap<usize, [u32; 2]>>> =
        names.iter().map(|_| Default::default()).collect();
    let all_done = || -> usize { done.iter().map(|it| it.lock().unwrap().len()).sum() };
    let (stop, pushed) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let (stop, pushed, names, done) = (&stop, &pushed, &names, &done);
        let first = endpoints[0].clone();
        scope.spawn(move || {
            // The pushers' node lives: what it has taken in is its to keep.
            let sender = connect(&zmq::Context::new(), zmq::PUSH, &[first]);
            for number in 0..TASKS {
                let text = number.to_string();
                let name = &names[number % names.len()];
                sender.send_multipart([name.as_str(), &text], 0).unwrap();
                pushed.fetch_add(1, Ordering::Relaxed);
            }
            wait::until_true("the end", || stop.load(Ordering::Relaxed));
        });
        for (index, name) in names.iter().enumerate() {
            for endpoint in [&endpoints[0], &endpoints[(index + 2) % 4]] {
                let told = move |task: &Message| {
                    let number = text(&task[1]).parse().expect("a number");
                    let unmarked = u32::from(!task[0].contains(&b'.'));
                    let mut done = done[index].lock().unwrap();
                    let counts = done.entry(number).or_default();
                    *counts = [counts[0] + unmarked, counts[1] + 1];
                };
                scope.spawn(move || work(stop, endpoint, name, told));
            }
        }
        for death in 0..5 {
            let before = all_done();
            wait::until_true("work between deaths", || {
                all_done() >= (before + 1500).min(TASKS) && is_copied(&mesh)
            });
            let victim = 1 + death % 3;
            mesh.nodes[victim].kill();
            mesh.nodes[victim].restart();
            mesh.settle();
        }
        wait::until_true("every task", || all_done() == TASKS);
        stop.store(true, Ordering::Relaxed);
    });
    let mut twice = 0;
    for done in &done {
        for (number, [unmarked, times]) in done.lock().unwrap().iter() {
            assert!(
                *unmarked <= 1,
                "{number}: {times} times, {unmarked} without the mark"
            );
            twice += u32::from(*times > 1);
        }
    }
    println!("{TASKS} tasks, 5 deaths of owners: {twice} done twice");
}

/// Whether each queue is in two places.
fn is_copied(mesh: &Mesh) -> bool {
    let told: Option<report::Queues> = mesh.nodes[0].ask("/api/v1/queues");
    told.is_some_and(|it| it.silent.is_empty() && it.queues.iter().all(|it| it.copied))
}

#[test]
fn words_that_make_no_sense_are_answered_with_what_would_and_disturb_nothing() {
    let mesh = Mesh::start(1);
    let long = "x".repeat(10_000);
    let socket = worker(&mesh.nodes[0], "jobs", "1");
    let wrong: [&[&str]; 12] = [
        &["$zmesh.work"],
        &["$zmesh.work", "a"],
        &["$zmesh.work", "a", "0"],
        &["$zmesh.work", "a", "9223372036854775808"],
        &["$zmesh.work", "a", "many"],
        &["$zmesh.work", "a", "1", "more"],
        &["$zmesh.work", &long, "1"],
        &["$zmesh.work", "$a", "1"],
        &["$zmesh.unwork", "a"],
        &["$zmesh.done", "0000000000000001-1"],
        &["$zmesh.done"],
        &["$zmesh.failed", "nonsense", "why"],
    ];
    for words in wrong {
        socket.send_multipart(words, 0).unwrap();
        let answer = receive(&socket, PATIENCE).expect("an answer");
        assert_eq!(
            answer[..2],
            [&b"$zmesh.error"[..], b"bad_request"],
            "{words:?}"
        );
        assert!(!answer[2].is_empty());
    }
    // What a PUSH socket sends wrong is in the log; what comes behind it is taken.
    let sender = pusher(&mesh.nodes[0]);
    sender.send_multipart([&long, "x"], 0).unwrap();
    sender.send_multipart(["jobs", "good"], 0).unwrap();
    let task = receive(&socket, PATIENCE).expect("a task comes");
    assert_eq!(task[1], b"good");
    assert!(
        mesh.nodes[0]
            .log()
            .contains("a message of a PUSH socket was dropped")
    );
}

fn run(node: &Node, arguments: &[&str]) -> Output {
    let mut command = zmesh();
    command.args(arguments).args(["--node", &node.client]);
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_verbs_push_pull_and_tell() {
    let mesh = Mesh::start(2);
    let [first, second] = [&mesh.nodes[0], &mesh.nodes[1]];
    let nothing = run(first, &["queue", "jobs"]);
    assert_eq!(nothing.status.code(), Some(1));
    for body in ["a", "b"] {
        let pushed = run(first, &["push", "jobs", body, "x"]);
        assert!(pushed.status.success(), "{}", text(&pushed.stderr));
    }
    wait_ready(first, "jobs", 2);
    let pulled = run(second, &["pull", "jobs", "--count", "1"]);
    assert_eq!(text(&pulled.stdout), "a\tx\n", "{}", text(&pulled.stderr));
    let pulled = run(second, &["pull", "jobs", "--ack", "--json", "--count", "1"]);
    assert!(text(&pulled.stdout).ends_with("\"frames\":[\"b\",\"x\"]}\n"));
    let empty = run(second, &["pull", "jobs", "--timeout", "200ms"]);
    assert_eq!(empty.status.code(), Some(1));
    wait::until_true("the end of both", || {
        queue(first, "jobs").is_some_and(|it| it.done_total == 2)
    });
    let queues = run(second, &["queues"]);
    assert!(
        text(&queues.stdout).contains("jobs"),
        "{}",
        text(&queues.stdout)
    );
    let one = run(second, &["queue", "jobs", "--json"]);
    let one: report::Queues = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(one.queues[0].done_total, 2);
    let dead = run(second, &["queue", "dead", "jobs"]);
    assert_eq!(text(&dead.stdout), "no dead tasks\n");
    let refused = run(first, &["push", "$jobs", "a"]);
    assert_eq!(refused.status.code(), Some(2));
    let names: BTreeSet<String> = one.queues.into_iter().map(|it| it.name).collect();
    assert_eq!(names.len(), 1);
}
