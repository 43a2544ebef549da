//! Serves a router on a socket, with the limits on slow clients that `axum::serve` does not set.
//!
//! A client that does not finish its headers in time, or sends more of them than any honest one, loses its connection.
//! Draining stops accepting, lets requests that were begun end, and answers long polls at once.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// How long a client may take over its headers, and an idle connection stay open.
const HEADERS_WITHIN: Duration = Duration::from_secs(15);
/// The most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The wait before accepting again after the system refused (usually: no file descriptors left).
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves until `shutdown` fires, then drains for at most `drain`.
///
/// # Errors
/// The listener's address cannot be read.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken, drain: Duration) -> io::Result<()> {
    let address = listener.local_addr()?;
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(cause = %error, %address, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            },
        };
        // Answers are small and must not wait for a full packet; a socket that refuses is merely slower.
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let service =
            hyper_util::service::TowerToHyperService::new(tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let mut request: Request = request.map(axum::body::Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                let router = router.clone();
                async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
            }));
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_buf_size(HEAD_BYTES_MAX);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEADERS_WITHIN).max_header_list_size(32 * 1024);
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let connection = watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
            if let Err(error) = connection.await {
                tracing::debug!(cause = %error, %peer, "a connection broke off");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end while draining");
    }
    Ok(())
}
