//! What clients send: arrays of bulk strings, and inline commands.

use std::slice;

use bytes::BytesMut;
use memchr::memchr;

use crate::inbox::Inbox;
use crate::inline::split_words;
use crate::number::parse_integer;

/// Default of [`Limits::bulk_bytes`]: 512 MiB, as Redis's `proto-max-bulk-len`.
pub const BULK_BYTES_MAX: usize = 512 << 20;
/// Default of [`Limits::args`].
pub const ARGS_MAX: usize = 1 << 20;
/// Default of [`Limits::inline_bytes`]: 64 KiB.
pub const INLINE_BYTES_MAX: usize = 64 << 10;
/// Default of [`Limits::query_bytes`]: 1 GiB, as Redis's `client-query-buffer-limit`.
pub const QUERY_BYTES_MAX: usize = 1 << 30;
/// The most arguments of a request while [`Limits::authenticated`] is false.
pub const UNAUTHENTICATED_ARGS_MAX: usize = 10;
/// The longest argument while [`Limits::authenticated`] is false: 16 KiB.
pub const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 << 10;

/// Kept for the next requests, in arguments; what a larger request needed is given back.
const RETAINED_ARGS_MAX: usize = 1024;

/// How much a client may ask of the server's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest argument, in bytes.
    pub bulk_bytes: usize,
    /// The most arguments of a request, its name included.
    pub args: usize,
    /// The longest inline command, and the longest line that announces a length, in bytes.
    pub inline_bytes: usize,
    /// The longest request as sent, framing included, in bytes. More than 4 GiB - 1 counts as that.
    pub query_bytes: usize,
    /// A client that must still authenticate gets [`UNAUTHENTICATED_ARGS_MAX`] and
    /// [`UNAUTHENTICATED_BULK_BYTES_MAX`] on top of the limits above.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bulk_bytes: BULK_BYTES_MAX,
            args: ARGS_MAX,
            inline_bytes: INLINE_BYTES_MAX,
            query_bytes: QUERY_BYTES_MAX,
            authenticated: true,
        }
    }
}

impl Limits {
    /// The same limits for a client that must still authenticate.
    #[must_use]
    pub fn unauthenticated(self) -> Self {
        Self { authenticated: false, ..self }
    }

    fn check_args(&self, announced: Option<i64>) -> Result<usize, ProtocolError> {
        let count = announced.ok_or(ProtocolError::InvalidMultibulkLength)?;
        let count = usize::try_from(count).unwrap_or(0); // `*-1` is as empty as `*0`
        if count > self.args {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        if !self.authenticated && count > UNAUTHENTICATED_ARGS_MAX {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        Ok(count)
    }

    /// `at` is where the argument would start within its request.
    fn check_bulk(&self, announced: Option<usize>, at: usize) -> Result<usize, ProtocolError> {
        let len = announced.ok_or(ProtocolError::InvalidBulkLength)?;
        if len > self.bulk_bytes {
            return Err(ProtocolError::InvalidBulkLength);
        }
        if !self.authenticated && len > UNAUTHENTICATED_BULK_BYTES_MAX {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        // Both terms are below 2^63: no overflow.
        if at + len + LINE_END_BYTES > self.query_bytes {
            return Err(ProtocolError::QueryTooBig);
        }
        Ok(len)
    }
}

/// The client does not speak the protocol, or wants too much. The connection cannot go on: what follows in the
/// stream has no known beginning.
///
/// The text is Redis 7.2's, without the leading `-ERR `.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The number of arguments is not a number, or too large.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// The length of an argument is not a number, negative, or too large.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// An argument does not start with `$`, but with this byte.
    #[error("Protocol error: expected '$', got '{}'", on_one_line(*.0))]
    ExpectedBulk(u8),
    /// The line with the number of arguments has no end.
    #[error("Protocol error: too big mbulk count string")]
    MultibulkCountTooBig,
    /// The line with the length of an argument has no end.
    #[error("Protocol error: too big bulk count string")]
    BulkCountTooBig,
    /// An inline command is too long.
    #[error("Protocol error: too big inline request")]
    InlineTooBig,
    /// The quotes of an inline command do not match.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// More than [`UNAUTHENTICATED_ARGS_MAX`] arguments before authentication.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// An argument of more than [`UNAUTHENTICATED_BULK_BYTES_MAX`] before authentication.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// The request is longer than [`Limits::query_bytes`]. Redis closes such a connection without a word.
    #[error("Protocol error: too big query")]
    QueryTooBig,
}

/// A byte as it appears in a reply and in a log: it must not end the line there.
fn on_one_line(byte: u8) -> char {
    if matches!(byte, b'\r' | b'\n') { ' ' } else { char::from(byte) }
}

/// The place of an argument within its request. 32 bits suffice: a request is shorter than 4 GiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    #[inline]
    pub(crate) fn new(start: usize, len: usize) -> Self {
        debug_assert!(start + len <= u32::MAX as usize, "query_bytes bounds both");
        Self { start: start as u32, len: len as u32 }
    }

    #[inline]
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..][..self.len as usize]
    }
}

