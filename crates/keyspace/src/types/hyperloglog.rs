//! HyperLogLog: counting different elements approximately, in a string of at most 12 KiB.
//!
//! The bytes are Redis's, so that a string may come from there or go there. Behind a header of 16 bytes (`HYLL`, the
//! encoding, three bytes unused, the last estimate with a mark in the highest bit when it is out of date) stand 16384
//! registers, either of 6 bits each, the lowest bits first (dense), or as runs (sparse: see [`sparse`]).
//!
//! An element's hash chooses a register by 14 bits, and the register keeps the longest run of zeros, plus one, among the
//! other 50 of all of its elements (Flajolet, Fusy, Gandouet, Meunier, AofA 2007). The estimate is Ertl's (arXiv:1702.01284).

mod estimate;
mod hash;
mod sparse;

use self::estimate::Histogram;

/// Number of registers.
pub(crate) const REGISTERS: usize = 1 << INDEX_BITS;

/// Bits of a hash that choose the register.
const INDEX_BITS: u32 = 14;

/// Bits of a hash in which zeros are counted.
const RUN_BITS: u32 = 64 - INDEX_BITS;

const HEADER_LEN: usize = 16;
const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING_AT: usize = 4;
const ESTIMATE_AT: usize = 8;

const DENSE: u8 = 0;
const SPARSE: u8 = 1;

/// The highest byte of the estimate, and the mark in it.
const MARK_AT: usize = 15;
const OUT_OF_DATE: u8 = 0x80;

/// Bytes of all registers, and of a whole dense string.
const DENSE_REGISTERS_LEN: usize = REGISTERS * 6 / 8;
const DENSE_LEN: usize = HEADER_LEN + DENSE_REGISTERS_LEN;

/// The runs do not cover the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupted;

type Result<T> = std::result::Result<T, Corrupted>;

/// The value that an element asks of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    index: u16,
    value: u8,
}

impl Place {
    /// Of an element.
    pub(crate) fn of(element: &[u8]) -> Self {
        let hash = hash::murmur64a(element);
        let run = (hash >> INDEX_BITS | 1 << RUN_BITS).trailing_zeros();
        Self { index: (hash as usize % REGISTERS) as u16, value: run as u8 + 1 }
    }
}

/// A HyperLogLog without elements: sparse, with an estimate of 0.
pub(crate) fn new() -> Vec<u8> {
    let mut bytes = header(SPARSE).to_vec();
    bytes.extend_from_slice(&sparse::EMPTY);
    bytes
}

fn header(encoding: u8) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[ENCODING_AT] = encoding;
    header
}

/// Whether a string is one, as far as its header says; all else here expects that.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_LEN
        && bytes.starts_with(MAGIC)
        && match bytes[ENCODING_AT] {
            DENSE => bytes.len() == DENSE_LEN,
            SPARSE => true,
            _ => false,
        }
}

/// Whether it is dense.
pub(crate) fn is_dense(bytes: &[u8]) -> bool {
    bytes[ENCODING_AT] == DENSE
}

/// Marks the estimate as out of date.
pub(crate) fn mark_changed(bytes: &mut [u8]) {
    bytes[MARK_AT] |= OUT_OF_DATE;
}

/// The estimate: the one in the header, if it is up to date.
pub(crate) fn count(bytes: &[u8]) -> Result<u64> {
    if bytes[MARK_AT] & OUT_OF_DATE == 0 {
        let estimate = bytes[ESTIMATE_AT..HEADER_LEN].try_into().expect("eight bytes");
        return Ok(u64::from_le_bytes(estimate));
    }
    let mut histogram = Histogram::default();
    if is_dense(bytes) {
        for_each_dense(bytes, |i, value| histogram.take(i, value));
    } else {
        for run in sparse::runs(bytes) {
            let run = run?;
            histogram.take_run(run.value, run.len);
        }
    }
    Ok(histogram.estimate())
}

/// The registers of the union of several.
#[derive(Clone)]
pub(crate) struct Union(Box<[u8; REGISTERS]>);

impl Union {
    /// Of none.
    pub(crate) fn new() -> Self {
        Self(Box::new([0; REGISTERS]))
    }

