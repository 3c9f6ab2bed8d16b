//! What is refused, with which exit code, and whether the message names the remedy.

use std::io::Write;

use crate::support::{nobody, run, zmesh};

#[test]
fn a_wrong_flag_ends_with_exit_code_2_and_the_nearest_one() {
    let run = run(&["node", "--prot", "5555"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("--port"), "{}", run.stderr);
    assert_eq!(run.stdout, "");
}

#[test]
fn a_wrong_value_ends_with_exit_code_2_and_what_is_allowed() {
    let run = run(&["node", "--weight", "99"]);
    assert_eq!(run.code, Some(2));
    assert_eq!(
        run.stderr,
        "error: --weight 99: must be a whole number from 1 to 16\n"
    );
}

#[test]
fn a_wrong_file_ends_with_exit_code_2_and_the_line() {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    file.write_all(b"name = \"a\"\nwieght = 3\n")
        .expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let run = run(&["node", "--config", path]);
    assert_eq!(run.code, Some(2));
    let expected = format!("{path}:2: unknown key `wieght`; the nearest that exists is `weight`");
    assert_eq!(run.stderr, format!("error: {expected}\n"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let run = run(&["node", "--config", "/nonexistent/zmesh.toml"]);
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("/nonexistent/zmesh.toml"),
        "{}",
        run.stderr
    );
}

#[test]
fn an_unknown_variable_ends_with_exit_code_2_and_the_nearest_one() {
    let output = zmesh(&["node"])
        .env("ZMESH_CLUSTR", "a")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("ZMESH_CLUSTER"), "{said}");
}

#[test]
fn without_a_node_every_verb_says_how_to_start_one() {
    let address = nobody();
    for arguments in [
        &["members"][..],
        &["ring"],
        &["owner", "T"],
        &["status"],
        &["connections", "--json"],
        &["drain"],
        &["pub", "T", "payload", "--timeout", "0s"],
        &["sub", "T", "--timeout", "1ms"],
        &["bench", "--count", "1", "--timeout", "0s"],
    ] {
        let run = run(&[arguments, &["--node", &address]].concat());
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.stderr);
        assert!(
            run.stderr.contains(&address),
            "{arguments:?}: {}",
            run.stderr
        );
        assert!(
            run.stderr.contains("zmesh dev"),
            "{arguments:?}: {}",
            run.stderr
        );
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn the_address_of_the_node_comes_from_the_variable_as_well() {
    let address = nobody();
    let output = zmesh(&["members"])
        .env("ZMESH_NODE", &address)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&address), "{said}");
}

#[test]
fn a_mesh_on_ports_that_are_taken_says_how_to_choose_others() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let run = run(&["dev", "--nodes", "1", "--port", &port]);
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains(&port) && run.stderr.contains("--port"),
        "{}",
        run.stderr
    );
}
