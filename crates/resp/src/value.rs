//! Replies as a client sees them.

use crate::{Protocol, Writer};

/// Any reply of RESP2 or RESP3.
///
/// Texts that the protocol means for people ([`Simple`](Self::Simple), [`Error`](Self::Error),
/// [`BigNumber`](Self::BigNumber)) are UTF-8; invalid bytes in them are replaced by U+FFFD.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A status such as `OK`.
    Simple(String),
    /// An error, its code first; without the leading `-`.
    Error(String),
    /// An integer.
    Int(i64),
    /// A byte string.
    Bulk(Vec<u8>),
    /// No value: `$-1` or `_`.
    Null,
    /// No list of values: `*-1`. RESP3 has only [`Null`](Self::Null).
    NullArray,
    /// A list.
    Array(Vec<Value>),
    /// Keys and values, in the order sent.
    Map(Vec<(Value, Value)>),
    /// A set, in the order sent.
    Set(Vec<Value>),
    /// A message that answers no request.
    Push(Vec<Value>),
    /// A floating-point number.
    Double(f64),
    /// True or false.
    Boolean(bool),
    /// Text with its format (`txt`, `mkd`).
    Verbatim {
        /// Three characters.
        format: [u8; 3],
        /// The text itself.
        text: Vec<u8>,
    },
    /// An integer of any size, in decimal.
    BigNumber(String),
    /// A value with remarks about it, which clients may ignore.
    Attributed {
        /// The remarks.
        attributes: Vec<(Value, Value)>,
        /// What they are about.
        value: Box<Value>,
    },
}

impl Value {
    /// The text of an error.
    #[must_use]
    pub fn as_error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of a string of any kind, errors excepted.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(text) | Self::BigNumber(text) => Some(text.as_bytes()),
            Self::Bulk(bytes) | Self::Verbatim { text: bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// The text of a string of any kind, errors excepted, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| str::from_utf8(bytes).ok())
    }

    /// An integer.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The values of a list, set or push.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(values) | Self::Set(values) | Self::Push(values) => Some(values),
            _ => None,
        }
    }

    /// Whether this is one of the two nulls.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::NullArray)
    }

    /// Appends this value to `buf`.
    ///
    /// RESP2 cannot say everything: see [`Writer`] for what becomes of the rest. Attributes are left out.
    pub fn encode(&self, buf: &mut Vec<u8>, protocol: Protocol) {
        self.write(&mut Writer::new(buf, protocol));
    }

    /// Writes this value as a reply.
    pub fn write(&self, out: &mut Writer<'_>) {
        match self {
            Self::Simple(text) => out.simple(text),
            Self::Error(text) => out.error(text),
            Self::Int(number) => out.int(*number),
            Self::Bulk(bytes) => out.bulk(bytes),
            Self::Null => out.null(),
            Self::NullArray => out.null_array(),
            Self::Array(values) => write_all(values, out, Writer::array),
            Self::Set(values) => write_all(values, out, Writer::set),
            Self::Push(values) => write_all(values, out, Writer::push),
            Self::Map(pairs) => write_pairs(pairs, out, Writer::map),
            Self::Double(number) => out.double(*number),
            Self::Boolean(value) => out.boolean(*value),
            Self::Verbatim { format, text } => out.verbatim(*format, text),
            Self::BigNumber(decimal) => out.big_number(decimal),
            Self::Attributed { attributes, value } => {
                if out.protocol() == Protocol::Resp3 {
                    write_pairs(attributes, out, Writer::attribute);
                }
                value.write(out);
            }
        }
    }
}

fn write_all<'a>(values: &[Value], out: &mut Writer<'a>, head: fn(&mut Writer<'a>, usize)) {
    head(out, values.len());
    for value in values {
        value.write(out);
    }
}

fn write_pairs<'a>(pairs: &[(Value, Value)], out: &mut Writer<'a>, head: fn(&mut Writer<'a>, usize)) {
    head(out, pairs.len());
    for (key, value) in pairs {
        key.write(out);
        value.write(out);
    }
}

/// Appends a command as clients send it: an array of byte strings.
pub fn encode_command<A: AsRef<[u8]>>(buf: &mut Vec<u8>, args: &[A]) {
    let mut out = Writer::new(buf, Protocol::Resp2);
    out.array(args.len());
    for arg in args {
        out.bulk(arg.as_ref());
    }
}
