//! What a key holds.

use crate::{
    collection::{Collection, kind},
    error::CommandError,
    types::{hash::Hash, list::List, set::Set, sorted_set::SortedSet, stream::Stream, string::Str},
};

/// The value of a key.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string of bytes, or a 64-bit integer written as one.
    String(Str),
    /// A list of strings.
    List(List),
    /// A set of strings.
    Set(Set),
    /// A map from strings to strings.
    Hash(Hash),
    /// Strings in the order of their scores.
    SortedSet(SortedSet),
    /// Entries in the order of their times, and who has read them.
    Stream(Box<Stream>),
}

/// For each type: the way to it, or WRONGTYPE.
macro_rules! as_type {
    ($name:ident, $name_mut:ident, $variant:ident, $type:ty, $what:literal) => {
        #[doc = concat!("The ", $what, ", or WRONGTYPE.")]
        ///
        /// # Errors
        /// If the value is of another type.
        pub fn $name(&self) -> Result<&$type, CommandError> {
            match self {
                Self::$variant(value) => Ok(value),
                _ => Err(CommandError::WRONG_TYPE),
            }
        }

        #[doc = concat!("The ", $what, ", to be changed, or WRONGTYPE.")]
        ///
        /// # Errors
        /// If the value is of another type.
        pub fn $name_mut(&mut self) -> Result<&mut $type, CommandError> {
            match self {
                Self::$variant(value) => Ok(value),
                _ => Err(CommandError::WRONG_TYPE),
            }
        }
    };
}

impl Value {
    as_type!(as_string, as_string_mut, String, Str, "string");
    as_type!(as_list, as_list_mut, List, List, "list");
    as_type!(as_set, as_set_mut, Set, Set, "set");
    as_type!(as_hash, as_hash_mut, Hash, Hash, "hash");
    as_type!(as_sorted_set, as_sorted_set_mut, SortedSet, SortedSet, "sorted set");
    as_type!(as_stream, as_stream_mut, Stream, Stream, "stream");

    /// The name that `TYPE` answers.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Hash(_) => "hash",
            Self::SortedSet(_) => "zset",
            Self::Stream(_) => "stream",
        }
    }

    /// The name that `OBJECT ENCODING` answers.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match self {
            Self::String(string) => string.encoding(),
            Self::List(list) => list.encoding(),
            Self::Set(set) => set.encoding(),
            Self::Hash(hash) => hash.encoding(),
            Self::SortedSet(set) => set.encoding(),
            Self::Stream(_) => "stream",
        }
    }

    /// Bytes that the value takes, about, beyond those of the record that holds it.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::String(string) => string.memory_bytes(),
            Self::List(list) => list.memory_bytes(),
            Self::Set(set) => set.memory_bytes(),
            Self::Hash(hash) => hash.memory_bytes(),
            Self::SortedSet(set) => set.memory_bytes(),
            Self::Stream(stream) => stream.memory_bytes(),
        }
    }

    /// Whether it has lost its last element. No such value is stored, apart from a stream.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::String(_) | Self::Stream(_) => false,
            Self::List(list) => list.is_empty(),
            Self::Set(set) => set.is_empty(),
            Self::Hash(hash) => hash.is_empty(),
            Self::SortedSet(set) => set.is_empty(),
        }
    }

    /// The byte that says of which type it is.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::String(_) => kind::STRING,
            Self::List(_) => kind::LIST,
            Self::Set(_) => kind::SET,
            Self::Hash(_) => kind::HASH,
            Self::SortedSet(_) => kind::SORTED_SET,
            Self::Stream(_) => kind::STREAM,
        }
    }

    /// Its string, or what it is made of.
    pub(crate) fn parts(&self) -> Parts<'_> {
        match self {
            Self::String(string) => Parts::String(string),
            Self::List(list) => Parts::Collection(list),
            Self::Set(set) => Parts::Collection(set),
            Self::Hash(hash) => Parts::Collection(hash),
            Self::SortedSet(set) => Parts::Collection(set),
            Self::Stream(stream) => Parts::Collection(&**stream),
        }
    }

    /// Reads the beginning of what the value points to: see [`crate::warm`].
    pub(crate) fn touch(&self) -> u64 {
        match self {
            Self::String(string) => string.touch(),
            Self::List(list) => list.len() as u64,
            Self::Set(set) => set.len() as u64,
            Self::Hash(hash) => hash.len() as u64,
            Self::SortedSet(set) => set.len() as u64,
            Self::Stream(stream) => stream.len() as u64,
        }
    }

    /// How many separately allocated pieces must be freed when the value goes, roughly.
    pub(crate) fn pieces(&self) -> usize {
        match self.parts() {
            Parts::String(_) => 1,
            Parts::Collection(collection) => collection.pieces(),
        }
    }

    /// Frees about `max` of them and tells how many; 0 at the end.
    pub(crate) fn release(&mut self, max: usize) -> usize {
        match self {
            Self::String(_) => 0,
            Self::List(list) => list.release(max),
            Self::Set(set) => set.release(max),
            Self::Hash(hash) => hash.release(max),
            Self::SortedSet(set) => set.release(max),
            Self::Stream(stream) => stream.release(max),
        }
    }
}

/// What a value is made of.
pub(crate) enum Parts<'a> {
    /// Bytes.
    String(&'a Str),
    /// Byte strings.
    Collection(&'a dyn Collection),
}

impl From<Str> for Value {
    fn from(string: Str) -> Self {
        Self::String(string)
    }
}

impl From<Stream> for Value {
    fn from(stream: Stream) -> Self {
        Self::Stream(Box::new(stream))
    }
}

macro_rules! in_place {
    ($($variant:ident)*) => {$(
        impl From<$variant> for Value {
            fn from(value: $variant) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}

in_place!(List Set Hash SortedSet);
