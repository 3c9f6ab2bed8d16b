//! Messages as frames, and rings.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use zmesh_node::forward::{Instance, Ring};
use zmesh_node::zmtp::frames::{FrameLimits, Item, frames, item_at, put_header};
use zmesh_partition::{Member, Table};

pub(crate) const FRAMES: FrameLimits = FrameLimits {
    message_bytes: 1 << 20,
    frames: 16,
};

/// The ring of these nodes.
pub(crate) fn ring(nodes: &BTreeSet<u64>) -> Arc<Ring> {
    let id = |node: u64| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&node.to_le_bytes());
        id
    };
    let members: Vec<Member> = nodes
        .iter()
        .map(|node| Member {
            id: id(*node),
            weight: 1,
        })
        .collect();
    let instances: HashMap<_, _> = nodes.iter().map(|it| (id(*it), Instance(*it))).collect();
    Arc::new(Ring::new(Table::new(&members), instances))
}

/// A message of these frames.
pub(crate) fn message(parts: &[&[u8]]) -> Bytes {
    let mut bytes = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        put_header(&mut bytes, index + 1 < parts.len(), part.len());
        bytes.extend_from_slice(part);
    }
    bytes.into()
}

/// Every message in these bytes, as its frames.
pub(crate) fn messages(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let (mut all, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Ok(Item::Message(span)) = item_at(bytes, at, FRAMES) else {
            panic!("not whole messages: {bytes:?}");
        };
        let bodies = frames(bytes, span.range()).map(|(_, body)| bytes[body].to_vec());
        all.push(bodies.collect());
        at = span.end as usize;
    }
    all
}
