//! The fixed parts of a ZMTP connection's begin (RFC 23, "Greeting" and "The NULL Security
//! Mechanism"): greeting, READY and ERROR.

use super::frames::{command_parts, put_command};

/// Length of the greeting.
pub const GREETING_BYTES: usize = 64;

/// Bytes of a greeting that tell whether to go on: signature and major version.
pub const SIGNATURE_BYTES: usize = 11;

/// Longest READY that is read; metadata of ordinary sockets is under a hundred bytes.
pub const MAX_READY_BYTES: usize = 8 << 10;

/// The greeting of this node: ZMTP 3.1, mechanism NULL.
pub fn greeting() -> [u8; GREETING_BYTES] {
    let mut bytes = [0; GREETING_BYTES];
    bytes[0] = 0xFF;
    bytes[8] = 1;
    bytes[9] = 0x7F;
    bytes[10] = 3;
    bytes[11] = 1;
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

/// What is wrong with a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GreetingError {
    /// It is not ZMTP at all.
    #[error("not ZMTP")]
    NotZmtp,
    /// ZMTP 1 or 2: libzmq before 4.0.
    #[error("ZMTP older than 3.0 (libzmq before 4.0): upgrade the client's ZeroMQ library")]
    OldVersion,
    /// Another security mechanism than the node's.
    #[error("the client asks for a security mechanism; this node takes connections without one")]
    Mechanism,
}

/// Checks the first [`SIGNATURE_BYTES`] of a greeting.
pub fn check_signature(bytes: &[u8; SIGNATURE_BYTES]) -> Result<(), GreetingError> {
    if bytes[0] != 0xFF || bytes[9] & 1 == 0 {
        return Err(GreetingError::NotZmtp);
    }
    if bytes[10] < 3 {
        Err(GreetingError::OldVersion)
    } else {
        Ok(())
    }
}

/// Checks a whole greeting and returns the minor version, 0 or 1.
pub fn check_greeting(bytes: &[u8; GREETING_BYTES]) -> Result<u8, GreetingError> {
    let mut mechanism = [0; 20];
    mechanism[..4].copy_from_slice(b"NULL");
    if bytes[12..32] != mechanism {
        return Err(GreetingError::Mechanism);
    }
    // A later major or minor version must be able to speak this one.
    Ok(if bytes[10] > 3 { 1 } else { bytes[11].min(1) })
}

/// A READY command with a socket type.
pub fn ready(socket_type: &str) -> Vec<u8> {
    let mut data = Vec::new();
    put_property(&mut data, "Socket-Type", socket_type.as_bytes());
    if matches!(socket_type, "DEALER" | "ROUTER") {
        put_property(&mut data, "Identity", b"");
    }
    let mut out = Vec::new();
    put_command(&mut out, "READY", &data);
    out
}

/// An ERROR command: the peer shows the reason, at most 255 bytes, to its user.
pub fn error(reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(255);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut data = vec![end as u8];
    data.extend_from_slice(&reason.as_bytes()[..end]);
    let mut out = Vec::new();
    put_command(&mut out, "ERROR", &data);
    out
}

fn put_property(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
    out.extend_from_slice(value);
}

/// The socket type that a READY command's body names.
pub fn socket_type(body: &[u8]) -> Option<String> {
    let (name, mut data) = command_parts(body)?;
    if name != b"READY" {
        return None;
    }
    let mut found = None;
    while !data.is_empty() {
        let (name, rest) = command_parts(data)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            found = Some(String::from_utf8(value.to_vec()).ok()?);
        }
        data = rest;
    }
    found
}

/// The reason in an ERROR command's body.
pub fn error_reason(body: &[u8]) -> Option<String> {
    let (name, data) = command_parts(body)?;
    let (reason, _) = command_parts(data)?;
    (name == b"ERROR").then(|| String::from_utf8_lossy(reason).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_ready_names_its_socket_type() {
        assert_eq!(socket_type(&ready("XPUB")[2..]).as_deref(), Some("XPUB"));
        assert_eq!(
            socket_type(&ready("DEALER")[2..]).as_deref(),
            Some("DEALER")
        );
        assert_eq!(error_reason(&error("no")[2..]).as_deref(), Some("no"));
    }

    #[test]
    fn old_and_foreign_greetings_are_told_apart() {
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes.copy_from_slice(&greeting()[..SIGNATURE_BYTES]);
        assert_eq!(check_signature(&bytes), Ok(()));
        bytes[10] = 1;
        assert_eq!(check_signature(&bytes), Err(GreetingError::OldVersion));
        bytes[9] = 0;
        assert_eq!(check_signature(&bytes), Err(GreetingError::NotZmtp));
        let mut curve = greeting();
        curve[12..17].copy_from_slice(b"CURVE");
        assert_eq!(check_greeting(&curve), Err(GreetingError::Mechanism));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = socket_type(&bytes);
            let _ = error_reason(&bytes);
        }
    }
}
