//! Ziplists and intsets, in which Redis kept small values before version 7.

use crate::listpack::Element;

/// Total length, place of the last entry, number of entries.
const HEADER_LEN: usize = 10;

const END: u8 = 0xff;

/// The number of entries that stands for one that does not fit.
const COUNT_UNKNOWN: u16 = u16::MAX;

/// A length of the entry before that does not fit in a byte.
const LONG_BEFORE: u8 = 0xfe;

/// The elements of a ziplist, if it is sound.
pub(super) fn elements(list: &[u8]) -> Option<Vec<Element<'_>>> {
    let number = |at: usize| list.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    if list.len() < HEADER_LEN + 1 || number(0)? as usize != list.len() || *list.last()? != END {
        return None;
    }
    let count = u16::from_le_bytes([list[8], list[9]]);
    let (mut at, mut before, mut last) = (HEADER_LEN, 0, HEADER_LEN);
    let mut elements = Vec::new();
    while at < list.len() - 1 {
        let (element, next) = take_entry(list, at, before)?;
        elements.push(element);
        (before, last, at) = (next - at, at, next);
    }
    let is_sound = at == list.len() - 1
        && number(4)? as usize == last
        && (count == COUNT_UNKNOWN || usize::from(count) == elements.len());
    is_sound.then_some(elements)
}

/// The entry at `at`, which follows one of `before` bytes, and where the next one begins.
fn take_entry(list: &[u8], at: usize, before: usize) -> Option<(Element<'_>, usize)> {
    let (told, mut at) = match *list.get(at)? {
        LONG_BEFORE => (u32::from_le_bytes(list.get(at + 1..at + 5)?.try_into().ok()?) as usize, at + 5),
        END => return None,
        told => (usize::from(told), at + 1),
    };
    if told != before {
        return None;
    }
    let head = *list.get(at)?;
    at += 1;
    let bytes = |begin: usize, len: usize| {
        let bytes = list.get(begin..begin.checked_add(len)?)?;
        Some((Element::Bytes(bytes), begin + len))
    };
    let int = |len: usize| {
        let bytes = list.get(at..at + len)?;
        let fill = if bytes[len - 1] & 0x80 == 0 { 0 } else { 0xff };
        let mut whole = [fill; 8];
        whole[..len].copy_from_slice(bytes);
        Some((Element::Int(i64::from_le_bytes(whole)), at + len))
    };
    match head {
        0..0x40 => bytes(at, head.into()),
        0x40..0x80 => bytes(at + 1, usize::from(head & 0x3f) << 8 | usize::from(*list.get(at)?)),
        0x80 => bytes(at + 4, u32::from_be_bytes(list.get(at..at + 4)?.try_into().ok()?) as usize),
        0xc0 => int(2),
        0xd0 => int(4),
        0xe0 => int(8),
        0xf0 => int(3),
        0xfe => int(1),
        0xf1..=0xfd => Some((Element::Int(i64::from(head & 0x0f) - 1), at)),
        _ => None,
    }
}

/// The integers of an intset, if it is sound.
pub(super) fn ints(set: &[u8]) -> Option<Vec<i64>> {
    let (size, rest) = set.split_first_chunk()?;
    let (count, rest) = rest.split_first_chunk()?;
    let (size, count) = (u32::from_le_bytes(*size) as usize, u32::from_le_bytes(*count) as usize);
    if !matches!(size, 2 | 4 | 8) || count.checked_mul(size)? != rest.len() {
        return None;
    }
    let int = |bytes: &[u8]| {
        let fill = if bytes[size - 1] & 0x80 == 0 { 0 } else { 0xff };
        let mut whole = [fill; 8];
        whole[..size].copy_from_slice(bytes);
        i64::from_le_bytes(whole)
    };
    let ints: Vec<i64> = rest.chunks_exact(size).map(int).collect();
    ints.is_sorted_by(|a, b| a < b).then_some(ints)
}
