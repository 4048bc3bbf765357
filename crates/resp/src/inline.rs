//! Inline commands: a line of words, for people who type into a raw connection.

use crate::request::Span;

/// A quote was opened and not closed, or something other than a space follows a closing quote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnbalancedQuotes;

/// Splits the line `bytes[..len]` into words and appends their places to `words`.
///
/// Quoting follows Redis: within double quotes `\xHH`, `\n`, `\r`, `\t`, `\b`, `\a` and `\` before any other
/// character; within single quotes only `\'`. A quote may also open in the middle of a word. Words are
/// unescaped in place: unescaping only ever shortens.
pub(crate) fn split_words(
    bytes: &mut [u8],
    len: usize,
    words: &mut Vec<Span>,
) -> Result<(), UnbalancedQuotes> {
    let mut line = Line { bytes: &mut bytes[..len], read: 0, written: 0 };
    while line.skip_spaces() {
        let start = line.written;
        line.take_word()?;
        words.push(Span::new(start, line.written - start));
    }
    Ok(())
}

struct Line<'a> {
    bytes: &'a mut [u8],
    read: usize,
    /// Unescaped words end here; never beyond `read`.
    written: usize,
}

impl Line<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.read + ahead).copied()
    }

    /// Appends `byte`, which stood for the next `used` bytes of the line.
    fn emit(&mut self, byte: u8, used: usize) {
        self.read += used;
        assert!(self.written < self.read, "unescaping never lengthens");
        self.bytes[self.written] = byte;
        self.written += 1;
    }

    /// Whether a word follows.
    fn skip_spaces(&mut self) -> bool {
        while self.peek(0).is_some_and(is_space) {
            self.read += 1;
        }
        self.read < self.bytes.len()
    }

    fn take_word(&mut self) -> Result<(), UnbalancedQuotes> {
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => break,
                b'"' => return self.take_double_quoted(),
                b'\'' => return self.take_single_quoted(),
                byte => self.emit(byte, 1),
            }
        }
        Ok(())
    }

    fn take_double_quoted(&mut self) -> Result<(), UnbalancedQuotes> {
        self.read += 1;
        loop {
            match (self.peek(0).ok_or(UnbalancedQuotes)?, self.peek(1)) {
                (b'"', _) => return self.close_quote(),
                (b'\\', Some(b'x')) if self.hex_byte().is_some() => {
                    let byte = self.hex_byte().unwrap_or_default();
                    self.emit(byte, 4);
                }
                (b'\\', Some(escaped)) => self.emit(unescape(escaped), 2),
                (byte, _) => self.emit(byte, 1),
            }
        }
    }

    fn take_single_quoted(&mut self) -> Result<(), UnbalancedQuotes> {
        self.read += 1;
        loop {
            match (self.peek(0).ok_or(UnbalancedQuotes)?, self.peek(1)) {
                (b'\'', _) => return self.close_quote(),
                (b'\\', Some(b'\'')) => self.emit(b'\'', 2),
                (byte, _) => self.emit(byte, 1),
            }
        }
    }

    /// A closing quote ends its word.
    fn close_quote(&mut self) -> Result<(), UnbalancedQuotes> {
        self.read += 1;
        if self.peek(0).is_none_or(is_space) { Ok(()) } else { Err(UnbalancedQuotes) }
    }

    /// The byte that `\xHH` at the front stands for.
    fn hex_byte(&self) -> Option<u8> {
        let digit = |ahead| char::from(self.peek(ahead)?).to_digit(16);
        Some((digit(2)? * 16 + digit(3)?) as u8)
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// As C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, UnbalancedQuotes> {
        let mut bytes = line.to_vec();
        let mut spans = Vec::new();
        split_words(&mut bytes, line.len(), &mut spans)?;
        Ok(spans.iter().map(|span| span.of(&bytes).to_vec()).collect())
    }

    #[track_caller]
    fn check(line: &[u8], expected: &[&[u8]]) {
        let expected: Vec<Vec<u8>> = expected.iter().map(|word| word.to_vec()).collect();
        assert_eq!(words(line), Ok(expected), "{}", line.escape_ascii());
    }

    #[test]
    fn words_are_separated_by_any_number_of_spaces() {
        check(b"", &[]);
        check(b" \t\x0b\x0c ", &[]);
        check(b"PING", &[b"PING"]);
        check(b"  SET  k\tv \r", &[b"SET", b"k", b"v"]);
        check(b"a\xff\x00b", &[b"a\xff\x00b"]);
    }

    #[test]
    fn double_quotes_know_escapes() {
        check(br#"SET "a b" "\x00\xfF\n\r\t\b\a\\\"\q""#, &[b"SET", b"a b", b"\x00\xff\n\r\t\x08\x07\\\"q"]);
        check(br#""""#, &[b""]);
        check(br#""\xg1" "\x1""#, &[b"xg1", b"x1"]);
        check(br#""it's""#, &[b"it's"]);
    }

    #[test]
    fn single_quotes_know_only_their_own() {
        check(br"'a \n \' b' ''", &[br"a \n ' b", b""]);
        check(br#"'say "x"'"#, &[br#"say "x""#]);
    }

    #[test]
    fn a_quote_may_open_inside_a_word() {
        check(br#"foo"bar baz" x"#, &[b"foobar baz", b"x"]);
        check(b"foo'bar'", &[b"foobar"]);
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in
            [r#"""#, "'", r#"SET "a"#, r#""a"b"#, "'a'b", r#""a""b""#, r#""a\""#, r"'a\'", r#""\"#, r"a'"]
        {
            assert_eq!(words(line.as_bytes()), Err(UnbalancedQuotes), "{line}");
        }
    }
}
