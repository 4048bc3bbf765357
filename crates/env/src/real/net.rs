//! TCP through tokio.
#![allow(clippy::disallowed_types, reason = "the real half of env is where sockets live")]

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::net::{BoxFuture, Listener, Network, Stream};

/// Connections that the kernel keeps for a listener until it accepts them.
const BACKLOG: u32 = 1024;

/// TCP of the operating system, with TCP_NODELAY. Needs a tokio runtime with its I/O driver on.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealNetwork;

impl Network for RealNetwork {
    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move { listen(addr).map_err(|error| named("listen on", &addr.to_string(), error)) })
    }

    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move { connect(addr).await.map_err(|error| named("connect to", addr, error)) })
    }
}

struct RealListener(TcpListener);

impl Listener for RealListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = self.0.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Stream, from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

fn listen(addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted node takes its port back while old connections are still in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(Box::new(RealListener(socket.listen(BACKLOG)?)))
}

async fn connect(addr: &str) -> io::Result<Stream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

fn named(what: &str, addr: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {addr}: {error}"))
}
