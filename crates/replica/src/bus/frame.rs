//! Messages between nodes, cut into checksummed frames of at most 256 KiB (R21).
//!
//! A message of more than one frame begins with its length, so that the receiver makes room for it once. Neither side
//! has a second copy of a large message: the sender cuts it while it writes, the receiver puts it together in place.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use quorate_env::{Budget, Charge, Part};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest payload of one frame.
pub(crate) const FRAME_BYTES_MAX: usize = 256 << 10;
/// The largest message: the largest entry, a megabyte of others before it, and room for what goes with them.
pub(crate) const MESSAGE_BYTES_MAX: usize = quorate_log::PAYLOAD_BYTES_MAX + (4 << 20);

/// In front of a message of more than one frame: its length.
const TOTAL_BYTES: usize = 8;
/// How often a message that waits for room looks again.
const ROOM_PAUSE: Duration = Duration::from_millis(5);

/// Header of a frame: payload length with [`LAST`] in the top bit, then the CRC-32C of the payload.
const HEADER_BYTES: usize = 8;
/// Marks the last frame of a message.
const LAST: u32 = 1 << 31;

/// Appends a message to `out` as frames. Several messages appended before one write share one system call.
pub(crate) fn append_message(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let mut cutter = Cutter::new(parts.iter().map(|p| p.len()).sum());
    out.reserve(cutter.left + (HEADER_BYTES + TOTAL_BYTES) * (1 + cutter.left / FRAME_BYTES_MAX));
    let (mut parts, mut rest) = (parts.iter(), &[][..]);
    while cutter.next(out, &mut rest, || parts.next().copied()) {}
}

/// Cuts a message into frames.
struct Cutter {
    /// Bytes that are not in a frame yet.
    left: usize,
    /// Goes in front of the first frame's payload, if there are several.
    total: Option<u64>,
    begun: bool,
}

impl Cutter {
    fn new(total: usize) -> Self {
        assert!(total <= MESSAGE_BYTES_MAX, "a message of {total} bytes is over the limit of the bus");
        Self { left: total, total: (total > FRAME_BYTES_MAX).then_some(total as u64), begun: false }
    }

    /// Appends the next frame to `out`: what is left of the part at hand, then further parts. False: there is none.
    fn next<'a>(
        &mut self,
        out: &mut Vec<u8>,
        rest: &mut &'a [u8],
        mut more: impl FnMut() -> Option<&'a [u8]>,
    ) -> bool {
        if self.begun && self.left == 0 {
            return false;
        }
        self.begun = true;
        let start = out.len();
        let payload = start + HEADER_BYTES;
        out.extend_from_slice(&[0; HEADER_BYTES]);
        out.extend_from_slice(self.total.take().map(u64::to_le_bytes).as_ref().map_or(&[], |t| &t[..]));
        while self.left > 0 && out.len() - payload < FRAME_BYTES_MAX {
            if rest.is_empty() {
                *rest = more().expect("the parts are as long as announced");
            }
            let n = rest.len().min(FRAME_BYTES_MAX - (out.len() - payload));
            out.extend_from_slice(&rest[..n]);
            *rest = &rest[n..];
            self.left -= n;
        }
        let len = (out.len() - payload) as u32 | if self.left == 0 { LAST } else { 0 };
        let crc = crc32c::crc32c(&out[payload..]);
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        out[start + 4..payload].copy_from_slice(&crc.to_le_bytes());
        true
    }
}

/// The message that `bytes` begin with, if it is in one frame. `None`: it is not all there yet.
pub(crate) fn first_message(bytes: &[u8], limit: usize) -> io::Result<Option<&[u8]>> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let (word, crc) = header.split_at(4);
    let word = u32::from_le_bytes(word.try_into().expect("four bytes"));
    let crc = u32::from_le_bytes(crc.try_into().expect("four bytes"));
    let len = (word & !LAST) as usize;
    if word & LAST == 0 || len > limit {
        return Err(bad(format!("no message of one frame and at most {limit} bytes")));
    }
    match rest.get(..len) {
        None => Ok(None),
        Some(payload) if crc32c::crc32c(payload) == crc => Ok(Some(payload)),
        Some(_) => Err(bad("a frame has a wrong checksum".to_owned())),
    }
}

