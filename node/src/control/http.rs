//! Serves HTTP on connections that the client address handed over.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};

use super::{Shared, api};
use crate::close::CloseReason;
use crate::hub::HttpConnection;

/// HTTP connections served at a time; more wait.
const CONNECTIONS: usize = 256;

/// A request's header must be there by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest request header.
const HEADER_BYTES: usize = 16 << 10;

/// A connection lives no longer than this: nothing served here takes as long.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// Serves until no more connections can come, or the node has ended and every answer is on its way.
pub(crate) async fn serve(shared: Arc<Shared>, mut connections: mpsc::Receiver<HttpConnection>) {
    let metrics = shared.metrics.clone();
    let router = api::router(Arc::clone(&shared));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let next = async |connections: &mut mpsc::Receiver<HttpConnection>| {
        let place = Arc::clone(&places).acquire_owned().await.ok()?;
        Some((connections.recv().await?, place))
    };
    loop {
        let next = tokio::select! {
            next = next(&mut connections) => next,
            () = shared.drain.ended() => None,
        };
        let Some(((stream, connected), place)) = next else {
            break;
        };
        let (router, metrics, shared) = (router.clone(), metrics.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let served = connection(stream, router, &shared);
            let served = tokio::time::timeout(CONNECTION_TIMEOUT, served);
            if let Ok(Err(error)) = served.await {
                metrics.connection_closed(CloseReason::BadHttp);
                tracing::info!(error, "HTTP connection closed");
            }
            drop((place, connected));
        });
    }
    drop(connections);
    // The semaphore is never closed: this ends when all connections have.
    let _ = places.acquire_many(CONNECTIONS as u32).await;
}

async fn connection(
    stream: std::net::TcpStream,
    router: Router,
    shared: &Shared,
) -> Result<(), String> {
    let stream = TcpStream::from_std(stream).map_err(|error| error.to_string())?;
    let mut builder = auto::Builder::new(hyper_util::rt::TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES);
    let answered = AtomicBool::new(false);
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        answered.store(true, Ordering::Relaxed);
        router.call(request)
    });
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = shared.drain.ended() => {
            // A request that is being answered is answered, and then the connection is closed.
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    match result {
        // It was kept for a next request that did not come, or its page was closed.
        Err(error) if answered.load(Ordering::Relaxed) && !is_parse(&*error) => Ok(()),
        result => result.map_err(|error| error.to_string()),
    }
}

fn is_parse(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<hyper::Error>();
    error.is_some_and(hyper::Error::is_parse)
}