    /// Takes one more in.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<()> {
        if is_dense(bytes) {
            for_each_dense(bytes, |i, value| self.0[i] = self.0[i].max(value));
            return Ok(());
        }
        let mut at = 0;
        for run in sparse::runs(bytes) {
            let run = run?;
            if run.value > 0 {
                self.0[at..at + run.len].iter_mut().for_each(|register| *register = run.value.max(*register));
            }
            at += run.len;
        }
        Ok(())
    }

    /// The estimate.
    pub(crate) fn count(&self) -> u64 {
        let mut histogram = Histogram::default();
        self.0.iter().enumerate().for_each(|(i, &value)| histogram.take(i, value));
        histogram.estimate()
    }

    /// All registers.
    pub(crate) fn registers(&self) -> &[u8; REGISTERS] {
        &self.0
    }

    /// Raises the registers of another one to these.
    pub(crate) fn merge_into(&self, bytes: &mut Vec<u8>, sparse_len_max: usize) -> Result<()> {
        for (index, &value) in (0..).zip(self.0.iter()).filter(|(_, value)| **value > 0) {
            raise(bytes, Place { index, value }, sparse_len_max)?;
        }
        mark_changed(bytes);
        Ok(())
    }

    fn to_dense(&self) -> Vec<u8> {
        let mut bytes = vec![0; DENSE_LEN];
        bytes[..HEADER_LEN].copy_from_slice(&header(DENSE));
        for (registers, packed) in self.0.chunks_exact(4).zip(bytes[HEADER_LEN..].chunks_exact_mut(3)) {
            let word = registers.iter().rev().fold(0, |word, &value| word << 6 | u32::from(value));
            packed.copy_from_slice(&word.to_le_bytes()[..3]);
        }
        bytes
    }
}

/// Makes a sparse one dense. The estimate stays.
pub(crate) fn make_dense(bytes: &mut Vec<u8>) -> Result<()> {
    if !is_dense(bytes) {
        let mut union = Union::new();
        union.take(bytes)?;
        let mut dense = union.to_dense();
        dense[ESTIMATE_AT..HEADER_LEN].copy_from_slice(&bytes[ESTIMATE_AT..HEADER_LEN]);
        *bytes = dense;
    }
    Ok(())
}

/// Raises a register, if it is lower. A sparse one may become dense. Whether something has changed.
pub(crate) fn raise(bytes: &mut Vec<u8>, place: Place, sparse_len_max: usize) -> Result<bool> {
    if !is_dense(bytes) {
        match sparse::raise(bytes, place, sparse_len_max)? {
            sparse::Raised::Yes => return Ok(true),
            sparse::Raised::No => return Ok(false),
            sparse::Raised::DoesNotFit => make_dense(bytes)?,
        }
    }
    Ok(raise_dense(bytes, place))
}

/// Whether a dense one would change.
pub(crate) fn would_raise_dense(bytes: &[u8], place: Place) -> bool {
    let (word, shift) = dense_word(bytes, place.index);
    (word >> shift & 0x3f) < u16::from(place.value)
}

/// Raises a register of a dense one, if it is lower. Whether something has changed.
pub(crate) fn raise_dense(bytes: &mut [u8], place: Place) -> bool {
    let changed = would_raise_dense(bytes, place);
    if changed {
        let (word, shift) = dense_word(bytes, place.index);
        let word = word & !(0x3f << shift) | u16::from(place.value) << shift;
        let at = dense_at(place.index);
        let rest = &mut bytes[at..];
        let len = rest.len().min(2);
        rest[..len].copy_from_slice(&word.to_le_bytes()[..len]);
    }
    changed
}

fn dense_at(index: u16) -> usize {
    HEADER_LEN + usize::from(index) * 6 / 8
}

/// The two bytes that hold a register, of which the second may be missing, and how far it stands from the right.
fn dense_word(bytes: &[u8], index: u16) -> (u16, u32) {
    let at = dense_at(index);
    let second = bytes.get(at + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([bytes[at], second]), u32::from(index) * 6 % 8)
}

/// Goes through the registers of a dense one.
fn for_each_dense(bytes: &[u8], mut take: impl FnMut(usize, u8)) {
    let (packed, _) = bytes[HEADER_LEN..].as_chunks::<3>();
    for (i, &[a, b, c]) in packed.iter().enumerate() {
        let word = u32::from_le_bytes([a, b, c, 0]);
        for k in 0..4 {
            take(4 * i + k, (word >> (6 * k) & 0x3f) as u8);
        }
    }
}

/// The runs of a sparse one as `PFDEBUG DECODE` shows them.
pub(crate) fn describe_runs(bytes: &[u8]) -> Result<String> {
    let texts: Vec<String> =
        sparse::runs(bytes).map(|run| run.map(|run| run.to_string())).collect::<Result<_>>()?;
    Ok(texts.join(" "))
}

#[cfg(test)]
mod tests;
