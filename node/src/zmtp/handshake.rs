//! Opens a ZMTP connection on a stream of bytes, from either side.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::greeting::{
    GREETING_BYTES, GreetingError, MAX_READY_BYTES, SIGNATURE_BYTES, check_greeting,
    check_signature, error, error_reason, greeting, ready, socket_type,
};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The first 64 bytes.
    #[error(transparent)]
    Greeting(#[from] GreetingError),
    /// What follows them is no READY that can be read.
    #[error("the handshake is malformed")]
    Malformed,
    /// The peer's own words.
    #[error("the peer refused: {0}")]
    Refused(String),
    /// The type of the peer's socket, which has no answer here.
    #[error("a {0} socket cannot connect here")]
    SocketType(String),
    /// The stream broke, or ended too soon.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What the other side is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// ZMTP 3.x: 0 or 1.
    pub minor: u8,
    /// The type of its socket, such as `SUB`.
    pub socket_type: String,
}

/// Accepts a connection: `answer` gives the socket type to answer with, or why there is none.
pub async fn accept(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    answer: impl FnOnce(&str) -> Result<&'static str, String>,
) -> Result<Remote, HandshakeError> {
    let minor = greet(stream).await?;
    let body = read_command(stream).await?;
    let socket_type = socket_type(&body).ok_or(HandshakeError::Malformed)?;
    match answer(&socket_type) {
        Ok(own) => stream.write_all(&ready(own)).await?,
        Err(reason) => {
            stream.write_all(&error(&reason)).await?;
            return Err(HandshakeError::SocketType(socket_type));
        }
    }
    Ok(Remote { minor, socket_type })
}

/// Opens a connection as a socket of this type.
pub async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    own: &'static str,
) -> Result<Remote, HandshakeError> {
    let minor = greet(stream).await?;
    stream.write_all(&ready(own)).await?;
    let body = read_command(stream).await?;
    match socket_type(&body) {
        Some(socket_type) => Ok(Remote { minor, socket_type }),
        None => Err(error_reason(&body).map_or(HandshakeError::Malformed, HandshakeError::Refused)),
    }
}

async fn greet(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<u8, HandshakeError> {
    stream.write_all(&greeting()).await?;
    let mut bytes = [0; GREETING_BYTES];
    let (signature, rest) = bytes.split_at_mut(SIGNATURE_BYTES);
    stream.read_exact(&mut signature[..1]).await?;
    if signature[0] != 0xFF {
        // Told at once: such a peer may wait for an answer before it says more.
        let is_old = signature[0] == 1 && stream.read_u8().await? == 0;
        let error = if is_old {
            GreetingError::OldVersion
        } else {
            GreetingError::NotZmtp
        };
        return Err(error.into());
    }
    stream.read_exact(&mut signature[1..]).await?;
    let mut start = [0; SIGNATURE_BYTES];
    start.copy_from_slice(signature);
    check_signature(&start)?;
    stream.read_exact(rest).await?;
    Ok(check_greeting(&bytes)?)
}

/// Reads one command and nothing behind it.
async fn read_command(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<Vec<u8>, HandshakeError> {
    const COMMAND: u8 = 4;
    const LONG_COMMAND: u8 = 6;
    let length = match stream.read_u8().await? {
        COMMAND => u64::from(stream.read_u8().await?),
        LONG_COMMAND => stream.read_u64().await?,
        _ => return Err(HandshakeError::Malformed),
    };
    if length > MAX_READY_BYTES as u64 {
        return Err(HandshakeError::Malformed);
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await?;
    Ok(body)
}
