//! Commands in memory: many of them, one after the other, in one buffer.

use std::collections::VecDeque;

use quorate_keyspace::batch::BatchBuilder;
use smallvec::SmallVec;

/// The arguments of a command.
pub(crate) type Args<'a> = SmallVec<[&'a [u8]; 8]>;

/// Appends a command.
pub(crate) fn put(out: &mut Vec<u8>, db: usize, args: &[&[u8]]) {
    put_len(out, db);
    put_len(out, args.len());
    for arg in args {
        put_len(out, arg.len());
        out.extend_from_slice(arg);
    }
}

/// The command at the start of `bytes`, which [`put`] made, and what follows it.
pub(crate) fn take(bytes: &[u8]) -> (usize, Args<'_>, &[u8]) {
    let mut rest = bytes;
    let db = take_len(&mut rest);
    let count = take_len(&mut rest);
    let mut args = Args::with_capacity(count);
    for _ in 0..count {
        let len = take_len(&mut rest);
        let (arg, after) = rest.split_at(len);
        args.push(arg);
        rest = after;
    }
    (db, args, rest)
}

/// Many commands, in buffers that never have to move to a larger place: that would keep everybody else waiting (R20).
#[derive(Default)]
pub(crate) struct Lines {
    buffers: VecDeque<Vec<u8>>,
    /// What was taken of the first one.
    taken: usize,
    bytes: usize,
}

/// What more than one command may take in one buffer.
const BUFFER_BYTES: usize = 256 << 10;

impl Lines {
    /// Appends a command.
    pub(crate) fn put(&mut self, db: usize, args: &[&[u8]]) {
        put(self.buffer(len_of(args)), db, args);
    }

    /// The same in steps.
    pub(crate) async fn put_large(&mut self, db: usize, args: &[&[u8]]) {
        let mut pace = Pace::steps();
        let buffer = self.buffer(len_of(args));
        put_len(buffer, db);
        put_len(buffer, args.len());
        for arg in args {
            put_len(buffer, arg.len());
            for part in arg.chunks(COPY_STEP_BYTES) {
                buffer.extend_from_slice(part);
                pace.copied(part.len()).await;
            }
        }
    }

    /// Where there is room for so much more.
    fn buffer(&mut self, bytes: usize) -> &mut Vec<u8> {
        self.bytes += bytes;
        if self.buffers.back().is_none_or(|last| last.len() + bytes > BUFFER_BYTES) {
            // A small transaction takes no more than it needs.
            let capacity = if self.buffers.is_empty() { bytes } else { bytes.max(BUFFER_BYTES) };
            self.buffers.push_back(Vec::with_capacity(capacity));
        }
        self.buffers.back_mut().expect("one was just added")
    }

    /// The oldest command, which is there no more with the next call.
    pub(crate) fn take(&mut self) -> (usize, Args<'_>) {
        if self.buffers.front().is_some_and(|first| first.len() == self.taken) {
            self.buffers.pop_front();
            self.taken = 0;
        }
        let first = self.buffers.front().expect("whoever takes knows how many there are");
        let (db, args, rest) = take(&first[self.taken..]);
        self.taken = first.len() - rest.len();
        (db, args)
    }

    /// Bytes of all commands that were put.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// So much is copied between two turns of everybody else.
const COPY_STEP_BYTES: usize = 1 << 20;

/// Gives everybody else a turn now and then, while something large is copied (R20).
pub(crate) struct Pace {
    step: usize,
    copied: usize,
}

impl Pace {
    /// Of what is large.
    pub(crate) fn steps() -> Self {
        Self { step: COPY_STEP_BYTES, copied: 0 }
    }

    /// Of what is small: all at once.
    pub(crate) fn at_once() -> Self {
        Self { step: usize::MAX, copied: 0 }
    }

    /// So much was copied.
    pub(crate) async fn copied(&mut self, bytes: usize) {
        self.copied = self.copied.saturating_add(bytes);
        if self.copied >= self.step {
            self.copied = 0;
            tokio::task::yield_now().await;
        }
    }

    /// Copies the arguments of a command that was opened in a batch.
    pub(crate) async fn put_args(&mut self, batch: &mut BatchBuilder, args: &[&[u8]]) {
        for arg in args {
            batch.open_arg(arg.len());
            for part in arg.chunks(COPY_STEP_BYTES) {
                batch.arg_part(part);
                self.copied(part.len()).await;
            }
        }
    }
}

/// The first arguments of commands that [`put`] made, with the numbers of their databases.
pub(crate) fn first_keys(mut lines: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    std::iter::from_fn(move || {
        if lines.is_empty() {
            return None;
        }
        let (db, count) = (take_len(&mut lines), take_len(&mut lines));
        let mut first = &[][..];
        for n in 0..count {
            let len = take_len(&mut lines);
            let (arg, rest) = lines.split_at(len);
            lines = rest;
            if n == 1 {
                first = arg;
            }
        }
        Some((db, first))
    })
}

/// What [`put`] makes of a command.
fn len_of(args: &[&[u8]]) -> usize {
    8 + args.iter().map(|arg| 4 + arg.len()).sum::<usize>()
}

fn put_len(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&u32::try_from(n).expect("lengths of commands are bounded").to_le_bytes());
}

fn take_len(bytes: &mut &[u8]) -> usize {
    let (head, rest) = bytes.split_first_chunk::<4>().expect("whole commands only");
    *bytes = rest;
    u32::from_le_bytes(*head) as usize
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn lines_come_out_as_they_were_put_in_whatever_their_sizes() {
        let sizes = [0, 10, BUFFER_BYTES, 3, BUFFER_BYTES / 2, BUFFER_BYTES / 2, 3 * COPY_STEP_BYTES, 1];
        let texts: Vec<Vec<u8>> = sizes.iter().zip(0..).map(|(len, n)| vec![n; *len]).collect();
        let mut lines = Lines::default();
        for (n, text) in texts.iter().enumerate() {
            let args = [&b"set"[..], text, b""];
            if n % 2 == 0 {
                lines.put(n, &args);
            } else {
                let mut put = Box::pin(lines.put_large(n, &args));
                while put.as_mut().now_or_never().is_none() {}
            }
        }
        let put: usize = lines.buffers.iter().map(Vec::len).sum();
        assert_eq!(lines.bytes(), put);
        for buffer in lines.buffers.iter().skip(1) {
            assert!(buffer.len() <= BUFFER_BYTES || buffer.len() == buffer.capacity());
        }
        for (n, text) in texts.iter().enumerate() {
            assert_eq!(lines.take(), (n, Args::from_slice(&[b"set", text, b""])));
        }
    }
}