/// One command with its arguments, at least one (its name). Borrows from the [`Decoder`].
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Request<'a> {
    /// The number of arguments, the name included; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a request is never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The command's name as the client spelled it.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.spans[0].of(self.bytes)
    }

    /// Argument `index`; 0 is the name.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| span.of(self.bytes))
    }

    /// All arguments, the name first.
    #[must_use]
    pub fn iter(&self) -> Args<'a> {
        Args { bytes: self.bytes, spans: self.spans.iter() }
    }

    /// The length of the request as sent, framing included, in bytes.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl<'a> IntoIterator for Request<'a> {
    type Item = &'a [u8];
    type IntoIter = Args<'a>;

    fn into_iter(self) -> Args<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Request<'a> {
    type Item = &'a [u8];
    type IntoIter = Args<'a>;

    fn into_iter(self) -> Args<'a> {
        self.iter()
    }
}

/// The arguments of a [`Request`].
#[derive(Clone, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: slice::Iter<'a, Span>,
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.spans.next().map(|span| span.of(self.bytes))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for Args<'_> {}

impl DoubleEndedIterator for Args<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.spans.next_back().map(|span| span.of(self.bytes))
    }
}

/// How far the request at the front of the inbox has been decoded.
#[derive(Clone, Copy, Debug)]
enum Progress {
    /// Its first line is not complete.
    Start,
    /// Arguments are missing, this many. `bulk` is the length of the next one, once announced.
    Bulks { missing: usize, bulk: Option<usize> },
    /// It is not wanted: `left` more bytes of an argument pass, then `missing` arguments.
    Skipping { missing: usize, left: usize },
    /// It has been handed out, and is taken from the inbox before the next one is looked for.
    Complete,
}

/// What the first line of a request announced.
enum FirstLine {
    Partial,
    /// No arguments: nothing to do and nothing to answer.
    Empty,
    /// An inline command, complete.
    Inline,
    Bulks(usize),
}

