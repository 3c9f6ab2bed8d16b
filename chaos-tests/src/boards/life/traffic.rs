//! Publishers and subscribers whose rates rise and fall.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::live::socket::{connect, receive};
use crate::live::{Node, service};

/// Pause between two bursts of a publisher.
const BURST: Duration = Duration::from_millis(20);
/// How long a visitor stays.
const VISIT: Duration = Duration::from_secs(7);
const STOCKS: [&str; 8] = [
    "AAPL", "MSFT", "NVDA", "AMZN", "META", "GOOG", "TSLA", "INTC",
];

/// Threads that end when this is dropped.
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that failed has said so.
            let _ = thread.join();
        }
    }
}

impl Traffic {
    /// A publisher at each node; a subscriber at each, and one that comes and goes; workers and
    /// askers.
    pub(super) fn start(nodes: &[Node]) -> Self {
        let mut traffic = Self {
            stop: Arc::default(),
            threads: Vec::new(),
        };
        let prefixes = ["STOCK.", "STOCK.A", "SENSOR."];
        for (number, (node, prefix)) in nodes.iter().zip(prefixes).enumerate() {
            let (from, to) = (node.endpoint(), node.endpoint());
            traffic.run(move |stop| publish(stop, from, number));
            traffic.run(move |stop| subscribe(stop, to, prefix));
        }
        for node in &nodes[1..] {
            let endpoint = node.endpoint();
            traffic.run(move |stop| service::serve(stop, &endpoint, "risk"));
        }
        for pause in [5, 20] {
            let endpoint = nodes[0].endpoint();
            let pause = Duration::from_millis(pause);
            traffic.run(move |stop| service::ask(stop, &endpoint, "risk", pause));
        }
        let visited = nodes[0].endpoint();
        traffic.run(move |stop| visit(stop, visited));
        traffic
    }

    fn run(&mut self, work: impl FnOnce(&AtomicBool) + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(thread::spawn(move || work(&stop)));
    }
}

fn publish(stop: &AtomicBool, endpoint: String, number: usize) {
    let socket = connect(&zmq::Context::new(), zmq::PUB, &[endpoint]);
    let payload = vec![b'.'; 1000];
    let begin = Instant::now();
    let mut sent = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        // Each node has its own tide.
        let tide = (begin.elapsed().as_secs_f64() / (14.0 + 9.0 * number as f64)).sin();
        let burst = (10.0 + 8.0 * tide) as usize;
        for _ in 0..burst {
            sent += 1;
            // The first stocks are traded most.
            let stock = STOCKS[(sent % 8).min(sent / 8 % 8)];
            let topic = match sent {
                _ if sent.is_multiple_of(5000) => "$reserved".into(),
                _ if sent.is_multiple_of(6) => format!("SENSOR.{}", sent / 6 % 3),
                _ => format!("STOCK.{stock}"),
            };
            // What cannot be sent waits in no queue: a PUB socket drops it.
            let _ = socket.send_multipart([topic.as_bytes(), &payload], zmq::DONTWAIT);
        }
        thread::sleep(BURST);
    }
}

fn subscribe(stop: &AtomicBool, endpoint: String, prefix: &str) {
    let socket = connect(&zmq::Context::new(), zmq::SUB, &[endpoint]);
    socket
        .set_subscribe(prefix.as_bytes())
        .expect("any prefix is valid");
    while !stop.load(Ordering::Relaxed) {
        receive(&socket, Duration::from_millis(200));
    }
}

/// A client that comes, reads for a while, and goes.
fn visit(stop: &AtomicBool, endpoint: String) {
    while !stop.load(Ordering::Relaxed) {
        let socket = connect(
            &zmq::Context::new(),
            zmq::SUB,
            std::slice::from_ref(&endpoint),
        );
        socket
            .set_subscribe(b"STOCK.TSLA")
            .expect("any prefix is valid");
        let begin = Instant::now();
        while begin.elapsed() < VISIT && !stop.load(Ordering::Relaxed) {
            receive(&socket, Duration::from_millis(200));
        }
    }
}
