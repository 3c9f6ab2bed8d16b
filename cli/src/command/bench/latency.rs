//! Latency at a fixed rate, from the time at which each message was due.
//!
//! The load is open: a message that is late delays no other, and what it waited counts. So a pause
//! of the mesh shows in every message that should have been sent during it.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::session::{Plan, Received, SILENCE, Session, receive, send};
use super::throughput::joined;

/// Messages of the first moments are not counted: caches and buffers are cold.
const WARM_UP: Duration = Duration::from_millis(500);
/// Time between the start signal and the first message.
const HEAD_START: Duration = Duration::from_millis(20);
/// A sleep may end so much late; the rest of a wait is spent looking at the clock.
const SLEEP_SLACK: Duration = Duration::from_micros(60);
/// Bytes at the start of a payload that say when the message was due.
const STAMP_BYTES: usize = 8;

/// What one run came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Latency {
    pub(super) p50_us: f64,
    pub(super) p90_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) max_us: f64,
    /// How late the publishers themselves were at the 99th percentile: a part of the above.
    pub(super) publisher_p99_us: f64,
    /// Messages counted, over all subscribers.
    pub(super) messages: u64,
    /// Messages that did not arrive, summed over the subscribers.
    pub(super) lost: u64,
}

/// Sends at a fixed rate for so many seconds.
pub(super) fn run(plan: &Plan, rate: u64, seconds: u64) -> Result<Latency> {
    let Session {
        publishers,
        subscribers,
    } = Session::open(plan)?;
    let warm_up = rate * WARM_UP.as_millis() as u64 / 1000;
    let pace = Pace {
        epoch: Instant::now(),
        interval_nanos: 1e9 / rate as f64,
        warm_up,
        count: warm_up + rate * seconds,
        start: Barrier::new(plan.publishers + plan.subscribers),
        listening: AtomicUsize::new(plan.subscribers),
        broken: AtomicBool::new(false),
        zero_nanos: std::sync::OnceLock::new(),
    };
    let (late, heard) = thread::scope(|scope| {
        let pace = &pace;
        let senders: Vec<_> = publishers
            .into_iter()
            .enumerate()
            .map(|(number, socket)| scope.spawn(move || pace.publish(plan, number, &socket)))
            .collect();
        let receivers: Vec<_> = subscribers
            .into_iter()
            .map(|socket| scope.spawn(move || pace.subscribe(&socket)))
            .collect();
        let late: Result<Vec<_>> = senders.into_iter().map(joined).collect();
        let heard: Result<Vec<_>> = receivers.into_iter().map(joined).collect();
        anyhow::Ok((late?, heard?))
    })?;
    let all_late = merged(late)?;
    let received: u64 = heard.iter().map(|(_, received)| received).sum();
    let all = merged(heard.into_iter().map(|(histogram, _)| histogram))?;
    let at = |quantile| all.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Latency {
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: all.max() as f64 / 1e3,
        publisher_p99_us: all_late.value_at_quantile(0.99) as f64 / 1e3,
        messages: all.len(),
        lost: (pace.count * plan.subscribers as u64).saturating_sub(received),
    })
}

fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).context("no histogram")
}

fn merged(all: impl IntoIterator<Item = Histogram<u64>>) -> Result<Histogram<u64>> {
    let mut sum = histogram()?;
    for one in all {
        sum.add(one).context("histograms of one run are alike")?;
    }
    Ok(sum)
}

/// When each message is due.
struct Pace {
    /// Where the time of the stamps begins.
    epoch: Instant,
    interval_nanos: f64,
    /// So many messages are sent, but not counted.
    warm_up: u64,
    count: u64,
    start: Barrier,
    /// Subscribers that still wait for messages.
    listening: AtomicUsize,
    /// A thread has failed: the others need not go on.
    broken: AtomicBool,
    /// When the first message is due.
    zero_nanos: std::sync::OnceLock<u64>,
}

impl Pace {
    fn now_nanos(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// The first message is due a moment after all threads are there.
    fn begin(&self) -> u64 {
        self.start.wait();
        *self
            .zero_nanos
            .get_or_init(|| self.now_nanos() + HEAD_START.as_nanos() as u64)
    }

    fn due_nanos(&self, zero: u64, message: u64) -> u64 {
        zero + (message as f64 * self.interval_nanos) as u64
    }

    /// Sends every message of one publisher when it is due: how late each was.
    fn publish(&self, plan: &Plan, number: usize, socket: &zmq::Socket) -> Result<Histogram<u64>> {
        let mut late = histogram()?;
        let mut payload = vec![b'x'; plan.size.max(STAMP_BYTES)];
        let zero = self.begin();
        for message in (number as u64..self.count).step_by(plan.publishers) {
            let due = self.due_nanos(zero, message);
            self.wait_until(due);
            if self.broken.load(Relaxed) {
                break;
            }
            payload[..STAMP_BYTES].copy_from_slice(&due.to_le_bytes());
            let topic = &plan.topics[message as usize % plan.topics.len()];
            send(socket, topic.as_bytes(), &payload)?;
            late.saturating_record(self.now_nanos().saturating_sub(due));
        }
        while self.listening.load(Acquire) > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(late)
    }

    /// Sleeps for most of the time and gives way to others for the rest.
    fn wait_until(&self, due: u64) {
        loop {
            let left = Duration::from_nanos(due.saturating_sub(self.now_nanos()));
            match left.checked_sub(SLEEP_SLACK) {
                Some(sleep) if !sleep.is_zero() => thread::sleep(sleep),
                _ if left.is_zero() => return,
                _ => thread::yield_now(),
            }
        }
    }

    /// Receives until all have come or none comes any more: the times taken, and how many came.
    fn subscribe(&self, socket: &zmq::Socket) -> Result<(Histogram<u64>, u64)> {
        let result = self.listen(socket);
        if result.is_err() {
            self.broken.store(true, Relaxed);
        }
        self.listening.fetch_sub(1, Release);
        result
    }

    fn listen(&self, socket: &zmq::Socket) -> Result<(Histogram<u64>, u64)> {
        let mut times = histogram()?;
        let mut payload = zmq::Message::new();
        let mut received = 0;
        let zero = self.begin();
        let counted_from = self.due_nanos(zero, self.warm_up);
        let silence = SILENCE.as_nanos() as u64 + self.interval_nanos as u64;
        let mut last = zero;
        while received < self.count {
            match receive(socket, &mut payload)? {
                Received::Message => {}
                Received::Probe => continue,
                Received::Nothing if self.now_nanos() < last.saturating_add(silence) => continue,
                Received::Nothing => break,
            }
            last = self.now_nanos();
            received += 1;
            let stamp = payload.first_chunk::<STAMP_BYTES>().copied();
            let due = stamp
                .map(u64::from_le_bytes)
                .context("a message of somebody else")?;
            if due >= counted_from {
                times.saturating_record(last.saturating_sub(due));
            }
        }
        Ok((times, received))
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::{Path, topics};
    use super::*;

    #[test]
    fn a_run_counts_every_message_after_the_warm_up() {
        let plan = Plan {
            path: Path::Direct,
            size: 128,
            publishers: 2,
            subscribers: 2,
            topics: topics("t", 3),
            timeout: Duration::from_secs(10),
        };
        let result = run(&plan, 1000, 1).expect("a run");
        assert_eq!((result.messages, result.lost), (2000, 0));
        assert!(result.p50_us <= result.p99_us && result.p99_us <= result.max_us);
        assert!(result.p50_us > 0.0);
    }
}
