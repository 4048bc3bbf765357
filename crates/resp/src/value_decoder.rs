//! Replies from bytes, for clients.

use bytes::BytesMut;

use crate::Value;
use crate::inbox::Inbox;
use crate::number::parse_integer;
use crate::request::line_len;

/// How much a server may ask of a client's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueLimits {
    /// The longest string, in bytes.
    pub bulk_bytes: usize,
    /// The longest line (a status, an error, a number), in bytes.
    pub line_bytes: usize,
    /// The most values in one reply, counted at all depths.
    pub elements: usize,
    /// The deepest nesting of lists, maps, sets and attributes.
    pub depth: usize,
    /// The longest reply as sent, in bytes.
    pub reply_bytes: usize,
}

impl Default for ValueLimits {
    /// 512 MiB, 64 KiB, 16 Mi values, 64 deep, 1 GiB.
    fn default() -> Self {
        Self {
            bulk_bytes: 512 << 20,
            line_bytes: 64 << 10,
            elements: 16 << 20,
            depth: 64,
            reply_bytes: 1 << 30,
        }
    }
}

/// The server does not speak the protocol, or answers too much. The connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A reply starts with a byte that no type has.
    #[error("no reply starts with the byte 0x{0:02x}")]
    UnknownType(u8),
    /// A length or an integer is not a number, or negative.
    #[error("not an integer")]
    InvalidInteger,
    /// A double is not a number.
    #[error("not a floating-point number")]
    InvalidDouble,
    /// A boolean is neither `t` nor `f`, a null is not empty, a big number not decimal, a verbatim string has
    /// no format.
    #[error("malformed reply of type '{}'", char::from(*.0))]
    Malformed(u8),
    /// A line or a string does not end with a carriage return and a line feed.
    #[error("a line end is missing")]
    MissingLineEnd,
    /// Longer than [`ValueLimits::line_bytes`].
    #[error("a line is too long")]
    LineTooLong,
    /// Longer than [`ValueLimits::bulk_bytes`].
    #[error("a string is too long")]
    BulkTooLong,
    /// More than [`ValueLimits::elements`].
    #[error("a reply has too many values")]
    TooManyElements,
    /// Deeper than [`ValueLimits::depth`].
    #[error("a reply is nested too deeply")]
    TooDeep,
    /// Longer than [`ValueLimits::reply_bytes`].
    #[error("a reply is too long")]
    ReplyTooLong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StringKind {
    Bulk,
    Error,
    Verbatim,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AggregateKind {
    Array,
    Set,
    Push,
    Map,
    Attributes,
}

/// An aggregate whose elements are still arriving.
#[derive(Debug)]
struct Open {
    kind: AggregateKind,
    /// Elements it will have: keys and values count separately, and attributes are followed by their value.
    wanted: usize,
    elements: Vec<Value>,
}

impl Open {
    fn close(self) -> Value {
        let mut elements = self.elements;
        match self.kind {
            AggregateKind::Array => Value::Array(elements),
            AggregateKind::Set => Value::Set(elements),
            AggregateKind::Push => Value::Push(elements),
            AggregateKind::Map => Value::Map(into_pairs(elements)),
            AggregateKind::Attributes => {
                let value = elements.pop().map(Box::new);
                let value = value.unwrap_or_else(|| unreachable!("attributes want at least their value"));
                Value::Attributed { attributes: into_pairs(elements), value }
            }
        }
    }
}

fn into_pairs(elements: Vec<Value>) -> Vec<(Value, Value)> {
    let mut pairs = Vec::with_capacity(elements.len() / 2);
    let mut elements = elements.into_iter();
    while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
        pairs.push((key, value));
    }
    pairs
}

/// What the next line of the stream is.
enum Step {
    /// A value without elements, or whose elements are none.
    Leaf(Value),
    Opened(Open),
    String(StringKind, usize),
}

/// Turns the bytes a server sends into [`Value`]s.
///
/// After an error every further call of [`next`](Self::next) returns it again.
#[derive(Debug, Default)]
pub struct ValueDecoder {
    limits: ValueLimits,
    inbox: Inbox,
    /// Bytes at the front of the inbox known not to end its line.
    searched: usize,
    /// A string whose length is known and whose bytes are still arriving.
    string: Option<(StringKind, usize)>,
    /// From the outermost to the innermost.
    open: Vec<Open>,
    /// Of the current reply so far.
    elements: usize,
    reply_bytes: usize,
    failed: Option<ValueError>,
}

