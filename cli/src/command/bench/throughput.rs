//! Throughput: from the first message sent to the last one received.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::session::{Plan, Received, SILENCE, Session, receive, send};

/// Bytes that may be under way: far more than any socket buffers, less than a node's queue for one
/// subscriber holds, so that a run measures speed and not what is dropped at a full queue.
const WINDOW_BYTES: u64 = 32 << 20;
/// Pause of a publisher that has filled the window.
const WINDOW_PAUSE: Duration = Duration::from_micros(100);

/// What one run came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Throughput {
    /// Messages that were sent, each to every subscriber.
    pub(super) messages: u64,
    /// Messages that the subscriber to which fewest came received.
    pub(super) received: u64,
    /// From the first send to the last receive.
    pub(super) seconds: f64,
    /// What one subscriber received, in payload bytes / 10⁶ a second.
    pub(super) megabytes_per_second: f64,
    /// Messages that did not arrive, summed over the subscribers.
    pub(super) lost: u64,
}

impl Throughput {
    pub(super) fn messages_per_second(&self) -> f64 {
        self.received as f64 / self.seconds
    }
}

/// Sends so many messages and waits until they have arrived.
pub(super) fn run(plan: &Plan, count: u64) -> Result<Throughput> {
    let Session {
        publishers,
        subscribers,
    } = Session::open(plan)?;
    let flow = Flow::new(plan, count);
    let (first, received) = thread::scope(|scope| {
        let senders: Vec<_> = publishers
            .into_iter()
            .enumerate()
            .map(|(number, socket)| {
                let flow = &flow;
                scope.spawn(move || flow.publish(plan, number, &socket))
            })
            .collect();
        let receivers: Vec<_> = subscribers
            .into_iter()
            .enumerate()
            .map(|(number, socket)| {
                let flow = &flow;
                scope.spawn(move || flow.subscribe(number, &socket))
            })
            .collect();
        let first: Result<Vec<Instant>> = senders.into_iter().map(joined).collect();
        let received: Result<Vec<(u64, Instant)>> = receivers.into_iter().map(joined).collect();
        anyhow::Ok((first?, received?))
    })?;
    let first = first.into_iter().min().unwrap_or_else(Instant::now);
    let last = received
        .iter()
        .map(|(_, last)| *last)
        .max()
        .unwrap_or(first);
    let seconds = last
        .saturating_duration_since(first)
        .as_secs_f64()
        .max(f64::MIN_POSITIVE);
    let slowest = received
        .iter()
        .map(|(received, _)| *received)
        .min()
        .unwrap_or(0);
    Ok(Throughput {
        messages: count,
        received: slowest,
        seconds,
        megabytes_per_second: slowest as f64 * plan.size as f64 / seconds / 1e6,
        lost: received
            .iter()
            .map(|(received, _)| count.saturating_sub(*received))
            .sum(),
    })
}

/// The result of a thread of the bench.
pub(super) fn joined<T>(handle: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle
        .join()
        .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread of the bench ended early")))
}

/// How far each thread is, so that publishers do not run ahead without bound.
struct Flow {
    count: u64,
    /// Messages that may be under way.
    window: u64,
    /// A thread tells its progress after so many messages.
    stride: u64,
    sent: Vec<AtomicU64>,
    received: Vec<AtomicU64>,
    /// A subscriber has given up: nothing more will arrive.
    broken: AtomicBool,
    start: Barrier,
}

impl Flow {
    fn new(plan: &Plan, count: u64) -> Self {
        let message_bytes = (plan.size + plan.topics[0].len() + 16) as u64;
        let parties = plan.publishers as u64;
        let window = (WINDOW_BYTES / message_bytes).max(2 * parties);
        let counters = |number| (0..number).map(|_| AtomicU64::new(0)).collect();
        Self {
            count,
            window,
            stride: (window / 4 / parties).clamp(1, 256),
            sent: counters(plan.publishers),
            received: counters(plan.subscribers),
            broken: AtomicBool::new(false),
            start: Barrier::new(plan.publishers + plan.subscribers),
        }
    }