/// Reads a message of one frame and at most `limit` bytes, and not a byte more of what may follow it.
pub(crate) async fn read_small<R: AsyncRead + Unpin>(io: &mut R, limit: usize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEADER_BYTES];
    io.read_exact(&mut frame).await?;
    let word = u32::from_le_bytes(frame[..4].try_into().expect("four bytes"));
    let len = (word & !LAST) as usize;
    if word & LAST == 0 || len > limit {
        return Err(bad(format!("no message of one frame and at most {limit} bytes")));
    }
    frame.resize(HEADER_BYTES + len, 0);
    io.read_exact(&mut frame[HEADER_BYTES..]).await?;
    first_message(&frame, limit)?;
    Ok(frame.split_off(HEADER_BYTES))
}

/// Writes messages; flushes when told, so that what gathered goes out in one write.
pub(crate) struct MessageWriter<W> {
    io: W,
    buf: Vec<u8>,
    /// Messages that are cut into frames while they are written: how much of `buf` goes before each.
    large: VecDeque<(usize, Vec<Bytes>)>,
    large_bytes: usize,
}

/// Up to this size a message is copied into the buffer, and goes out with others in one write.
pub(crate) const LARGE_BYTES: usize = 2 << 20;
/// Above this many gathered bytes the buffer is given back after a flush.
const BUFFER_KEEP_BYTES: usize = 1 << 20;

impl<W: AsyncWrite + Unpin> MessageWriter<W> {
    pub(crate) fn new(io: W) -> Self {
        Self { io, buf: Vec::new(), large: VecDeque::new(), large_bytes: 0 }
    }

    /// Gathers one message.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) {
        append_message(&mut self.buf, parts);
    }

    /// Gathers one message; a large one is not copied.
    pub(crate) fn push_shared(&mut self, parts: Vec<Bytes>) {
        let total: usize = parts.iter().map(Bytes::len).sum();
        if total <= LARGE_BYTES {
            let parts: Vec<&[u8]> = parts.iter().map(AsRef::as_ref).collect();
            return self.push(&parts);
        }
        self.large_bytes += total;
        self.large.push_back((self.buf.len(), parts));
    }

    /// How many bytes are gathered.
    pub(crate) fn gathered(&self) -> usize {
        self.buf.len() + self.large_bytes
    }

    /// Writes what gathered. If it is cancelled, the connection is of no further use.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let mut from = 0;
        while let Some((at, parts)) = self.large.pop_front() {
            self.io.write_all(&self.buf[from..at]).await?;
            from = at;
            write_large(&mut self.io, &parts).await?;
        }
        self.large_bytes = 0;
        self.io.write_all(&self.buf[from..]).await?;
        self.buf.clear();
        if self.buf.capacity() > BUFFER_KEEP_BYTES {
            self.buf = Vec::new();
        }
        self.io.flush().await
    }
}

