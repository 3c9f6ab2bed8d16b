//! Frames of messages, for people and as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::output::printable_bytes;

/// Frames with tabs between them; bytes that are no text are escaped.
pub(crate) fn as_text(frames: &[Vec<u8>]) -> String {
    let frames: Vec<String> = frames.iter().map(|frame| printable_bytes(frame)).collect();
    frames.join("\t")
}

/// A frame as JSON: a string if it is one.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Frame<'a> {
    Text(&'a str),
    Bytes { base64: String },
}

impl<'a> Frame<'a> {
    /// Of these bytes.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Bytes {
                base64: STANDARD.encode(bytes),
            },
        }
    }
}
