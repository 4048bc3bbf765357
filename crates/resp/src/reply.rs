//! What the server answers.

use crate::Protocol;
use crate::number::DoubleText;

/// Appends replies to a byte vector, in the protocol of the connection.
///
/// Aggregates are written head first: after [`array`](Self::array)`(n)` the caller writes *n* values, after
/// [`map`](Self::map)`(n)` *n* keys each followed by its value. What only RESP3 has becomes the nearest thing
/// of RESP2, as Redis does it.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Writer<'a> {
    /// Appends to `buf`.
    pub fn new(buf: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { buf, protocol }
    }

    /// The protocol that replies are written in.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// `+text`. Line ends within become spaces.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text);
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.buf.extend_from_slice(b"+OK\r\n");
    }

    /// `-text`, where `text` starts with its code, as in `ERR syntax error`. Line ends within become spaces.
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text);
    }

    /// `:number`.
    #[inline]
    pub fn int(&mut self, number: i64) {
        self.head(b':', number);
    }

    /// A byte string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.blob(b'$', bytes);
    }

    /// A number as a byte string, as INCR stores it.
    pub fn bulk_int(&mut self, number: i64) {
        self.bulk(itoa::Buffer::new().format(number).as_bytes());
    }

    /// No value: `$-1`, or `_`.
    pub fn null(&mut self) {
        self.either(b"$-1\r\n", b"_\r\n");
    }

    /// No list of values: `*-1`, or `_`.
    pub fn null_array(&mut self) {
        self.either(b"*-1\r\n", b"_\r\n");
    }

    /// The head of a list of `len` values.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.count(b'*', len);
    }

    /// The head of a map of `pairs` keys and values; in RESP2 an array of twice as many.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.count(b'*', pairs * 2),
            Protocol::Resp3 => self.count(b'%', pairs),
        }
    }

    /// The head of a set of `len` values; in RESP2 an array.
    pub fn set(&mut self, len: usize) {
        self.aggregate(b'~', len);
    }

    /// The head of a message that answers no request; in RESP2 an array.
    pub fn push(&mut self, len: usize) {
        self.aggregate(b'>', len);
    }

    /// The head of `pairs` attributes of the value that follows. RESP2 has nothing like it: there the caller
    /// must not write any.
    pub fn attribute(&mut self, pairs: usize) {
        assert!(self.protocol == Protocol::Resp3, "RESP2 cannot carry attributes");
        self.count(b'|', pairs);
    }

    /// A floating-point number as [`DoubleText`] spells it; in RESP2 a byte string.
    pub fn double(&mut self, number: f64) {
        let text = DoubleText::new(number);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.raw_line(b',', text.as_bytes()),
        }
    }

    /// True or false; in RESP2 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        match value {
            true => self.either(b":1\r\n", b"#t\r\n"),
            false => self.either(b":0\r\n", b"#f\r\n"),
        }
    }

    /// Text to be shown as it is, with its format (`txt`, `mkd`); in RESP2 a byte string.
    pub fn verbatim(&mut self, format: [u8; 3], text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.buf.reserve(text.len() + FRAME_BYTES_MAX);
                self.count(b'=', text.len() + format.len() + 1);
                self.buf.extend_from_slice(&format);
                self.buf.push(b':');
                self.buf.extend_from_slice(text);
                self.buf.extend_from_slice(b"\r\n");
            }
        }
    }

    /// An integer of any size, in decimal; in RESP2 a byte string. Line ends within become spaces.
    pub fn big_number(&mut self, decimal: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(decimal.as_bytes()),
            Protocol::Resp3 => self.line(b'(', decimal),
        }
    }

    /// Bytes that are encoded already.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.buf.extend_from_slice(encoded);
    }

    fn either(&mut self, resp2: &[u8], resp3: &[u8]) {
        self.buf.extend_from_slice(match self.protocol {
            Protocol::Resp2 => resp2,
            Protocol::Resp3 => resp3,
        });
    }

    fn aggregate(&mut self, resp3_kind: u8, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.count(b'*', len),
            Protocol::Resp3 => self.count(resp3_kind, len),
        }
    }

    #[inline]
    fn blob(&mut self, kind: u8, bytes: &[u8]) {
        self.buf.reserve(bytes.len() + FRAME_BYTES_MAX);
        self.count(kind, bytes.len());
        self.buf.extend_from_slice(bytes);
        self.buf.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn count(&mut self, kind: u8, count: usize) {
        self.head(kind, count);
    }

    #[inline]
    fn head(&mut self, kind: u8, number: impl itoa::Integer) {
        self.raw_line(kind, itoa::Buffer::new().format(number).as_bytes());
    }

    #[inline]
    fn raw_line(&mut self, kind: u8, text: &[u8]) {
        self.buf.reserve(text.len() + 3);
        self.buf.push(kind);
        self.buf.extend_from_slice(text);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// A text from elsewhere must not be able to end the line and start a reply of its own.
    fn line(&mut self, kind: u8, text: &str) {
        self.buf.reserve(text.len() + 3);
        self.buf.push(kind);
        let start = self.buf.len();
        self.buf.extend_from_slice(text.as_bytes());
        for byte in &mut self.buf[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.buf.extend_from_slice(b"\r\n");
    }
}

/// What surrounds a byte string: its kind, up to 20 digits, two line ends; and the format of a verbatim one.
const FRAME_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(write: impl Fn(&mut Writer<'_>), resp2: &str, resp3: &str) {
        for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
            let mut buf = b"before".to_vec();
            write(&mut Writer::new(&mut buf, protocol));
            assert_eq!(String::from_utf8_lossy(&buf), format!("before{expected}"), "{protocol:?}");
        }
    }

    #[test]
    fn what_both_protocols_have() {
        let same = |write: fn(&mut Writer<'_>), expected: &str| check(write, expected, expected);
        same(|out| out.ok(), "+OK\r\n");
        same(|out| out.simple("QUEUED"), "+QUEUED\r\n");
        same(|out| out.error("ERR no"), "-ERR no\r\n");
        same(|out| out.int(i64::MIN), ":-9223372036854775808\r\n");
        same(|out| out.int(0), ":0\r\n");
        same(|out| out.bulk(b""), "$0\r\n\r\n");
        same(|out| out.bulk(b"a\r\nb"), "$4\r\na\r\nb\r\n");
        same(|out| out.bulk_int(-10), "$3\r\n-10\r\n");
        same(|out| out.array(3), "*3\r\n");
        same(|out| out.raw(b"?!"), "?!");
    }

    #[test]
    fn what_resp2_lacks_becomes_the_nearest_thing() {
        check(|out| out.null(), "$-1\r\n", "_\r\n");
        check(|out| out.null_array(), "*-1\r\n", "_\r\n");
        check(|out| out.map(2), "*4\r\n", "%2\r\n");
        check(|out| out.set(2), "*2\r\n", "~2\r\n");
        check(|out| out.push(2), "*2\r\n", ">2\r\n");
        check(|out| out.boolean(true), ":1\r\n", "#t\r\n");
        check(|out| out.boolean(false), ":0\r\n", "#f\r\n");
        check(|out| out.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n");
        check(|out| out.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
        check(|out| out.verbatim(*b"txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n");
        check(|out| out.big_number("123"), "$3\r\n123\r\n", "(123\r\n");
    }

    #[test]
    fn a_text_cannot_start_a_reply_of_its_own() {
        check(|out| out.error("ERR a\r\n+OK\nb"), "-ERR a  +OK b\r\n", "-ERR a  +OK b\r\n");
        check(|out| out.simple("a\r\nb"), "+a  b\r\n", "+a  b\r\n");
    }
}
