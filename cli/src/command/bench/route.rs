//! Which nodes the messages of a run go through, for whoever reads the numbers.

use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use zmesh_node::report::{Node, Owner};

use super::session::{Path, Plan};
use crate::http::{self, Answer};

/// Such as `node1 → node2 (owner of bench) → node3`; nothing where no node answers HTTP, as at
/// the addresses of a zmq_proxy.
pub(super) fn describe(plan: &Plan) -> Option<String> {
    let Path::Mesh { from, to } = plan.path else {
        return None;
    };
    let topic = plan.topics[0].as_str();
    let owner: Owner = ask(&from, "owner", &[("topic", topic)])?;
    let from: Node = ask(&from, "node", &[])?;
    let to: Node = ask(&to, "node", &[])?;
    let owner = crate::output::printable(&owner.owner);
    Some(format!(
        "{} → {owner} (owner of {topic}) → {}",
        from.name, to.name
    ))
}

fn ask<T: DeserializeOwned>(node: &SocketAddr, path: &str, query: &[(&str, &str)]) -> Option<T> {
    match http::get(&node.to_string().parse().ok()?, path, query) {
        Ok(Answer::Yes(body)) => serde_json::from_str(&body).ok(),
        Ok(Answer::No(_)) | Err(_) => None,
    }
}
