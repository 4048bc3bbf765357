//! The bytes of an element.

use std::{borrow::Borrow, cmp::Ordering, fmt, sync::Arc};

/// Longest bytes that need no allocation of their own.
const INLINE_LEN_MAX: usize = 22;

/// Bytes that do not change: 24 bytes, with an allocation only if they are more than 22. Clones share it.
#[derive(Clone)]
pub(crate) struct SmallBytes(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_LEN_MAX] },
    Heap(Arc<[u8]>),
}

impl SmallBytes {
    /// Copies `bytes`.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        if bytes.len() > INLINE_LEN_MAX {
            return Self(Repr::Heap(bytes.into()));
        }
        let mut inline = [0; INLINE_LEN_MAX];
        inline[..bytes.len()].copy_from_slice(bytes);
        Self(Repr::Inline { len: bytes.len() as u8, bytes: inline })
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Heap(bytes) => bytes,
        }
    }

    /// Bytes allocated beyond the 24, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        /// The counts of the `Arc` and the allocation.
        const OVERHEAD_BYTES: usize = 16 + 8;
        match &self.0 {
            Repr::Inline { .. } => 0,
            Repr::Heap(bytes) => bytes.len() + OVERHEAD_BYTES,
        }
    }
}

impl PartialEq for SmallBytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for SmallBytes {}

impl PartialOrd for SmallBytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SmallBytes {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Borrow<[u8]> for SmallBytes {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for SmallBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}
