//! Signs of life between two ends of a ZMTP 3.1 connection (RFC 37, "Connection Heartbeating").

use std::time::Duration;

use super::frames::put_command;

/// Longest context that a PONG repeats.
const CONTEXT_BYTES: usize = 16;

/// A PING: whoever gets it may close the connection if it hears nothing more for this long.
pub fn ping(time_to_live: Duration) -> Vec<u8> {
    let tenths = u16::try_from(time_to_live.as_millis() / 100).unwrap_or(u16::MAX);
    let mut out = Vec::new();
    put_command(&mut out, "PING", &tenths.to_be_bytes());
    out
}

/// The answer to a PING with these data: its context, without the time to live.
pub fn pong(ping_data: &[u8]) -> Vec<u8> {
    let context = ping_data.get(2..).unwrap_or_default();
    let mut out = Vec::new();
    put_command(
        &mut out,
        "PONG",
        &context[..context.len().min(CONTEXT_BYTES)],
    );
    out
}

/// So many ticks after the last PING the next one goes whatever is left to read.
const OVERDUE_TICKS: u32 = 15;

/// Who leaves so many questions without an answer is gone. Counted, not timed: a process that stood
/// still asked nothing meanwhile, and finds the answers when it goes on.
const UNANSWERED: u32 = 3;

/// How one end sees the other between two ticks.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// It is read: what it says would be heard.
    pub heard: bool,
    /// Nothing of what it sent is left to be read.
    pub drained: bool,
    /// It may have more to read than it takes in, and not come to a question behind that.
    pub busy: bool,
}

/// When to ask the other end for a sign of life, in ticks of the caller.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    /// Ticks since the last question.
    ticks: u32,
    /// Questions since it was last heard.
    unanswered: u32,
}

/// The other end has left too many questions without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent;

impl Pulse {
    /// The other end has said something.
    pub fn heard(&mut self) {
        self.unanswered = 0;
    }

    /// Whether it is time for a PING.
    pub fn tick(&mut self, seen: Seen) -> Result<bool, Silent> {
        if !seen.heard || seen.busy {
            self.unanswered = 0;
        } else if self.unanswered >= UNANSWERED {
            return Err(Silent);
        }
        self.ticks += 1;
        let idle = seen.heard && seen.drained && !seen.busy;
        Ok(idle || self.ticks >= OVERDUE_TICKS)
    }

    /// A PING has gone.
    pub fn asked(&mut self) {
        self.ticks = 0;
        self.unanswered += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Seen = Seen {
        heard: true,
        drained: true,
        busy: false,
    };

    /// Ticks until it is given up, if ever, and questions until then.
    fn given_up(seen: Seen) -> (Option<u32>, u32) {
        let (mut pulse, mut asked) = (Pulse::default(), 0);
        for tick in 0..1000 {
            match pulse.tick(seen) {
                Ok(false) => {}
                Ok(true) => {
                    asked += 1;
                    pulse.asked();
                }
                Err(Silent) => return (Some(tick), asked),
            }
        }
        (None, asked)
    }

    #[test]
    fn who_is_idle_and_silent_is_given_up_after_three_questions() {
        assert_eq!(given_up(IDLE), (Some(3), 3));
        let mut pulse = Pulse::default();
        for _ in 0..100 {
            assert_eq!(pulse.tick(IDLE), Ok(true));
            pulse.asked();
            pulse.heard();
        }
    }

    #[test]
    fn who_has_much_to_read_or_is_not_read_is_asked_seldom_and_never_given_up() {
        // Within its own patience: 15 ticks of 10 s are half of the time to live.
        let busy = Seen { busy: true, ..IDLE };
        assert_eq!(given_up(busy), (None, 1000 / 15));
        let unread = Seen {
            heard: false,
            ..IDLE
        };
        assert_eq!(given_up(unread), (None, 1000 / 15));
    }

    #[test]
    fn a_pong_repeats_the_context_of_its_ping() {
        assert_eq!(ping(Duration::from_secs(30)), b"\x04\x07\x04PING\x01\x2c");
        assert_eq!(pong(b"\x01\x2cabc"), b"\x04\x08\x04PONGabc");
        assert_eq!(pong(b"\x01"), b"\x04\x05\x04PONG");
        assert_eq!(pong(&[7; 99]).len(), 2 + 5 + CONTEXT_BYTES);
    }
}