/// Turns the bytes of one connection into [`Request`]s.
///
/// After an error every further call of [`next`](Self::next) returns it again.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    inbox: Inbox,
    progress: Progress,
    /// Bytes of the current request that are decoded.
    decoded: usize,
    /// Bytes behind `decoded` known not to end the line that starts there: they are not searched again.
    searched: usize,
    spans: Vec<Span>,
    failed: Option<ProtocolError>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Decoder {
    /// A decoder for a new connection; allocates nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let mut decoder = Self {
            limits,
            inbox: Inbox::default(),
            progress: Progress::Start,
            decoded: 0,
            searched: 0,
            spans: Vec::new(),
            failed: None,
        };
        decoder.set_limits(limits);
        decoder
    }

    /// Changes the limits for all that is not decoded yet, e.g. once the client has authenticated.
    pub fn set_limits(&mut self, limits: Limits) {
        let query_bytes = limits.query_bytes.min(u32::MAX as usize);
        let inline_bytes = limits.inline_bytes.min(query_bytes);
        self.limits = Limits { query_bytes, inline_bytes, ..limits };
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The buffer to read into, with at least 8 KiB of spare capacity. Only append to it.
    ///
    /// It grows in proportion to what has arrived, never to what was announced.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.take_complete();
        self.inbox.back()
    }

    /// Appends received bytes: for those who have them elsewhere already.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.take_complete();
        self.inbox.append(bytes);
    }

    /// Bytes received and not yet handed out in a request.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        match self.progress {
            Progress::Complete => self.inbox.len() - self.decoded,
            _ => self.inbox.len(),
        }
    }

    /// The length of the incomplete request at hand as far as it is known, in bytes: what has arrived, and the argument
    /// that is announced. 0 between requests.
    #[must_use]
    pub fn announced_bytes(&self) -> usize {
        match self.progress {
            Progress::Start => self.inbox.len(),
            Progress::Bulks { bulk, .. } => {
                let announced = bulk.map_or(0, |len| len + LINE_END_BYTES);
                self.inbox.len().max(self.decoded + announced)
            }
            Progress::Skipping { .. } | Progress::Complete => 0,
        }
    }

    /// Makes the buffer large enough for [`Self::announced_bytes`] at once: growing step by step would copy, and end
    /// with up to twice as much. For callers that have seen to it that there is so much memory.
    pub fn reserve_announced(&mut self) {
        let missing = self.announced_bytes().saturating_sub(self.inbox.len());
        if missing > 0 {
            self.inbox.make_room(missing);
        }
    }

    /// Gives up the incomplete request at hand: what has arrived of it is released, what comes is passed over, and
    /// [`next`](Self::next) goes on behind it. False: there is none whose end is known.
    pub fn skip(&mut self) -> bool {
        let Progress::Bulks { missing, bulk } = self.progress else { return false };
        self.inbox.consume(self.decoded);
        self.decoded = 0;
        self.spans = Vec::new();
        self.progress = match bulk {
            Some(len) => Progress::Skipping { missing: missing - 1, left: len + LINE_END_BYTES },
            None => Progress::Skipping { missing, left: 0 },
        };
        true
    }

    /// Releases the bytes of the request that was handed out last.
    pub fn release(&mut self) {
        self.take_complete();
    }

    /// Gives its buffers back if nothing is in them: for a connection that is silent.
    pub fn rest(&mut self) {
        self.take_complete();
        if self.inbox.len() == 0 {
            self.inbox = Inbox::default();
            self.spans = Vec::new();
        }
    }

    /// Whether it holds no buffer. Then who has little to [`feed`](Self::feed) it does so, and
    /// [`buffer`](Self::buffer) is not needed.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.inbox.capacity() == 0
    }

    /// Memory held by this decoder, in bytes.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.inbox.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    /// The next request, or `None` until more bytes have arrived.
    ///
    /// Empty requests (`*0`, `*-1`, an empty line) are skipped, as Redis does. The bytes of a request are
    /// released by the next call of this, [`buffer`](Self::buffer) or [`feed`](Self::feed).
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Request<'_>>, ProtocolError> {
        self.take_complete();
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.decode() {
            Ok(true) => {
                self.progress = Progress::Complete;
                Ok(Some(Request { bytes: &self.inbox.unread()[..self.decoded], spans: &self.spans }))
            }
            Ok(false) => Ok(None),
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
        }
    }

    #[inline]
    fn take_complete(&mut self) {
        if let Progress::Complete = self.progress {
            self.take_request();
        }
    }

    /// Removes the current request from the inbox and starts afresh behind it.
    #[inline]
    fn take_request(&mut self) {
        self.inbox.consume(self.decoded);
        self.decoded = 0;
        self.progress = Progress::Start;
        self.spans.clear();
        if self.spans.capacity() > RETAINED_ARGS_MAX {
            self.spans = Vec::new();
        }
    }

    /// Whether a whole request stands in `inbox[..decoded]` and `spans`.
    #[inline]
    fn decode(&mut self) -> Result<bool, ProtocolError> {
        loop {
            if let Progress::Bulks { missing, bulk } = self.progress {
                return self.decode_bulks(missing, bulk);
            }
            if let Progress::Skipping { missing, left } = self.progress
                && !self.pass_over(missing, left)?
            {
                return Ok(false);
            }
            match self.decode_first_line()? {
                FirstLine::Partial => return Ok(false),
                FirstLine::Inline => return Ok(true),
                FirstLine::Empty => self.take_request(),
                FirstLine::Bulks(missing) => self.progress = Progress::Bulks { missing, bulk: None },
            }
        }
    }

    #[inline]
    fn decode_first_line(&mut self) -> Result<FirstLine, ProtocolError> {
        let bytes = self.inbox.unread();
        let Some(&first) = bytes.first() else { return Ok(FirstLine::Partial) };
        if first != b'*' {
            return self.decode_inline();
        }
        let (announced, used) = match short_number(&bytes[1..]) {
            Some((count, used)) => (Some(count as i64), 1 + used),
            None => match line_len(bytes, &mut self.searched, self.limits.inline_bytes) {
                Ok(Some(len)) => (parse_integer(&bytes[1..len]), len + LINE_END_BYTES),
                Ok(None) => return Ok(FirstLine::Partial),
                Err(LineTooLong) => return Err(ProtocolError::MultibulkCountTooBig),
            },
        };
        let count = self.limits.check_args(announced)?;
        self.searched = 0;
        self.decoded = used;
        Ok(if count == 0 { FirstLine::Empty } else { FirstLine::Bulks(count) })
    }

    fn decode_inline(&mut self) -> Result<FirstLine, ProtocolError> {
        let bytes = self.inbox.unread_mut();
        let found = memchr(b'\n', &bytes[self.searched..]).map(|at| self.searched + at);
        if found.unwrap_or(bytes.len()) > self.limits.inline_bytes {
            return Err(ProtocolError::InlineTooBig);
        }
        let Some(len) = found else {
            self.searched = bytes.len();
            return Ok(FirstLine::Partial);
        };
        self.searched = 0;
        self.decoded = len + 1;
        // People's tools end a line with a line feed alone.
        let text_len = if len > 0 && bytes[len - 1] == b'\r' { len - 1 } else { len };
        split_words(bytes, text_len, &mut self.spans).map_err(|_| ProtocolError::UnbalancedQuotes)?;
        Ok(if self.spans.is_empty() { FirstLine::Empty } else { FirstLine::Inline })
    }

    /// Drops what has arrived of a request that is not wanted. True: all of it has.
    #[cold]
    fn pass_over(&mut self, mut missing: usize, mut left: usize) -> Result<bool, ProtocolError> {
        loop {
            let here = left.min(self.inbox.len());
            self.inbox.consume(here);
            left -= here;
            self.progress = Progress::Skipping { missing, left };
            if left > 0 {
                return Ok(false);
            }
            if missing == 0 {
                self.progress = Progress::Start;
                return Ok(true);
            }
            let header = bulk_header(self.inbox.unread(), 0, &mut self.searched, &self.limits)?;
            let Some((len, used)) = header else { return Ok(false) };
            self.inbox.consume(used);
            (missing, left) = (missing - 1, len + LINE_END_BYTES);
        }
    }

    /// Decodes arguments until none is missing (true) or the bytes end (false).
    #[inline]
    fn decode_bulks(&mut self, mut missing: usize, mut bulk: Option<usize>) -> Result<bool, ProtocolError> {
        let bytes = self.inbox.unread();
        let mut at = self.decoded;
        let complete = loop {
            let len = match bulk.take() {
                Some(len) => len,
                None => match bulk_header(&bytes[at..], at, &mut self.searched, &self.limits)? {
                    Some((len, used)) => {
                        at += used;
                        len
                    }
                    None => break false,
                },
            };
            // As in Redis, what stands in the place of the line end is not looked at.
            if bytes.len() - at < len + LINE_END_BYTES {
                bulk = Some(len);
                break false;
            }
            self.spans.push(Span::new(at, len));
            at += len + LINE_END_BYTES;
            missing -= 1;
            if missing == 0 {
                break true;
            }
        };
        self.decoded = at;
        self.progress = Progress::Bulks { missing, bulk };
        Ok(complete)
    }
}

