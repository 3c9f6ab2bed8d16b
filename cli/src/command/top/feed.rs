//! The thread that looks at the mesh once a second, and at once when something else is wished for.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};

use super::INTERVAL;
use super::sample::{Sample, Wish};
use crate::address::Address;

/// Looks as they come, and the way to say what the next shall tell.
pub(super) struct Feed {
    pub(super) looks: Receiver<Result<Sample>>,
    wishes: Sender<Wish>,
}

impl Feed {
    pub(super) fn start(node: &Address, wish: Wish) -> Result<Self> {
        let (send_look, looks) = channel();
        let (wishes, wished) = channel();
        let node = node.clone();
        thread::Builder::new()
            .name("looks".into())
            .spawn(move || follow(&node, wish, &wished, &send_look))
            .context("cannot start a thread")?;
        Ok(Self { looks, wishes })
    }

    pub(super) fn wish(&self, wish: Wish) {
        // Without the thread there are no looks either: that is told where they are taken.
        let _ = self.wishes.send(wish);
    }
}

/// Looks until nobody wants to see it.
fn follow(node: &Address, mut wish: Wish, wished: &Receiver<Wish>, looks: &Sender<Result<Sample>>) {
    loop {
        let begun = Instant::now();
        if looks.send(Sample::take(node, &wish)).is_err() {
            return;
        }
        let left = INTERVAL.saturating_sub(begun.elapsed());
        match wished.recv_timeout(left) {
            // Only the last of several counts.
            Ok(new) => wish = wished.try_iter().last().unwrap_or(new),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
