//! What is kept for long is copied out of the buffer that it came in.
//!
//! A message that passes through is a slice of a large buffer and is never copied. But a slice
//! keeps all of its buffer in memory: a hundred bytes that wait for a slow node or subscriber
//! would hold on to the quarter megabyte around them, and no budget would notice.

use bytes::Bytes;

/// Slices longer than this are kept as they are: the rest of their buffer is no great loss.
const COPY_BELOW: usize = 64 << 10;

/// The same bytes in memory of their own, if they are few.
pub(crate) fn compact(bytes: &Bytes) -> Bytes {
    if bytes.len() > COPY_BELOW {
        bytes.clone()
    } else {
        Bytes::copy_from_slice(bytes)
    }
}
