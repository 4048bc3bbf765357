//! Strings of bytes.

use std::{fmt, sync::Arc};

use crate::number::{I64_TEXT_BYTES_MAX, parse_i64};

/// Longest string kept within the value itself, in bytes.
const INLINE_BYTES_MAX: usize = 22;
/// Longest string that `OBJECT ENCODING` calls `embstr`, in bytes.
const EMBSTR_BYTES_MAX: usize = 44;
/// Most spare room a growing string reserves, in bytes.
const SPARE_BYTES_MAX: usize = 1 << 20;
/// What a string behind a pointer costs beside its bytes: the counts of the `Arc` and the allocation.
const SHARED_OVERHEAD_BYTES: usize = 16 + 8;
/// What a changed one costs: the counts of the `Arc`, the `Vec`, and two allocations.
const HEAP_OVERHEAD_BYTES: usize = 16 + 24 + 16;

const LAYOUT_PLAIN: u8 = 0;
const LAYOUT_INT: u8 = 1;
const LAYOUT_CHANGED: u8 = 2;

/// A string value of 24 bytes: an integer, up to 22 bytes in place, or more behind a pointer.
///
/// A clone shares the bytes, so that a snapshot costs nothing until one of the two changes. What `OBJECT
/// ENCODING` answers is part of the value, because it depends on how the value came to be: see
/// [`Str::layout`].
#[derive(Clone)]
pub struct Str(Repr);

/// Strings that APPEND or the like has changed in place are told apart: Redis calls them `raw` whatever their
/// length. So it does with those of commands that make a string themselves, such as PFADD.
#[derive(Clone)]
enum Repr {
    /// Canonical text of a 64-bit integer.
    Int(i64),
    /// At most [`INLINE_BYTES_MAX`] bytes.
    Inline(Inline),
    /// More than [`INLINE_BYTES_MAX`] bytes, as SET stored them: one allocation.
    Shared(Arc<[u8]>),
    /// More than [`INLINE_BYTES_MAX`] and at most [`EMBSTR_BYTES_MAX`] bytes, which are called `raw`.
    Raw(Arc<[u8]>),
    /// More than [`INLINE_BYTES_MAX`] bytes that APPEND or the like has changed: with room to grow.
    Heap(Arc<Vec<u8>>),
}

#[derive(Clone, Copy)]
struct Inline {
    /// The length, with [`Inline::CHANGED`] added.
    length_and_mark: u8,
    bytes: [u8; INLINE_BYTES_MAX],
}

impl Inline {
    const CHANGED: u8 = 1 << 7;

    fn new(text: &[u8], changed: bool) -> Self {
        let mut bytes = [0; INLINE_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text);
        Self { length_and_mark: text.len() as u8 | if changed { Self::CHANGED } else { 0 }, bytes }
    }

    fn len(&self) -> usize {
        usize::from(self.length_and_mark & !Self::CHANGED)
    }

    fn is_changed(&self) -> bool {
        self.length_and_mark & Self::CHANGED != 0
    }
}

