//! What a command answers when it cannot be carried out.

use std::{borrow::Cow, fmt};

/// The error reply of a command: Redis's text, with its code word (`ERR`, `WRONGTYPE`, ...) in front.
///
/// A command that returns one has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError(Cow<'static, str>);

impl CommandError {
    /// The key holds a value of another type.
    pub const WRONG_TYPE: Self =
        Self::fixed("WRONGTYPE Operation against a key holding the wrong kind of value");
    /// The arguments do not follow the command's grammar.
    pub const SYNTAX: Self = Self::fixed("ERR syntax error");
    /// An argument or a stored value is not a 64-bit integer.
    pub const NOT_AN_INTEGER: Self = Self::fixed("ERR value is not an integer or out of range");
    /// An argument or a stored value is not a floating point number.
    pub const NOT_A_FLOAT: Self = Self::fixed("ERR value is not a valid float");
    /// The key does not exist, and the command needs it.
    pub const NO_SUCH_KEY: Self = Self::fixed("ERR no such key");
    /// The leader is short of memory.
    pub const OOM: Self = Self::fixed("OOM command not allowed when used memory > 'maxmemory'.");
    /// There are fewer voters beside the leader than `min-replicas-to-write` asks for.
    pub const NOREPLICAS: Self = Self::fixed("NOREPLICAS Not enough good replicas to write.");
    /// Source and destination are the same key.
    pub const SAME_OBJECT: Self = Self::fixed("ERR source and destination objects are the same");
    /// A database number that is not configured.
    pub const DB_OUT_OF_RANGE: Self = Self::fixed("ERR DB index is out of range");
    /// A value that must be positive is not, or does not fit.
    pub const OUT_OF_RANGE: Self = Self::fixed("ERR value is out of range, must be positive");
    /// An index outside a list or a string.
    pub const INDEX_OUT_OF_RANGE: Self = Self::fixed("ERR index out of range");
    /// An offset outside a string.
    pub const OFFSET_OUT_OF_RANGE: Self = Self::fixed("ERR offset is out of range");
    /// An increment that leaves the range of 64 bits.
    pub const OVERFLOW: Self = Self::fixed("ERR increment or decrement would overflow");
    /// An increment that yields no finite number.
    pub const NAN_OR_INFINITY: Self = Self::fixed("ERR increment would produce NaN or Infinity");
    /// A string longer than `proto-max-bulk-len` allows.
    pub const STRING_TOO_LONG: Self =
        Self::fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

    /// An error with a text known when compiling.
    #[must_use]
    pub const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// An error with a text made now. Line ends, which the protocol cannot carry, become spaces.
    #[must_use]
    pub fn new(text: String) -> Self {
        if text.contains(['\r', '\n']) {
            Self(Cow::Owned(text.replace(['\r', '\n'], " ")))
        } else {
            Self(Cow::Owned(text))
        }
    }

    /// The command's number of arguments does not fit; `name` is its full name (`config|get`).
    #[must_use]
    pub fn wrong_arity(name: &str) -> Self {
        Self::new(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// The expiry given to `command` is not positive or does not fit into 64 bits of milliseconds.
    #[must_use]
    pub fn invalid_expire(command: &str) -> Self {
        Self::new(format!("ERR invalid expire time in '{command}' command"))
    }

    /// The text, with its code word.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CommandError {}
