//! The HTTP endpoints of a node, for orchestrators and people:
//!
//! - `/health/live`: 200 while the process works.
//! - `/health/ready`: 200 while the node serves clients, 503 with the reason otherwise.
//! - `/metrics`: figures for monitoring, OpenMetrics text ([`crate::metrics`]).
//! - `/status`: the node and its cluster as it sees them, JSON ([`NodeStatus`]).
#![allow(clippy::disallowed_types, reason = "the listeners of the process live in server")]

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use quorate_env::{clock, timeout};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at a time; further ones wait until one ends.
const CONNECTIONS_MAX: usize = 64;
/// A request must have arrived after this long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// No connection lives longer.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(60);
/// The longest request line and headers, in bytes.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// How long to wait when the system refuses a connection, usually for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The type of `/metrics`.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A node and its cluster, as the node sees them: the body of `/status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct NodeStatus {
    /// The node's number; 0 until it has one.
    pub(crate) id: u64,
    /// Where clients connect.
    pub(crate) addr: String,
    /// Version of the program.
    pub(crate) version: String,
    /// Time since the process started, milliseconds.
    pub(crate) uptime_ms: u64,
    /// `leader`, `follower`, `learner` or `reader`.
    pub(crate) role: String,
    /// Why clients are not served; `None` if they are.
    pub(crate) not_ready: Option<String>,
    /// Present term.
    pub(crate) term: u64,
    /// Who leads, if that is known.
    pub(crate) leader: Option<u64>,
    /// The last entry applied here.
    pub(crate) applied: u64,
    /// The last entry known to be committed.
    pub(crate) committed: u64,
    /// The last entry of the log here.
    pub(crate) last: u64,
    /// Digest of the state at `applied`, hexadecimal.
    pub(crate) digest: Option<String>,
    /// All members, this node included.
    pub(crate) members: Vec<MemberStatus>,
}

/// One member, as a node sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct MemberStatus {
    /// Its number.
    pub(crate) id: u64,
    /// Where clients connect.
    pub(crate) addr: String,
    /// `leader`, `follower`, `learner` or `reader`.
    pub(crate) role: String,
    /// Failure domain.
    pub(crate) zone: String,
    /// The last entry it has durably; only the leader knows.
    pub(crate) matched: Option<u64>,
    /// By how many entries that is behind the leader's log.
    pub(crate) lag: Option<u64>,
    /// Whether it answers; only the leader knows.
    pub(crate) reachable: Option<bool>,
}

/// Where `/status` and `/health/ready` get their answers.
pub(crate) type StatusFn = Arc<dyn Fn() -> NodeStatus + Send + Sync>;

/// Where `/metrics` gets its body.
pub(crate) type MetricsFn = Arc<dyn Fn() -> String + Send + Sync>;

/// What the endpoints tell of.
#[derive(Clone)]
pub(crate) struct Sources {
    /// The node and its cluster.
    pub(crate) status: StatusFn,
    /// Figures.
    pub(crate) metrics: MetricsFn,
}

/// Listens. Needs a tokio runtime with its I/O driver on.
pub(crate) async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {addr} for HTTP: {error}")))
}

/// Answers requests until it is dropped; connections that are open then end by themselves.
pub(crate) async fn serve(listener: TcpListener, sources: Sources) -> Infallible {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            unreachable!("the semaphore is never closed");
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let sources = sources.clone();
                tokio::spawn(async move {
                    converse(stream, sources).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept an HTTP connection: {error}");
                clock::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, sources: Sources) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(request.method(), request.uri().path(), &sources);
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // A client that breaks off or dawdles is its own problem.
    let _ = timeout(CONNECTION_TIME_MAX, connection).await;
}

fn respond(method: &Method, path: &str, Sources { status, metrics }: &Sources) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/health/live" => text(StatusCode::OK, "live\n".into()),
        "/health/ready" => match status().not_ready {
            None => text(StatusCode::OK, "ready\n".into()),
            Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
        },
        "/status" => match serde_json::to_vec_pretty(&status()) {
            Ok(body) => answer(StatusCode::OK, "application/json", body.into()),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        "/metrics" => answer(StatusCode::OK, OPEN_METRICS, metrics().into()),
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /health/live, /health/ready, /metrics and /status\n".into(),
        ),
    }
}

fn text(code: StatusCode, body: String) -> Response<Full<Bytes>> {
    answer(code, "text/plain; charset=utf-8", body.into())
}

fn answer(code: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What a node with this status answers to a request, head and body.
    async fn ask(request: &str, status: NodeStatus) -> String {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let sources = Sources {
            status: Arc::new(move || status.clone()),
            metrics: Arc::new(|| "figures\n# EOF\n".into()),
        };
        let server = tokio::spawn(serve(listener, sources));
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        server.abort();
        answer
    }

    #[tokio::test]
    async fn liveness_and_readiness() {
        let ready = NodeStatus::default();
        let waiting = NodeStatus { not_ready: Some("no leader".into()), ..NodeStatus::default() };
        assert!(ask("GET /health/live", waiting.clone()).await.starts_with("HTTP/1.1 200"));
        assert!(ask("GET /health/ready", ready).await.starts_with("HTTP/1.1 200"));
        let answer = ask("GET /health/ready", waiting).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("not ready: no leader\n"), "{answer}");
    }

    #[tokio::test]
    async fn status_is_json() {
        let member = MemberStatus { id: 2, role: "follower".into(), lag: Some(3), ..MemberStatus::default() };
        let status = NodeStatus { id: 1, leader: Some(1), members: vec![member], ..NodeStatus::default() };
        let answer = ask("GET /status", status).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("application/json"), "{head}");
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&json["id"], &json["leader"]), (&1.into(), &1.into()));
        assert_eq!((&json["members"][0]["lag"], &json["digest"]), (&3.into(), &serde_json::Value::Null));
    }

    #[tokio::test]
    async fn metrics_have_their_type() {
        let answer = ask("GET /metrics", NodeStatus::default()).await;
        assert!(answer.contains("application/openmetrics-text") && answer.ends_with("# EOF\n"), "{answer}");
    }

    #[tokio::test]
    async fn everything_else_is_refused() {
        assert!(ask("GET /", NodeStatus::default()).await.starts_with("HTTP/1.1 404"));
        assert!(ask("DELETE /status", NodeStatus::default()).await.starts_with("HTTP/1.1 405"));
        assert!(ask("nonsense", NodeStatus::default()).await.starts_with("HTTP/1.1 400"));
    }
}
