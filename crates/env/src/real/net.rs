//! TCP through tokio.
#![allow(clippy::disallowed_types, reason = "the real half of env is where sockets live")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::net::{BoxFuture, Listener, Listening, Liveness, Network, Stream};

/// The longest silence before a question that Linux takes, in seconds (MAX_TCP_KEEPIDLE).
const IDLE_MAX: u64 = 32_767;

/// TCP of the operating system, with TCP_NODELAY. Needs a tokio runtime with its I/O driver on.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealNetwork;

impl Network for RealNetwork {
    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        self.listen_with(addr, Listening::default())
    }

    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Stream>> {
        self.connect_with(addr, Liveness::default())
    }

    fn listen_with(
        &self,
        addr: SocketAddr,
        options: Listening,
    ) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener =
                listen(addr, options).map_err(|error| named("listen on", &addr.to_string(), error))?;
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    fn connect_with<'a>(&'a self, addr: &'a str, watch: Liveness) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            let stream = connect(addr, watch).await.map_err(|error| named("connect to", addr, error))?;
            Ok(Box::new(stream) as Stream)
        })
    }
}

struct RealListener {
    listener: TcpListener,
    options: Listening,
}

impl RealListener {
    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, from) = self.listener.accept().await?;
        prepare(&stream, (self.options.watch)())?;
        Ok((stream, from))
    }
}

impl Listener for RealListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = self.next().await?;
            Ok((Box::new(stream) as Stream, from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn listen(addr: SocketAddr, options: Listening) -> io::Result<RealListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted node takes its port back while old connections are still in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(RealListener { listener: socket.listen(options.backlog)?, options })
}

async fn connect(addr: &str, watch: Liveness) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    prepare(&stream, watch)?;
    Ok(stream)
}

/// What every connection gets.
fn prepare(stream: &TcpStream, watch: Liveness) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if watch.idle > Duration::ZERO {
        let seconds = |time: Duration| Duration::from_secs(time.as_secs().clamp(1, IDLE_MAX));
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, seconds(watch.idle))?;
        sockopt::set_tcp_keepintvl(stream, seconds(watch.interval))?;
        sockopt::set_tcp_keepcnt(stream, watch.probes.clamp(1, 127))?;
    }
    let unacknowledged = u32::try_from(watch.unacknowledged.as_millis()).unwrap_or(u32::MAX);
    if unacknowledged > 0 {
        sockopt::set_tcp_user_timeout(stream, unacknowledged)?;
    }
    Ok(())
}

fn named(what: &str, addr: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {addr}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Whether TCP asks, after which silence, how often and how many times, and how long it waits for acknowledgements.
    fn shown(stream: &TcpStream) -> (bool, Duration, Duration, u32, u32) {
        (
            sockopt::socket_keepalive(stream).unwrap(),
            sockopt::tcp_keepidle(stream).unwrap(),
            sockopt::tcp_keepintvl(stream).unwrap(),
            sockopt::tcp_keepcnt(stream).unwrap(),
            sockopt::tcp_user_timeout(stream).unwrap(),
        )
    }

    #[tokio::test]
    async fn both_ends_watch_as_they_are_told() {
        let idle = Arc::new(AtomicU64::new(300));
        let asked = idle.clone();
        let watch = Arc::new(move || Liveness::after(Duration::from_secs(asked.load(Ordering::Relaxed))));
        let listener = listen("127.0.0.1:0".parse().unwrap(), Listening { backlog: 5, watch }).unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let bus = Liveness { unacknowledged: 3 * SECOND, ..Liveness::after(SECOND) };
        let calling = connect(&addr, bus).await.unwrap();
        assert_eq!(shown(&calling), (true, SECOND, SECOND, 3, 3000));
        let (accepted, _) = listener.next().await.unwrap();
        assert_eq!(shown(&accepted), (true, 300 * SECOND, 100 * SECOND, 3, 0));
        // A new value is for connections that come after it; more than the system takes is its most.
        for (seconds, shows) in [(0, false), (u64::from(u32::MAX), true)] {
            idle.store(seconds, Ordering::Relaxed);
            let plain = connect(&addr, Liveness::default()).await.unwrap();
            assert!(!shown(&plain).0);
            assert_eq!(shown(&listener.next().await.unwrap().0).0, shows);
        }
        assert_eq!(shown(&accepted).1, 300 * SECOND);
    }
}
