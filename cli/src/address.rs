//! The `HOST:PORT` of a node, and finding out whether anybody is there.

use std::fmt;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::settings::given::split_address;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause between attempts while a node may still be starting.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// A wait this long is told to the person who waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// The client address of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text
            .strip_prefix("http://")
            .map(|it| it.trim_end_matches('/'));
        let bare = bare.or(text.strip_prefix("tcp://")).unwrap_or(text);
        split_address(bare)
            .map(|(host, port)| Self {
                host: host.to_string(),
                port,
            })
            .ok_or_else(|| "must be HOST:PORT, such as 127.0.0.1:5555 or [::1]:5555".into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Address {
    /// Connects to the first address of the host that answers, trying again until the deadline.
    pub(crate) fn connect(&self, timeout: Duration) -> Result<TcpStream> {
        let started = Instant::now();
        let mut told = false;
        loop {
            let error = match self.try_connect() {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            let waited = started.elapsed();
            if waited >= timeout {
                return Err(self.nobody_there(&error));
            }
            if waited >= PATIENCE && !told {
                eprintln!("waiting for a node at {self} ({error})");
                told = true;
            }
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    /// The address of the host that answers, as libzmq is told it. A name may stand for several
    /// addresses, of which libzmq would try the first only.
    pub(crate) fn reach(&self, timeout: Duration) -> Result<SocketAddr> {
        Ok(self.connect(timeout)?.peer_addr()?)
    }

    /// Whether anybody listens there.
    pub(crate) fn is_there(&self) -> bool {
        self.try_connect().is_ok()
    }

    /// What to tell a person who asked for a node that is not there.
    pub(crate) fn nobody_there(&self, reason: &dyn fmt::Display) -> anyhow::Error {
        anyhow::anyhow!(
            "no node answers at {self} ({reason}): start one with `zmesh node` or `zmesh dev`, or \
             name the address of another with --node HOST:PORT"
        )
    }

    fn try_connect(&self) -> std::io::Result<TcpStream> {
        let mut last = std::io::Error::other("the name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_the_scheme_of_zeromq() {
        for text in ["127.0.0.1:5555", "[::1]:5555", "node1.example:1"] {
            let address: Address = text.parse().expect("valid");
            assert_eq!(address.to_string(), text);
            assert_eq!(format!("http://{text}/").parse(), Ok(address.clone()));
            assert_eq!(format!("tcp://{text}").parse(), Ok(address));
        }
        for text in [
            "",
            "5555",
            "localhost",
            "localhost:",
            "a:b",
            "::1:5555",
            "a:70000",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_where_nobody_listens_is_named_with_the_remedy() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("bound").to_string();
        drop(free);
        let parsed: Address = address.parse().expect("valid");
        let error = parsed
            .connect(Duration::ZERO)
            .expect_err("nobody listens")
            .to_string();
        assert!(
            error.contains(&address) && error.contains("zmesh dev"),
            "{error}"
        );
    }
}
