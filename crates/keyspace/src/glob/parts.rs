//! Matching in another way: the parts between `*` are searched for one after the other, each at the first place where it fits.
//! A part without `?` and sets is searched for as any text. Any other one 64 bytes at a time (Shift-And: one bit for each
//! byte of the part that everything up to here fits).

use memchr::memmem::Finder;

use super::{Item, TooHard, each_of_set};

/// A pattern, taken to pieces at its `*`.
pub(super) struct Parts {
    /// What the text begins with.
    first: Vec<Unit>,
    /// What it has somewhere, in this order.
    middle: Vec<Part>,
    /// What it ends with. None: there is no `*`.
    last: Option<Vec<Unit>>,
}

/// What stands between two `*`.
struct Part {
    /// So many bytes, whatever they are, in front and at the end.
    before: usize,
    after: usize,
    core: Core,
}

/// A part without what matches anything at its ends.
enum Core {
    Nothing,
    Text(Finder<'static>),
    Mixed(Mixed),
}

/// What matches one byte.
#[derive(Clone)]
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

impl Parts {
    pub(super) fn new(pattern: &[u8], ignore_case: bool) -> Self {
        let mut parts = split(pattern, ignore_case).into_iter();
        let first = parts.next().unwrap_or_default();
        let last = parts.next_back();
        let middle = parts.filter(|part| !part.is_empty()).map(|part| Part::new(&part)).collect();
        Self { first, middle, last }
    }

    /// Whether they match a text, which is not empty. Takes off `steps` what is taken.
    pub(super) fn matches(&self, text: &[u8], steps: &mut usize) -> Result<bool, TooHard> {
        let Self { first, middle, last } = self;
        let Some(last) = last else { return Ok(fits_at(first, text) && first.len() == text.len()) };
        if first.len() + last.len() > text.len() || !fits_at(first, text) {
            return Ok(false);
        }
        let (mut rest, end) = text[first.len()..].split_at(text.len() - first.len() - last.len());
        if !fits_at(last, end) {
            return Ok(false);
        }
        for part in middle {
            match part.find_end(rest, steps)? {
                Some(end) => rest = &rest[end..],
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// How long the longest part of a pattern is that has to be searched for bit by bit.
pub(super) fn longest_mixed(pattern: &[u8]) -> usize {
    let parts = split(pattern, false);
    // The first and the last one are not searched for.
    let middle = parts.get(1..parts.len() - 1).unwrap_or_default();
    let len = |part: &Vec<Unit>| {
        let (core, _, _) = core_of(part);
        if core.iter().all(|unit| matches!(unit, Unit::Byte(_))) { 0 } else { core.len() }
    };
    middle.iter().map(len).max().unwrap_or(0)
}

/// A part without what matches anything at its ends, and how much of that there is in front and behind.
fn core_of(units: &[Unit]) -> (&[Unit], usize, usize) {
    let is_any = |unit: &&Unit| matches!(unit, Unit::Any);
    let before = units.iter().take_while(is_any).count();
    let after = units[before..].iter().rev().take_while(is_any).count();
    (&units[before..units.len() - after], before, after)
}

impl Part {
    fn new(units: &[Unit]) -> Self {
        let (core, before, after) = core_of(units);
        let text = core.iter().map(|unit| if let Unit::Byte(byte) = unit { Some(*byte) } else { None });
        let core = match text.collect::<Option<Vec<u8>>>() {
            Some(text) if text.is_empty() => Core::Nothing,
            Some(text) => Core::Text(Finder::new(&text).into_owned()),
            None => Core::Mixed(Mixed::new(core)),
        };
        Self { before, after, core }
    }

    /// Where the first place ends at which this part fits.
    fn find_end(&self, text: &[u8], steps: &mut usize) -> Result<Option<usize>, TooHard> {
        let Some(rest) = text.get(self.before..) else { return Ok(None) };
        let end = match &self.core {
            Core::Nothing => Some(0),
            Core::Text(finder) => finder.find(rest).map(|at| at + finder.needle().len()),
            Core::Mixed(mixed) => mixed.find_end(rest, steps)?,
        };
        Ok(end.map(|end| self.before + end + self.after).filter(|end| *end <= text.len()))
    }
}

/// What is searched for bit by bit.
struct Mixed {
    len: usize,
    words: usize,
    /// For each byte: one bit for each unit that it fits.
    fits: Vec<u64>,
}

impl Mixed {
    fn new(units: &[Unit]) -> Self {
        let words = units.len().div_ceil(64);
        let mut fits = vec![0_u64; 256 * words];
        for (n, unit) in units.iter().enumerate() {
            let mut set = |byte: u8| fits[usize::from(byte) * words + n / 64] |= 1 << (n % 64);
            match unit {
                Unit::Byte(byte) => set(*byte),
                _ => (0..=u8::MAX).filter(|byte| unit.fits(*byte)).for_each(set),
            }
        }
        Self { len: units.len(), words, fits }
    }

    fn find_end(&self, text: &[u8], steps: &mut usize) -> Result<Option<usize>, TooHard> {
        let words = self.words;
        if self.len > text.len() {
            return Ok(None);
        }
        let last = 1 << ((self.len - 1) % 64);
        // One bit for each unit: everything up to it fits what ends here.
        let mut state = vec![0_u64; words];
        for (at, byte) in text.iter().enumerate() {
            *steps = steps.checked_sub(words).ok_or_else(|| {
                *steps = 0;
                TooHard
            })?;
            let fits = &self.fits[usize::from(*byte) * words..][..words];
            let mut carry = 1;
            for (state, fits) in state.iter_mut().zip(fits) {
                let next = *state >> 63;
                *state = (*state << 1 | carry) & fits;
                carry = next;
            }
            if state[words - 1] & last != 0 {
                return Ok(Some(at + 1));
            }
        }
        Ok(None)
    }
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
