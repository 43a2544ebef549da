//! Serves a router on a socket, with the limits on slow clients that `axum::serve` does not set.
//!
//! HTTP/1.1 only: telling the versions apart would mean to wait, without a limit, for a client's first bytes.
//! A client that does not finish its headers in time, or sends more of them than any honest one, loses its connection.
//! Draining stops accepting, lets requests that were begun end, and answers long polls at once.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
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

/// Of a request's connection: cuts it off, for a reader who does not read. An answer that waits to be written would otherwise
/// keep it open for ever.
#[derive(Debug, Clone)]
pub struct Hangup(CancellationToken);

impl Hangup {
    pub fn hang_up(&self) {
        self.0.cancel();
    }
}

/// Serves until `shutdown` fires, then drains for at most `drain`.
///
/// # Errors
/// The listener's address cannot be read.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken, drain: Duration) -> io::Result<()> {
    serve_patiently(listener, router, shutdown, drain, HEADERS_WITHIN).await
}

async fn serve_patiently(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    drain: Duration,
    headers_within: Duration,
) -> io::Result<()> {
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
        let hangup = Hangup(CancellationToken::new());
        let cut = hangup.0.clone();
        let service =
            hyper_util::service::TowerToHyperService::new(tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let mut request: Request = request.map(axum::body::Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                request.extensions_mut().insert(hangup.clone());
                let router = router.clone();
                async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
            }));
        let mut builder = Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(headers_within).max_buf_size(HEAD_BYTES_MAX);
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let connection = watcher.watch(builder.serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(cause = %error, %peer, "a connection broke off");
                },
                () = cut.cancelled() => tracing::debug!(%peer, "a connection was cut off"),
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end while draining");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;

    use super::*;

    struct Server {
        address: SocketAddr,
        shutdown: CancellationToken,
        ended: tokio::task::JoinHandle<io::Result<()>>,
    }

    async fn started(router: Router) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = serve_patiently(listener, router, shutdown.clone(), Duration::from_mins(1), Duration::from_millis(50));
        Server { address, shutdown, ended: tokio::spawn(serving) }
    }

    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        // A connection that is reset has ended as well.
        let _ = stream.read_to_string(&mut text).await;
        text
    }

    /// Catches a server without a timer, which waits for such clients for ever.
    #[tokio::test]
    async fn a_client_that_does_not_finish_its_headers_loses_its_connection() {
        let server = started(Router::new()).await;
        for sent in ["GET / HTTP/1.1\r\nhost: x\r\nx-slow: ", ""] {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            assert!(!rest(stream).await.contains("200 OK"), "{sent:?}");
        }
    }

    #[tokio::test]
    async fn headers_without_end_are_refused() {
        let server = started(Router::new()).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx-huge: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX * 2));
        let _ = stream.write_all(head.as_bytes()).await;
        let answer = rest(stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer:.60}");
    }

    #[tokio::test]
    async fn draining_lets_a_request_end_and_accepts_no_other() {
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begins, goes) = (begun.clone(), go.clone());
        let slow = get(move || async move {
            begins.notify_one();
            goes.notified().await;
            "done"
        });
        let server = started(Router::new().route("/", slow)).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        begun.notified().await;
        server.shutdown.cancel();
        // The listener is gone once the server has seen the shutdown.
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!server.ended.is_finished(), "the request is still being served");
        go.notify_one();
        assert!(rest(stream).await.ends_with("done"));
        server.ended.await.unwrap().unwrap();
    }
}
