//! Messages between nodes, cut into checksummed frames of at most 256 KiB (R21).

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest payload of one frame.
pub(crate) const FRAME_BYTES_MAX: usize = 256 << 10;
/// The largest message: the largest entry, a megabyte of others before it, and room for what goes with them.
pub(crate) const MESSAGE_BYTES_MAX: usize = quorate_log::PAYLOAD_BYTES_MAX + (4 << 20);

/// Header of a frame: payload length with [`LAST`] in the top bit, then the CRC-32C of the payload.
const HEADER_BYTES: usize = 8;
/// Marks the last frame of a message.
const LAST: u32 = 1 << 31;

/// Appends a message to `out` as frames. Several messages appended before one write share one system call.
pub(crate) fn append_message(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let total: usize = parts.iter().map(|p| p.len()).sum();
    assert!(total <= MESSAGE_BYTES_MAX, "a message of {total} bytes is over the limit of the bus");
    out.reserve(total + HEADER_BYTES * (1 + total / FRAME_BYTES_MAX));
    let mut frame = Frame::begin(out);
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            if frame.room() == 0 {
                frame.end(false);
                frame = Frame::begin(frame.out);
            }
            let n = rest.len().min(frame.room());
            frame.out.extend_from_slice(&rest[..n]);
            rest = &rest[n..];
        }
    }
    frame.end(true);
}

/// A frame being written.
struct Frame<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Frame<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        Self { out, start }
    }

    fn room(&self) -> usize {
        FRAME_BYTES_MAX - (self.out.len() - self.start - HEADER_BYTES)
    }

    fn end(&mut self, last: bool) {
        let payload = self.start + HEADER_BYTES;
        let len = (self.out.len() - payload) as u32 | if last { LAST } else { 0 };
        let crc = crc32c::crc32c(&self.out[payload..]);
        self.out[self.start..self.start + 4].copy_from_slice(&len.to_le_bytes());
        self.out[self.start + 4..payload].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Writes messages; flushes when told, so that what gathered goes out in one write.
pub(crate) struct MessageWriter<W> {
    io: W,
    buf: Vec<u8>,
}

/// Above this many gathered bytes the buffer is given back after a flush.
const BUFFER_KEEP_BYTES: usize = 1 << 20;

impl<W: AsyncWrite + Unpin> MessageWriter<W> {
    pub(crate) fn new(io: W) -> Self {
        Self { io, buf: Vec::new() }
    }

    /// Gathers one message.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) {
        append_message(&mut self.buf, parts);
    }

    /// How many bytes are gathered.
    pub(crate) fn gathered(&self) -> usize {
        self.buf.len()
    }

    /// Writes what gathered.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.io.write_all(&self.buf).await?;
        self.buf.clear();
        if self.buf.capacity() > BUFFER_KEEP_BYTES {
            self.buf = Vec::new();
        }
        self.io.flush().await
    }
}

/// Reads messages.
pub(crate) struct MessageReader<R> {
    io: R,
    buf: BytesMut,
    /// The frames so far of a message of more than one frame.
    message: BytesMut,
    limit: usize,
}

impl<R: AsyncRead + Unpin> MessageReader<R> {
    /// Refuses messages of more than `limit` bytes.
    pub(crate) fn new(io: R, limit: usize) -> Self {
        Self { io, buf: BytesMut::new(), message: BytesMut::new(), limit }
    }

    /// Allows larger messages, once the peer is known.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next message; `None` when the peer closed the connection between two messages.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(Some(message));
            }
            if self.buf.capacity() - self.buf.len() < 4096 {
                self.buf.reserve(64 << 10);
            }
            if self.io.read_buf(&mut self.buf).await? == 0 {
                return match self.buf.is_empty() && self.message.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// The next message if it has arrived already.
    pub(crate) fn buffered(&mut self) -> io::Result<Option<Bytes>> {
        while self.buf.len() >= HEADER_BYTES {
            let word = u32::from_le_bytes(self.buf[..4].try_into().expect("four bytes"));
            let crc = u32::from_le_bytes(self.buf[4..8].try_into().expect("four bytes"));
            let len = (word & !LAST) as usize;
            if len > FRAME_BYTES_MAX || self.message.len() + len > self.limit {
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
            if last && self.message.is_empty() {
                return Ok(Some(payload.freeze()));
            }
            self.message.extend_from_slice(&payload);
            if last {
                return Ok(Some(self.message.split().freeze()));
            }
        }
        Ok(None)
    }
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
