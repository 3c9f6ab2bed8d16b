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

/// Calls `reload` in a thread of its own at every SIGHUP, where there are any.
pub(crate) fn on_reload(reload: impl Fn() + Send + 'static) -> Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot listen for signals")?;
        let hangup = runtime.block_on(async { signal(SignalKind::hangup()) });
        let mut hangup = hangup.context("cannot listen for SIGHUP")?;
        std::thread::Builder::new()
            .name("reload".into())
            .spawn(move || {
                while runtime.block_on(hangup.recv()).is_some() {
                    reload();
                }
            })
            .context("cannot start a thread")?;
    }
    #[cfg(not(unix))]
    drop(reload);
    Ok(())
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
