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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_repeats_the_context_of_its_ping() {
        assert_eq!(ping(Duration::from_secs(30)), b"\x04\x07\x04PING\x01\x2c");
        assert_eq!(pong(b"\x01\x2cabc"), b"\x04\x08\x04PONGabc");
        assert_eq!(pong(b"\x01"), b"\x04\x05\x04PONG");
        assert_eq!(pong(&[7; 99]).len(), 2 + 5 + CONTEXT_BYTES);
    }
}
