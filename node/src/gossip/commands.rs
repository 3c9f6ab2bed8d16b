//! The way to the gossip thread: a bounded queue, and a socket that wakes it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zmesh_gossip::Member;

/// Commands that may wait for the gossip thread. Refused addresses and cards beyond that are
/// dropped: both come again.
const COMMANDS: usize = 1024;

/// What others ask of the gossip thread.
#[derive(Debug)]
pub(super) enum Command {
    Refused(String),
    Reset(String),
    Card(Box<Member>),
    Resolved(String, Vec<SocketAddr>),
    Checked {
        address: String,
        refused: bool,
    },
    Stop,
    /// Ends the thread without a word, as a crash would.
    #[cfg(test)]
    Abort,
}

/// Wakes the gossip thread, which sleeps in libzmq, so it takes a libzmq message to wake it.
#[derive(Clone)]
struct Waker {
    /// Held for one non-blocking send, and only when the thread is not awake already.
    socket: Arc<Mutex<zmq::Socket>>,
    awake: Arc<AtomicBool>,
}

/// The data thread says every quarter of a second how late it is. One that says nothing for longer
/// than this hangs, and its silence is its lag.
const BEAT_PATIENCE_MS: u64 = 1000;

/// What only the latest value of counts, and what must never be lost to a full queue.
#[derive(Default)]
struct Marks {
    /// When the data thread last said how late it is, in milliseconds since `born`, and how late.
    beat_ms: AtomicU64,
    lag_ms: AtomicU64,
    /// When that was, and how long before it the links last brought something, by peer.
    signs: Mutex<Option<(Instant, BTreeMap<u64, Duration>)>>,
    ready: AtomicBool,
    leaving: AtomicBool,
    handed_on: AtomicBool,
}

/// What was asked for since the last look.
pub(super) struct Asked {
    pub(super) ready: bool,
    pub(super) leaving: bool,
    pub(super) handed_on: bool,
}

/// The way to the gossip thread. Never blocks.
#[derive(Clone)]
pub(crate) struct GossipCommands {
    queue: SyncSender<Command>,
    waker: Waker,
    marks: Arc<Marks>,
    born: Instant,
}

impl GossipCommands {
    /// `wake` is the end that wakes the thread; the receiver is the thread's.
    pub(super) fn new(wake: zmq::Socket) -> (Self, Receiver<Command>) {
        let (queue, received) = sync_channel(COMMANDS);
        let waker = Waker {
            socket: Arc::new(Mutex::new(wake)),
            awake: Arc::default(),
        };
        (
            Self {
                queue,
                waker,
                marks: Arc::default(),
                born: Instant::now(),
            },
            received,
        )
    }

    /// This node can own partitions from now on.
    pub(crate) fn set_ready(&self) {
        self.marks.ready.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// This node wants to hand its partitions over.
    pub(crate) fn set_leaving(&self) {
        self.marks.leaving.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// This node has handed on all that it had.
    pub(crate) fn set_handed_on(&self) {
        self.marks.handed_on.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// A connection to this `host:port` of a member was refused.
    pub(crate) fn refused(&self, address: String) {
        self.send(Command::Refused(address));
    }

    /// An established connection to this `host:port` of a member broke.
    pub(crate) fn reset(&self, address: String) {
        self.send(Command::Reset(address));
    }

    /// A member was learned of over a link.
    pub(crate) fn card(&self, member: Member) {
        self.send(Command::Card(Box::new(member)));
    }

    /// How far the data thread is behind. Costs one store: it may be called often.
    pub(crate) fn lag(&self, lag: Duration) {
        let ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        self.marks.lag_ms.store(ms, Ordering::Relaxed);
        self.marks.beat_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// How long ago the links last brought something, by the nonces of their peers. Wakes nobody:
    /// it is looked at before anything is done that depends on it.
    pub(crate) fn signs_of_life(&self, ago: BTreeMap<u64, Duration>) {
        // What was told before is freed when nobody waits for it.
        let before = self.signs().replace((Instant::now(), ago));
        drop(before);
    }

    /// The signs that were told since the last look.
    pub(super) fn latest_signs(&self) -> Option<BTreeMap<u64, Duration>> {
        let (at, mut ago) = self.signs().take()?;
        let since = at.elapsed();
        ago.values_mut().for_each(|ago| *ago += since);
        Some(ago)
    }

    fn signs(&self) -> MutexGuard<'_, Option<(Instant, BTreeMap<u64, Duration>)>> {
        let signs = self.marks.signs.lock();
        signs.unwrap_or_else(PoisonError::into_inner)
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn send(&self, command: Command) {
        if self.queue.try_send(command).is_err() {
            tracing::debug!("a command to the gossip thread was dropped");
        }
        self.waker.wake();
    }

    /// Waits for room in the queue: the thread drains it whenever it is awake.
    pub(super) fn send_surely(&self, command: Command) {
        self.waker.wake();
        if self.queue.send(command).is_err() {
            tracing::debug!("the gossip thread has ended already");
        }
        self.waker.wake();
    }

    /// There is something for the thread to look at.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// The thread is awake and will look at everything once more: a command that comes from now
    /// on wakes it again.
    pub(super) fn heard(&self) {
        // A swap and not a store: what the thread reads next must not be read before it.
        self.waker.awake.swap(false, Ordering::AcqRel);
    }

    pub(super) fn latest_lag(&self) -> Duration {
        let beat = self.marks.beat_ms.load(Ordering::Relaxed);
        // Before the first word there is no data thread yet.
        let silent = if beat == 0 {
            0
        } else {
            self.age_ms().saturating_sub(beat)
        };
        let overdue = silent.saturating_sub(BEAT_PATIENCE_MS);
        Duration::from_millis(self.marks.lag_ms.load(Ordering::Relaxed).max(overdue))
    }

    pub(super) fn asked(&self) -> Asked {
        let take = |mark: &AtomicBool| mark.swap(false, Ordering::AcqRel);
        Asked {
            ready: take(&self.marks.ready),
            leaving: take(&self.marks.leaving),
            handed_on: take(&self.marks.handed_on),
        }
    }
}

impl Waker {
    fn wake(&self) {
        if self.awake.swap(true, Ordering::AcqRel) {
            return;
        }
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = socket.send(zmq::Message::new(), zmq::DONTWAIT) {
            tracing::debug!(%error, "cannot wake the gossip thread");
        }
    }
}
