//! `chaos-tests boards` and `chaos-tests metrics`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use super::life::Life;
use super::prometheus::Prometheus;
use super::{draw, metrics_page, read_all};

/// How many points a line has.
const POINTS: f64 = 180.0;
/// A picture above this is too heavy for a page.
const MAX_PICTURE_BYTES: u64 = 400_000;

/// Draws each board from a real Prometheus
#[derive(Debug, clap::Args)]
pub struct Boards {
    /// Where it is; without, one is started beside a mesh with traffic and faults
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    /// Folder of the pictures
    #[arg(long, default_value = "docs/boards")]
    out: PathBuf,
    /// How many minutes before now the pictures show
    #[arg(long, default_value_t = 6)]
    minutes: u32,
    /// Seconds between two scrapes of that Prometheus
    #[arg(long, default_value_t = 1)]
    scrape: u64,
    /// Which cluster; without, whichever is there
    #[arg(long, default_value = ".+")]
    cluster: String,
    /// The program that makes pictures of pages
    #[arg(long, default_value = "chromium")]
    chromium: PathBuf,
}

/// Prints docs/metrics.md.
pub fn metrics() -> Result<()> {
    print!("{}", metrics_page::page(&read_all()?));
    Ok(())
}

impl Boards {
    /// Draws them all.
    pub fn run(&self) -> Result<()> {
        let _life;
        let (url, scrape) = match &self.prometheus {
            Some(url) => (url.clone(), self.scrape),
            None => {
                let mut life = Life::start();
                life.live(self.minutes);
                let url = life.url();
                _life = life;
                (url, 1)
            }
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let from = (now - 60 * u64::from(self.minutes)) as f64;
        let step = ((now as f64 - from) / POINTS).ceil() as u64;
        let prometheus = Prometheus {
            url,
            from,
            to: now as f64,
            step: step.max(scrape),
        };
        fs::create_dir_all(&self.out)?;
        let folder = tempfile::tempdir()?;
        for (name, board) in read_all()? {
            let (page, width, height) = draw::page(&board, &prometheus, &self.cluster, scrape)?;
            let html = folder.path().join(format!("{name}.html"));
            fs::write(&html, page)?;
            let picture = self.out.join(format!("{name}.png"));
            self.photograph(&html, &picture, width, height)?;
            println!("{}", picture.display());
        }
        Ok(())
    }

    fn photograph(&self, html: &Path, picture: &Path, width: u32, height: u32) -> Result<()> {
        let taken = Command::new(&self.chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            .args([
                "--hide-scrollbars",
                &format!("--window-size={width},{height}"),
            ])
            .arg(format!("--screenshot={}", picture.display()))
            .arg(format!("file://{}", html.display()))
            .output()
            .with_context(|| {
                format!(
                    "cannot start {}: apt-get install chromium, or name another with --chromium",
                    self.chromium.display()
                )
            })?;
        if !taken.status.success() {
            bail!("no picture: {}", String::from_utf8_lossy(&taken.stderr));
        }
        let size = fs::metadata(picture)
            .context("chromium made no picture")?
            .len();
        ensure!(
            size <= MAX_PICTURE_BYTES,
            "{} has {size} bytes, more than {MAX_PICTURE_BYTES}: draw fewer minutes",
            picture.display()
        );
        Ok(())
    }
}
