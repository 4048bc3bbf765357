//! What a key holds.

use crate::{
    error::CommandError,
    types::{list::List, string::Str},
};

/// The value of a key.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string of bytes, or a 64-bit integer written as one.
    String(Str),
    /// A list of strings.
    List(Box<List>),
}

impl Value {
    /// The name that `TYPE` answers.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::List(_) => "list",
        }
    }

    /// The name that `OBJECT ENCODING` answers.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match self {
            Self::String(string) => string.encoding(),
            Self::List(list) => list.encoding(),
        }
    }

    /// The string, or WRONGTYPE.
    ///
    /// # Errors
    /// If the value is of another type.
    pub fn as_string(&self) -> Result<&Str, CommandError> {
        match self {
            Self::String(string) => Ok(string),
            Self::List(_) => Err(CommandError::WRONG_TYPE),
        }
    }

    /// The list, or WRONGTYPE.
    ///
    /// # Errors
    /// If the value is of another type.
    pub fn as_list(&self) -> Result<&List, CommandError> {
        match self {
            Self::List(list) => Ok(list),
            Self::String(_) => Err(CommandError::WRONG_TYPE),
        }
    }

    /// Reads the beginning of what the value points to: see [`crate::warm`].
    pub(crate) fn touch(&self) -> u64 {
        match self {
            Self::String(string) => string.touch(),
            Self::List(list) => list.len() as u64,
        }
    }

    /// How many separately allocated pieces must be freed when the value goes, roughly.
    pub(crate) fn pieces(&self) -> usize {
        match self {
            Self::String(_) => 1,
            Self::List(list) => 1 + list.len(),
        }
    }
}

impl From<Str> for Value {
    fn from(string: Str) -> Self {
        Self::String(string)
    }
}

impl From<List> for Value {
    fn from(list: List) -> Self {
        Self::List(Box::new(list))
    }
}
