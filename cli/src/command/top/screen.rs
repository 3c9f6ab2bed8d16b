//! The terminal: taken over, drawn on, and given back whatever happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};

use super::app::{After, App};
use super::draw;
use super::feed::Feed;
use crate::address::Address;
use crate::signals;

/// Longest wait for a key before a new look is drawn.
const WAIT: Duration = Duration::from_millis(100);

/// Shows the mesh until a key or a signal ends it.
pub(super) fn run(node: &Address) -> Result<()> {
    let mut app = App::new();
    let feed = Feed::start(node, app.wish())?;
    // Who asks where nobody is shall read so on an ordinary terminal.
    app.take(Ok(feed.looks.recv().context("the looks ended")??));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    signals::on_stop(move || stop.store(true, Ordering::Relaxed))?;
    // This also has a panic give the terminal back, before it is told.
    let mut terminal = ratatui::try_init().context("cannot draw on this terminal: try --once")?;
    let shown = show(&mut terminal, &mut app, &feed, &stopped);
    let restored = ratatui::try_restore().context("cannot give the terminal back: try `reset`");
    shown.and(restored)
}

fn show(
    terminal: &mut DefaultTerminal,
    app: &mut App,
    feed: &Feed,
    stopped: &AtomicBool,
) -> Result<()> {
    while !stopped.load(Ordering::Relaxed) {
        loop {
            match feed.looks.try_recv() {
                Ok(look) => app.take(look),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => bail!("the looks at the mesh ended"),
            }
        }
        terminal.draw(|frame| draw::draw(frame, app))?;
        if !event::poll(WAIT)? {
            continue;
        }
        if let Event::Key(key) = event::read()? {
            match app.key(key) {
                After::Leave => return Ok(()),
                After::Look => feed.wish(app.wish()),
                After::Nothing => {}
            }
        }
    }
    Ok(())
}
