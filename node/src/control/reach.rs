//! `/api/v1/reach`: whether this node can reach the addresses that the other members tell.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::api::Asked;
use super::elsewhere::ask;
use crate::report::{Reach, ReachAttempt};
use crate::zmtp::handshake;

/// An address that has not answered by then is not reached: all of them together have this time,
/// since whoever asks another node to try waits for two seconds.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Attempts at a time.
const AT_A_TIME: usize = 256;

/// Tries every address of every other living member.
pub(super) async fn reach(State(shared): Asked) -> Response {
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
            attempts.spawn(attempt(peer, port, address, places));
        }
    }
    let mut attempts = attempts.join_all().await;
    attempts.sort_by(|a, b| (&a.peer, &a.port).cmp(&(&b.peer, &b.port)));
    let node = shared.name.clone();
    Json(Reach { node, attempts }).into_response()
}

async fn attempt(
    peer: String,
    port: &str,
    address: String,
    places: Arc<Semaphore>,
) -> ReachAttempt {
    let begun = Instant::now();
    let mut has_place = false;
    let tried = tokio::time::timeout(PATIENCE, async {
        let _place = places.acquire_owned().await;
        has_place = true;
        greet(port, &address).await
    });
    let error = match tried.await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) if has_place => Some(format!("no answer within {} ms", PATIENCE.as_millis())),
        Err(_) => Some(format!(
            "not tried: {AT_A_TIME} other addresses were silent"
        )),
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
