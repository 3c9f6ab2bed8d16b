//! Ctrl-C and the wish of a service manager that the process ends.

use std::time::Duration;

use anyhow::{Context, Result};

/// A signal so soon after the first is no second wish.
const SAME_WISH: Duration = Duration::from_millis(200);

/// Calls `stop` in a thread of its own at the first signal; a second one ends the process.
pub(crate) fn on_stop(stop: impl FnOnce() + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot listen for signals")?;
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(signals.next());
            stop();
            runtime.block_on(async {
                // `timeout` sends one wish twice, to the process and to its group.
                let _ = tokio::time::timeout(SAME_WISH, signals.next()).await;
                signals.next().await;
            });
            eprintln!("stopped by a second signal before all was put away");
            std::process::exit(2);
        })
        .context("cannot start a thread")?;
    Ok(())
}

/// The wishes that settings are read again: SIGHUP, where there is any.
#[cfg(unix)]
pub(crate) struct Hangups {
    runtime: tokio::runtime::Runtime,
    signal: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Hangups {
    /// From here on a SIGHUP does not end the process.
    pub(crate) fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot listen for signals")?;
        let signal = runtime.block_on(async { signal(SignalKind::hangup()) });
        let signal = signal.context("cannot listen for SIGHUP")?;
        Ok(Self { runtime, signal })
    }

    /// Calls `reload` in a thread of its own at each, also for those that came before.
    pub(crate) fn on_each(mut self, reload: impl Fn() + Send + 'static) -> Result<()> {
        std::thread::Builder::new()
            .name("reload".into())
            .spawn(move || {
                while self.runtime.block_on(self.signal.recv()).is_some() {
                    reload();
                }
            })
            .context("cannot start a thread")?;
        Ok(())
    }
}

#[cfg(not(unix))]
pub(crate) struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    pub(crate) fn listen() -> Result<Self> {
        Ok(Self)
    }

    pub(crate) fn on_each(self, _: impl Fn() + Send + 'static) -> Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
