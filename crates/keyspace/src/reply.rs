//! Where a command writes its answer.

use std::cell::Cell;

use quorate_resp::{Protocol, Writer};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    command::Command,
    error::CommandError,
    meter::{Meter, Metered, Place},
};

/// The reply of one command: bytes for the client that waits for it, and a hash for the running digest (R10).
///
/// A replica that is not the origin of a command discards the bytes and keeps the hash. The hash covers the elements
/// as the command meant them, so it is the same under RESP2 and RESP3, and whether the bytes are wanted or not.
/// Commands therefore must not look at the protocol.
pub struct Reply<'a> {
    out: Option<Out<'a>>,
    hash: Option<u64>,
    meter: Option<&'a dyn Meter>,
    /// See [`Reply::refuse`].
    refused: Cell<bool>,
}

struct Out<'a> {
    buf: &'a mut Vec<u8>,
    protocol: Protocol,
}

/// A place in a reply to which it can be rolled back.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    len: usize,
    hash: Option<u64>,
}

/// Where the reply of a command begins that is noted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Begun {
    at: u64,
    from: usize,
}

/// Where an aggregate begins whose number of elements is told later.
#[derive(Debug)]
#[must_use]
pub struct Open {
    at: usize,
}

/// What kind of element entered the hash, so that `:1` and `$1 1` differ.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Element {
    Simple = 1,
    Error,
    Int,
    Bulk,
    Null,
    NullArray,
    Array,
    Map,
    Set,
    Push,
    Double,
    Boolean,
    Verbatim,
    BigNumber,
    Pairs,
    Pair,
    DoubleText,
    Closed,
    Named,
    Example,
}

