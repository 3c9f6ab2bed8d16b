//! ZMTP by hand: clients that do what no ZeroMQ library would.

use super::wait::PATIENCE;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A TCP connection to a node.
pub struct Raw {
    /// The connection, with [`PATIENCE`] as its time limit.
    pub stream: TcpStream,
}

/// The 64 bytes with which a ZMTP 3.x peer without security opens.
pub fn greeting(minor: u8) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = 0xff;
    bytes[9..12].copy_from_slice(&[0x7f, 3, minor]);
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

/// The READY command of a socket of this type.
pub fn ready(socket_type: &str) -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type".to_vec();
    body.extend((socket_type.len() as u32).to_be_bytes());
    body.extend(socket_type.as_bytes());
    let mut frame = vec![4, u8::try_from(body.len()).expect("socket types are short")];
    frame.extend(body);
    frame
}

/// One frame of a message.
pub fn frame(body: &[u8], more: bool) -> Vec<u8> {
    let mut bytes = match u8::try_from(body.len()) {
        Ok(length) => vec![u8::from(more), length],
        Err(_) => [
            &[2 | u8::from(more)][..],
            &(body.len() as u64).to_be_bytes(),
        ]
        .concat(),
    };
    bytes.extend(body);
    bytes
}

impl Raw {
    /// Connects and says nothing.
    ///
    /// # Panics
    /// If nobody listens there.
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("somebody listens");
        let limits = [
            stream.set_read_timeout(Some(PATIENCE)),
            stream.set_write_timeout(Some(PATIENCE)),
        ];
        limits
            .into_iter()
            .for_each(|it| it.expect("a time limit is above zero"));
        Self { stream }
    }

    /// Connects as a socket of this type, through the whole handshake.
    ///
    /// # Panics
    /// If the node does not answer as ZMTP wants it.
    pub fn handshake(address: &str, socket_type: &str) -> Self {
        let mut raw = Self::connect(address);
        raw.say(&[&greeting(0)[..], &ready(socket_type)].concat());
        let mut theirs = [0; 64];
        raw.stream.read_exact(&mut theirs).expect("a greeting");
        let (flags, body) = raw.frame();
        assert!(
            flags & 4 == 4 && body.starts_with(b"\x05READY"),
            "READY, not {flags} {body:?}"
        );
        raw
    }

    /// Subscribes as ZMTP 3.0 does.
    pub fn subscribe(&mut self, prefix: &[u8]) {
        self.say(&frame(&[&[1], prefix].concat(), false));
    }

    /// Sends bytes. A connection that the node has closed meanwhile is no failure.
    pub fn say(&mut self, bytes: &[u8]) {
        // The test reads on, and sees the end there.
        let _ = self.stream.write_all(bytes);
    }

    /// The next frame: flags and body.
    ///
    /// # Panics
    /// If none comes.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut flags = [0];
        self.stream.read_exact(&mut flags).expect("a frame");
        let mut length = [0; 8];
        let first = if flags[0] & 2 == 2 { 0 } else { 7 };
        self.stream
            .read_exact(&mut length[first..])
            .expect("its length");
        let length = usize::try_from(u64::from_be_bytes(length)).expect("a length that fits");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("its body");
        (flags[0], body)
    }

    /// Waits until the node has closed the connection; gives what it said before.
    ///
    /// # Panics
    /// If it stays open.
    pub fn until_closed(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return said,
                Ok(count) => said.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return said,
                Err(error) => panic!("the connection stays open after {said:?}: {error}"),
            }
        }
    }

    /// Reads slowly never and fast never: only whether the node has sent anything by now.
    pub fn has_data(&self) -> bool {
        let mut byte = [0];
        let limit = |limit| {
            self.stream
                .set_read_timeout(Some(limit))
                .expect("above zero")
        };
        limit(Duration::from_millis(1));
        let peeked = self.stream.peek(&mut byte);
        limit(PATIENCE);
        peeked.is_ok_and(|count| count > 0)
    }
}