/// Carriage return, line feed.
const LINE_END_BYTES: usize = 2;

/// Reads `$LEN\r\n` at the front of `bytes`, which is `at` bytes into its request: the length it announces and
/// its own; `None` if it is not complete.
#[inline]
fn bulk_header(
    bytes: &[u8],
    at: usize,
    searched: &mut usize,
    limits: &Limits,
) -> Result<Option<(usize, usize)>, ProtocolError> {
    if let [b'$', rest @ ..] = bytes
        && let Some((len, used)) = short_number(rest)
    {
        *searched = 0;
        return Ok(Some((limits.check_bulk(Some(len), at + 1 + used)?, 1 + used)));
    }
    let line = match line_len(bytes, searched, limits.inline_bytes) {
        Ok(Some(len)) => &bytes[..len],
        Ok(None) => return Ok(None),
        Err(LineTooLong) => return Err(ProtocolError::BulkCountTooBig),
    };
    *searched = 0;
    let used = line.len() + LINE_END_BYTES;
    match line {
        [b'$', number @ ..] => {
            let announced = parse_integer(number).and_then(|len| usize::try_from(len).ok());
            Ok(Some((limits.check_bulk(announced, at + used)?, used)))
        }
        _ => Err(ProtocolError::ExpectedBulk(bytes[0])),
    }
}

