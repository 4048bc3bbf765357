//! Ranges of bits, and what is in them.

use std::ops::Range;

use crate::error::CommandError;

/// What the ends of a range count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Byte,
    Bit,
}

impl Unit {
    /// Reads a unit that may be left out.
    pub(super) fn parse(text: Option<&[u8]>) -> Result<Self, CommandError> {
        match text {
            None => Ok(Self::Byte),
            Some(text) if text.eq_ignore_ascii_case(b"byte") => Ok(Self::Byte),
            Some(text) if text.eq_ignore_ascii_case(b"bit") => Ok(Self::Bit),
            Some(_) => Err(CommandError::SYNTAX),
        }
    }
}

/// From `start` to `end` inclusive; negative ones count from the end of the string, where a range without end ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct BitRange {
    pub(super) start: i64,
    pub(super) end: Option<i64>,
    pub(super) unit: Unit,
}

impl BitRange {
    pub(super) const ALL: Self = Self { start: 0, end: None, unit: Unit::Byte };

    /// Whether it ends before it begins, counted from the end of the string: BITCOUNT then finds nothing, also where both
    /// are before the string, which else stands for its first bit or byte.
    pub(super) fn is_backwards(self) -> bool {
        self.start < 0 && self.end.is_some_and(|end| end < 0 && self.start > end)
    }

    /// The bits of a string of `len` bytes; `None` if there are none.
    pub(super) fn resolve(self, len: usize) -> Option<Range<usize>> {
        let scale = match self.unit {
            Unit::Byte => 8,
            Unit::Bit => 1,
        };
        let units = (len * 8 / scale) as i64;
        let end = self.end.unwrap_or(-1);
        let absolute = |index: i64| if index < 0 { index.saturating_add(units).max(0) } else { index };
        let (start, end) = (absolute(self.start), absolute(end).min(units - 1));
        (start <= end).then(|| start as usize * scale..(end as usize + 1) * scale)
    }
}

/// The number of ones.
pub(super) fn count_ones(bytes: &[u8], bits: Range<usize>) -> usize {
    let (first, inner, last) = split(bytes, bits);
    let (words, rest) = inner.as_chunks::<8>();
    let words: usize = words.iter().map(|word| u64::from_ne_bytes(*word).count_ones() as usize).sum();
    let edges = [first.1, last.1].into_iter().chain(rest.iter().copied());
    words + edges.map(|byte| byte.count_ones() as usize).sum::<usize>()
}

/// The position of the first bit like this one.
pub(super) fn find(bytes: &[u8], bits: Range<usize>, bit: bool) -> Option<usize> {
    // Looking for a one among the bytes, or among their opposites where only bits of the range count.
    let (first, inner, last) = split(bytes, bits.clone());
    let wanted = |byte: u8, mask: u8| if bit { byte } else { !byte & mask };
    let position = |i: usize, byte: u8| i * 8 + byte.leading_zeros() as usize;
    let edge = |i: usize, (mask, byte): (u8, u8)| {
        let byte = wanted(byte, mask);
        (byte != 0).then(|| position(i, byte))
    };
    let begin = bits.start / 8;
    edge(begin, first)
        .or_else(|| {
            let other = if bit { 0 } else { 0xff };
            let skipped = inner.as_chunks::<8>().0.iter().take_while(|word| **word == [other; 8]).count() * 8;
            let i = skipped + inner[skipped..].iter().position(|byte| *byte != other)?;
            Some(position(begin + usize::from(first.0 != 0) + i, wanted(inner[i], 0xff)))
        })
        .or_else(|| edge((bits.end.max(1) - 1) / 8, last))
}

/// A mask, and what it leaves of a byte.
type Edge = (u8, u8);

/// The bits of the first byte if it is not wholly in the range, whole bytes, and the bits of the last byte.
fn split(bytes: &[u8], bits: Range<usize>) -> (Edge, &[u8], Edge) {
    let (begin, end) = (bits.start / 8, bits.end / 8);
    let from_start = 0xff >> (bits.start % 8);
    let to_end = !(0xff >> (bits.end % 8));
    let edge = |i: usize, mask: u8| (mask, bytes[i] & mask);
    match (!bits.start.is_multiple_of(8), !bits.end.is_multiple_of(8)) {
        (false, false) => ((0, 0), &bytes[begin..end], (0, 0)),
        (true, _) if begin == end => (edge(begin, from_start & to_end), &[], (0, 0)),
        (true, false) => (edge(begin, from_start), &bytes[begin + 1..end], (0, 0)),
        (false, true) => ((0, 0), &bytes[begin..end], edge(end, to_end)),
        (true, true) => (edge(begin, from_start), &bytes[begin + 1..end], edge(end, to_end)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_count_from_either_end() {
        let bits = |start, end, unit| BitRange { start, end, unit }.resolve(4);
        let cases = [
            ((0, None), Some(0..32), Some(0..32)),
            ((1, None), Some(8..32), Some(1..32)),
            ((0, Some(-1)), Some(0..32), Some(0..32)),
            ((1, Some(2)), Some(8..24), Some(1..3)),
            ((-2, Some(-1)), Some(16..32), Some(30..32)),
            ((-1, Some(-2)), None, None),
            ((3, Some(100)), Some(24..32), Some(3..32)),
            ((4, Some(100)), None, Some(4..32)),
            ((2, Some(1)), None, None),
            ((-100, Some(0)), Some(0..8), Some(0..1)),
            ((-100, Some(-100)), Some(0..8), Some(0..1)),
            ((i64::MIN, Some(i64::MAX)), Some(0..32), Some(0..32)),
            ((i64::MAX, Some(i64::MAX)), None, None),
        ];
        for ((start, end), bytes, in_bits) in cases {
            assert_eq!(bits(start, end, Unit::Byte), bytes, "{start} {end:?}");
            assert_eq!(bits(start, end, Unit::Bit), in_bits, "{start} {end:?}");
        }
        assert_eq!(BitRange::ALL.resolve(0), None);
        let backwards = |start, end| BitRange { start, end, unit: Unit::Byte }.is_backwards();
        assert!(backwards(-100, Some(-101)) && !backwards(-101, Some(-100)));
        assert!(!backwards(5, Some(-1)) && !backwards(-1, None) && !backwards(-1, Some(0)));
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![3 => Just(0_u8), 3 => Just(0xff_u8), 1 => any::<u8>()];
        prop::collection::vec(byte, 0..40)
    }

    proptest! {
        #[test]
        fn bits_are_counted_and_found(bytes in bytes(), start in 0_usize..320, end in 0_usize..320) {
            let end = end.min(bytes.len() * 8);
            let start = start.min(end);
            let bit = |i: &usize| bytes[i / 8] >> (7 - i % 8) & 1 == 1;
            prop_assert_eq!(count_ones(&bytes, start..end), (start..end).filter(bit).count());
            prop_assert_eq!(find(&bytes, start..end, true), (start..end).find(bit));
            prop_assert_eq!(find(&bytes, start..end, false), (start..end).find(|i| !bit(i)));
        }
    }
}
