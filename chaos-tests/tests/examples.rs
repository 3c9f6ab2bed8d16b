//! The examples run as they are, in each language with each: every publisher reaches every
//! subscriber through the mesh, and every asker a worker.

use chaos_tests::live::language::{compile_c, examples, python};
use chaos_tests::live::running::Running;
use chaos_tests::live::{Mesh, wait};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use zmesh_node::report;

/// The commands of an example in each language.
fn commands(name: &str, folder: &Path) -> [Command; 3] {
    let mut in_python = Command::new(python());
    in_python.arg(examples().join("python").join(format!("{name}.py")));
    let mut in_node = Command::new("node");
    in_node.arg(examples().join("node").join(format!("{name}.js")));
    let in_c = compile_c(&examples().join("c").join(format!("{name}.c")), folder);
    [in_python, in_node, Command::new(in_c)]
}

#[test]
fn every_publisher_reaches_every_subscriber() {
    let mesh = Mesh::start(3);
    let folder = tempfile::tempdir().unwrap();
    let mut subscribers: Vec<Running> = commands("subscriber", folder.path())
        .map(|mut it| {
            it.arg(mesh.nodes[2].endpoint())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .map(Running)
        .into();
    wait::until_true("three subscribers to be ready", || {
        let held = mesh.nodes[2].ask::<report::Subscriptions>("/api/v1/subscriptions");
        held.is_some_and(|held| {
            held.subscriptions
                .iter()
                .any(|it| it.ready && it.connections == 3)
        })
    });
    let mut outputs: Vec<_> = subscribers
        .iter_mut()
        .map(|it| BufReader::new(it.0.stdout.take().unwrap()).lines())
        .collect();
    for mut publisher in commands("publisher", folder.path()) {
        let running = Running(publisher.arg(mesh.nodes[0].endpoint()).spawn().unwrap());
        for lines in &mut outputs {
            // The publisher before this one may have been heard last.
            for _ in 0..2 {
                let line = lines.next().unwrap().unwrap();
                let (topic, price) = line.split_once(' ').unwrap();
                assert_eq!(topic, "STOCK.AAPL");
                assert!(price.parse::<u32>().unwrap() >= 20_000, "{line}");
            }
        }
        drop(running);
    }
}

#[test]
fn every_asker_is_answered_by_every_worker() {
    let mesh = Mesh::start(3);
    let folder = tempfile::tempdir().unwrap();
    for mut worker in commands("worker", folder.path()) {
        let told = worker.arg(mesh.nodes[2].endpoint()).stdout(Stdio::piped());
        let mut worker = Running(told.spawn().unwrap());
        let workers = |count| {
            wait::until_true("the worker", || {
                mesh.nodes[2].metric("zmesh_workers", "") == count
            });
        };
        workers(1);
        for mut asker in commands("request", folder.path()) {
            asker.arg(mesh.nodes[0].endpoint());
            // The owner may hear of the worker a moment later than its node.
            wait::until_true("an answer", || {
                let output = asker.output().unwrap();
                let told = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(
                    told.is_empty() || told == "risk of AAPL x 100: ok\n",
                    "{told}"
                );
                output.status.success()
            });
        }
        let mut lines = BufReader::new(worker.0.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "AAPL 100");
        drop(worker);
        workers(0);
    }
}
