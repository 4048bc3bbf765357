//! Redis's listpack: short strings and integers, one behind the other.
//!
//! Nodes of streams are kept in it, because how full one is decides where the next one begins, and that shows in what
//! `XTRIM ~` leaves. `DUMP` and `RESTORE` speak it for all other types. An element is a head that says what it is, its
//! bytes, and its length so far, written so that it can be read backwards. Numbers of more than one byte are
//! little-endian:
//!
//! | head | element |
//! |---|---|
//! | `0xxxxxxx` | integer 0 to 127 |
//! | `10xxxxxx` | string, below 64 bytes |
//! | `110xxxxx` and a byte | integer of 13 bits, high bits first |
//! | `1110xxxx` and a byte | string, below 4096 bytes, high bits of the length first |
//! | `0xf0` and 4 bytes | string |
//! | `0xf1` to `0xf4` and 2, 3, 4, 8 bytes | integer |
//! | `0xff` | the end |

use std::ops::Deref;

use crate::number::{I64_TEXT_BYTES_MAX, parse_i64};

/// Total length and number of elements in front.
pub(crate) const HEADER_LEN: usize = 6;

/// What stands in the place of a number of elements that does not fit.
const COUNT_UNKNOWN: u16 = u16::MAX;

const END: u8 = 0xff;

/// Longest head with the longest length behind the element.
const OVERHEAD_MAX: usize = 5 + 5;

/// A string that may be kept as an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element<'a> {
    /// The text of this integer.
    Int(i64),
    /// These bytes.
    Bytes(&'a [u8]),
}

/// The text of an element.
#[derive(Clone, Copy)]
pub(crate) enum Text<'a> {
    /// In a listpack.
    Bytes(&'a [u8]),
    /// Written now.
    Digits {
        /// From the end of which they are.
        digits: [u8; I64_TEXT_BYTES_MAX],
        /// How many.
        len: u8,
    },
}

impl Deref for Text<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Digits { digits, len } => &digits[..usize::from(*len)],
        }
    }
}

impl<'a> Element<'a> {
    /// As it is kept: what is the text of an integer is one.
    pub(crate) fn of(text: &'a [u8]) -> Self {
        parse_i64(text).map_or(Self::Bytes(text), Self::Int)
    }

    /// Its text.
    pub(crate) fn text(self) -> Text<'a> {
        match self {
            Self::Bytes(bytes) => Text::Bytes(bytes),
            Self::Int(number) => {
                let mut buffer = itoa::Buffer::new();
                let written = buffer.format(number).as_bytes();
                let mut digits = [0; I64_TEXT_BYTES_MAX];
                digits[..written.len()].copy_from_slice(written);
                Text::Digits { digits, len: written.len() as u8 }
            }
        }
    }

    /// The integer, if it is one.
    pub(crate) fn int(self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(number),
            Self::Bytes(_) => None,
        }
    }

    /// Whether its text is this.
    pub(crate) fn is(self, text: &[u8]) -> bool {
        match self {
            Self::Bytes(bytes) => bytes == text,
            Self::Int(number) => parse_i64(text) == Some(number),
        }
    }
}

/// An empty listpack with room for so many bytes.
pub(crate) fn new(capacity: usize) -> Vec<u8> {
    let mut pack = Vec::with_capacity(capacity.max(HEADER_LEN + 1));
    pack.extend_from_slice(&[0; HEADER_LEN]);
    pack.push(END);
    pack[0] = pack.len() as u8;
    pack
}

/// Elements being added to the end of a listpack; [`Self::finish`] makes it whole again.
pub(crate) struct Appender<'a> {
    pack: &'a mut Vec<u8>,
    added: usize,
}

impl<'a> Appender<'a> {
    /// Opens a listpack at its end.
    pub(crate) fn new(pack: &'a mut Vec<u8>) -> Self {
        let end = pack.pop();
        debug_assert_eq!(end, Some(END));
        Self { pack, added: 0 }
    }

    /// Adds an integer.
    pub(crate) fn int(&mut self, number: i64) {
        self.element(Element::Int(number));
    }

    /// Adds a string, as an integer if it is the text of one.
    pub(crate) fn text(&mut self, text: &[u8]) {
        self.element(Element::of(text));
    }

    fn element(&mut self, element: Element<'_>) {
        put(self.pack, element);
        self.added += 1;
    }

    /// Writes the end and the header.
    pub(crate) fn finish(self) {
        self.pack.push(END);
        let count = count(self.pack).map(|count| count + self.added);
        set_header(self.pack, count);
    }
}

/// The number of elements that the header tells, if it tells one.
fn count(pack: &[u8]) -> Option<usize> {
    let count = u16::from_le_bytes([pack[4], pack[5]]);
    (count != COUNT_UNKNOWN).then_some(usize::from(count))
}

fn set_header(pack: &mut [u8], count: Option<usize>) {
    let total = u32::try_from(pack.len()).expect("listpacks stay far below 4 GiB");
    pack[..4].copy_from_slice(&total.to_le_bytes());
    let count = count.and_then(|count| u16::try_from(count).ok()).unwrap_or(COUNT_UNKNOWN);
    pack[4..HEADER_LEN].copy_from_slice(&count.to_le_bytes());
}

