//! Log lines on stderr: short for people, JSON for machines.

use std::fmt;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::output;
use crate::settings::{LogFormat, Settings};

/// Starts logging for the whole process.
pub(crate) fn start(settings: &Settings) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.log)
        .with_context(|| format!("`{}` is no log filter: try --log info", settings.log))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match settings.log_format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines
            .with_timer(Milliseconds)
            .with_target(false)
            .with_ansi(output::stderr_has_colour())
            .try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

/// UTC to the millisecond: the microseconds that are the default only widen the line.
struct Milliseconds;

impl FormatTime for Milliseconds {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        let mut exact = String::with_capacity(32);
        SystemTime.format_time(&mut Writer::new(&mut exact))?;
        out.write_str(exact.get(..23).unwrap_or(&exact))?;
        out.write_char('Z')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_to_the_millisecond() {
        let mut time = String::new();
        Milliseconds
            .format_time(&mut Writer::new(&mut time))
            .expect("a string takes it");
        assert_eq!(time.len(), "2026-01-31T12:34:56.789Z".len(), "{time}");
        assert_eq!(time.as_bytes()[19], b'.', "{time}");
        assert!(time.ends_with('Z'), "{time}");
    }
}
