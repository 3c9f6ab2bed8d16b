//! Serves HTTP on connections that the client address handed over.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
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

/// Serves until no more connections can come.
pub(crate) async fn serve(shared: Arc<Shared>, mut connections: mpsc::Receiver<HttpConnection>) {
    let metrics = shared.metrics.clone();
    let router = api::router(shared);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Some((stream, connected)) = connections.recv().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (router, metrics) = (router.clone(), metrics.clone());
        tokio::spawn(async move {
            let served = tokio::time::timeout(CONNECTION_TIMEOUT, connection(stream, router));
            if let Ok(Err(error)) = served.await {
                metrics.connection_closed(CloseReason::BadHttp);
                tracing::info!(error, "HTTP connection closed");
            }
            drop((place, connected));
        });
    }
}

async fn connection(stream: std::net::TcpStream, router: Router) -> Result<(), String> {
    let stream = TcpStream::from_std(stream).map_err(|error| error.to_string())?;
    let mut builder = auto::Builder::new(hyper_util::rt::TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES);
    let service = TowerToHyperService::new(router);
    let served = builder.serve_connection(TokioIo::new(stream), service);
    served.await.map_err(|error| error.to_string())
}
