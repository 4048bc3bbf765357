//! The network: listen, connect, byte streams.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

/// A future that can be boxed behind the traits of this module.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connected byte stream. TCP_NODELAY is on.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

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
}
