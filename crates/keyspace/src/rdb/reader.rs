//! Lengths, strings and numbers.

use std::borrow::Cow;

use super::lzf;
use crate::{listpack::Element, number::parse_f64};

/// What is left of a payload.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// What a length may be in the place of one.
enum Length {
    Is(u64),
    /// The string is packed so.
    Encoding(u8),
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// Eight bytes, little-endian.
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number that is a length.
    pub(super) fn length(&mut self) -> Option<u64> {
        match self.length_or_encoding()? {
            Length::Is(length) => Some(length),
            Length::Encoding(_) => None,
        }
    }

    /// How many of something follow, each of which takes a byte at least.
    pub(super) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.length()?).ok()?;
        (count <= self.rest.len()).then_some(count)
    }

    fn length_or_encoding(&mut self) -> Option<Length> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Some(match first >> 6 {
            0 => Length::Is(low.into()),
            1 => Length::Is(u64::from(low) << 8 | u64::from(self.byte()?)),
            3 => Length::Encoding(low),
            _ => match low {
                0 => Length::Is(u32::from_be_bytes(self.array()?).into()),
                1 => Length::Is(u64::from_be_bytes(self.array()?)),
                _ => return None,
            },
        })
    }

    /// A string, however it is packed.
    pub(super) fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        let number = match self.length_or_encoding()? {
            Length::Is(length) => return self.bytes(usize::try_from(length).ok()?).map(Cow::Borrowed),
            Length::Encoding(0) => i64::from(i8::from_le_bytes(self.array()?)),
            Length::Encoding(1) => i64::from(i16::from_le_bytes(self.array()?)),
            Length::Encoding(2) => i64::from(i32::from_le_bytes(self.array()?)),
            Length::Encoding(3) => {
                let (packed, len) = (self.length()?, self.length()?);
                let packed = self.bytes(usize::try_from(packed).ok()?)?;
                return lzf::unpack(packed, usize::try_from(len).ok()?).map(Cow::Owned);
            }
            Length::Encoding(_) => return None,
        };
        Some(Cow::Owned(Element::Int(number).text().to_vec()))
    }

    /// A number as 8 bytes. Never NaN.
    pub(super) fn double(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes).filter(|number| !number.is_nan())
    }

    /// A number as text with its length in front. Never NaN.
    pub(super) fn double_as_text(&mut self) -> Option<f64> {
        match self.byte()? {
            255 => Some(f64::NEG_INFINITY),
            254 => Some(f64::INFINITY),
            253 => None,
            len => parse_f64(self.bytes(len.into())?),
        }
    }
}
