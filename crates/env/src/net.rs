//! The network: listen, connect, byte streams.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

/// A future that can be boxed behind the traits of this module.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connected byte stream. TCP_NODELAY is on.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// How TCP finds out that the other end of a connection is gone without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Liveness {
    /// After this much silence the other end is asked whether it is there (SO_KEEPALIVE), in whole seconds; zero never asks.
    pub idle: Duration,
    /// The time between two such questions, in whole seconds, at least one.
    pub interval: Duration,
    /// How many of them go unanswered before the connection ends.
    pub probes: u32,
    /// What was sent and is not acknowledged for this long ends the connection (TCP_USER_TIMEOUT, RFC 5482), also while
    /// the other end has no room for it; zero leaves that to the system (many minutes). If given, it takes the place of
    /// `probes`.
    pub unacknowledged: Duration,
}

impl Liveness {
    /// Asks after `idle` of silence, and three times within as much again; zero never asks.
    #[must_use]
    pub fn after(idle: Duration) -> Self {
        let interval = (idle / 3).max(Duration::from_secs(1));
        Self { idle, interval, probes: 3, unacknowledged: Duration::ZERO }
    }
}

/// How to listen.
#[derive(Clone)]
pub struct Listening {
    /// Connections that the system keeps until they are accepted; it may have a lower limit of its own.
    pub backlog: u32,
    /// Asked for each connection that is accepted.
    pub watch: Arc<dyn Fn() -> Liveness + Send + Sync>,
}

impl Default for Listening {
    fn default() -> Self {
        Self { backlog: 1024, watch: Arc::new(Liveness::default) }
    }
}

/// A connected byte stream, boxed: it costs one indirect call per read or write, which is per batch.
pub type Stream = Box<dyn Duplex>;

/// Accepts connections.
pub trait Listener: Send {
    /// The next connection and where it comes from.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>>;
    /// Where it listens.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// The network as one node sees it.
pub trait Network: Send + Sync {
    /// Listens on an address such as `127.0.0.1:6379`; port 0 takes a free one.
    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;
    /// Connects to `host:port`. There is no limit to how long that takes but the operating system's
    /// (minutes): wrap it in a [`timeout`](crate::timeout()).
    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Stream>>;

    /// As [`listen`](Self::listen), with options. A simulated network has no use for them: its connections break as it is
    /// told.
    fn listen_with(
        &self,
        addr: SocketAddr,
        options: Listening,
    ) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        let _ = options;
        self.listen(addr)
    }

    /// As [`connect`](Self::connect), with a watch over the other end. A simulated network has no use for it.
    fn connect_with<'a>(&'a self, addr: &'a str, watch: Liveness) -> BoxFuture<'a, io::Result<Stream>> {
        let _ = watch;
        self.connect(addr)
    }
}