    /// Sends one publisher's share: the time just before its first message.
    fn publish(&self, plan: &Plan, number: usize, socket: &zmq::Socket) -> Result<Instant> {
        let (number_of, index) = (self.sent.len() as u64, number as u64);
        let share = self.count / number_of + u64::from(index < self.count % number_of);
        let payload = vec![b'x'; plan.size];
        let mut topics = plan.topics.iter().cycle();
        self.start.wait();
        let first = Instant::now();
        let mut until_look = self.stride;
        for sent in 1..=share {
            let topic = topics.next().map_or("", String::as_str);
            send(socket, topic.as_bytes(), &payload)?;
            until_look -= 1;
            if until_look == 0 {
                until_look = self.stride;
                self.sent[number].store(sent, Release);
                if !self.wait_for_room() {
                    break;
                }
            }
        }
        self.wait_for_all();
        Ok(first)
    }

    /// Waits while the window is full; false when nothing will ever make room.
    fn wait_for_room(&self) -> bool {
        while self.under_way() > self.window {
            if self.broken.load(Acquire) {
                return false;
            }
            thread::sleep(WINDOW_PAUSE);
        }
        true
    }

    /// Keeps a publisher's socket open until everything has arrived.
    fn wait_for_all(&self) {
        while self.slowest() < self.count && !self.broken.load(Acquire) {
            thread::sleep(10 * WINDOW_PAUSE);
        }
    }

    fn under_way(&self) -> u64 {
        let sent: u64 = self.sent.iter().map(|sent| sent.load(Acquire)).sum();
        sent.saturating_sub(self.slowest())
    }

    fn slowest(&self) -> u64 {
        self.received
            .iter()
            .map(|received| received.load(Acquire))
            .min()
            .unwrap_or(0)
    }

    /// Receives until all have come or none comes any more: how many, and when the last.
    fn subscribe(&self, number: usize, socket: &zmq::Socket) -> Result<(u64, Instant)> {
        let mut payload = zmq::Message::new();
        let mut received = 0;
        let mut until_look = self.stride;
        self.start.wait();
        let mut last = Instant::now();
        while received < self.count {
            match receive(socket, &mut payload) {
                Ok(Received::Message) => received += 1,
                Ok(Received::Probe) => continue,
                Ok(Received::Nothing) if last.elapsed() < SILENCE => continue,
                Ok(Received::Nothing) => {
                    self.broken.store(true, Release);
                    break;
                }
                Err(error) => {
                    self.broken.store(true, Release);
                    return Err(error);
                }
            }
            until_look -= 1;
            if until_look == 0 || received == self.count {
                until_look = self.stride;
                last = Instant::now();
                self.received[number].store(received, Release);
            }
        }
        Ok((received, last))
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::{Path, topics};
    use super::*;

    #[test]
    fn every_message_arrives_at_every_subscriber() {
        let plan = Plan {
            path: Path::Direct,
            size: 0,
            publishers: 3,
            subscribers: 2,
            topics: topics("t", 5),
            timeout: Duration::from_secs(10),
        };
        let result = run(&plan, 10_000).expect("a run");
        assert_eq!((result.received, result.lost), (10_000, 0));
        assert!(result.messages_per_second() > 0.0);
    }

    #[test]
    fn what_was_lost_does_not_count_as_speed() {
        let half = Throughput {
            messages: 1000,
            received: 500,
            seconds: 2.0,
            megabytes_per_second: 0.0,
            lost: 500,
        };
        assert_eq!(half.messages_per_second(), 250.0);
    }

    #[test]
    fn large_messages_pass_through_a_window_of_few() {
        let plan = Plan {
            path: Path::Direct,
            size: 20 << 20,
            publishers: 1,
            subscribers: 1,
            topics: topics("t", 1),
            timeout: Duration::from_secs(10),
        };
        assert_eq!(run(&plan, 6).expect("a run").lost, 0);
    }
}