impl Str {
    /// A string as SET stores it: the text of an integer becomes one.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        parse_i64(bytes).map_or_else(|| Self::text(bytes), Self::from_i64)
    }

    /// As [`Str::new`].
    #[must_use]
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self::new(&bytes)
    }

    /// The text of an integer.
    #[must_use]
    pub fn from_i64(number: i64) -> Self {
        Self(Repr::Int(number))
    }

    /// A string that stays text even if it is that of an integer, as INCRBYFLOAT stores it.
    #[must_use]
    pub fn text(bytes: &[u8]) -> Self {
        if bytes.len() <= INLINE_BYTES_MAX {
            Self(Repr::Inline(Inline::new(bytes, false)))
        } else {
            Self(Repr::Shared(bytes.into()))
        }
    }

    /// A string as if it had been changed in place: `OBJECT ENCODING` says `raw`.
    #[must_use]
    pub fn raw(bytes: Vec<u8>) -> Self {
        let layout = if bytes.len() > EMBSTR_BYTES_MAX { LAYOUT_PLAIN } else { LAYOUT_CHANGED };
        Self::restore(layout, bytes).expect("the layout was chosen to fit")
    }

    /// Whether these bytes are stored behind a pointer; then they are no integer either.
    pub(crate) fn is_long(bytes: &[u8]) -> bool {
        bytes.len() > INLINE_BYTES_MAX
    }

    /// Becomes `bytes` without an allocation, if the string has as many and nobody shares them: the common case
    /// of a value that is set again and again.
    pub(crate) fn overwrite(&mut self, bytes: &[u8]) -> bool {
        match &mut self.0 {
            Repr::Shared(old) if old.len() == bytes.len() => match Arc::get_mut(old) {
                Some(old) => {
                    old.copy_from_slice(bytes);
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    /// Reads the beginning and, as memory comes in lines of 64 bytes, the end of a short string.
    pub(crate) fn touch(&self) -> u64 {
        let bytes = match &self.0 {
            Repr::Int(_) | Repr::Inline(_) => return 0,
            Repr::Shared(bytes) | Repr::Raw(bytes) => bytes,
            Repr::Heap(bytes) => &bytes[..],
        };
        let at = |i: usize| bytes.get(i).map_or(0, |byte| u64::from(*byte));
        at(0) ^ at(bytes.len().min(64).saturating_sub(1))
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Int(number) => itoa::Buffer::new().format(*number).len(),
            Repr::Inline(inline) => inline.len(),
            Repr::Shared(bytes) | Repr::Raw(bytes) => bytes.len(),
            Repr::Heap(bytes) => bytes.len(),
        }
    }

    /// Whether the string has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes; an integer is written into `scratch`.
    #[must_use]
    pub fn bytes<'a>(&'a self, scratch: &'a mut [u8; I64_TEXT_BYTES_MAX]) -> &'a [u8] {
        match &self.0 {
            Repr::Int(number) => {
                let mut buffer = itoa::Buffer::new();
                let text = buffer.format(*number).as_bytes();
                scratch[..text.len()].copy_from_slice(text);
                &scratch[..text.len()]
            }
            Repr::Inline(inline) => &inline.bytes[..inline.len()],
            Repr::Shared(bytes) | Repr::Raw(bytes) => bytes,
            Repr::Heap(bytes) => bytes,
        }
    }

    /// The bytes, unless the string is kept as an integer.
    #[must_use]
    pub fn as_slice(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Int(_) => None,
            Repr::Inline(inline) => Some(&inline.bytes[..inline.len()]),
            Repr::Shared(bytes) | Repr::Raw(bytes) => Some(bytes),
            Repr::Heap(bytes) => Some(bytes),
        }
    }

    /// The number, if the bytes are the canonical text of a 64-bit integer.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match &self.0 {
            Repr::Int(number) => Some(*number),
            _ => parse_i64(self.bytes(&mut [0; I64_TEXT_BYTES_MAX])),
        }
    }

    /// Adds `suffix` at the end.
    pub fn append(&mut self, suffix: &[u8]) {
        self.set_range(self.len(), suffix);
    }

    /// Overwrites the bytes from `offset` on; a gap between the old end and `offset` becomes zeros.
    pub fn set_range(&mut self, offset: usize, part: &[u8]) {
        let end = offset + part.len();
        self.bytes_mut(end)[offset..end].copy_from_slice(part);
    }

    /// All bytes for changing them, after filling up with zeros to at least `len_min`. Bytes that a clone
    /// shares are copied first.
    ///
    /// From then on `OBJECT ENCODING` says `raw`.
    pub fn bytes_mut(&mut self, len_min: usize) -> &mut [u8] {
        let len = self.len().max(len_min);
        self.make_changeable(len);
        match &mut self.0 {
            Repr::Inline(inline) => &mut inline.bytes[..len],
            Repr::Heap(bytes) => Arc::get_mut(bytes).expect("just made unshared"),
            Repr::Int(_) | Repr::Shared(_) | Repr::Raw(_) => unreachable!("just made changeable"),
        }
    }

    /// Makes the string unshared, changed text of `len` bytes, which is not less than it has.
    fn make_changeable(&mut self, len: usize) {
        if let Repr::Heap(bytes) = &mut self.0
            && let Some(bytes) = Arc::get_mut(bytes)
        {
            if len > bytes.capacity() {
                bytes.reserve_exact(len - bytes.len() + len.min(SPARE_BYTES_MAX));
            }
            bytes.resize(len, 0);
            return;
        }
        let mut scratch = [0; I64_TEXT_BYTES_MAX];
        let old = self.bytes(&mut scratch);
        let repr = if len <= INLINE_BYTES_MAX {
            let mut inline = Inline::new(old, true);
            inline.length_and_mark = len as u8 | Inline::CHANGED;
            Repr::Inline(inline)
        } else {
            let mut bytes = Vec::with_capacity(len);
            bytes.extend_from_slice(old);
            bytes.resize(len, 0);
            Repr::Heap(Arc::new(bytes))
        };
        self.0 = repr;
    }

    /// The name that `OBJECT ENCODING` answers.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match (self.layout(), self.len()) {
            (LAYOUT_INT, _) => "int",
            (LAYOUT_PLAIN, ..=EMBSTR_BYTES_MAX) => "embstr",
            _ => "raw",
        }
    }

    /// What [`Str::encoding`] depends on beside the bytes: a snapshot and a digest must hold it too (R11).
    #[must_use]
    pub fn layout(&self) -> u8 {
        let changed = match &self.0 {
            Repr::Int(_) => return LAYOUT_INT,
            Repr::Inline(inline) => inline.is_changed(),
            // Longer strings are raw anyway, so that the mark would tell apart what nobody can.
            Repr::Shared(_) => false,
            Repr::Raw(_) => true,
            Repr::Heap(bytes) => bytes.len() <= EMBSTR_BYTES_MAX,
        };
        if changed { LAYOUT_CHANGED } else { LAYOUT_PLAIN }
    }

    /// The string of these bytes with this layout; `None` if they do not fit each other.
    #[must_use]
    pub fn restore(layout: u8, bytes: Vec<u8>) -> Option<Self> {
        match layout {
            LAYOUT_PLAIN => Some(Self::text(&bytes)),
            LAYOUT_INT => parse_i64(&bytes).map(Self::from_i64),
            LAYOUT_CHANGED if bytes.len() > EMBSTR_BYTES_MAX => None,
            LAYOUT_CHANGED if bytes.len() > INLINE_BYTES_MAX => Some(Self(Repr::Raw(bytes.into()))),
            LAYOUT_CHANGED => Some(Self(Repr::Inline(Inline::new(&bytes, true)))),
            _ => None,
        }
    }

    /// Bytes allocated for this string, beside the value itself.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match &self.0 {
            Repr::Int(_) | Repr::Inline(_) => 0,
            Repr::Shared(bytes) | Repr::Raw(bytes) => bytes.len() + SHARED_OVERHEAD_BYTES,
            Repr::Heap(bytes) => bytes.capacity() + HEAP_OVERHEAD_BYTES,
        }
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:\"{}\"", self.encoding(), self.bytes(&mut [0; I64_TEXT_BYTES_MAX]).escape_ascii())
    }
}

