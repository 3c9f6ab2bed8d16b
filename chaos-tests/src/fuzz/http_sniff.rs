//! The first bytes on a client address. What they are taken for depends on nothing that follows,
//! and the handshake agrees with it.

use zmesh_node::edge::sniff::{SNIFF_BYTES, SniffError, Spoken, sniff};
use zmesh_node::zmtp::greeting::GreetingError;
use zmesh_node::zmtp::handshake::HandshakeError;

use super::zmtp_handshake::shake;

/// Takes the bytes of a connection.
pub fn run(bytes: &[u8]) {
    let told = sniff(bytes);
    assert_eq!(told, sniff(&bytes[..bytes.len().min(SNIFF_BYTES)]));
    if let Ok(spoken) = told {
        assert_eq!(sniff(&bytes[..1]), Ok(spoken), "one byte is enough");
    }
    let method = bytes
        .iter()
        .position(|byte| *byte == b' ')
        .map(|end| &bytes[..end]);
    if method.is_some_and(is_method) {
        assert_eq!(told, Ok(Spoken::Http));
    }
    let not_zmtp = matches!(
        shake(true, bytes, usize::MAX).result,
        Err(HandshakeError::Greeting(GreetingError::NotZmtp))
    );
    match told {
        Ok(Spoken::Http) | Err(SniffError::Neither) if bytes != [1] => assert!(not_zmtp),
        Ok(Spoken::Zmtp) => assert!(!not_zmtp || bytes.len() >= 10, "by its signature only"),
        _ => assert!(!not_zmtp),
    }
}

fn is_method(text: &[u8]) -> bool {
    const METHODS: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    METHODS.iter().any(|method| method.as_bytes() == text)
}

/// See [`super::Target::examples`].
pub fn examples() -> Vec<Vec<u8>> {
    vec![
        b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"OPTIONS * HTTP/1.1\r\n\r\n".to_vec(),
        zmesh_node::zmtp::greeting::greeting().to_vec(),
        vec![0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7E],
        vec![1, 0],
        b"\x16\x03\x01".to_vec(),
    ]
}
