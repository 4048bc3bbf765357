//! Cursors: what SCAN, HSCAN, SSCAN and ZSCAN have in common.
//!
//! What is scanned stands in the order of hashes, and a cursor is a place in it. So a scan goes on where it was on any
//! replica, after restarts and snapshots, and however much has come and gone meanwhile: whatever is there from the
//! beginning to the end of a scan is found (R11).

use std::cell::Cell;

use crate::{
    error::CommandError,
    glob::{Glob, TooHard},
    number::parse_i64,
    reply::Reply,
};

/// Elements that a call looks at unless told otherwise.
const COUNT_DEFAULT: usize = 10;

/// A cursor is the hash's top 52 bits, plus one: clients that keep cursors as doubles lose nothing.
const CURSOR_SHIFT: u32 = 12;

/// Where a scan goes on. Judged before the key is looked up, as in Redis; the options are judged after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor(
    /// 0, or one more than the position to go on at.
    u64,
);

impl Cursor {
    /// A cursor as Redis reads it, by the rules of C's `strtoul`: nothing at all is 0, and a sign is allowed, so that -1
    /// is the greatest number. Nothing has a position there: such a scan finds nothing and is at its end.
    pub(super) fn parse(text: &[u8]) -> Result<Self, CommandError> {
        const INVALID: CommandError = CommandError::fixed("ERR invalid cursor");
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let (negative, digits) = match text {
            [] => return Ok(Self(0)),
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(INVALID);
        }
        let digits = std::str::from_utf8(digits).map_err(|_| INVALID)?;
        let number: u64 = digits.parse().map_err(|_| INVALID)?;
        Ok(Self(if negative { number.wrapping_neg() } else { number }))
    }

    /// The hash to go on at; `None` if there is none so great.
    fn first_hash(self) -> Option<u64> {
        self.0.saturating_sub(1).checked_mul(1 << CURSOR_SHIFT)
    }
}

/// What a scan looks at and what it wants.
pub(super) struct ScanOptions<'a> {
    count: usize,
    pattern: Option<Glob<'a>>,
    /// The pattern was too hard for something.
    is_too_hard: Cell<bool>,
}

