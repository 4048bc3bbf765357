//! Drives one connection.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use quorate_env::clock;
use quorate_resp::Decoder;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::connection::Connection;
use crate::dispatch::{Dispatch, State};
use crate::node::Node;

/// Commands of one connection under way at the most.
const PENDING_MAX: usize = 16 << 10;
/// Answers beyond this are written before more commands are taken.
const OUTPUT_SOFT_BYTES: usize = 256 << 10;
/// How many commands may be under way is such that, by the largest recent answer, about this much comes back.
const WINDOW_BYTES: usize = 16 << 20;
/// Before anything is known about the size of answers.
const FIRST_WINDOW: usize = 64;
/// An output buffer larger than this is given back once it is written.
const OUTPUT_KEEP_BYTES: usize = 64 << 10;

/// One connection. See the crate's documentation.
pub struct Session<S> {
    stream: S,
    decoder: Decoder,
    state: State,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// A session for a connection that was just accepted.
    pub fn new(stream: S, node: Rc<Node>, addr: String, local_addr: String) -> Self {
        let connection = node.open(addr, local_addr);
        let decoder = Decoder::new(node.limits(&connection));
        Self { stream, decoder, state: State::new(node, connection) }
    }

    /// Serves the connection until it ends.
    pub async fn run(mut self) {
        let connection = self.state.connection.clone();
        let result = self.serve().await;
        if let Err(error) = result {
            tracing::debug!(client = connection.id, %error, "connection ended");
        }
        connection.closing.set(true);
        self.state.node.closed(&connection);
    }

    async fn serve(&mut self) -> io::Result<()> {
        let Self { stream, decoder, state } = self;
        let connection = state.connection.clone();
        let mut window = FIRST_WINDOW;
        loop {
            let starved = take_commands(stream, decoder, state, window).await?;
            flush(stream, &connection).await?;
            if connection.closing.get() || connection.quit.get() {
                return stream.shutdown().await;
            }
            if connection.pending.get() == 0 {
                let largest = connection.largest_answer.replace(0).max(1);
                window = (WINDOW_BYTES / largest).clamp(1, PENDING_MAX);
            }
            connection.buffered.set(decoder.buffered_bytes());
            let idle = state.node.idle_limit(&connection);
            tokio::select! {
                biased;
                () = connection.wake.notified() => {}
                // Commands that were not taken yet wait for answers, not for more bytes.
                read = stream.read_buf(decoder.buffer()), if starved => {
                    let n = read?;
                    if n == 0 {
                        return Ok(());
                    }
                    connection.bytes_in.set(connection.bytes_in.get() + n as u64);
                    connection.last_active.set(clock::Instant::now());
                }
                () = sleep_or_never(idle) => {
                    tracing::debug!(client = connection.id, "closing an idle connection");
                    return Ok(());
                }
            }
        }
    }
}

async fn sleep_or_never(limit: Option<Duration>) {
    match limit {
        Some(limit) => clock::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Takes the commands that have arrived. True: all of them, so more bytes are wanted.
async fn take_commands<S: AsyncWrite + Unpin>(
    stream: &mut S,
    decoder: &mut Decoder,
    state: &mut State,
    window: usize,
) -> io::Result<bool> {
    let connection = state.connection.clone();
    loop {
        if connection.closing.get() || connection.quit.get() {
            return Ok(false);
        }
        if connection.out.borrow().len() > OUTPUT_SOFT_BYTES {
            flush(stream, &connection).await?;
        }
        if connection.pending.get() >= window {
            return Ok(false);
        }
        let request = match decoder.next() {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(true),
            Err(error) => {
                idle(stream, &connection).await?;
                state.protocol_error(&error.to_string());
                return Ok(false);
            }
        };
        let args: SmallVec<[&[u8]; 8]> = request.iter().collect();
        let limits_changed = loop {
            match state.dispatch(&args) {
                Dispatch::Done => break state.limits_changed(),
                Dispatch::WhenIdle => idle(stream, &connection).await?,
                Dispatch::WhenResumed => {
                    flush(stream, &connection).await?;
                    state.node.resumed().await;
                }
                Dispatch::Async(work) => {
                    flush(stream, &connection).await?;
                    work.await;
                    break state.limits_changed();
                }
            }
            if connection.closing.get() {
                return Ok(false);
            }
        };
        drop(args);
        if limits_changed {
            let limits = state.node.limits(&connection);
            decoder.set_limits(limits);
        }
    }
}

/// Waits until everything under way is answered, and writes the answers meanwhile.
async fn idle<S: AsyncWrite + Unpin>(stream: &mut S, connection: &Connection) -> io::Result<()> {
    while connection.pending.get() > 0 && !connection.closing.get() {
        flush(stream, connection).await?;
        connection.wake.notified().await;
    }
    Ok(())
}

/// Writes what was answered.
async fn flush<S: AsyncWrite + Unpin>(stream: &mut S, connection: &Connection) -> io::Result<()> {
    let mut buf = take_output(&connection.out);
    while !buf.is_empty() {
        stream.write_all(&buf).await?;
        connection.bytes_out.set(connection.bytes_out.get() + buf.len() as u64);
        buf.clear();
        let mut out = connection.out.borrow_mut();
        if out.is_empty() {
            if buf.capacity() <= OUTPUT_KEEP_BYTES {
                *out = buf;
            }
            return Ok(());
        }
        std::mem::swap(&mut *out, &mut buf);
    }
    Ok(())
}

fn take_output(out: &RefCell<Vec<u8>>) -> Vec<u8> {
    let empty = out.borrow().is_empty();
    if empty { Vec::new() } else { out.take() }
}
