//! Integers in ascending order, each in as few bytes as the largest of them needs, in one allocation.
//!
//! The first byte is a mark that says how many those are, and that these are integers: packed strings never begin so.

use crate::packed;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Ints(Box<[u8]>);

/// The same, to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    width: usize,
    bytes: &'a [u8],
}

/// The widths that there are.
const WIDTHS: [usize; 3] = [2, 4, 8];

/// What the mark is, less the width.
const MARK: u8 = packed::FIRST_BYTE_MAX;

impl Default for Ints {
    fn default() -> Self {
        Self::from_sorted(&[])
    }
}

impl Ints {
    /// Of integers that ascend.
    pub(super) fn from_sorted(ints: &[i64]) -> Self {
        let widest = [ints.first(), ints.last()].into_iter().flatten().map(|&int| width_of(int)).max();
        let width = widest.unwrap_or(WIDTHS[0]);
        let mut bytes = Vec::with_capacity(1 + ints.len() * width);
        bytes.push(MARK + width as u8);
        ints.iter().for_each(|int| bytes.extend_from_slice(&int.to_le_bytes()[..width]));
        Self(bytes.into())
    }

    /// Those that [`Self::into_bytes`] gave.
    pub(super) fn from_bytes(bytes: Box<[u8]>) -> Self {
        Self(bytes)
    }

    pub(super) fn into_bytes(self) -> Box<[u8]> {
        self.0
    }

    pub(super) fn view(&self) -> View<'_> {
        View { width: usize::from(self.0[0] - MARK), bytes: &self.0[1..] }
    }

    /// Adds an integer. False if it is there already.
    pub(super) fn insert(&mut self, int: i64) -> bool {
        let Err(position) = self.view().position(int) else { return false };
        let width = self.view().width;
        if width_of(int) > width {
            let mut ints: Vec<i64> = self.view().iter().collect();
            ints.insert(position, int);
            *self = Self::from_sorted(&ints);
            return true;
        }
        let at = 1 + position * width;
        let mut bytes = std::mem::take(&mut self.0).into_vec();
        bytes.reserve_exact(width);
        let len = bytes.len();
        bytes.resize(len + width, 0);
        bytes.copy_within(at..len, at + width);
        bytes[at..at + width].copy_from_slice(&int.to_le_bytes()[..width]);
        self.0 = bytes.into();
        true
    }

    /// Takes out the integer at a position, which there must be.
    pub(super) fn remove(&mut self, position: usize) {
        let width = self.view().width;
        let at = 1 + position * width;
        let mut bytes = std::mem::take(&mut self.0).into_vec();
        bytes.drain(at..at + width);
        self.0 = bytes.into();
    }
}

impl<'a> View<'a> {
    /// If these are the bytes of integers.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let (first, bytes) = bytes.split_first()?;
        (*first > MARK).then(|| Self { width: usize::from(first - MARK), bytes })
    }

    pub(super) fn len(self) -> usize {
        self.bytes.len() / self.width
    }

    /// The integer at a position, which there must be.
    pub(super) fn get(self, position: usize) -> i64 {
        extend(&self.bytes[position * self.width..][..self.width])
    }

    /// Where an integer is, or where it belongs.
    pub(super) fn position(self, int: i64) -> Result<usize, usize> {
        match self.width {
            2 => search::<2>(self.bytes, int),
            4 => search::<4>(self.bytes, int),
            _ => search::<8>(self.bytes, int),
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = i64> {
        self.bytes.chunks_exact(self.width).map(extend)
    }

    /// Length of the longest of their texts.
    pub(super) fn longest_text_len(self) -> usize {
        let text_len = |position| itoa::Buffer::new().format(self.get(position)).len();
        match self.len() {
            0 => 0,
            len => text_len(0).max(text_len(len - 1)),
        }
    }
}

fn search<const WIDTH: usize>(bytes: &[u8], int: i64) -> Result<usize, usize> {
    bytes.as_chunks::<WIDTH>().0.binary_search_by(|other| extend(other).cmp(&int))
}

/// The integer of which these are the low bytes.
fn extend(bytes: &[u8]) -> i64 {
    let mut whole = [0; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    let unused_bits = 64 - 8 * bytes.len();
    i64::from_le_bytes(whole) << unused_bits >> unused_bits
}

/// How many bytes an integer needs.
fn width_of(int: i64) -> usize {
    let fits = |width: &usize| extend(&int.to_le_bytes()[..*width]) == int;
    WIDTHS.into_iter().find(fits).expect("an integer has eight bytes")
}
