//! `/api/v1/reach`: whether this node can reach the addresses that the other members tell.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::api::Asked;
use super::drain::refuse_foreign;
use super::elsewhere::ask;
use crate::report::{Reach, ReachAttempt};
use crate::zmtp::handshake;

/// An address that has not answered by then is not reached. Whoever asks another node to try waits
/// for two seconds.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Attempts at a time.
const AT_A_TIME: usize = 64;

/// Tries every address of every other living member.
pub(super) async fn reach(State(shared): Asked, headers: HeaderMap) -> Response {
    if let Some(refusal) = refuse_foreign(&headers, "zmesh doctor") {
        return refusal;
    }
    let view = Arc::clone(&shared.view.borrow());
    let members = view.membership.members.iter().map(|known| &known.member);
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut attempts = JoinSet::new();
    for member in members.filter(|member| member.is_live() && member.id != shared.id) {
        let ports = [
            ("client", &member.client),
            ("gossip", &member.gossip),
            ("link", &member.link),
        ];
        for (port, address) in ports {
            let (peer, address) = (member.name.clone(), address.clone());
            let places = Arc::clone(&places);
            attempts.spawn(async move {
                let _place = places.acquire_owned().await;
                attempt(peer, port, address).await
            });
        }
    }
    let mut attempts = attempts.join_all().await;
    attempts.sort_by(|a, b| (&a.peer, &a.port).cmp(&(&b.peer, &b.port)));
    let node = shared.name.clone();
    Json(Reach { node, attempts }).into_response()
}

async fn attempt(peer: String, port: &str, address: String) -> ReachAttempt {
    let begun = Instant::now();
    let tried = tokio::time::timeout(PATIENCE, greet(port, &address));
    let error = match tried.await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => Some(format!("no answer within {} ms", PATIENCE.as_millis())),
    };
    ReachAttempt {
        peer,
        port: port.into(),
        address,
        error,
        ms: begun.elapsed().as_millis() as u64,
    }
}

/// Whether what answers there is a node.
async fn greet(port: &str, address: &str) -> Result<(), String> {
    if port == "client" {
        let (status, _) = ask(address, Method::GET, "/livez").await?;
        return if status.is_success() {
            Ok(())
        } else {
            Err(format!("HTTP status {status}: is it a zmesh node?"))
        };
    }
    let mut stream = TcpStream::connect(address)
        .await
        .map_err(|error| error.to_string())?;
    handshake::connect(&mut stream, "DEALER")
        .await
        .map(|_| ())
        .map_err(|error| error.to_string())
}
