//! Matching long patterns: the parts between `*` are searched for one after the other, each at the first place where it fits,
//! 64 bytes of the pattern at a time (Shift-And: one bit for each byte of the pattern that everything up to here fits).

use super::{Item, each_of_set};

/// What matches one byte.
enum Unit {
    Any,
    Byte(u8),
    /// One bit for each byte that it holds.
    Set(Box<[u64; 4]>),
}

impl Unit {
    fn fits(&self, byte: u8) -> bool {
        match self {
            Self::Any => true,
            Self::Byte(literal) => *literal == byte,
            Self::Set(bits) => bits[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1,
        }
    }
}

/// As [`super::matches_with`], for a text that is not empty.
pub(super) fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let mut parts = split(pattern, ignore_case);
    let last = parts.pop().expect("there is one more than there are `*`");
    if parts.is_empty() {
        return fits_at(&last, text) && last.len() == text.len();
    }
    let first = parts.remove(0);
    if first.len() + last.len() > text.len() || !fits_at(&first, text) {
        return false;
    }
    let (mut rest, end) = text[first.len()..].split_at(text.len() - first.len() - last.len());
    if !fits_at(&last, end) {
        return false;
    }
    for part in parts.iter().filter(|part| !part.is_empty()) {
        match find_end(part, rest) {
            Some(end) => rest = &rest[end..],
            None => return false,
        }
    }
    true
}

/// The parts between `*`.
fn split(pattern: &[u8], ignore_case: bool) -> Vec<Vec<Unit>> {
    let literal = |byte: u8| match ignore_case && byte.is_ascii_alphabetic() {
        true => set_of(|bits| {
            add(bits, byte.to_ascii_lowercase());
            add(bits, byte.to_ascii_uppercase());
        }),
        false => Unit::Byte(byte),
    };
    let (mut parts, mut part, mut rest) = (Vec::new(), Vec::new(), pattern);
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'*', _) => parts.push(std::mem::take(&mut part)),
            (b'?', _) => part.push(Unit::Any),
            (b'[', _) => {
                let (set, width) = parse_set(after, ignore_case);
                part.push(set);
                rest = &after[width..];
            }
            (b'\\', [escaped, after @ ..]) => {
                part.push(literal(*escaped));
                rest = after;
            }
            _ => part.push(literal(*byte)),
        }
    }
    parts.push(part);
    parts
}

fn add(bits: &mut [u64; 4], byte: u8) {
    bits[usize::from(byte >> 6)] |= 1 << (byte & 63);
}

fn set_of(fill: impl FnOnce(&mut [u64; 4])) -> Unit {
    let mut bits = Box::new([0; 4]);
    fill(&mut bits);
    Unit::Set(bits)
}

/// The set behind a `[`, and its width.
fn parse_set(set: &[u8], ignore_case: bool) -> (Unit, usize) {
    let fold = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
    let (mut named, mut escaped) = ([0; 4], [0; 4]);
    let (negated, width) = each_of_set(set, |item| match item {
        Item::Byte(byte) => add(&mut named, fold(byte)),
        Item::Escaped(byte) => add(&mut escaped, byte),
        Item::Range(low, high) => (fold(low)..=fold(high)).for_each(|byte| add(&mut named, byte)),
    });
    let named = Unit::Set(Box::new(named));
    let escaped = Unit::Set(Box::new(escaped));
    let all = set_of(|bits| {
        let holds = |byte: &u8| (named.fits(fold(*byte)) || escaped.fits(*byte)) != negated;
        (0..=u8::MAX).filter(holds).for_each(|byte| add(bits, byte));
    });
    (all, width)
}

/// Whether the text begins with this.
fn fits_at(part: &[Unit], text: &[u8]) -> bool {
    part.len() <= text.len() && part.iter().zip(text).all(|(unit, byte)| unit.fits(*byte))
}

/// Where the first place ends at which this part fits. It is not empty.
fn find_end(part: &[Unit], text: &[u8]) -> Option<usize> {
    if part.len() > text.len() {
        return None;
    }
    let words = part.len().div_ceil(64);
    // For each byte: one bit for each unit that it fits.
    let mut fits = vec![0_u64; 256 * words];
    for (n, unit) in part.iter().enumerate() {
        let mut set = |byte: u8| fits[usize::from(byte) * words + n / 64] |= 1 << (n % 64);
        match unit {
            Unit::Byte(byte) => set(*byte),
            _ => (0..=u8::MAX).filter(|byte| unit.fits(*byte)).for_each(set),
        }
    }
    let last = 1 << ((part.len() - 1) % 64);
    // One bit for each unit: everything up to it fits what ends here.
    let mut state = vec![0_u64; words];
    for (at, byte) in text.iter().enumerate() {
        let fits = &fits[usize::from(*byte) * words..][..words];
        let mut carry = 1;
        for (state, fits) in state.iter_mut().zip(fits) {
            let next = *state >> 63;
            *state = (*state << 1 | carry) & fits;
            carry = next;
        }
        if state[words - 1] & last != 0 {
            return Some(at + 1);
        }
    }
    None
}
