//! The examples run as they are: every publisher reaches every subscriber through the mesh.

use chaos_tests::live::language::{compile_c, examples, python};
use chaos_tests::live::{Mesh, wait};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use zmesh_node::report;

/// A running example, killed when this is dropped.
struct Example(Child);

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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
    let mut subscribers: Vec<Example> = commands("subscriber", folder.path())
        .map(|mut it| {
            it.arg(mesh.nodes[2].endpoint())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .map(Example)
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
        let running = Example(publisher.arg(mesh.nodes[0].endpoint()).spawn().unwrap());
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
