//! The name of a key, as the table keeps it.

use std::fmt;

/// Longest key that needs no allocation of its own.
pub(crate) const INLINE_KEY_LEN_MAX: usize = 22;

/// A key: 24 bytes, with an allocation only if it is longer than [`INLINE_KEY_LEN_MAX`].
#[derive(Clone)]
pub(crate) struct Key(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_KEY_LEN_MAX] },
    Heap(Box<[u8]>),
}

impl Key {
    /// Copies `bytes`.
    #[must_use]
    pub(crate) fn new(bytes: &[u8]) -> Self {
        if bytes.len() > INLINE_KEY_LEN_MAX {
            return Self(Repr::Heap(bytes.into()));
        }
        let mut inline = [0; INLINE_KEY_LEN_MAX];
        inline[..bytes.len()].copy_from_slice(bytes);
        Self(Repr::Inline { len: bytes.len() as u8, bytes: inline })
    }

    /// The bytes of the key.
    #[must_use]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Heap(bytes) => bytes,
        }
    }

    /// Bytes allocated beyond the 24, about.
    #[must_use]
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Inline { .. } => 0,
            Repr::Heap(bytes) => bytes.len() + 8,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}
