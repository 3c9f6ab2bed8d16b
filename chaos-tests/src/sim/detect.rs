//! How soon a mesh finds its dead, how often it is wrong, and what it sends for that: ours beside
//! models of others, in one simulation.

pub mod figures;
pub mod measure;
pub mod mesh;
pub mod plot;
pub mod profiles;
pub mod table;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use self::figures::{Plan, Way};
use self::mesh::Mesh;
use crate::page;

/// Measures, and writes tables and pictures.
#[derive(Debug, Args)]
pub struct Detect {
    /// A little of everything
    #[arg(long)]
    quick: bool,
    /// Only count living members that are declared dead, among 256 that lose 25 % of their packets,
    /// for so many minutes
    #[arg(long, value_name = "MINUTES")]
    lossy: Option<u64>,
    /// Folder for reliability.md and reliability/*.svg; tables are printed if not given
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Detect {
    /// Measures and writes. How far it is goes to stderr.
    pub fn run(&self) -> ExitCode {
        let begun = Instant::now();
        let tell = |what: &str| eprintln!("{:7.1} s {what}", begun.elapsed().as_secs_f64());
        let written = match self.lossy {
            Some(minutes) => self.write("lossy", &lossy(minutes, tell), &[]),
            None => {
                let plan = if self.quick {
                    Plan::quick()
                } else {
                    Plan::full()
                };
                let figures = plan.run(tell);
                let pictures = table::pictures(&figures);
                self.write("detect", &table::tables(&figures), &pictures)
            }
        };
        tell("done");
        match written {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("cannot write the figures: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn write(
        &self,
        name: &str,
        tables: &str,
        pictures: &[(&'static str, plot::Chart)],
    ) -> io::Result<()> {
        let Some(out) = &self.out else {
            print!("{tables}");
            return Ok(());
        };
        let folder = out.join("reliability");
        std::fs::create_dir_all(&folder)?;
        for (file, chart) in pictures {
            std::fs::write(folder.join(file), chart.svg())?;
        }
        page::put(&out.join("reliability.md"), name, tables)
    }
}

/// A long run under loss, minute by minute.
fn lossy(minutes: u64, tell: impl Fn(&str)) -> String {
    let mut mesh = Mesh::started(Way::ALL[0].setup(256, 1));
    mesh.run(Duration::from_secs(10));
    mesh.lose_packets(0.25);
    let (mut deaths, before) = (0, mesh.suspicions());
    for minute in 1..=minutes {
        deaths += measure::false_deaths(&mut mesh, Duration::from_secs(60));
        let suspicions = mesh.suspicions() - before;
        tell(&format!(
            "minute {minute}: {suspicions} suspicions, {deaths} false deaths"
        ));
    }
    let suspicions = mesh.suspicions() - before;
    format!(
        "256 members that lose 25 % of their packets, {minutes} minutes: {deaths} times a living \
         member was declared dead; {suspicions} times a member began to hold another suspect.\n"
    )
}
