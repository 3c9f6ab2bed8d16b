//! Topics and prefixes that meet often, and messages that carry them.

use zmesh_node::zmtp::frames::put_header;

/// Several share a partition: the key ends at the space.
pub(crate) const TOPICS: [&[u8]; 9] = [
    b"a",
    b"a 1",
    b"ab",
    b"b",
    b"b.x",
    b"",
    b"$zmesh.x",
    b"$x",
    b"c y",
];

pub(crate) const PREFIXES: [&[u8]; 9] = [
    b"", b"a", b"a ", b"ab", b"b", b"$zmesh.", b"$", b"b.x", b"c",
];

/// Appends a message with a topic and so many more frames.
pub(crate) fn put_message(out: &mut Vec<u8>, topic: &[u8], more: usize, padding: usize) {
    put_header(out, more > 0, topic.len());
    out.extend_from_slice(topic);
    for left in (0..more).rev() {
        put_header(out, left > 0, padding);
        out.resize(out.len() + padding, b'.');
    }
}