/// Puts an integer in the place of the element at `at`.
pub(crate) fn replace_int(pack: &mut Vec<u8>, at: usize, number: i64) {
    let old_end = next(pack, at);
    let mut element = Vec::with_capacity(OVERHEAD_MAX);
    put(&mut element, Element::Int(number));
    if element.len() == old_end - at {
        pack[at..old_end].copy_from_slice(&element);
    } else {
        pack.splice(at..old_end, element);
        let count = count(pack);
        set_header(pack, count);
    }
}

fn put(out: &mut Vec<u8>, element: Element<'_>) {
    let begin = out.len();
    match element {
        Element::Int(number) => put_int(out, number),
        Element::Bytes(bytes) => {
            match bytes.len() {
                len @ ..64 => out.push(0x80 | len as u8),
                len @ 64..4096 => out.extend_from_slice(&[0xe0 | (len >> 8) as u8, len as u8]),
                len => {
                    out.push(0xf0);
                    out.extend_from_slice(&u32::try_from(len).expect("elements are short").to_le_bytes());
                }
            }
            out.extend_from_slice(bytes);
        }
    }
    let (backwards, count) = backwards(out.len() - begin);
    out.extend_from_slice(&backwards[..count]);
}

fn put_int(out: &mut Vec<u8>, number: i64) {
    let bytes = number.to_le_bytes();
    match number {
        0..=127 => out.push(bytes[0]),
        -4096..=4095 => out.extend_from_slice(&[0xc0 | (bytes[1] & 0x1f), bytes[0]]),
        -0x8000..=0x7fff => {
            out.push(0xf1);
            out.extend_from_slice(&bytes[..2]);
        }
        -0x80_0000..=0x7f_ffff => {
            out.push(0xf2);
            out.extend_from_slice(&bytes[..3]);
        }
        -0x8000_0000..=0x7fff_ffff => {
            out.push(0xf3);
            out.extend_from_slice(&bytes[..4]);
        }
        _ => {
            out.push(0xf4);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Bytes of the length behind an element of `len` bytes.
fn backwards_len(len: usize) -> usize {
    match len {
        ..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// What stands behind an element of `len` bytes, and how much of it counts: seven bits to a byte, high bits first, and
/// all but the first byte marked.
fn backwards(len: usize) -> ([u8; 5], usize) {
    let count = backwards_len(len);
    let mut bytes = [0; 5];
    for (i, byte) in bytes[..count].iter_mut().enumerate() {
        let mark = if i == 0 { 0 } else { 0x80 };
        *byte = (len >> (7 * (count - 1 - i))) as u8 & 0x7f | mark;
    }
    (bytes, count)
}

/// The length of head and data of the element at `at`, without what is behind them. `None` at the end, or if the head
/// or the length of the listpack does not allow it.
fn encoded_len(pack: &[u8], at: usize) -> Option<usize> {
    Some(match *pack.get(at)? {
        0..0x80 => 1,
        head @ 0x80..0xc0 => 1 + usize::from(head & 0x3f),
        0xc0..0xe0 => 2,
        head @ 0xe0..0xf0 => 2 + (usize::from(head & 0x0f) << 8 | usize::from(*pack.get(at + 1)?)),
        0xf0 => {
            let len = pack.get(at + 1..at + 5)?;
            5 + u32::from_le_bytes(len.try_into().ok()?) as usize
        }
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        0xf4 => 9,
        _ => return None,
    })
}

/// The element at `at` of a sound listpack.
pub(crate) fn get(pack: &[u8], at: usize) -> Element<'_> {
    let int = |len: usize| {
        let bytes = &pack[at + 1..at + 1 + len];
        let fill = if bytes[len - 1] & 0x80 == 0 { 0 } else { 0xff };
        let mut whole = [fill; 8];
        whole[..len].copy_from_slice(bytes);
        Element::Int(i64::from_le_bytes(whole))
    };
    match pack[at] {
        head @ 0..0x80 => Element::Int(head.into()),
        head @ 0x80..0xc0 => Element::Bytes(&pack[at + 1..][..usize::from(head & 0x3f)]),
        head @ 0xc0..0xe0 => {
            let bits = i64::from(head & 0x1f) << 8 | i64::from(pack[at + 1]);
            Element::Int(if bits < 1 << 12 { bits } else { bits - (1 << 13) })
        }
        0xe0..0xf0 => Element::Bytes(&pack[at + 2..at + encoded_len(pack, at).expect("a sound listpack")]),
        0xf0 => Element::Bytes(&pack[at + 5..at + encoded_len(pack, at).expect("a sound listpack")]),
        0xf1 => int(2),
        0xf2 => int(3),
        0xf3 => int(4),
        0xf4 => int(8),
        _ => panic!("a sound listpack has no element of this kind"),
    }
}

/// Where the element behind that at `at` begins.
pub(crate) fn next(pack: &[u8], at: usize) -> usize {
    let len = encoded_len(pack, at).expect("a sound listpack");
    at + len + backwards_len(len)
}

/// Where the element in front of that at `at` begins; there is one.
pub(crate) fn previous(pack: &[u8], at: usize) -> usize {
    let (mut len, mut i) = (0, at);
    for shift in 0.. {
        i -= 1;
        len |= usize::from(pack[i] & 0x7f) << (7 * shift);
        if pack[i] & 0x80 == 0 {
            break;
        }
    }
    let bytes = at - i;
    at - bytes - len
}

/// Whether there is no element at `at`.
pub(crate) fn is_end(pack: &[u8], at: usize) -> bool {
    at + 1 >= pack.len()
}

/// Where the end of a sound listpack is.
pub(crate) fn end(pack: &[u8]) -> usize {
    pack.len() - 1
}

/// All elements of a sound listpack.
pub(crate) fn elements(pack: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut at = HEADER_LEN;
    std::iter::from_fn(move || {
        if is_end(pack, at) {
            return None;
        }
        let element = get(pack, at);
        at = next(pack, at);
        Some(element)
    })
}

/// The number of elements, if the bytes are a sound listpack: whatever is read from it afterwards is within it.
pub(crate) fn validate(pack: &[u8]) -> Option<usize> {
    let total: [u8; 4] = pack.get(..4)?.try_into().ok()?;
    if pack.len() < HEADER_LEN + 1 || u32::from_le_bytes(total) as usize != pack.len() || *pack.last()? != END
    {
        return None;
    }
    let (mut at, mut found) = (HEADER_LEN, 0);
    while at < end(pack) {
        at = validate_element(pack, at)?;
        found += 1;
    }
    let told = count(pack).is_none_or(|count| count == found);
    (at == end(pack) && told).then_some(found)
}

/// Where the next element begins.
fn validate_element(pack: &[u8], at: usize) -> Option<usize> {
    let len = encoded_len(pack, at)?;
    let (backwards, behind) = backwards(len);
    let next = at + len + behind;
    (pack.get(at + len..next)? == &backwards[..behind] && next < pack.len()).then_some(next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack<T: AsRef<[u8]>>(texts: &[T]) -> Vec<u8> {
        let mut pack = new(0);
        let mut appender = Appender::new(&mut pack);
        texts.iter().for_each(|text| appender.text(text.as_ref()));
        appender.finish();
        pack
    }

    #[test]
    fn the_bytes_are_those_of_redis() {
        // `RPUSH l 1 hello -1 70000`, as DUMP of redis-server 7.0.15 shows it.
        let expected = b"\x18\0\0\0\x04\0\x01\x01\x85hello\x06\xdf\xff\x02\xf2\x70\x11\x01\x04\xff";
        assert_eq!(pack(&["1", "hello", "-1", "70000"]), expected);
    }

    #[test]
    fn every_size_of_integer_and_string_comes_back() {
        let mut texts: Vec<Vec<u8>> = Vec::new();
        for bits in 0..63 {
            for near in [-1, 0, 1] {
                texts.push(((1_i64 << bits) + near).to_string().into_bytes());
                texts.push((-(1_i64 << bits) + near).to_string().into_bytes());
            }
        }
        texts.extend([i64::MAX, i64::MIN].map(|n| n.to_string().into_bytes()));
        for len in [0, 1, 63, 64, 127, 128, 4095, 4096, 16_376, 16_377, 16_378, 2_097_151, 2_097_152] {
            texts.push(vec![b'x'; len]);
        }
        let pack = pack(&texts);
        assert_eq!(validate(&pack), Some(texts.len()));
        assert!(elements(&pack).map(|element| element.text().to_vec()).eq(texts.iter().cloned()));
        let mut at = end(&pack);
        for text in texts.iter().rev() {
            at = previous(&pack, at);
            assert!(get(&pack, at).is(text));
        }
        assert_eq!(at, HEADER_LEN);
    }

    #[test]
    fn more_elements_than_the_header_can_tell() {
        let texts = vec!["7"; 70_000];
        let pack = pack(&texts);
        assert_eq!(validate(&pack), Some(70_000));
        assert_eq!(pack[4..6], [0xff, 0xff]);
    }

    #[test]
    fn a_replaced_integer_moves_what_is_behind() {
        let mut pack = pack(&["1", "2", "three"]);
        for number in [127, 128, i64::MIN, 0] {
            replace_int(&mut pack, HEADER_LEN, number);
            assert_eq!(validate(&pack), Some(3));
            assert_eq!(get(&pack, HEADER_LEN), Element::Int(number));
            assert_eq!(elements(&pack).last(), Some(Element::Bytes(b"three")));
        }
    }

    proptest! {
        #[test]
        fn damaged_bytes_are_refused_or_harmless(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 0..12),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = pack(&texts);
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let cut = cut.index(bytes.len());
            prop_assert!(validate(&bytes[..cut]).is_none() || cut == bytes.len());
            if let Some(count) = validate(&bytes) {
                prop_assert_eq!(elements(&bytes).count(), count);
                let mut at = end(&bytes);
                for _ in 0..count {
                    at = previous(&bytes, at);
                }
                prop_assert_eq!(at, HEADER_LEN);
            }
        }
    }
}
