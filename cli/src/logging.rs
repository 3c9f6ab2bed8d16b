//! Log lines on stderr: short for people, JSON for machines.

use std::fmt;

use anyhow::{Context, Result};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::output;
use crate::settings::{LogFormat, Settings};

/// What is logged, while the process runs.
pub(crate) struct Filter(reload::Handle<EnvFilter, Registry>);

impl Filter {
    /// From now on it is this, such as `debug`.
    pub(crate) fn set(&self, filter: &str) -> Result<()> {
        let set = self.0.reload(parse(filter)?);
        set.context("cannot change what is logged")
    }
}

/// Starts logging for the whole process.
pub(crate) fn start(settings: &Settings) -> Result<Filter> {
    let (filter, handle) = reload::Layer::new(parse(&settings.log)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match settings.log_format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines
            .with_timer(Milliseconds)
            .with_target(false)
            .with_ansi(output::stderr_has_colour())
            .boxed(),
    };
    let logging = tracing_subscriber::registry().with(filter).with(lines);
    logging
        .try_init()
        .map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))?;
    Ok(Filter(handle))
}

fn parse(filter: &str) -> Result<EnvFilter> {
    EnvFilter::try_new(filter)
        .with_context(|| format!("`{filter}` is no log filter: try --log info"))
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