/// Equal strings have the same bytes and the same encoding.
impl PartialEq for Str {
    fn eq(&self, other: &Self) -> bool {
        self.layout() == other.layout()
            && self.bytes(&mut [0; I64_TEXT_BYTES_MAX]) == other.bytes(&mut [0; I64_TEXT_BYTES_MAX])
    }
}

impl Eq for Str {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..len_max)
    }

    fn bytes_of(string: &Str) -> Vec<u8> {
        string.bytes(&mut [0; I64_TEXT_BYTES_MAX]).to_vec()
    }

    #[test]
    fn a_string_takes_24_bytes() {
        assert_eq!(size_of::<Str>(), 24);
        assert_eq!(size_of::<Option<Str>>(), 24);
    }

    #[test]
    fn encodings_are_named_as_in_redis() {
        let cases: [(&[u8], &str); 10] = [
            (b"0", "int"),
            (b"-9223372036854775808", "int"),
            (b"9223372036854775807", "int"),
            (b"9223372036854775808", "embstr"),
            (b"01", "embstr"),
            (b"", "embstr"),
            (&[b'x'; 22], "embstr"),
            (&[b'x'; 23], "embstr"),
            (&[b'x'; 44], "embstr"),
            (&[b'x'; 45], "raw"),
        ];
        for (bytes, encoding) in cases {
            assert_eq!(Str::new(bytes).encoding(), encoding);
            assert_eq!(Str::from_vec(bytes.to_vec()), Str::new(bytes));
        }
        assert_eq!(Str::text(b"15").encoding(), "embstr");
        let mut appended = Str::new(b"1");
        appended.append(b"2");
        assert_eq!((appended.encoding(), bytes_of(&appended)), ("raw", b"12".to_vec()));
        assert_ne!(appended, Str::new(b"12"));
        assert_eq!(appended.as_i64(), Some(12));
    }

    #[test]
    fn a_layout_that_does_not_fit_is_refused() {
        assert_eq!(Str::restore(LAYOUT_INT, b"01".to_vec()), None);
        assert_eq!(Str::restore(LAYOUT_CHANGED, vec![b'x'; 45]), None);
        assert_eq!(Str::restore(3, Vec::new()), None);
    }

    #[test]
    fn a_clone_keeps_its_bytes_when_the_other_changes() {
        for len in [3, 22, 30, 100] {
            let mut string = Str::text(&vec![b'a'; len]);
            let snapshot = string.clone();
            string.set_range(0, b"b");
            string.append(b"c");
            assert_eq!(bytes_of(&snapshot), vec![b'a'; len]);
            assert_eq!(bytes_of(&string), [b"b".as_slice(), &vec![b'a'; len - 1], b"c"].concat());
        }
    }

    #[test]
    fn bounded_a_growing_string_reserves_at_most_a_megabyte() {
        let mut string = Str::text(&vec![0; 5 << 20]);
        string.append(b"x");
        string.append(b"y");
        assert!(string.memory_bytes() <= (6 << 20) + HEAP_OVERHEAD_BYTES + 2);
    }

    proptest! {
        #[test]
        fn changes_match_a_vector(
            start in prop_oneof![any::<i64>().prop_map(|n| n.to_string().into_bytes()), bytes(60)],
            changes in prop::collection::vec((any::<bool>(), 0usize..80, bytes(40)), 0..12),
        ) {
            let mut string = Str::new(&start);
            let mut model = start;
            for (append, offset, part) in changes {
                let before = (string.clone(), model.clone());
                let offset = if append { model.len() } else { offset };
                string.set_range(offset, &part);
                model.resize(model.len().max(offset + part.len()), 0);
                model[offset..offset + part.len()].copy_from_slice(&part);
                prop_assert_eq!(bytes_of(&string), model.clone());
                prop_assert_eq!(string.len(), model.len());
                prop_assert_eq!(string.encoding(), "raw");
                prop_assert_eq!(bytes_of(&before.0), before.1);
                prop_assert_eq!(&Str::restore(string.layout(), bytes_of(&string)).unwrap(), &string);
            }
            prop_assert_eq!(&Str::restore(string.layout(), model).unwrap(), &string);
        }
    }
}