impl<'a> ScanOptions<'a> {
    /// Reads `[MATCH pattern] [COUNT count]`. `other` is asked about any other option and its value, and says whether it
    /// is one.
    pub(super) fn parse(
        args: &[&'a [u8]],
        mut other: impl FnMut(&'a [u8], &'a [u8]) -> bool,
    ) -> Result<Self, CommandError> {
        let mut options = Self { count: COUNT_DEFAULT, pattern: None, is_too_hard: Cell::new(false) };
        let (pairs, rest) = args.as_chunks::<2>();
        for [option, value] in pairs {
            if option.eq_ignore_ascii_case(b"count") {
                let count = parse_i64(value).ok_or(CommandError::NOT_AN_INTEGER)?;
                let count = usize::try_from(count).ok().filter(|&n| n > 0);
                options.count = count.ok_or(CommandError::SYNTAX)?;
            } else if option.eq_ignore_ascii_case(b"match") {
                options.pattern = (*value != b"*").then(|| Glob::new(value));
            } else if !other(option, value) {
                return Err(CommandError::SYNTAX);
            }
        }
        if rest.is_empty() { Ok(options) } else { Err(CommandError::SYNTAX) }
    }

    /// The options of a scan of a value's members, which has no others.
    pub(super) fn of_members(args: &[&'a [u8]]) -> Result<Self, CommandError> {
        Self::parse(args, |_, _| false)
    }

    /// Whether the pattern matches.
    pub(super) fn wants(&self, name: &[u8]) -> bool {
        let Some(pattern) = &self.pattern else { return true };
        !self.is_too_hard.get()
            && pattern.matches(name).unwrap_or_else(|TooHard| {
                self.is_too_hard.set(true);
                false
            })
    }

    /// What was found, unless it could not be told what is wanted.
    fn judged<T>(&self, portion: Portion<T>) -> Result<Portion<T>, CommandError> {
        if self.is_too_hard.get() { Err(TooHard.into()) } else { Ok(portion) }
    }

    /// Those of `all` that are wanted: of a small value, which is scanned at once, whatever the cursor and the count.
    pub(super) fn whole<T>(
        &self,
        all: impl Iterator<Item = T>,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Portion<T>, CommandError> {
        self.judged(Portion { found: all.filter(wanted).collect(), next: Cursor(0) })
    }

    /// The next portion. `from` gives everything from a hash on, in the order of hashes.
    pub(super) fn portion<T, I: Iterator<Item = (u64, T)>>(
        &self,
        cursor: Cursor,
        from: impl FnOnce(u64) -> I,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Portion<T>, CommandError> {
        let mut portion = Portion { found: Vec::new(), next: Cursor(0) };
        let mut position = None;
        for (looked_at, (hash, item)) in cursor.first_hash().map(from).into_iter().flatten().enumerate() {
            // What shares a position stays together, lest a cursor between skip some of it.
            if looked_at >= self.count && position != Some(hash >> CURSOR_SHIFT) {
                portion.next = Cursor((hash >> CURSOR_SHIFT) + 1);
                break;
            }
            position = Some(hash >> CURSOR_SHIFT);
            if wanted(&item) {
                portion.found.push(item);
            }
        }
        self.judged(portion)
    }
}

/// What a call has found, and where the next one goes on.
#[derive(Debug)]
pub(super) struct Portion<T> {
    found: Vec<T>,
    next: Cursor,
}

impl<T> Portion<T> {
    /// Writes the cursor and an array of `width` elements for each that was found; `put` writes them.
    pub(super) fn reply(self, reply: &mut Reply<'_>, width: usize, mut put: impl FnMut(&mut Reply<'_>, T)) {
        reply.array(2);
        reply.bulk(itoa::Buffer::new().format(self.next.0).as_bytes());
        reply.array(self.found.len() * width);
        for item in self.found {
            put(reply, item);
        }
    }
}

/// Answers a scan of a key that does not exist.
pub(super) fn reply_nothing(reply: &mut Reply<'_>) {
    reply.array(2);
    reply.bulk(b"0");
    reply.array(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All portions of `hashes`, with a name each; `between` may change them after each portion.
    fn scan(hashes: &mut Vec<u64>, count: &[u8], mut between: impl FnMut(&mut Vec<u64>)) -> Vec<Vec<u64>> {
        let options = ScanOptions::of_members(&[b"COUNT", count]).unwrap();
        let (mut cursor, mut portions) = (Cursor(0), Vec::new());
        loop {
            let from = |hash| hashes.iter().map(|&h| (h, h)).skip_while(move |(h, _)| *h < hash);
            let portion = options.portion(cursor, from, |_| true).unwrap();
            portions.push(portion.found);
            cursor = portion.next;
            if cursor.0 == 0 {
                return portions;
            }
            between(hashes);
        }
    }

    #[test]
    fn every_element_comes_once() {
        let mut hashes: Vec<u64> = (0..25).map(|n| n << 40).collect();
        let portions = scan(&mut hashes, b"10", |_| ());
        assert_eq!(portions.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
        assert_eq!(portions.concat(), hashes);
        assert_eq!(scan(&mut Vec::new(), b"10", |_| ()), [[0; 0]]);
    }

    #[test]
    fn what_shares_a_position_stays_together() {
        let mut hashes = vec![1 << 12, (1 << 12) + 1, (1 << 12) + 2, 2 << 12, u64::MAX - 1, u64::MAX];
        assert_eq!(
            scan(&mut hashes, b"1", |_| ()),
            [vec![1 << 12, (1 << 12) + 1, (1 << 12) + 2], vec![2 << 12], vec![u64::MAX - 1, u64::MAX]]
        );
    }

    #[test]
    fn what_is_there_throughout_is_found() {
        let mut hashes: Vec<u64> = (0..1000).map(|n| n << 30).collect();
        let mut n = 0;
        let portions = scan(&mut hashes, b"7", |hashes| {
            // Every odd one goes, some that are new come.
            n += 1;
            hashes.retain(|hash| (hash >> 30) % 2 == 0 || (hash >> 30) % 100 != n % 100);
            hashes.push((n << 33) | (1 << 14));
            hashes.sort_unstable();
        });
        let found = portions.concat();
        for hash in (0..1000).step_by(2).map(|n| n << 30) {
            assert_eq!(found.iter().filter(|found| **found == hash).count(), 1);
        }
    }

    #[test]
    fn cursors_are_read_as_c_reads_them() {
        let cursor = |text: &[u8]| Cursor::parse(text).map(|cursor| cursor.0).ok();
        assert_eq!(cursor(b"17"), Some(17));
        assert_eq!(cursor(b"+17"), Some(17));
        assert_eq!(cursor(b""), Some(0));
        assert_eq!(cursor(b"-1"), Some(u64::MAX));
        assert_eq!(cursor(b"18446744073709551615"), Some(u64::MAX));
        for text in [&b"x"[..], b"1x", b"18446744073709551616", b"1.5", b"-"] {
            assert_eq!(cursor(text), None, "{text:?}");
        }
        let options = ScanOptions::of_members(&[]).unwrap();
        let portion = options.portion(Cursor(u64::MAX), |_| [(0, 0)].into_iter(), |_| true).unwrap();
        assert_eq!((portion.found.len(), portion.next.0), (0, 0));
    }
}
