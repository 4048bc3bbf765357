//! Commands in memory: many of them, one after the other, in one buffer.

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

/// The first arguments of commands that [`put`] made, with the numbers of their databases.
pub(crate) fn first_keys(mut lines: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    std::iter::from_fn(move || {
        if lines.is_empty() {
            return None;
        }
        let (db, args, rest) = take(lines);
        lines = rest;
        Some((db, args.get(1).copied().unwrap_or_default()))
    })
}

fn put_len(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&u32::try_from(n).expect("lengths of commands are bounded").to_le_bytes());
}

fn take_len(bytes: &mut &[u8]) -> usize {
    let (head, rest) = bytes.split_first_chunk::<4>().expect("whole commands only");
    *bytes = rest;
    u32::from_le_bytes(*head) as usize
}