impl ValueDecoder {
    /// A decoder for a new connection; allocates nothing yet.
    #[must_use]
    pub fn new(limits: ValueLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The buffer to read into, with at least 8 KiB of spare capacity. Only append to it.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.inbox.back()
    }

    /// Appends received bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.inbox.append(bytes);
    }

    /// Whether nothing of a further reply has arrived.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.inbox.len() == 0 && self.open.is_empty() && self.string.is_none()
    }

    /// The next reply, or `None` until more bytes have arrived.
    #[expect(clippy::should_implement_trait, reason = "goes on after None")]
    pub fn next(&mut self) -> Result<Option<Value>, ValueError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.decode();
        self.failed = result.as_ref().err().copied();
        result
    }

    fn decode(&mut self) -> Result<Option<Value>, ValueError> {
        while let Some(step) = self.step()? {
            match step {
                Step::String(kind, len) => self.string = Some((kind, len)),
                Step::Opened(open) => {
                    if self.open.len() == self.limits.depth {
                        return Err(ValueError::TooDeep);
                    }
                    self.open.push(open);
                }
                Step::Leaf(value) => {
                    if let Some(reply) = self.close_full(value) {
                        (self.elements, self.reply_bytes) = (0, 0);
                        return Ok(Some(reply));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Adds `value` to the innermost open aggregate and closes those that are full; the reply, if that closes
    /// the outermost.
    fn close_full(&mut self, mut value: Value) -> Option<Value> {
        while let Some(mut innermost) = self.open.pop() {
            innermost.elements.push(value);
            if innermost.elements.len() < innermost.wanted {
                self.open.push(innermost);
                return None;
            }
            value = innermost.close();
        }
        Some(value)
    }

    fn step(&mut self) -> Result<Option<Step>, ValueError> {
        if let Some((kind, len)) = self.string {
            return self.take_string(kind, len);
        }
        let bytes = self.inbox.unread();
        let found = line_len(bytes, &mut self.searched, self.limits.line_bytes);
        let Some(len) = found.map_err(|_| ValueError::LineTooLong)? else { return Ok(None) };
        if bytes[len + 1] != b'\n' {
            return Err(ValueError::MissingLineEnd);
        }
        let step = match bytes[..len] {
            [] => return Err(ValueError::UnknownType(b'\r')),
            [kind, ref text @ ..] => read_line(kind, text, &self.limits)?,
        };
        if let Step::Opened(open) = &step {
            // `wanted` is at most twice a 63-bit number and one more.
            self.elements = self.elements.saturating_add(open.wanted);
            if self.elements > self.limits.elements {
                return Err(ValueError::TooManyElements);
            }
        }
        self.searched = 0;
        self.take(len + 2)?;
        Ok(Some(step))
    }

    fn take_string(&mut self, kind: StringKind, len: usize) -> Result<Option<Step>, ValueError> {
        let Some((bytes, [first, second, ..])) = self.inbox.unread().split_at_checked(len) else {
            return Ok(None);
        };
        if [*first, *second] != *b"\r\n" {
            return Err(ValueError::MissingLineEnd);
        }
        let value = match kind {
            StringKind::Bulk => Value::Bulk(bytes.to_vec()),
            StringKind::Error => Value::Error(to_text(bytes)),
            StringKind::Verbatim => match bytes {
                [a, b, c, b':', text @ ..] => Value::Verbatim { format: [*a, *b, *c], text: text.to_vec() },
                _ => return Err(ValueError::Malformed(b'=')),
            },
        };
        self.string = None;
        self.take(len + 2)?;
        Ok(Some(Step::Leaf(value)))
    }

    fn take(&mut self, count: usize) -> Result<(), ValueError> {
        self.inbox.consume(count);
        self.reply_bytes += count;
        if self.reply_bytes > self.limits.reply_bytes { Err(ValueError::ReplyTooLong) } else { Ok(()) }
    }
}

/// Interprets one line of type `kind`.
fn read_line(kind: u8, text: &[u8], limits: &ValueLimits) -> Result<Step, ValueError> {
    let leaf = match kind {
        b'+' => Value::Simple(to_text(text)),
        b'-' => Value::Error(to_text(text)),
        b':' => Value::Int(integer(text)?),
        b'$' if text == b"-1" => Value::Null,
        b'*' if text == b"-1" => Value::NullArray,
        b'_' if text.is_empty() => Value::Null,
        b'#' if text == b"t" => Value::Boolean(true),
        b'#' if text == b"f" => Value::Boolean(false),
        b',' => Value::Double(double(text)?),
        b'(' if is_decimal(text) => Value::BigNumber(to_text(text)),
        b'_' | b'#' | b'(' => return Err(ValueError::Malformed(kind)),
        b'$' => return string(StringKind::Bulk, text, limits),
        b'!' => return string(StringKind::Error, text, limits),
        b'=' => return string(StringKind::Verbatim, text, limits),
        b'*' => return aggregate(AggregateKind::Array, text),
        b'~' => return aggregate(AggregateKind::Set, text),
        b'>' => return aggregate(AggregateKind::Push, text),
        b'%' => return aggregate(AggregateKind::Map, text),
        b'|' => return aggregate(AggregateKind::Attributes, text),
        unknown => return Err(ValueError::UnknownType(unknown)),
    };
    Ok(Step::Leaf(leaf))
}

fn string(kind: StringKind, text: &[u8], limits: &ValueLimits) -> Result<Step, ValueError> {
    let len = length(text)?;
    if len > limits.bulk_bytes { Err(ValueError::BulkTooLong) } else { Ok(Step::String(kind, len)) }
}

fn aggregate(kind: AggregateKind, text: &[u8]) -> Result<Step, ValueError> {
    let len = length(text)?;
    let wanted = match kind {
        AggregateKind::Array | AggregateKind::Set | AggregateKind::Push => len,
        AggregateKind::Map => len.saturating_mul(2),
        AggregateKind::Attributes => len.saturating_mul(2).saturating_add(1),
    };
    // Nothing is reserved: what is announced need never come.
    let open = Open { kind, wanted, elements: Vec::new() };
    Ok(if wanted == 0 { Step::Leaf(open.close()) } else { Step::Opened(open) })
}

fn length(text: &[u8]) -> Result<usize, ValueError> {
    usize::try_from(integer(text)?).map_err(|_| ValueError::InvalidInteger)
}

fn integer(text: &[u8]) -> Result<i64, ValueError> {
    parse_integer(text).ok_or(ValueError::InvalidInteger)
}

fn double(text: &[u8]) -> Result<f64, ValueError> {
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(ValueError::InvalidDouble)
}

fn is_decimal(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn to_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_with(limits: ValueLimits, stream: &[u8]) -> Result<Option<Value>, ValueError> {
        let mut decoder = ValueDecoder::new(limits);
        decoder.feed(stream);
        decoder.next()
    }

    /// Whole and byte by byte; nothing before the last byte.
    #[track_caller]
    fn check(stream: &str, expected: Value) {
        let stream = stream.as_bytes();
        assert_eq!(decode_with(ValueLimits::default(), stream), Ok(Some(expected.clone())));
        let mut decoder = ValueDecoder::default();
        assert!(decoder.is_idle());
        for byte in &stream[..stream.len() - 1] {
            decoder.feed(&[*byte]);
            assert_eq!(decoder.next(), Ok(None));
            assert!(!decoder.is_idle());
        }
        decoder.feed(&stream[stream.len() - 1..]);
        assert_eq!(decoder.next(), Ok(Some(expected)));
        assert!(decoder.is_idle());
    }

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    #[test]
    fn scalars() {
        check("+OK\r\n", Value::Simple("OK".into()));
        check("-ERR no\r\n", Value::Error("ERR no".into()));
        check(":-12\r\n", Value::Int(-12));
        check("$2\r\nhi\r\n", bulk("hi"));
        check("$0\r\n\r\n", bulk(""));
        check("$-1\r\n", Value::Null);
        check("*-1\r\n", Value::NullArray);
        check("_\r\n", Value::Null);
        check("#t\r\n", Value::Boolean(true));
        check("#f\r\n", Value::Boolean(false));
        check(",1.5e3\r\n", Value::Double(1500.0));
        check(",-inf\r\n", Value::Double(f64::NEG_INFINITY));
        check(
            "(-123456789012345678901234567890\r\n",
            Value::BigNumber("-123456789012345678901234567890".into()),
        );
        check("!6\r\nERR\r\nx\r\n", Value::Error("ERR\r\nx".into()));
        check("=6\r\ntxt:hi\r\n", Value::Verbatim { format: *b"txt", text: b"hi".to_vec() });
        assert!(
            matches!(decode_with(ValueLimits::default(), b",nan\r\n"), Ok(Some(Value::Double(x))) if x.is_nan())
        );
    }

    #[test]
    fn aggregates() {
        check("*0\r\n", Value::Array(vec![]));
        check(
            "*2\r\n*1\r\n:1\r\n*0\r\n",
            Value::Array(vec![Value::Array(vec![Value::Int(1)]), Value::Array(vec![])]),
        );
        check(
            "%1\r\n+a\r\n~1\r\n:1\r\n",
            Value::Map(vec![(Value::Simple("a".into()), Value::Set(vec![Value::Int(1)]))]),
        );
        check(">2\r\n+message\r\n$1\r\nx\r\n", Value::Push(vec![Value::Simple("message".into()), bulk("x")]));
        let attributes = vec![(Value::Simple("ttl".into()), Value::Int(9))];
        check(
            "|1\r\n+ttl\r\n:9\r\n$1\r\nx\r\n",
            Value::Attributed { attributes, value: Box::new(bulk("x")) },
        );
        check("|0\r\n:1\r\n", Value::Attributed { attributes: vec![], value: Box::new(Value::Int(1)) });
    }

    #[test]
    fn malformed_replies_are_errors_and_final() {
        for (stream, error) in [
            ("?\r\n", ValueError::UnknownType(b'?')),
            ("\r\n", ValueError::UnknownType(b'\r')),
            (":x\r\n", ValueError::InvalidInteger),
            ("$-2\r\n", ValueError::InvalidInteger),
            ("*-2\r\n", ValueError::InvalidInteger),
            ("$?\r\n", ValueError::InvalidInteger),
            (",x\r\n", ValueError::InvalidDouble),
            ("#x\r\n", ValueError::Malformed(b'#')),
            ("_x\r\n", ValueError::Malformed(b'_')),
            ("(1x\r\n", ValueError::Malformed(b'(')),
            ("(\r\n", ValueError::Malformed(b'(')),
            ("=2\r\nhi\r\n", ValueError::Malformed(b'=')),
            ("+OK\rx", ValueError::MissingLineEnd),
            ("$1\r\nabc", ValueError::MissingLineEnd),
        ] {
            let mut decoder = ValueDecoder::default();
            decoder.feed(stream.as_bytes());
            assert_eq!(decoder.next(), Err(error), "{stream:?}");
            decoder.feed(b":1\r\n");
            assert_eq!(decoder.next(), Err(error), "{stream:?}");
        }
    }

    #[test]
    fn limits_hold() {
        let small = ValueLimits { bulk_bytes: 3, line_bytes: 8, elements: 4, depth: 2, reply_bytes: 23 };
        let check = |stream: &str, expected: Result<bool, ValueError>| {
            let decoded = decode_with(small, stream.as_bytes()).map(|value| value.is_some());
            assert_eq!(decoded, expected, "{stream:?}");
        };
        check("$3\r\nabc\r\n", Ok(true));
        check("$4\r\n", Err(ValueError::BulkTooLong));
        check("+1234567\r\n", Ok(true));
        check("+12345678", Err(ValueError::LineTooLong));
        check("*4\r\n", Ok(false));
        check("%2\r\n", Ok(false));
        check("*5\r\n", Err(ValueError::TooManyElements));
        check("*2\r\n*3\r\n", Err(ValueError::TooManyElements));
        check("*9223372036854775807\r\n", Err(ValueError::LineTooLong));
        check("*1\r\n*1\r\n:1\r\n", Ok(true));
        check("*1\r\n*1\r\n*1\r\n", Err(ValueError::TooDeep));
        check("*3\r\n+12345\r\n+12345\r\n+1\r\n", Err(ValueError::ReplyTooLong));
        let huge = decode_with(ValueLimits::default(), b"%9223372036854775807\r\n");
        assert_eq!(huge, Err(ValueError::TooManyElements));
    }
}
