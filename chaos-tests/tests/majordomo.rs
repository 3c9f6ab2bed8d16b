//! Majordomo clients and workers, written from the text of their RFCs and not from this code, at
//! the nodes of a live mesh.

use chaos_tests::live::language::{clients, python};
use chaos_tests::live::running::Program;
use chaos_tests::live::socket::{connect, receive};
use chaos_tests::live::wait::PATIENCE;
use chaos_tests::live::{Mesh, Node, wait};
use std::process::Command;
use zmesh_node::report;

fn program(role: &str, version: &str, node: &Node, service: &str) -> Program {
    let mut command = Command::new(python());
    command.arg(clients().join("majordomo.py"));
    command.args([role, version, &node.endpoint(), service]);
    Program::start(command)
}

fn workers(node: &Node, service: &str) -> usize {
    let told: Option<report::Services> = node.ask("/api/v1/services");
    let services = told.map(|told| told.services).unwrap_or_default();
    let of_it = services.iter().find(|it| it.name == service);
    of_it.map_or(0, |it| it.workers.len())
}

fn wait_workers(node: &Node, service: &str, count: usize) {
    wait::until_true("the workers", || workers(node, service) == count);
}

/// A service that is owned by neither the asker's nor the worker's node.
fn service(mesh: &Mesh) -> String {
    mesh.topic_owned_by(1, "echo")
}

#[test]
fn clients_and_workers_of_both_versions_work_unchanged_at_any_node() {
    let mesh = Mesh::start(3);
    let service = service(&mesh);
    for of_worker in ["1", "2"] {
        let worker = program("worker", of_worker, &mesh.nodes[2], &service);
        wait_workers(&mesh.nodes[0], &service, 1);
        for of_client in ["1", "2"] {
            let mut client = program("client", of_client, &mesh.nodes[0], &service);
            for number in 0..50 {
                client.say(&format!("a{number}\tb"));
                let request = format!("request\ta{number}\tb");
                assert_eq!(worker.hear_but("heartbeat"), request);
                if of_client == "2" && of_worker == "2" {
                    assert_eq!(client.hear(), format!("partial\ta{number}"));
                    assert_eq!(client.hear(), "partial\tb");
                }
                let last = if of_client == "1" { "reply" } else { "final" };
                assert_eq!(client.hear(), format!("{last}\ta{number}\tb\tdone"));
            }
        }
        // And one that knows nothing of Majordomo.
        let context = zmq::Context::new();
        let asking = connect(&context, zmq::REQ, &[mesh.nodes[0].endpoint()]);
        asking.send_multipart([&service, "x"], 0).unwrap();
        let answer = receive(&asking, PATIENCE).expect("an answer");
        assert_eq!(answer, [&b"x"[..], b"done"]);
        drop(worker);
        wait_workers(&mesh.nodes[0], &service, 0);
    }
}

#[test]
fn a_worker_of_the_mesh_serves_majordomo_clients_which_hear_why_if_there_is_none() {
    let mesh = Mesh::start(2);
    let service = service(&mesh);
    let mut management = program("client", "1", &mesh.nodes[0], "mmi.service");
    let mut is_there = || {
        management.say(&service);
        management.hear()
    };
    assert_eq!(is_there(), "reply\t404");
    let mut client = program("client", "1", &mesh.nodes[0], &service);
    client.say("a");
    let said = client.hear();
    assert!(
        said.starts_with("reply\t$zmesh.error\tno_worker\t"),
        "{said}"
    );
    let context = zmq::Context::new();
    let worker = connect(&context, zmq::DEALER, &[mesh.nodes[1].endpoint()]);
    let words = ["$zmesh.serve", service.as_str(), "1"];
    worker.send_multipart(words, 0).unwrap();
    wait_workers(&mesh.nodes[0], &service, 1);
    assert_eq!(is_there(), "reply\t200");
    client.say("a");
    let request = receive(&worker, PATIENCE).expect("a request");
    assert_eq!(request[1], b"a");
    worker.send_multipart([&request[0][..], b"b"], 0).unwrap();
    assert_eq!(client.hear(), "reply\tb");
    let mut other = program("client", "2", &mesh.nodes[0], "mmi.other");
    other.say("a");
    assert_eq!(other.hear(), "final\t501");
}

#[test]
fn a_worker_that_stands_still_is_out_and_comes_back_when_it_goes_on() {
    let mesh = Mesh::start_with(2, &["--service", "echo:deadline=60s"]);
    for version in ["1", "2"] {
        let worker = program("worker", version, &mesh.nodes[1], "echo");
        wait_workers(&mesh.nodes[0], "echo", 1);
        let mut client = program("client", version, &mesh.nodes[0], "echo");
        signal("STOP", worker.pid());
        client.say("a");
        // Long before its deadline.
        let said = client.hear();
        assert!(said.contains("\t$zmesh.error\tworker_lost\t"), "{said}");
        wait_workers(&mesh.nodes[0], "echo", 0);
        signal("CONT", worker.pid());
        // It does what it had been given, hears that it is out, and is ready again.
        wait_workers(&mesh.nodes[0], "echo", 1);
        client.say("b");
        let last = if version == "1" { "reply" } else { "final" };
        while client.hear() != format!("{last}\tb\tdone") {}
        drop(worker);
        wait_workers(&mesh.nodes[0], "echo", 0);
    }
}

#[test]
fn a_worker_registers_again_when_its_node_comes_back() {
    let mut mesh = Mesh::start(2);
    let worker = program("worker", "1", &mesh.nodes[1], "echo");
    wait_workers(&mesh.nodes[0], "echo", 1);
    mesh.nodes[1].kill();
    wait_workers(&mesh.nodes[0], "echo", 0);
    mesh.nodes[1].restart();
    // Its socket connects again by itself, and its heartbeat comes from nobody who is ready.
    assert_eq!(worker.hear_but("heartbeat"), "disconnect");
    wait_workers(&mesh.nodes[0], "echo", 1);
    let mut client = program("client", "2", &mesh.nodes[0], "echo");
    client.say("a");
    assert_eq!(client.hear(), "final\ta\tdone");
}

fn signal(name: &str, pid: u32) {
    let mut kill = Command::new("kill");
    let sent = kill.args(["-s", name, &pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
}
