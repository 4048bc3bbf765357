//! When an entry was added: what orders a stream.

use std::fmt;

/// Longest text of an id, in bytes.
const TEXT_LEN_MAX: usize = 127;

/// Milliseconds, and a number among the entries of the same millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId {
    /// Milliseconds since 1970, or whatever the client takes for that.
    pub ms: u64,
    /// Counts the entries of this millisecond.
    pub seq: u64,
}

impl StreamId {
    /// Below all entries: no entry has it.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The last one possible.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// An id of its two parts.
    #[must_use]
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The next one.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => self.ms.checked_add(1).map(|ms| Self { ms, seq: 0 }),
        }
    }

    /// The one before.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => self.ms.checked_sub(1).map(|ms| Self { ms, seq: u64::MAX }),
        }
    }

    /// The id of an entry that is added at `now_ms` behind this one; `None` behind the last one possible.
    #[must_use]
    pub fn following(self, now_ms: u64) -> Option<Self> {
        if now_ms > self.ms { Some(Self::new(now_ms, 0)) } else { self.next() }
    }

    /// Reads `ms` or `ms-seq`; without a number the entry is `missing_seq`.
    #[must_use]
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<Self> {
        match parse_parts(text)? {
            (ms, None) => Some(Self::new(ms, missing_seq)),
            (ms, Some(seq)) => Some(Self::new(ms, parse_u64(seq)?)),
        }
    }

    /// Reads what `XADD` takes beside `*`: an id, or `ms-*` for one of which only the milliseconds are given.
    #[must_use]
    pub fn parse_wanted(text: &[u8]) -> Option<WantedId> {
        match parse_parts(text)? {
            (ms, Some(b"*")) => Some(WantedId::InMs(ms)),
            _ => Self::parse(text, 0).map(WantedId::Exactly),
        }
    }

    /// `ms` before `seq`, high bytes first, as a stream's tree of nodes has it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    /// The reverse of [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let whole = u128::from_be_bytes(bytes);
        Self { ms: (whole >> 64) as u64, seq: whole as u64 }
    }

    /// Calls `show` with the text.
    pub fn with_text<R>(self, show: impl FnOnce(&[u8]) -> R) -> R {
        let (mut ms, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (ms, seq) = (ms.format(self.ms).as_bytes(), seq.format(self.seq).as_bytes());
        let mut text = [b'-'; 41];
        text[..ms.len()].copy_from_slice(ms);
        text[ms.len() + 1..][..seq.len()].copy_from_slice(seq);
        show(&text[..ms.len() + 1 + seq.len()])
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// The id that an entry is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedId {
    /// The next one, by the time.
    Next,
    /// The next one in this millisecond.
    InMs(u64),
    /// This one.
    Exactly(StreamId),
}

/// The milliseconds, and the text behind the first dash.
fn parse_parts(text: &[u8]) -> Option<(u64, Option<&[u8]>)> {
    if text.len() > TEXT_LEN_MAX {
        return None;
    }
    // What reads it in Redis ends at a NUL.
    let text = text.split(|&byte| byte == 0).next()?;
    Some(match text.iter().position(|&byte| byte == b'-') {
        None => (parse_u64(text)?, None),
        Some(dash) => (parse_u64(&text[..dash])?, Some(&text[dash + 1..])),
    })
}

/// Reads a number as C's `strtoull` does, which Redis uses here: blanks and a `+` may stand in front of it, and zeros.
/// A number below zero wraps, unless it is written in its canonical form.
fn parse_u64(text: &[u8]) -> Option<u64> {
    if crate::number::parse_i64(text).is_some_and(|number| number < 0) {
        return None;
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let blanks = text.iter().take_while(|byte| is_blank(byte)).count();
    let (negative, digits) = match &text[blanks..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    Some(if negative { number.wrapping_neg() } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        let parse = |text: &str| StreamId::parse(text.as_bytes(), 7);
        assert_eq!(parse("5-3"), Some(StreamId::new(5, 3)));
        assert_eq!(parse("5"), Some(StreamId::new(5, 7)));
        assert_eq!(parse("18446744073709551615-18446744073709551615"), Some(StreamId::MAX));
        assert_eq!(parse("+05- 03"), Some(StreamId::new(5, 3)));
        assert_eq!(parse("1--01"), Some(StreamId::new(1, u64::MAX)));
        for wrong in
            ["", "-", "+", "5-", "-5", "5--3", "5-3-1", "x", "5-x", "5-*", "18446744073709551616", "5 "]
        {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(parse(&"0".repeat(127)), Some(StreamId::new(0, 7)));
        assert_eq!(parse(&"0".repeat(128)), None);
        assert_eq!(StreamId::parse_wanted(b"9-*"), Some(WantedId::InMs(9)));
        assert_eq!(StreamId::parse_wanted(b"9"), Some(WantedId::Exactly(StreamId::new(9, 0))));
        assert_eq!(StreamId::parse_wanted(b"9-**"), None);
    }

    #[test]
    fn neighbours_cross_the_millisecond() {
        let last = StreamId::new(4, u64::MAX);
        assert_eq!(last.next(), Some(StreamId::new(5, 0)));
        assert_eq!(StreamId::new(5, 0).previous(), Some(last));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
        assert_eq!(last.following(5), Some(StreamId::new(5, 0)));
        assert_eq!(StreamId::new(4, 1).following(4), Some(StreamId::new(4, 2)));
        assert_eq!(StreamId::from_bytes(last.to_bytes()), last);
        assert_eq!(StreamId::MAX.with_text(<[u8]>::len), 41);
        assert_eq!(StreamId::new(10, 0).with_text(<[u8]>::to_vec), b"10-0");
    }
}
