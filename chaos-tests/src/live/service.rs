//! A worker and an asker for as long as a test or a picture needs them.

use super::socket::{connect, receive};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// It is looked so often whether they are to end.
const LOOK: Duration = Duration::from_millis(100);

/// A worker that hears nothing says so often that it is there.
const AGAIN: Duration = Duration::from_secs(1);

/// Serves this with the body of each request, until it is to stop.
pub fn serve(stop: &AtomicBool, endpoint: &str, service: &str) {
    let socket = connect(&zmq::Context::new(), zmq::DEALER, &[endpoint.into()]);
    let mut said: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) {
        if said.is_none_or(|at| at.elapsed() >= AGAIN) {
            // While its node is away nothing can be sent, and nothing needs to be.
            let _ = socket.send_multipart(["$zmesh.serve", service, "10"], zmq::DONTWAIT);
            said = Some(Instant::now());
        }
        if let Some(request) = receive(&socket, LOOK) {
            let _ = socket.send_multipart(request, zmq::DONTWAIT);
        }
    }
}

/// Asks again and again, with this pause between an answer and the next request.
pub fn ask(stop: &AtomicBool, endpoint: &str, service: &str, pause: Duration) {
    let socket = connect(&zmq::Context::new(), zmq::DEALER, &[endpoint.into()]);
    while !stop.load(Ordering::Relaxed) {
        let _ = socket.send_multipart(["$zmesh.request", "a", service, "body"], zmq::DONTWAIT);
        // An answer, or an error, or its node is away.
        receive(&socket, LOOK);
        // How fast it asks; nothing waits for it.
        std::thread::sleep(pause);
    }
}
