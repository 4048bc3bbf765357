//! Integers in ascending order, each in as few bytes as the largest of them needs.

/// See the module.
#[derive(Clone, Debug)]
pub(crate) enum Ints {
    Short(Vec<i16>),
    Medium(Vec<i32>),
    Long(Vec<i64>),
}

impl Default for Ints {
    fn default() -> Self {
        Self::Short(Vec::new())
    }
}

/// The same expression whatever the width.
macro_rules! each_width {
    ($ints:expr, $vec:ident => $result:expr) => {
        match $ints {
            Ints::Short($vec) => $result,
            Ints::Medium($vec) => $result,
            Ints::Long($vec) => $result,
        }
    };
}

impl Ints {
    /// Of integers that ascend.
    pub(super) fn from_sorted(ints: &[i64]) -> Self {
        let mut all = Self::default();
        if let [first, .., last] | [first @ last] = ints {
            all.widen_for(*first);
            all.widen_for(*last);
        }
        match &mut all {
            Self::Short(vec) => vec.extend(ints.iter().map(|&int| int as i16)),
            Self::Medium(vec) => vec.extend(ints.iter().map(|&int| int as i32)),
            Self::Long(vec) => vec.extend_from_slice(ints),
        }
        all
    }

    pub(super) fn len(&self) -> usize {
        each_width!(self, vec => vec.len())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        each_width!(self, vec => size_of_val(&vec[..]) * vec.capacity() / vec.len().max(1))
    }

    /// The integer at a position, which there must be.
    #[allow(clippy::useless_conversion, reason = "it is none for the narrower ones")]
    pub(super) fn get(&self, position: usize) -> i64 {
        each_width!(self, vec => i64::from(vec[position]))
    }

    /// Where an integer is, or where it belongs.
    #[allow(clippy::useless_conversion, reason = "it is none for the narrower ones")]
    pub(super) fn position(&self, int: i64) -> Result<usize, usize> {
        each_width!(self, vec => vec.binary_search_by(|&other| i64::from(other).cmp(&int)))
    }

    /// Adds an integer. False if it is there already.
    pub(super) fn insert(&mut self, int: i64) -> bool {
        let Err(position) = self.position(int) else { return false };
        self.widen_for(int);
        match self {
            Self::Short(vec) => insert(vec, position, int as i16),
            Self::Medium(vec) => insert(vec, position, int as i32),
            Self::Long(vec) => insert(vec, position, int),
        }
        true
    }

    /// Takes out the integer at a position, which there must be.
    pub(super) fn remove(&mut self, position: usize) {
        each_width!(self, vec => {
            vec.remove(position);
            if vec.capacity() > 32 + 2 * vec.len() {
                vec.shrink_to_fit();
            }
        });
    }

    /// Length of the longest of their texts.
    pub(super) fn longest_text_len(&self) -> usize {
        let text_len = |position| itoa::Buffer::new().format(self.get(position)).len();
        match self.len() {
            0 => 0,
            len => text_len(0).max(text_len(len - 1)),
        }
    }

    fn widen_for(&mut self, int: i64) {
        let ints = |vec: &[i16]| vec.iter().map(|&int| i32::from(int)).collect();
        match self {
            Self::Short(vec) if i16::try_from(int).is_err() => {
                *self = Self::Medium(ints(vec));
                self.widen_for(int);
            }
            Self::Medium(vec) if i32::try_from(int).is_err() => {
                *self = Self::Long(vec.iter().map(|&int| i64::from(int)).collect());
            }
            _ => {}
        }
    }
}

/// Small sets are many: doubling would waste a third of their memory.
fn insert<T>(vec: &mut Vec<T>, position: usize, int: T) {
    if vec.len() == vec.capacity() {
        vec.reserve_exact(2 + vec.len() / 4);
    }
    vec.insert(position, int);
}
