//! Where a command writes its answer.

use quorate_resp::{Protocol, Writer};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::CommandError;

/// The reply of one command: bytes for the client that waits for it, and a hash for the running digest (R10).
///
/// A replica that is not the origin of a command discards the bytes and keeps the hash. The hash covers the elements
/// as the command meant them, so it is the same under RESP2 and RESP3, and whether the bytes are wanted or not.
/// Commands therefore must not look at the protocol.
pub struct Reply<'a> {
    out: Option<Out<'a>>,
    hash: Option<u64>,
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
}

impl<'a> Reply<'a> {
    /// A reply appended to `buf`.
    #[must_use]
    pub fn new(buf: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out: Some(Out { buf, protocol }), hash: None }
    }

    /// A reply that nobody waits for.
    #[must_use]
    pub fn discard() -> Reply<'static> {
        Reply { out: None, hash: None }
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

    /// The head of an out-of-band message of `n` elements, which follow.
    pub fn push(&mut self, n: usize) {
        self.take_in_number(Element::Push, n as u64);
        self.write(|w| w.push(n));
    }

    /// A floating point number.
    pub fn double(&mut self, x: f64) {
        self.take_in_number(Element::Double, x.to_bits());
        self.write(|w| w.double(x));
    }

    /// True or false (`:1`, `:0` in RESP2).
    pub fn boolean(&mut self, yes: bool) {
        self.take_in_number(Element::Boolean, u64::from(yes));
        self.write(|w| w.boolean(yes));
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
