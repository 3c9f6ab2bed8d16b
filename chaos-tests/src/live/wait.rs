//! Waiting for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a busy machine; a test that fails takes this long, one that passes does not.
pub const PATIENCE: Duration = Duration::from_secs(40);

const POLL: Duration = Duration::from_millis(20);

/// Asks again and again until there is an answer.
///
/// # Panics
/// After [`PATIENCE`], naming what it waited for.
pub fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        thread::sleep(POLL);
    }
}

/// Asks again and again whether it is so by now; gives up after [`PATIENCE`].
pub fn comes_true(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

/// Asks again and again until the answer is yes.
///
/// # Panics
/// After [`PATIENCE`], naming what it waited for.
pub fn until_true(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}
