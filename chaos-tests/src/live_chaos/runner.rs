//! Runs the cases one after the other.

use super::LiveArgs;
use super::cases::{CASES, Case, SOME};
use super::table::{Row, spread, table};
use crate::live::site::Site;
use crate::live::site::outcome::Outcome;
use anyhow::{Result, ensure};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// Runs what was asked for, prints the table, and fails if a promise was broken.
///
/// # Errors
/// If one was, or no fault has such a name.
pub fn run(args: &LiveArgs) -> Result<()> {
    let asked = |case: &&Case| {
        args.faults.is_empty()
            || args
                .faults
                .iter()
                .any(|it| case.name.starts_with(it.as_str()))
    };
    let cases: Vec<&Case> = CASES.iter().filter(asked).collect();
    ensure!(
        !cases.is_empty(),
        "no fault has such a name; `--list` names them"
    );
    if args.list {
        cases
            .iter()
            .for_each(|case| println!("{:20} {}", case.name, case.what));
        return Ok(());
    }
    let mut rows = Vec::new();
    let mut bad = 0;
    for case in cases {
        let first = rows.len();
        for number in 1..=args.runs {
            eprintln!("{} {number} of {}: {}", case.name, args.runs, case.what);
            let outcome = run_case(case, args);
            bad += u32::from(!is_good(&outcome));
            rows.push(Row {
                name: case.name,
                outcome,
            });
        }
        summarise(&rows[first..]);
    }
    println!("{}", table(&rows));
    ensure!(bad == 0, "{bad} of {} runs broke a promise", rows.len());
    Ok(())
}

/// Whether everything is as promised.
fn is_good(outcome: &Result<Outcome, String>) -> bool {
    outcome.as_ref().is_ok_and(|it| it.complaints.is_empty())
}

/// One run of a case: what came of it, or how it ended before its time.
pub fn run_case(case: &Case, args: &LiveArgs) -> Result<Outcome, String> {
    let plan = (case.plan)(args.rate);
    let started = catch_unwind(|| Site::start(plan));
    let mut site = started.map_err(|panic| text(&*panic))?;
    let done = catch_unwind(AssertUnwindSafe(|| {
        site.load();
        site.flow(SOME);
        (case.fault)(&mut site);
        site.flow(SOME);
        site.finish()
    }));
    let outcome = done.map_err(|panic| text(&*panic));
    if args.verbose || !is_good(&outcome) {
        site.events().for_each(|line| eprintln!("{line}"));
    }
    if !is_good(&outcome) {
        let folder = folder(case.name);
        match site.save(&folder) {
            Ok(()) => eprintln!("logs and histories are in {}", folder.display()),
            Err(error) => eprintln!("logs and histories are lost: {error}"),
        }
    }
    if let Ok(outcome) = &outcome {
        outcome
            .complaints
            .iter()
            .for_each(|it| eprintln!("{}: {it}", case.name));
    }
    outcome
}

/// Where a failure is kept.
fn folder(name: &str) -> PathBuf {
    let target = std::env::current_exe().ok();
    let target = target.and_then(|it| Some(it.parent()?.parent()?.to_path_buf()));
    target.unwrap_or_default().join("chaos").join(name)
}

fn summarise(rows: &[Row]) {
    if rows.len() > 1 {
        let outcomes = rows.iter().filter_map(|row| row.outcome.as_ref().ok());
        let pauses: Vec<_> = outcomes.map(|it| it.total.pause.length).collect();
        println!("{}: longest pause {}", rows[0].name, spread(&pauses));
    }
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let known = panic.downcast_ref::<String>().cloned();
    let known = known.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    known.unwrap_or_else(|| "a panic".into())
}
