//! Answers on their way out.
//!
//! A client may send a long pipeline and read the first answer only when all of it is sent. Waiting for it to read would be
//! waiting for each other, so what the socket does not take waits here, and the session goes on: it answers further commands
//! as long as not too many answers wait, and from then on it still reads them ([`Ahead`]).

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use quorate_env::{Budget, Charge, Part, clock};
use quorate_resp::Decoder;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::connection::Connection;

/// Answers beyond this are written before more commands are taken.
pub(crate) const OUTPUT_SOFT_BYTES: usize = 256 << 10;
/// A client that does not read is answered until so many bytes wait for it, while the node has memory for them.
const OUTPUT_AHEAD_BYTES: usize = 16 << 20;
/// All such answers together may take this part of the node's budget.
const OUTPUT_AHEAD_SHARE: usize = 16;
/// Commands that all such clients have sent may take this part of it: others need room for theirs, too.
const INPUT_AHEAD_SHARE: usize = 8;
/// An output buffer larger than this is given back once it is written.
const OUTPUT_KEEP_BYTES: usize = 64 << 10;
/// So much is read at once of a client that was silent before.
const FIRST_BYTES: usize = 1 << 10;

/// Answers that are being written.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    bytes: Vec<u8>,
    sent: usize,
}

impl Sending {
    /// Whether there is anything to write; answers that wait come next.
    fn refill(&mut self, connection: &Connection) -> bool {
        if self.sent < self.bytes.len() {
            return true;
        }
        self.sent = 0;
        self.bytes.clear();
        let mut out = connection.out.borrow_mut();
        if out.is_empty() && self.bytes.capacity() > OUTPUT_KEEP_BYTES {
            self.bytes = Vec::new();
        } else if !out.is_empty() {
            std::mem::swap(&mut self.bytes, &mut *out);
        }
        !self.bytes.is_empty()
    }
}

/// What a client has sent while it does not read.
pub(crate) struct Ahead {
    budget: Budget,
    charge: Charge,
}

impl Ahead {
    pub(crate) fn new(budget: &Budget) -> Self {
        Self { budget: budget.clone(), charge: budget.charge(Part::Queries) }
    }

    /// Whether more of it may be read; commands are taken no more until the client reads.
    pub(crate) fn may_read(&mut self, connection: &Connection, decoder: &Decoder) -> bool {
        let is_stuck = connection.writing.get() > 0 && !connection.ended.get();
        let has = decoder.buffered_bytes();
        let is_room = || self.budget.used_by(Part::Queries) < self.budget.limit() / INPUT_AHEAD_SHARE;
        is_stuck && has < decoder.limits().query_bytes && is_room() && self.charge.try_set(has)
    }

    /// Commands are taken again.
    pub(crate) fn settle(&mut self) {
        self.charge.set(0);
    }
}

/// Whether a further command may be answered, given what waits to be written.
pub(crate) fn may_answer(connection: &Connection, budget: &Budget) -> bool {
    let waiting = connection.output_bytes();
    waiting <= OUTPUT_SOFT_BYTES
        || (waiting <= OUTPUT_AHEAD_BYTES
            && budget.used_by(Part::Replies) <= budget.limit() / OUTPUT_AHEAD_SHARE)
}

/// Gives the buffers back if nothing is in them.
pub(crate) fn rest(connection: &Connection) {
    if connection.output_bytes() == 0 {
        connection.out.take();
        connection.sending.take();
    }
}

/// Writes what was answered, as far as the socket takes it now.
pub(crate) async fn flush<S: AsyncWrite + Unpin>(stream: &mut S, connection: &Connection) -> io::Result<()> {
    poll_fn(|cx| match poll_send(stream, connection, cx) {
        Poll::Pending => Poll::Ready(Ok(())),
        done => done,
    })
    .await
}

/// Writes all of it. A client that does not read is waited for, until its connection is closed.
pub(crate) async fn drain<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    connection: &Connection,
) -> io::Result<()> {
    flush(stream, connection).await?;
    while connection.output_bytes() > 0 && !connection.closing.get() {
        stir(stream, connection, None).await?;
        flush(stream, connection).await?;
    }
    Ok(())
}

/// Waits until there is something to do: the session is woken, answers have been written, or bytes have arrived, which
/// `decoder` takes: the number of them.
pub(crate) async fn stir<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    connection: &Connection,
    mut decoder: Option<&mut Decoder>,
) -> io::Result<Option<usize>> {
    let mut woken = pin!(connection.wake.notified());
    poll_fn(|cx| {
        if woken.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(None));
        }
        let waiting = connection.writing.get();
        if let Poll::Ready(Err(error)) = poll_send(stream, connection, cx) {
            return Poll::Ready(Err(error));
        }
        if connection.writing.get() < waiting {
            return Poll::Ready(Ok(None));
        }
        match &mut decoder {
            // What is silent holds no buffer only to wait for bytes.
            Some(decoder) if decoder.is_at_rest() => {
                let mut first = [0; FIRST_BYTES];
                let n = ready!(pin!(stream.read(&mut first)).poll(cx))?;
                decoder.feed(&first[..n]);
                Poll::Ready(Ok(Some(n)))
            }
            Some(decoder) => pin!(stream.read_buf(decoder.buffer())).poll(cx).map_ok(Some),
            None => Poll::Pending,
        }
    })
    .await
}

/// Ready when nothing is left to be written.
fn poll_send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    connection: &Connection,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let mut sending = connection.sending.borrow_mut();
    while sending.refill(connection) {
        connection.writing.set(sending.bytes.len() - sending.sent);
        let n = ready!(Pin::new(&mut *stream).poll_write(cx, &sending.bytes[sending.sent..]))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        sending.sent += n;
        connection.writing.set(sending.bytes.len() - sending.sent);
        connection.count(connection.output_bytes());
        connection.last_active.set(clock::Instant::now());
        connection.bytes_out.set(connection.bytes_out.get() + n as u64);
    }
    Poll::Ready(Ok(()))
}
