//! The keys that are sent together.

use std::collections::VecDeque;
use std::ops::Range;

use super::Key;
use crate::call::Answer;

/// See the module.
pub(super) struct Round {
    /// The version of the state that all of them were read at.
    pub(super) version: u64,
    /// The version of the serialization.
    pub(super) rdb_version: u16,
    pub(super) items: Vec<Item>,
    answer: Answer,
}

/// A key and where its value stands.
pub(super) struct Item {
    pub(super) key: Key,
    /// What is left of its life; 0: it has no end.
    pub(super) ttl_ms: u64,
    payload: Range<usize>,
}

impl Round {
    /// The first of `keys`, as many as `\0extract` has answered for. Those that do not exist come apart.
    pub(super) fn new(
        answer: Answer,
        rdb_version: u16,
        keys: &mut VecDeque<Key>,
        now_ms: u64,
    ) -> (Self, Vec<Key>) {
        let mut reader = Reader { bytes: &answer.bytes, at: 0 };
        let (mut items, mut missing) = (Vec::new(), Vec::new());
        reader.number(b'*');
        let version = reader.number(b':') as u64;
        for _ in 0..reader.number(b'*') {
            let mut key = keys.pop_front().expect("it answers for no more keys than it was asked for");
            if reader.is_null() {
                missing.push(key);
                continue;
            }
            reader.number(b'*');
            key.expire_at_ms = reader.number(b':') as u64;
            let payload = reader.string();
            if key.is_over(now_ms) {
                // The leader's clock had not come so far.
                missing.push(key);
                continue;
            }
            key.sent += 1;
            items.push(Item { ttl_ms: key.expire_at_ms.saturating_sub(now_ms), key, payload });
        }
        (Self { version, rdb_version, items, answer }, missing)
    }

    pub(super) fn payload(&self, item: &Item) -> &[u8] {
        &self.answer.bytes[item.payload.clone()]
    }
}

/// Reads an answer of this node's own.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The number of a line that begins with `kind`.
    fn number(&mut self, kind: u8) -> i64 {
        let line = &self.bytes[self.at..];
        let end = line.iter().position(|&b| b == b'\r').expect("a line ends");
        assert_eq!(line[0], kind, "what this node answers itself has a known shape");
        self.at += end + 2;
        quorate_resp::parse_integer(&line[1..end]).expect("a number")
    }

    fn is_null(&mut self) -> bool {
        const NULL: &[u8] = b"$-1\r\n";
        let is_null = self.bytes[self.at..].starts_with(NULL);
        self.at += if is_null { NULL.len() } else { 0 };
        is_null
    }

    /// Where a string stands.
    fn string(&mut self) -> Range<usize> {
        let length = self.number(b'$') as usize;
        let begin = self.at;
        self.at += length + 2;
        begin..begin + length
    }
}