/// The hot path: a canonical number of at most seven digits with its line end, and the length of both. `None`
/// when a closer look is needed.
#[inline]
fn short_number(line: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (count, &byte) in line.iter().take(8).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value * 10 + usize::from(digit);
        } else {
            let canonical = count == 1 || (count > 1 && line[0] != b'0');
            let whole = byte == b'\r' && line.len() >= count + LINE_END_BYTES;
            return (canonical && whole).then_some((value, count + LINE_END_BYTES));
        }
    }
    None
}

pub(crate) struct LineTooLong;

/// The length of the line at the front of `bytes` without its end, or `None` while the end is missing.
///
/// A line ends with a carriage return and one more byte. `searched` is kept by the caller from one call to the
/// next, so that each byte is searched once.
pub(crate) fn line_len(
    bytes: &[u8],
    searched: &mut usize,
    len_max: usize,
) -> Result<Option<usize>, LineTooLong> {
    let found = memchr(b'\r', &bytes[*searched..]).map(|at| *searched + at);
    *searched = found.unwrap_or(bytes.len());
    if *searched > len_max {
        return Err(LineTooLong);
    }
    Ok(found.filter(|len| bytes.len() >= len + LINE_END_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProtocolError as E;

    type Decoded = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

    #[test]
    fn a_decoder_at_rest_holds_nothing_and_loses_nothing() {
        let mut decoder = Decoder::default();
        assert!(decoder.is_at_rest());
        decoder.buffer().extend_from_slice(b"PING\r\nGE");
        assert_eq!(decoder.next().unwrap().unwrap().name(), b"PING");
        decoder.rest();
        assert!(!decoder.is_at_rest(), "the beginning of a request is in it");
        decoder.feed(b"T\r\n");
        assert_eq!(decoder.next().unwrap().unwrap().name(), b"GET");
        decoder.rest();
        assert!(decoder.is_at_rest());
        assert_eq!(decoder.allocated_bytes(), 0);
        decoder.feed(b"PING\r\n");
        assert_eq!(decoder.next().unwrap().unwrap().name(), b"PING");
    }

    #[test]
    fn a_request_that_is_given_up_passes_and_the_next_one_is_whole() {
        let huge = b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n".to_vec();
        let rest = [vec![b'x'; 100_000], b"\r\n$2\r\nEX\r\n".to_vec()].concat();
        let wire = [huge, rest, b"*1\r\n$4\r\nPING\r\n".to_vec()].concat();
        // Given up at every stage of its arrival, whatever the reads bring.
        for given_up_at in [4, 13, 20, 29, 500, 60_000, 100_030] {
            for chunk in [1, 7, 4096, wire.len()] {
                let mut decoder = Decoder::default();
                let mut got = Decoded::default();
                decoder.feed(&wire[..given_up_at]);
                drain(&mut decoder, &mut got);
                assert!(decoder.announced_bytes() >= given_up_at);
                assert!(decoder.skip(), "at {given_up_at}");
                assert_eq!(decoder.announced_bytes(), 0);
                for part in wire[given_up_at..].chunks(chunk) {
                    decoder.feed(part);
                    drain(&mut decoder, &mut got);
                    assert!(
                        decoder.allocated_bytes() < 3 * chunk + (80 << 10),
                        "{}",
                        decoder.allocated_bytes()
                    );
                }
                assert_eq!(got, (vec![vec![b"PING".to_vec()]], None), "{given_up_at} {chunk}");
            }
        }
    }

    #[test]
    fn room_for_what_is_announced_is_made_at_once_and_released() {
        let mut decoder = Decoder::default();
        decoder.feed(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5000000\r\n");
        assert_eq!(decoder.next().map(|r| r.is_some()), Ok(false));
        let announced = decoder.announced_bytes();
        assert_eq!(announced, 30 + 5_000_000 + 2);
        decoder.reserve_announced();
        let before = decoder.allocated_bytes();
        assert!((announced..announced + (64 << 10)).contains(&before), "{before}");
        decoder.feed(&[vec![b'x'; 5_000_000], b"\r\n".to_vec()].concat());
        assert_eq!(decoder.allocated_bytes(), before);
        assert_eq!(decoder.next().map(|r| r.is_some_and(|r| r.len() == 3)), Ok(true));
        decoder.release();
        assert!(decoder.allocated_bytes() < 128 << 10);
    }

    fn drain(decoder: &mut Decoder, into: &mut Decoded) {
        while into.1.is_none() {
            match decoder.next() {
                Ok(Some(request)) => into.0.push(request.iter().map(<[u8]>::to_vec).collect()),
                Ok(None) => break,
                Err(error) => into.1 = Some(error),
            }
        }
    }

    fn decode_with(limits: Limits, stream: &[u8], chunk_bytes: usize) -> Decoded {
        let mut decoder = Decoder::new(limits);
        let mut decoded = Decoded::default();
        for chunk in stream.chunks(chunk_bytes) {
            decoder.feed(chunk);
            drain(&mut decoder, &mut decoded);
        }
        decoded
    }

    /// Whole and byte by byte.
    #[track_caller]
    fn check_with(limits: Limits, stream: &[u8], requests: &[&[&[u8]]], error: Option<ProtocolError>) {
        let requests = requests.iter().map(|args| args.iter().map(|arg| arg.to_vec()).collect()).collect();
        let expected = (requests, error);
        for chunk_bytes in [stream.len(), 1] {
            let decoded = decode_with(limits, stream, chunk_bytes);
            assert_eq!(decoded, expected, "{} in chunks of {chunk_bytes}", stream.escape_ascii());
        }
    }

    #[track_caller]
    fn check(stream: &[u8], requests: &[&[&[u8]]]) {
        check_with(Limits::default(), stream, requests, None);
    }

    #[track_caller]
    fn check_error(stream: &[u8], error: ProtocolError) {
        check_with(Limits::default(), stream, &[], Some(error));
    }

    #[test]
    fn arrays_of_bulk_strings() {
        check(b"*1\r\n$4\r\nPING\r\n", &[&[b"PING"]]);
        check(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", &[&[b"SET", b"k", b""]]);
        check(b"*2\r\n$3\r\nGET\r\n$4\r\n\r\n\x00*\r\n*1\r\n$1\r\nX\r\n", &[&[b"GET", b"\r\n\0*"], &[b"X"]]);
    }

    #[test]
    fn inline_commands_mix_with_arrays() {
        check(
            b"PING\r\n*1\r\n$1\r\nA\r\nset k \"a b\"\nGET\r\n",
            &[&[b"PING"], &[b"A"], &[b"set", b"k", b"a b"], &[b"GET"]],
        );
    }

    #[test]
    fn empty_requests_are_skipped() {
        check(b"*0\r\n*-1\r\n*-77\r\n\r\n\n  \r\nPING\r\n", &[&[b"PING"]]);
    }

    #[test]
    fn incomplete_requests_wait() {
        let stream = b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n";
        for end in 0..stream.len() {
            assert_eq!(
                decode_with(Limits::default(), &stream[..end], stream.len()),
                Decoded::default(),
                "{end}"
            );
        }
        assert_eq!(decode_with(Limits::default(), b"PING\r", 9), Decoded::default());
    }

    #[test]
    fn as_in_redis_the_bytes_in_place_of_line_ends_are_not_looked_at() {
        check(b"*1\rx$1\ryAzz", &[&[b"A"]]);
    }

    #[test]
    fn the_number_of_arguments_is_checked() {
        for bad in [
            "*\r\n",
            "*x\r\n",
            "*01\r\n",
            "*+1\r\n",
            "* 1\r\n",
            "*1 \r\n",
            "*1048577\r\n",
            "*3000000000\r\n",
            "*99999999999999999999\r\n",
        ] {
            check_error(bad.as_bytes(), E::InvalidMultibulkLength);
        }
        check(b"*1048576\r\n", &[]);
    }

    #[test]
    fn the_length_of_an_argument_is_checked() {
        for bad in ["$\r\n", "$x\r\n", "$-1\r\n", "$01\r\n", "$536870913\r\n", "$99999999999999999999\r\n"] {
            check_error(format!("*1\r\n{bad}").as_bytes(), E::InvalidBulkLength);
        }
        check(b"*1\r\n$536870912\r\n", &[]);
    }

    #[test]
    fn an_argument_starts_with_a_dollar() {
        check_error(b"*1\r\nx\r\n", E::ExpectedBulk(b'x'));
        check_error(b"*1\r\n\r\n", E::ExpectedBulk(b'\r'));
        check_with(Limits::default(), b"PING\r\n*1\r\n:1\r\n", &[&[b"PING"]], Some(E::ExpectedBulk(b':')));
    }

    #[test]
    fn lines_have_a_longest_length() {
        let long = |start: &str, fill: &str, len| format!("{start}{}", fill.repeat(len)).into_bytes();
        check_error(&long("*", "1", INLINE_BYTES_MAX), E::MultibulkCountTooBig);
        check(&long("*", "1", INLINE_BYTES_MAX - 1), &[]);
        check_error(&long("*1\r\n$", "1", INLINE_BYTES_MAX), E::BulkCountTooBig);
        check(&long("*1\r\n$", "1", INLINE_BYTES_MAX - 1), &[]);
        check_error(&long("", "a", INLINE_BYTES_MAX + 1), E::InlineTooBig);
        check(&long("", "a", INLINE_BYTES_MAX), &[]);
        let word = "a".repeat(INLINE_BYTES_MAX);
        check(format!("{word}\n").as_bytes(), &[&[word.as_bytes()]]);
        check_error(format!("a{word}\n").as_bytes(), E::InlineTooBig);
    }

    #[test]
    fn unbalanced_quotes_are_an_error() {
        check_with(
            Limits::default(),
            b"PING\nSET k \"v\r\nPING\r\n",
            &[&[b"PING"]],
            Some(E::UnbalancedQuotes),
        );
    }

    #[test]
    fn a_client_that_must_authenticate_gets_little() {
        let limits = Limits::default().unauthenticated();
        check_with(limits, b"*10\r\n", &[], None);
        check_with(limits, b"*11\r\n", &[], Some(E::UnauthenticatedMultibulkLength));
        check_with(limits, b"*1\r\n$16384\r\n", &[], None);
        check_with(limits, b"*1\r\n$16385\r\n", &[], Some(E::UnauthenticatedBulkLength));
        check_with(limits, b"*1048577\r\n", &[], Some(E::InvalidMultibulkLength));

        let mut decoder = Decoder::new(limits);
        decoder.feed(b"AUTH secret\r\n*11\r\n");
        assert_eq!(decoder.next().unwrap().unwrap().name(), b"AUTH");
        decoder.set_limits(Limits::default());
        assert!(decoder.next().unwrap().is_none());
    }

    #[test]
    fn a_request_has_a_longest_length() {
        let request = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        let limits = |query_bytes| Limits { query_bytes, ..Limits::default() };
        let get: &[&[u8]] = &[b"GET", b"k"];
        check_with(limits(request.len()), &request.repeat(3), &[get; 3], None);
        check_with(limits(request.len() - 1), request, &[], Some(E::QueryTooBig));
        check_with(limits(5), b"abcdef\n", &[], Some(E::InlineTooBig));
    }

    #[test]
    fn an_error_is_final() {
        let mut decoder = Decoder::default();
        decoder.feed(b"*x\r\n");
        assert_eq!(decoder.next().unwrap_err(), E::InvalidMultibulkLength);
        decoder.feed(b"PING\r\n");
        assert_eq!(decoder.next().unwrap_err(), E::InvalidMultibulkLength);
    }

    #[test]
    fn error_texts_are_those_of_redis() {
        for (error, text) in [
            (E::InvalidMultibulkLength, "Protocol error: invalid multibulk length"),
            (E::InvalidBulkLength, "Protocol error: invalid bulk length"),
            (E::ExpectedBulk(b'x'), "Protocol error: expected '$', got 'x'"),
            (E::ExpectedBulk(b'\r'), "Protocol error: expected '$', got ' '"),
            (E::MultibulkCountTooBig, "Protocol error: too big mbulk count string"),
            (E::BulkCountTooBig, "Protocol error: too big bulk count string"),
            (E::InlineTooBig, "Protocol error: too big inline request"),
            (E::UnbalancedQuotes, "Protocol error: unbalanced quotes in request"),
            (E::UnauthenticatedMultibulkLength, "Protocol error: unauthenticated multibulk length"),
            (E::UnauthenticatedBulkLength, "Protocol error: unauthenticated bulk length"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn a_request_lends_its_arguments() {
        let mut decoder = Decoder::default();
        decoder.feed(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\nPI");
        let request = decoder.next().unwrap().unwrap();
        assert_eq!((request.len(), request.name(), request.wire_bytes()), (3, b"SET".as_slice(), 27));
        assert_eq!((request.get(2), request.get(3)), (Some(b"v".as_slice()), None));
        assert_eq!(request.iter().len(), 3);
        assert_eq!(request.into_iter().rev().collect::<Vec<_>>(), [b"v".as_slice(), b"k", b"SET"]);
        assert_eq!(decoder.buffered_bytes(), 2);
        decoder.buffer().extend_from_slice(b"NG\r\n");
        assert_eq!(decoder.next().unwrap().unwrap().name(), b"PING");
        assert_eq!(decoder.buffered_bytes(), 0);
    }

    #[test]
    fn announcements_allocate_nothing_and_large_requests_leave_nothing() {
        let mut decoder = Decoder::default();
        decoder.feed(b"*1000000\r\n$536870912\r\nabc");
        assert!(decoder.next().unwrap().is_none());
        let _ = decoder.buffer();
        assert!(decoder.allocated_bytes() < 100 << 10, "{}", decoder.allocated_bytes());

        let mut decoder = Decoder::default();
        decoder.feed(b"*200001\r\n$8388608\r\n");
        decoder.feed(&vec![b'x'; (8 << 20) + 2]);
        decoder.feed(&b"$1\r\nk\r\n".repeat(200_000));
        assert_eq!(decoder.next().unwrap().unwrap().len(), 200_001);
        assert!(decoder.next().unwrap().is_none());
        assert!(decoder.allocated_bytes() < 100 << 10, "{}", decoder.allocated_bytes());
    }

    #[test]
    fn no_byte_is_looked_at_again_when_more_arrive() {
        let mut decoder = Decoder::default();
        for fed in 1..1000 {
            decoder.feed(b"a");
            assert!(decoder.next().unwrap().is_none());
            assert_eq!(decoder.searched, fed, "an inline command");
        }
        decoder.feed(b"\r\n");
        assert_eq!(decoder.next().unwrap().unwrap().len(), 1);

        decoder.feed(b"*3\r\n$4\r\nECHO\r\n$1000\r\n");
        for _ in 0..999 {
            assert!(decoder.next().unwrap().is_none());
            assert!(matches!(decoder.progress, Progress::Bulks { missing: 2, bulk: Some(1000) }));
            assert_eq!((decoder.spans.len(), decoder.decoded), (1, 21), "stands before the bulk");
            decoder.feed(b"\r");
        }
        decoder.feed(b"\r\r\n$00000");
        assert!(decoder.next().unwrap().is_none());
        assert_eq!((decoder.spans.len(), decoder.decoded, decoder.searched), (2, 1023, 6), "a header");
    }

    #[test]
    fn the_steady_state_allocates_nothing() {
        let mut decoder = Decoder::default();
        let pipeline = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n".repeat(16);
        let mut seen = None;
        for _ in 0..100 {
            let buffer = decoder.buffer();
            buffer.extend_from_slice(&pipeline);
            let place = buffer.as_ptr();
            while decoder.next().unwrap().is_some() {}
            let now = (place, decoder.spans.as_ptr(), decoder.allocated_bytes());
            assert_eq!(*seen.get_or_insert(now), now);
        }
    }
}
