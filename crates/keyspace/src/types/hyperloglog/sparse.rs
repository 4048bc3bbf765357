//! Registers as runs of equal values.
//!
//! | bits | run |
//! |---|---|
//! | `00llllll` | `l` + 1 zeros |
//! | `01llllll llllllll` | `l` + 1 zeros |
//! | `1vvvvvll` | `l` + 1 registers of value `v` + 1 |
//!
//! The same registers can be written in several ways, and a string shows in which: runs are split and joined by the steps
//! that Redis takes.

use std::fmt;

use super::{Corrupted, HEADER_LEN, Place, REGISTERS, Result, mark_changed};

/// The runs of registers that are all zero.
pub(super) const EMPTY: [u8; 2] = [0x7f, 0xff];

/// Longest run of zeros in one byte.
const SHORT_ZEROS_MAX: usize = 64;

/// Longest run of another value.
const VALUES_MAX: usize = 4;

/// Largest value of a run.
const VALUE_MAX: u8 = 32;

/// Runs looked at behind a change to join them.
const JOINED_RUNS_MAX: usize = 5;

/// Some registers of the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) value: u8,
    pub(super) len: usize,
    /// Its bytes.
    width: usize,
}

/// What became of a wish to raise a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raised {
    Yes,
    /// It was high enough.
    No,
    /// The value is too large for a run, or there would be too many runs.
    DoesNotFit,
}

impl Run {
    fn zeros(len: usize) -> Self {
        Self { value: 0, len, width: if len > SHORT_ZEROS_MAX { 2 } else { 1 } }
    }

    fn values(value: u8, len: usize) -> Self {
        Self { value, len, width: 1 }
    }

    /// The run at the beginning of some bytes; `None` at their end.
    fn first(bytes: &[u8]) -> Result<Option<Self>> {
        Ok(Some(match *bytes {
            [] => return Ok(None),
            [head @ 0..0x40, ..] => Self::zeros(usize::from(head) + 1),
            [head @ 0x40..0x80, low, ..] => {
                let len = usize::from(u16::from_be_bytes([head & 0x3f, low])) + 1;
                Self { value: 0, len, width: 2 }
            }
            [0x40..=0x7f] => return Err(Corrupted),
            [head, ..] => Self::values((head >> 2 & 0x1f) + 1, usize::from(head & 3) + 1),
        }))
    }

    fn put(self, out: &mut Vec<u8>) {
        let len = (self.len - 1) as u16;
        match (self.value, self.width) {
            (0, 1) => out.push(len as u8),
            (0, _) => out.extend_from_slice(&(0x4000 | len).to_be_bytes()),
            (value, _) => out.push(0x80 | (value - 1) << 2 | len as u8),
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.value, self.width) {
            (0, 1) => write!(f, "z:{}", self.len),
            (0, _) => write!(f, "Z:{}", self.len),
            (value, _) => write!(f, "v:{value},{}", self.len),
        }
    }
}

/// All runs, or an error if they do not cover the registers.
pub(super) fn runs(bytes: &[u8]) -> impl Iterator<Item = Result<Run>> {
    let (mut rest, mut covered) = (&bytes[HEADER_LEN..], 0);
    std::iter::from_fn(move || match Run::first(rest) {
        Ok(Some(run)) if covered + run.len <= REGISTERS => {
            rest = &rest[run.width..];
            covered += run.len;
            Some(Ok(run))
        }
        Ok(None) if covered == REGISTERS => None,
        _ => {
            // The error is the last that comes.
            (rest, covered) = (&[], REGISTERS);
            Some(Err(Corrupted))
        }
    })
}

/// A run in its place.
struct Found {
    run: Run,
    /// Where its bytes begin, and those of the run before it.
    at: usize,
    before: Option<usize>,
    /// Its first register.
    first: usize,
}

fn find(bytes: &[u8], index: usize) -> Result<Found> {
    let (mut at, mut before, mut first) = (HEADER_LEN, None, 0);
    loop {
        let run = Run::first(&bytes[at..])?.ok_or(Corrupted)?;
        if index < first + run.len {
            return Ok(Found { run, at, before, first });
        }
        before = Some(at);
        at += run.width;
        first += run.len;
    }
}

/// Raises a register, if it is lower.
pub(super) fn raise(bytes: &mut Vec<u8>, place: Place, len_max: usize) -> Result<Raised> {
    if place.value > VALUE_MAX {
        return Ok(Raised::DoesNotFit);
    }
    let index = usize::from(place.index);
    let Found { run, at, before, first } = find(bytes, index)?;
    if run.value >= place.value {
        return Ok(Raised::No);
    }
    let rest = |len| if run.value == 0 { Run::zeros(len) } else { Run::values(run.value, len) };
    let mut split = Vec::with_capacity(5);
    if index > first {
        rest(index - first).put(&mut split);
    }
    Run::values(place.value, 1).put(&mut split);
    if index + 1 < first + run.len {
        rest(first + run.len - index - 1).put(&mut split);
    }
    if split.len() > run.width && bytes.len() + split.len() - run.width > len_max {
        return Ok(Raised::DoesNotFit);
    }
    bytes.splice(at..at + run.width, split);
    join(bytes, before.unwrap_or(HEADER_LEN));
    mark_changed(bytes);
    Ok(Raised::Yes)
}

/// Joins neighbours of the same value, looking at a few from `at` on.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOINED_RUNS_MAX {
        let Ok(Some(run)) = Run::first(&bytes[at..]) else { return };
        let next = if run.value == 0 { None } else { Run::first(&bytes[at + 1..]).ok().flatten() };
        match next {
            Some(next) if next.value == run.value && run.len + next.len <= VALUES_MAX => {
                let mut joined = Vec::with_capacity(1);
                Run::values(run.value, run.len + next.len).put(&mut joined);
                bytes.splice(at..at + 2, joined);
            }
            _ => at += run.width,
        }
    }
}