/// Frame by frame: others get their turn between two.
async fn write_large<W: AsyncWrite + Unpin>(io: &mut W, parts: &[Bytes]) -> io::Result<()> {
    let mut cutter = Cutter::new(parts.iter().map(Bytes::len).sum());
    let mut frame = Vec::with_capacity(HEADER_BYTES + FRAME_BYTES_MAX);
    let (mut parts, mut rest) = (parts.iter(), &[][..]);
    while cutter.next(&mut frame, &mut rest, || parts.next().map(AsRef::as_ref)) {
        io.write_all(&frame).await?;
        frame.clear();
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// A message as it came.
pub(crate) struct Message {
    pub(crate) bytes: BytesMut,
    /// What it counts, if it is large.
    charge: Option<Charge>,
}

impl Message {
    /// Its bytes to share; they are counted as long as somebody holds them.
    pub(crate) fn freeze(self) -> Bytes {
        match self.charge {
            Some(charge) => charge.around(self.bytes),
            None => self.bytes.freeze(),
        }
    }
}

/// A message of which not all frames are there.
struct Incoming {
    bytes: BytesMut,
    total: usize,
    charge: Option<Charge>,
    admitted: bool,
}

/// Reads messages.
pub(crate) struct MessageReader<R> {
    io: R,
    buf: BytesMut,
    incoming: Option<Incoming>,
    limit: usize,
    budget: Option<Budget>,
    waits: bool,
}

impl<R: AsyncRead + Unpin> MessageReader<R> {
    /// Refuses messages of more than `limit` bytes.
    pub(crate) fn new(io: R, limit: usize) -> Self {
        Self { io, buf: BytesMut::new(), incoming: None, limit, budget: None, waits: false }
    }

    /// Allows larger messages, once the peer is known.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Counts large messages. If it `waits`, it reads them only when there is room: for what is not needed to make room.
    pub(crate) fn set_budget(&mut self, budget: Budget, waits: bool) {
        self.budget = Some(budget);
        self.waits = waits;
    }

    /// The next message; `None` when the peer closed the connection between two messages.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        Ok(self.next_message().await?.map(Message::freeze))
    }

    /// The same, not shared yet.
    pub(crate) async fn next_message(&mut self) -> io::Result<Option<Message>> {
        loop {
            if let Some(message) = self.take_buffered()? {
                return Ok(Some(message));
            }
            if let Some(incoming) = self.incoming.as_mut().filter(|i| self.waits && !i.admitted) {
                incoming.admit(self.budget.as_ref()).await;
            }
            if self.buf.capacity() - self.buf.len() < 4096 {
                self.buf.reserve(64 << 10);
            }
            if self.io.read_buf(&mut self.buf).await? == 0 {
                return match self.buf.is_empty() && self.incoming.is_none() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// The next message if it has arrived already.
    pub(crate) fn buffered(&mut self) -> io::Result<Option<Bytes>> {
        Ok(self.take_buffered()?.map(Message::freeze))
    }

    fn take_buffered(&mut self) -> io::Result<Option<Message>> {
        while self.buf.len() >= HEADER_BYTES {
            let word = u32::from_le_bytes(self.buf[..4].try_into().expect("four bytes"));
            let crc = u32::from_le_bytes(self.buf[4..8].try_into().expect("four bytes"));
            let len = (word & !LAST) as usize;
            if len > FRAME_BYTES_MAX || len > self.limit {
                return Err(bad(format!("a frame of {len} bytes is over the limit")));
            }
            if self.buf.len() < HEADER_BYTES + len {
                self.buf.reserve(HEADER_BYTES + len - self.buf.len());
                return Ok(None);
            }
            self.buf.advance(HEADER_BYTES);
            let payload = self.buf.split_to(len);
            if crc32c::crc32c(&payload) != crc {
                return Err(bad("a frame has a wrong checksum".to_owned()));
            }
            let last = word & LAST != 0;
            if last && self.incoming.is_none() {
                return Ok(Some(Message { bytes: payload, charge: None }));
            }
            if let Some(message) = self.join(&payload, last)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Adds a frame to the message that it is a part of.
    fn join(&mut self, payload: &[u8], last: bool) -> io::Result<Option<Message>> {
        let payload = match &self.incoming {
            Some(_) => payload,
            None => {
                let (total, rest) = payload.split_first_chunk::<TOTAL_BYTES>().ok_or_else(not_as_long)?;
                self.begin(u64::from_le_bytes(*total))?;
                rest
            }
        };
        let incoming = self.incoming.as_mut().expect("just begun");
        if incoming.bytes.len() + payload.len() > incoming.total {
            return Err(not_as_long());
        }
        incoming.bytes.extend_from_slice(payload);
        if !last {
            return Ok(None);
        }
        let Incoming { bytes, total, charge, .. } = self.incoming.take().expect("just used");
        if bytes.len() != total {
            return Err(not_as_long());
        }
        Ok(Some(Message { bytes, charge }))
    }

    fn begin(&mut self, total: u64) -> io::Result<()> {
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        if total > self.limit {
            return Err(bad(format!("a message of {total} bytes is over the limit")));
        }
        let mut charge = self.budget.as_ref().map(|budget| budget.charge(Part::Bus));
        if let Some(charge) = charge.as_mut().filter(|_| !self.waits) {
            charge.set(total);
        }
        self.incoming =
            Some(Incoming { bytes: BytesMut::with_capacity(total), total, charge, admitted: false });
        Ok(())
    }
}

impl Incoming {
    /// Waits until there is room for the whole message.
    async fn admit(&mut self, budget: Option<&Budget>) {
        let _waiting = budget.map(Budget::wait);
        if let Some(charge) = &mut self.charge {
            while !charge.try_set(self.total) {
                quorate_env::sleep(ROOM_PAUSE).await;
            }
        }
        self.admitted = true;
    }
}

fn not_as_long() -> io::Error {
    bad("a message is not as long as it says".to_owned())
}

fn bad(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8], chunk: usize) -> io::Result<Vec<Bytes>> {
        let rt = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        rt.block_on(async {
            let (mut tx, rx) = tokio::io::duplex(chunk);
            let bytes = bytes.to_vec();
            let writer = tokio::spawn(async move {
                let _ = tx.write_all(&bytes).await;
            });
            let mut reader = MessageReader::new(rx, MESSAGE_BYTES_MAX);
            let mut out = Vec::new();
            while let Some(m) = reader.next().await? {
                out.push(m);
            }
            writer.await.expect("the writer does not panic");
            Ok(out)
        })
    }

    #[test]
    fn messages_of_every_size_around_a_frame_survive_any_chunking() {
        let mut wire = Vec::new();
        let sizes = [0, 1, 7, FRAME_BYTES_MAX - 1, FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1, 3 * FRAME_BYTES_MAX];
        for n in sizes {
            append_message(&mut wire, &[&vec![n as u8; n / 2], &vec![7; n - n / 2]]);
        }
        for chunk in [13, 4096, 1 << 20] {
            let got = read_all(&wire, chunk).expect("well formed");
            assert_eq!(got.iter().map(|m| m.len()).collect::<Vec<_>>(), sizes);
        }
    }

    #[test]
    fn a_large_message_that_is_not_copied_is_the_same_on_the_wire_and_keeps_its_place() {
        let rt = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        rt.block_on(async {
            let (tx, rx) = tokio::io::duplex(1000);
            let parts =
                vec![Bytes::from_static(b"head"), Bytes::from(vec![3; LARGE_BYTES]), Bytes::from(vec![4; 9])];
            let whole = parts.concat();
            let writer = tokio::spawn(async move {
                let mut writer = MessageWriter::new(tx);
                writer.push(&[b"before"]);
                writer.push_shared(parts);
                writer.push_shared(vec![Bytes::from_static(b"small")]);
                assert!(writer.gathered() > LARGE_BYTES);
                writer.flush().await.expect("there is a reader");
                assert_eq!(writer.gathered(), 0);
            });
            let budget = Budget::default();
            let mut reader = MessageReader::new(rx, MESSAGE_BYTES_MAX);
            reader.set_budget(budget.clone(), true);
            for expected in [b"before".to_vec(), whole, b"small".to_vec()] {
                let got = reader.next().await.expect("well formed").expect("a message");
                assert!(got == expected, "{} bytes", got.len());
                let counted = if expected.len() > FRAME_BYTES_MAX { LARGE_BYTES } else { 0 };
                assert_eq!(budget.used(), counted, "as long as somebody holds it");
            }
            writer.await.expect("the writer does not panic");
        });
    }

    #[test]
    fn a_message_that_is_longer_or_shorter_than_it_says_is_an_error() {
        let mut wire = Vec::new();
        append_message(&mut wire, &[&vec![1; FRAME_BYTES_MAX + 100]]);
        for says in [FRAME_BYTES_MAX as u64 + 99, FRAME_BYTES_MAX as u64 + 101, 5, u64::MAX] {
            let mut wire = wire.clone();
            let payload = HEADER_BYTES..HEADER_BYTES + FRAME_BYTES_MAX;
            wire[HEADER_BYTES..HEADER_BYTES + TOTAL_BYTES].copy_from_slice(&says.to_le_bytes());
            let crc = crc32c::crc32c(&wire[payload]);
            wire[4..8].copy_from_slice(&crc.to_le_bytes());
            assert!(read_all(&wire, 4096).is_err(), "{says}");
        }
    }

    #[test]
    fn the_first_message_is_found_without_a_reader() {
        let mut wire = Vec::new();
        append_message(&mut wire, &[b"hello"]);
        append_message(&mut wire, &[b"next"]);
        assert_eq!(first_message(&wire, 100).expect("well formed"), Some(&b"hello"[..]));
        assert_eq!(first_message(&wire[..HEADER_BYTES + 4], 100).expect("well formed so far"), None);
        assert_eq!(first_message(&wire[..3], 100).expect("well formed so far"), None);
        assert!(first_message(&wire, 4).is_err());
        wire[HEADER_BYTES] ^= 1;
        assert!(first_message(&wire, 100).is_err());
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut wire = Vec::new();
        append_message(&mut wire, &[b"hello"]);
        *wire.last_mut().expect("not empty") ^= 1;
        assert!(read_all(&wire, 64).is_err());
    }

    #[test]
    fn a_message_cut_short_is_an_error() {
        let mut wire = Vec::new();
        append_message(&mut wire, &[b"hello"]);
        wire.pop();
        assert!(read_all(&wire, 64).is_err());
    }
}
