//! Runs the cases one after the other, each in a process of its own: whatever becomes of it, its
//! namespaces and all that runs in them end with it, and the others still run.

use super::LiveArgs;
use super::cases::{CASES, Case, SOME};
use super::detection::FIGURES;
use super::limits::exceeded;
use super::report::report;
use super::table::{Row, figures, table};
use crate::live::site::Site;
use crate::live::site::outcome::Outcome;
use crate::page;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs what was asked for, prints the table, and fails if a promise was broken.
///
/// # Errors
/// If one was, or no fault has such a name.
pub fn run(args: &LiveArgs) -> Result<()> {
    if let Some(folder) = &args.run_into {
        return run_alone(args, folder);
    }
    if args.list {
        for case in CASES.iter().chain(&FIGURES) {
            println!("{:20} {}", case.name, case.what);
        }
        return Ok(());
    }
    let cases = asked_for(args)?;
    let mut rows = Vec::new();
    for case in cases {
        for number in 1..=args.runs {
            eprintln!("{}, {number} of {}: {}", case.name, args.runs, case.what);
            let name = case.name;
            let outcome = run_apart(case, args).map_err(|error| format!("{error:#}"));
            rows.push(Row { name, outcome });
        }
    }
    println!("{}{}", table(&rows), figures(&rows));
    if let Some(folder) = &args.out {
        let command: Vec<String> = std::env::args().collect();
        let text = report(&command.join(" "), &rows, what);
        let file = folder.join("reliability.md");
        page::put(&file, "live", &text).with_context(|| file.display().to_string())?;
    }
    let bad = rows.iter().filter(|row| !row.is_good()).count();
    ensure!(bad == 0, "{bad} of {} runs broke a promise", rows.len());
    Ok(())
}

fn what(name: &str) -> &'static str {
    let mut all = CASES.iter().chain(&FIGURES);
    all.find(|case| case.name == name).map_or("", |it| it.what)
}

fn asked_for(args: &LiveArgs) -> Result<Vec<&'static Case>> {
    let mut cases = Vec::new();
    for name in &args.faults {
        let all = CASES.iter().chain(&FIGURES);
        let found: Vec<_> = all.filter(|case| case.name == name).collect();
        ensure!(
            !found.is_empty(),
            "there is no fault {name:?}: `--list` names them"
        );
        cases.extend(found);
    }
    Ok(if cases.is_empty() {
        CASES.iter().collect()
    } else {
        cases
    })
}

/// One run in a process of its own. What it wrote down is kept if anything is wrong.
fn run_apart(case: &Case, args: &LiveArgs) -> Result<Outcome> {
    let program = std::env::current_exe().context("this program")?;
    let folder = folder(&program, case.name);
    // What a run before this one left.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let mut command = Command::new(&program);
    command.args([
        "live",
        "--fault",
        case.name,
        "--rate",
        &args.rate.to_string(),
    ]);
    command
        .arg("--run-into")
        .arg(&folder)
        .stderr(Stdio::piped());
    let output = command.output().context("this program again")?;
    let events = fs::read_to_string(folder.join("events")).unwrap_or_default();
    if args.verbose {
        eprint!("{events}");
    }
    let mut outcome = outcome_of(&output);
    if let (true, Ok(outcome)) = (args.timed(), &mut outcome) {
        outcome.complaints.extend(exceeded(case.limits, outcome));
    }
    let good = outcome.as_ref().is_ok_and(|it| it.complaints.is_empty());
    if good {
        fs::remove_dir_all(&folder).context("what it wrote down")?;
        return outcome;
    }
    if let Ok(outcome) = &outcome {
        outcome
            .complaints
            .iter()
            .for_each(|it| eprintln!("{}: {it}", case.name));
    } else {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    eprintln!("{events}logs and histories are in {}", folder.display());
    outcome
}

/// What a run prints, or the reason for its end.
fn outcome_of(output: &std::process::Output) -> Result<Outcome> {
    if output.status.success() {
        return serde_json::from_slice(&output.stdout).context("what a run prints");
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let mut lines = said
        .lines()
        .skip_while(|line| !line.contains("panicked at"));
    let reason = lines.nth(1).or(said.lines().last()).unwrap_or_default();
    bail!("{reason}")
}

/// One run, in this process; prints what came of it.
fn run_alone(args: &LiveArgs, folder: &Path) -> Result<()> {
    for case in asked_for(args)? {
        let outcome = run_case(case, args.rate, folder);
        println!("{}", serde_json::to_string(&outcome)?);
    }
    Ok(())
}

/// One run of a case; logs and histories go into a folder.
///
/// # Panics
/// If something that must happen does not.
pub fn run_case(case: &Case, rate: u32, folder: &Path) -> Outcome {
    let mut site = Site::start((case.plan)(rate), folder);
    site.load();
    site.flow(SOME);
    (case.fault)(&mut site);
    site.flow(SOME);
    site.finish()
}

/// Where a failure is kept.
fn folder(program: &Path, name: &str) -> PathBuf {
    let target = program.parent().and_then(Path::parent);
    target.unwrap_or(Path::new(".")).join("chaos").join(name)
}