impl<'a> Reply<'a> {
    /// A reply appended to `buf`.
    #[must_use]
    pub fn new(buf: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out: Some(Out { buf, protocol }), hash: None, meter: None, refused: Cell::default() }
    }

    /// The same, where the commands that it replies to are noted.
    #[must_use]
    pub fn metered(self, meter: Option<&'a dyn Meter>) -> Self {
        Self { meter, ..self }
    }

    /// See [`Reply::metered`].
    pub(crate) fn meter(&self) -> Option<&'a dyn Meter> {
        self.meter
    }

    /// A reply that nobody waits for.
    #[must_use]
    pub fn discard() -> Reply<'static> {
        Reply { out: None, hash: None, meter: None, refused: Cell::default() }
    }

    /// Whether anybody gets it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.out.is_some()
    }

    /// Hashes what follows, beginning with `hash`.
    pub(crate) fn start_hash(&mut self, hash: u64) {
        self.hash = Some(hash);
    }

    /// What follows is written in another version of the protocol: HELLO answers in the new one.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        if let Some(out) = &mut self.out {
            out.protocol = protocol;
        }
    }

    /// An answer that is encoded already. It does not enter the hash: only for what the session answers itself.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.write(|w| w.raw(bytes));
    }

    /// The hash of the elements since [`Reply::start_hash`].
    pub(crate) fn hash(&self) -> u64 {
        self.hash.unwrap_or_default()
    }

    /// The present end of the reply.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { len: self.out.as_ref().map_or(0, |out| out.buf.len()), hash: self.hash }
    }

    /// Notes that a command begins, whose reply follows.
    #[must_use]
    pub fn begin(&self) -> Begun {
        let at = self.meter.map_or(0, Meter::begin);
        Begun { at, from: self.out.as_ref().map_or(0, |out| out.buf.len()) }
    }

    /// Notes that it has ended.
    pub fn end(&self, begun: Begun, command: &'static Command, args: &[&[u8]], place: Place, sleep_ms: u64) {
        let (Some(meter), Some(out)) = (self.meter, &self.out) else { return };
        let error = out.buf.get(begun.from..).and_then(|written| written.strip_prefix(b"-"));
        let error = error.map(|text| text.trim_ascii_end());
        if let (true, Some(error)) = (self.refused.take(), error) {
            return meter.rejected(Some(command), place, &String::from_utf8_lossy(error));
        }
        meter.end(&Metered { begun: begun.at, command, args, place, error, sleep_ms });
    }

    /// The error for a command that is refused before it is carried out. A script may call one that does not exist.
    pub(crate) fn reject(&mut self, command: Option<&'static Command>, place: Place, error: &CommandError) {
        self.error(error);
        if let Some(meter) = self.meter {
            meter.rejected(command, place, error.text());
        }
    }

    /// The error of a handler that finds out that its command is not to be carried out at all: as such it counts when it ends.
    pub(crate) fn refuse(&mut self, error: &CommandError) {
        self.error(error);
        self.refused.set(true);
    }

    /// Takes back everything written since `mark`.
    pub fn rollback(&mut self, mark: Mark) {
        if let Some(out) = &mut self.out {
            out.buf.truncate(mark.len);
        }
        self.hash = mark.hash;
    }

    /// A simple string: one line.
    pub fn simple(&mut self, line: &str) {
        self.take_in(Element::Simple, line.as_bytes());
        self.write(|w| w.simple(line));
    }

    /// `+OK`
    pub fn ok(&mut self) {
        self.simple("OK");
    }

    /// An error.
    pub fn error(&mut self, error: &CommandError) {
        self.take_in(Element::Error, error.text().as_bytes());
        self.write(|w| w.error(error.text()));
    }

    /// An integer.
    pub fn int(&mut self, n: i64) {
        self.take_in_number(Element::Int, n as u64);
        self.write(|w| w.int(n));
    }

    /// A length or a count as an integer.
    pub fn count(&mut self, n: usize) {
        self.int(i64::try_from(n).unwrap_or(i64::MAX));
    }

    /// A bulk string.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.take_in(Element::Bulk, bytes);
        self.write(|w| w.bulk(bytes));
    }

    /// Null where a string was asked for (`$-1` in RESP2).
    pub fn null(&mut self) {
        self.take_in_number(Element::Null, 0);
        self.write(|w| w.null());
    }

    /// Null where an array was asked for (`*-1` in RESP2).
    pub fn null_array(&mut self) {
        self.take_in_number(Element::NullArray, 0);
        self.write(|w| w.null_array());
    }

    /// The head of an array of `n` elements, which follow.
    pub fn array(&mut self, n: usize) {
        self.take_in_number(Element::Array, n as u64);
        self.write(|w| w.array(n));
    }

    /// The head of a map of `n` pairs, which follow: 2`n` elements.
    pub fn map(&mut self, n: usize) {
        self.take_in_number(Element::Map, n as u64);
        self.write(|w| w.map(n));
    }

    /// The head of a set of `n` elements, which follow.
    pub fn set(&mut self, n: usize) {
        self.take_in_number(Element::Set, n as u64);
        self.write(|w| w.set(n));
    }

    /// The head of `n` pairs, each of which begins with [`Reply::pair`]: in RESP3 an array of arrays, in RESP2 an array of
    /// 2`n` elements.
    pub fn pairs(&mut self, n: usize) {
        self.take_in_number(Element::Pairs, n as u64);
        if let Some(out) = &mut self.out {
            let elements = if out.protocol == Protocol::Resp2 { 2 * n } else { n };
            Writer::new(out.buf, out.protocol).array(elements);
        }
    }

    /// The beginning of one of [`Reply::pairs`]; its two elements follow.
    pub fn pair(&mut self) {
        self.take_in_number(Element::Pair, 0);
        if let Some(out) = &mut self.out
            && out.protocol == Protocol::Resp3
        {
            Writer::new(out.buf, out.protocol).array(2);
        }
    }

    /// The beginning of an array, or of named things, whose number is told when all are there.
    pub fn open(&mut self) -> Open {
        Open { at: self.out.as_ref().map_or(0, |out| out.buf.len()) }
    }

    /// Makes an array of the `n` elements that were written since [`Reply::open`].
    pub fn close_array(&mut self, open: Open, n: usize) {
        self.take_in_number(Element::Closed, n as u64);
        self.insert_head(open, |w| w.array(n));
    }

    /// Makes a map of the `n` things that were written since [`Reply::open`], each behind a [`Reply::name`]; in RESP2 an
    /// array of arrays of two.
    pub fn close_named(&mut self, open: Open, n: usize) {
        self.take_in_number(Element::Closed, n as u64);
        self.insert_head(open, |w| match w.protocol() {
            Protocol::Resp2 => w.array(n),
            Protocol::Resp3 => w.map(n),
        });
    }

    /// The name of a thing, which follows: see [`Reply::close_named`].
    pub fn name(&mut self, name: &[u8]) {
        self.take_in(Element::Named, name);
        self.write(|w| {
            if w.protocol() == Protocol::Resp2 {
                w.array(2);
            }
            w.bulk(name);
        });
    }

    fn insert_head(&mut self, open: Open, write: impl FnOnce(&mut Writer<'_>)) {
        if let Some(out) = &mut self.out {
            let end = out.buf.len();
            write(&mut Writer::new(out.buf, out.protocol));
            let head_len = out.buf.len() - end;
            out.buf[open.at..].rotate_right(head_len);
        }
    }

    /// The head of an out-of-band message of `n` elements, which follow.
    pub fn push(&mut self, n: usize) {
        self.take_in_number(Element::Push, n as u64);
        self.write(|w| w.push(n));
    }

    /// Some text behind an attribute, which RESP2 does not have.
    pub(crate) fn example_attribute(&mut self) {
        self.take_in(Element::Example, b"attribute");
        self.write(|w| {
            if w.protocol() == Protocol::Resp3 {
                w.attribute(1);
                w.bulk(b"key-popularity");
                w.array(2);
                w.bulk(b"key:123");
                w.int(90);
            }
            w.bulk(b"Some real reply following the attribute");
        });
    }

    /// Some text behind an out-of-band message; an error in RESP2, which has none.
    pub(crate) fn example_push(&mut self) {
        self.take_in(Element::Example, b"push");
        self.write(|w| match w.protocol() {
            Protocol::Resp2 => w.error("ERR RESP2 is not supported by this command"),
            Protocol::Resp3 => {
                w.push(2);
                w.bulk(b"server-cpu-usage");
                w.int(42);
                w.bulk(b"Some real reply following the push reply");
            }
        });
    }

    /// A floating point number.
    pub fn double(&mut self, x: f64) {
        self.take_in_number(Element::Double, x.to_bits());
        self.write(|w| w.double(x));
    }

    /// A floating point number with a text of its own, where Redis writes more digits than are needed.
    pub fn double_text(&mut self, text: &str) {
        self.take_in(Element::DoubleText, text.as_bytes());
        if let Some(out) = &mut self.out {
            let mut writer = Writer::new(out.buf, out.protocol);
            match out.protocol {
                Protocol::Resp2 => writer.bulk(text.as_bytes()),
                Protocol::Resp3 => writer.raw(format!(",{text}\r\n").as_bytes()),
            }
        }
    }

    /// True or false (`:1`, `:0` in RESP2).
    pub fn boolean(&mut self, yes: bool) {
        self.take_in_number(Element::Boolean, u64::from(yes));
        self.write(|w| w.boolean(yes));
    }

    /// An integer of any size, in decimal (a string in RESP2).
    pub fn big_number(&mut self, decimal: &str) {
        self.take_in(Element::BigNumber, decimal.as_bytes());
        self.write(|w| w.big_number(decimal));
    }

    /// Text with a format of three letters, such as `txt`.
    pub fn verbatim(&mut self, format: [u8; 3], text: &[u8]) {
        self.take_in(Element::Verbatim, text);
        self.write(|w| w.verbatim(format, text));
    }

    fn write(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        if let Some(out) = &mut self.out {
            write(&mut Writer::new(out.buf, out.protocol));
        }
    }

    fn take_in(&mut self, element: Element, bytes: &[u8]) {
        if let Some(hash) = &mut self.hash {
            *hash = xxh3_64_with_seed(bytes, hash.wrapping_add(element as u64));
        }
    }

    fn take_in_number(&mut self, element: Element, n: u64) {
        self.take_in(element, &n.to_le_bytes());
    }
}
