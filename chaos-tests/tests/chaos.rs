//! A few of the faults of `make chaos`: real nodes on hosts of their own, real clients, and a
//! history that is checked.

use std::process::Command;
use std::sync::Mutex;

/// Few messages a second: the program under test is not built for speed here.
const RATE: &str = "4000";

/// One at a time: each has all that the machine has.
static TURN: Mutex<()> = Mutex::new(());

#[track_caller]
fn keeps_its_promises_through(fault: &str) {
    // A fault that failed before is no reason not to try this one.
    let _turn = TURN.lock().unwrap_or_else(|failed| failed.into_inner());
    let program = env!("CARGO_BIN_EXE_chaos-tests");
    let mut command = Command::new(program);
    // Tests share the machine with others: no time is asserted here, `make chaos` does that.
    command.args(["live", "--untimed", "--verbose"]);
    command.args(["--rate", RATE, "--fault", fault]);
    let output = command
        .output()
        .expect("the program was built beside this test");
    let told = String::from_utf8_lossy(&output.stderr);
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{told}");
}

#[test]
fn a_killed_owner_costs_surviving_clients_nothing() {
    keeps_its_promises_through("kill-owner");
}

#[test]
fn links_that_are_reset_cost_nothing() {
    keeps_its_promises_through("reset");
}

#[test]
fn a_node_that_joins_and_leaves_costs_nothing() {
    keeps_its_promises_through("join-and-leave");
}

#[test]
fn two_nodes_that_are_cut_off_from_each_other_for_a_moment_lose_nothing() {
    keeps_its_promises_through("cut-pair-3");
}

#[test]
fn clients_that_know_no_limit_make_nobody_take_a_node_for_dead() {
    keeps_its_promises_through("saturated-10");
}
