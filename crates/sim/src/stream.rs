//! The network as a node sees it, and as a test does that stands outside.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use quorate_env::{BoxFuture, Listener, Network, Stream};

use crate::node::NodeId;
use crate::state::Core;

/// The network of one process.
pub(crate) struct SimNetwork {
    pub(crate) core: Arc<Core>,
    pub(crate) node: NodeId,
    pub(crate) generation: u64,
}

impl Network for SimNetwork {
    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let network = &mut self.core.lock().network;
            network.check_generation(self.node, self.generation)?;
            let addr = network
                .listen(self.node, addr)
                .map_err(|error| io::Error::new(error.kind(), format!("listen on {addr}: {error}")))?;
            Ok(Box::new(SimListener { core: self.core.clone(), node: self.node, addr }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            self.core.lock().network.check_generation(self.node, self.generation)?;
            let stream = SimStream::connect(&self.core, self.node, addr);
            let connected = match stream {
                Ok(mut stream) => poll_fn(|cx| stream.poll_connected(cx)).await.map(|()| stream),
                Err(error) => Err(error),
            };
            match connected {
                Ok(stream) => Ok(Box::new(stream) as Stream),
                Err(error) => Err(io::Error::new(error.kind(), format!("connect to {addr}: {error}"))),
            }
        })
    }
}

struct SimListener {
    core: Arc<Core>,
    node: NodeId,
    addr: SocketAddr,
}

impl Listener for SimListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(poll_fn(|cx| {
            let accepted = self.core.lock().network.accept(self.node, self.addr.port(), cx.waker())?;
            let Some((id, from)) = accepted else { return Poll::Pending };
            let stream = SimStream { core: self.core.clone(), id, side: 1 };
            Poll::Ready(Ok((Box::new(stream) as Stream, from)))
        }))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let waker = {
            let state = &mut *self.core.lock();
            state.network.stop_listening(&mut state.timeline, self.node, self.addr.port())
        };
        drop(waker);
    }
}

/// One end of a connection.
struct SimStream {
    core: Arc<Core>,
    id: u64,
    side: usize,
}

impl SimStream {
    fn connect(core: &Arc<Core>, node: NodeId, addr: &str) -> io::Result<Self> {
        let state = &mut *core.lock();
        let id = state.network.connect(&mut state.timeline, node, addr)?;
        Ok(Self { core: core.clone(), id, side: 0 })
    }

    fn poll_connected(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        match self.core.lock().network.connected(self.id, cx.waker()) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn read(&mut self, buf: &mut [u8], waker: &Waker) -> io::Result<Option<usize>> {
        let state = &mut *self.core.lock();
        state.network.read(&mut state.timeline, self.id, self.side, buf, waker)
    }

    fn write(&mut self, bufs: &[IoSlice<'_>], waker: &Waker) -> io::Result<Option<usize>> {
        let state = &mut *self.core.lock();
        state.network.write(&mut state.timeline, self.id, self.side, bufs, waker)
    }

    fn shut_down(&mut self) {
        let state = &mut *self.core.lock();
        state.network.shut_down(&mut state.timeline, self.id, self.side);
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(read) = self.read(buf.initialize_unfilled(), cx.waker())? else { return Poll::Pending };
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(bufs, cx.waker()).map(|written| written.map_or(Poll::Pending, |n| Poll::Ready(Ok(n))))?
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down();
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let state = &mut *self.core.lock();
        state.network.close(&mut state.timeline, self.id, self.side);
    }
}

/// A connection that a test drives step by step, between the steps of the world. Dropping it closes it.
pub struct ClientStream {
    stream: SimStream,
    unsent: Vec<u8>,
    received: Vec<u8>,
    ended: Option<io::Result<()>>,
}

impl ClientStream {
    pub(crate) fn connect(core: &Arc<Core>, node: NodeId, addr: &str) -> io::Result<Self> {
        let stream = SimStream::connect(core, node, addr)?;
        Ok(Self { stream, unsent: Vec::new(), received: Vec::new(), ended: None })
    }

    /// Sends bytes. What the stream has no room for goes out with a later call of this or of
    /// [`received`](Self::received).
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.unsent.extend_from_slice(bytes.as_ref());
        self.flush();
    }

    /// Takes what has arrived since the last call.
    pub fn received(&mut self) -> Vec<u8> {
        self.flush();
        let mut buf = [0; 4096];
        while self.ended.is_none() && self.is_connected() {
            match self.stream.read(&mut buf, Waker::noop()) {
                Ok(Some(0)) => self.ended = Some(Ok(())),
                Ok(Some(read)) => self.received.extend_from_slice(&buf[..read]),
                Ok(None) => break,
                Err(error) => self.ended = Some(Err(error)),
            }
        }
        std::mem::take(&mut self.received)
    }

    /// The connection has been made; it may have ended since.
    pub fn is_connected(&mut self) -> bool {
        match self.stream.poll_connected(&Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
            Poll::Ready(Err(error)) => {
                self.ended.get_or_insert(Err(error));
                false
            }
        }
    }

    /// How it ended, once it has: by the other end, or with an error. Bytes that came before are still there
    /// to be [`received`](Self::received).
    pub fn ended(&mut self) -> Option<&io::Result<()>> {
        let more = self.received();
        self.received = more;
        self.ended.as_ref()
    }

    /// Where this end is, as the other one sees it.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.stream.core.lock().network.addr(self.stream.id, 0)
    }

    fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&[IoSlice::new(&self.unsent)], Waker::noop()) {
                Ok(Some(written)) => drop(self.unsent.drain(..written)),
                Ok(None) => break,
                // Reading tells how the connection ended, after what came before.
                Err(_) => self.unsent.clear(),
            }
        }
    }
}
