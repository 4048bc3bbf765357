//! Lua's patterns (Reference Manual 5.1, 5.4.1), counting the steps of a match: one that goes back and forth without an end
//! ends with the budget of its script (R13).

use std::ops::Range;

/// Most captures in a pattern.
const CAPTURES_MAX: usize = 32;

/// Deepest nesting of a match; a longer pattern is refused.
const DEPTH_MAX: usize = 200;

/// Why a match came to no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The pattern makes no sense.
    Malformed(&'static str),
    /// It would take too long.
    TooLong,
}

/// A part of the subject that a pattern has captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Capture {
    /// The bytes there.
    Bytes(Range<usize>),
    /// The place itself: `()`.
    Position(usize),
}

#[derive(Clone, Copy)]
struct Open {
    start: usize,
    len: Length,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Open,
    Position,
    Closed(usize),
}

/// Matches one pattern against one subject.
pub(super) struct Matcher<'a> {
    subject: &'a [u8],
    pattern: &'a [u8],
    captures: Vec<Open>,
    steps_left: u64,
    depth: usize,
}

type Matched = Result<Option<usize>, Failure>;

impl<'a> Matcher<'a> {
    /// `steps`: how many it may take.
    pub(super) fn new(subject: &'a [u8], pattern: &'a [u8], steps: u64) -> Self {
        Self { subject, pattern, captures: Vec::new(), steps_left: steps, depth: 0 }
    }

    /// How many steps are left.
    pub(super) fn steps_left(&self) -> u64 {
        self.steps_left
    }

    /// Where a match ends that begins at `start`. Captures are those of this match.
    pub(super) fn match_at(&mut self, start: usize) -> Matched {
        self.captures.clear();
        self.do_match(start, 0)
    }

    /// What was captured; the whole match if the pattern captures nothing.
    pub(super) fn captures(&self, whole: Range<usize>) -> Result<Vec<Capture>, Failure> {
        if self.captures.is_empty() {
            return Ok(vec![Capture::Bytes(whole)]);
        }
        self.captures
            .iter()
            .map(|capture| match capture.len {
                Length::Closed(len) => Ok(Capture::Bytes(capture.start..capture.start + len)),
                Length::Position => Ok(Capture::Position(capture.start)),
                Length::Open => Err(Failure::Malformed("unfinished capture")),
            })
            .collect()
    }

    /// Whether the pattern has captures of its own.
    pub(super) fn has_captures(&self) -> bool {
        !self.captures.is_empty()
    }

    fn step(&mut self) -> Result<(), Failure> {
        self.steps_left = self.steps_left.checked_sub(1).ok_or(Failure::TooLong)?;
        Ok(())
    }

    fn do_match(&mut self, s: usize, p: usize) -> Matched {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Failure::Malformed("pattern too complex"));
        }
        let result = self.match_rest(s, p);
        self.depth -= 1;
        result
    }

    fn match_rest(&mut self, mut s: usize, mut p: usize) -> Matched {
        loop {
            self.step()?;
            let Some(&code) = self.pattern.get(p) else { return Ok(Some(s)) };
            match code {
                b'(' if self.pattern.get(p + 1) == Some(&b')') => {
                    return self.start_capture(s, p + 2, Length::Position);
                }
                b'(' => return self.start_capture(s, p + 1, Length::Open),
                b')' => return self.end_capture(s, p + 1),
                b'$' if p + 1 == self.pattern.len() => return Ok((s == self.subject.len()).then_some(s)),
                b'%' if self.pattern.get(p + 1) == Some(&b'b') => match self.match_balance(s, p + 2)? {
                    Some(end) => (s, p) = (end, p + 4),
                    None => return Ok(None),
                },
                b'%' if self.pattern.get(p + 1) == Some(&b'f') => {
                    p += 2;
                    if self.pattern.get(p) != Some(&b'[') {
                        return Err(Failure::Malformed("missing '[' after '%f' in pattern"));
                    }
                    let end = self.class_end(p)?;
                    let before = if s == 0 { 0 } else { self.subject[s - 1] };
                    let here = self.subject.get(s).copied().unwrap_or(0);
                    if self.in_set(before, p, end - 1) || !self.in_set(here, p, end - 1) {
                        return Ok(None);
                    }
                    p = end;
                }
                b'%' if self.pattern.get(p + 1).is_some_and(u8::is_ascii_digit) => {
                    match self.match_capture(s, self.pattern[p + 1])? {
                        Some(end) => (s, p) = (end, p + 2),
                        None => return Ok(None),
                    }
                }
                _ => {
                    let end = self.class_end(p)?;
                    match self.pattern.get(end) {
                        Some(b'?') => {
                            if self.single(s, p, end)
                                && let Some(found) = self.do_match(s + 1, end + 1)?
                            {
                                return Ok(Some(found));
                            }
                            p = end + 1;
                        }
                        Some(b'*') => return self.max_expand(s, p, end),
                        Some(b'+') => {
                            return if self.single(s, p, end) {
                                self.max_expand(s + 1, p, end)
                            } else {
                                Ok(None)
                            };
                        }
                        Some(b'-') => return self.min_expand(s, p, end),
                        _ if !self.single(s, p, end) => return Ok(None),
                        _ => (s, p) = (s + 1, end),
                    }
                }
            }
        }
    }

    /// Where the class that begins at `p` ends.
    fn class_end(&self, mut p: usize) -> Result<usize, Failure> {
        let code = self.pattern[p];
        p += 1;
        match code {
            b'%' if p == self.pattern.len() => Err(Failure::Malformed("malformed pattern (ends with '%')")),
            b'%' => Ok(p + 1),
            b'[' => {
                let missing = Failure::Malformed("malformed pattern (missing ']')");
                if self.pattern.get(p) == Some(&b'^') {
                    p += 1;
                }
                loop {
                    let byte = *self.pattern.get(p).ok_or(missing.clone())?;
                    p += 1;
                    if byte == b'%' {
                        p += 1;
                    }
                    match self.pattern.get(p) {
                        None => return Err(missing),
                        Some(b']') => return Ok(p + 1),
                        Some(_) => {}
                    }
                }
            }
            _ => Ok(p),
        }
    }

    fn single(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(&byte) = self.subject.get(s) else { return false };
        match self.pattern[p] {
            b'.' => true,
            b'%' => in_class(byte, self.pattern[p + 1]),
            b'[' => self.in_set(byte, p, end - 1),
            code => code == byte,
        }
    }

    /// Whether a byte is in the set between `[` at `p` and `]` at `end`.
    fn in_set(&self, byte: u8, mut p: usize, end: usize) -> bool {
        let mut wanted = true;
        if self.pattern[p + 1] == b'^' {
            wanted = false;
            p += 1;
        }
        p += 1;
        while p < end {
            if self.pattern[p] == b'%' {
                p += 1;
                if in_class(byte, self.pattern[p]) {
                    return wanted;
                }
                p += 1;
            } else if self.pattern[p + 1] == b'-' && p + 2 < end {
                if (self.pattern[p]..=self.pattern[p + 2]).contains(&byte) {
                    return wanted;
                }
                p += 3;
            } else {
                if self.pattern[p] == byte {
                    return wanted;
                }
                p += 1;
            }
        }
        !wanted
    }

    fn max_expand(&mut self, s: usize, p: usize, end: usize) -> Matched {
        let mut count = 0;
        while self.single(s + count, p, end) {
            self.step()?;
            count += 1;
        }
        loop {
            if let Some(found) = self.do_match(s + count, end + 1)? {
                return Ok(Some(found));
            }
            if count == 0 {
                return Ok(None);
            }
            count -= 1;
        }
    }

    fn min_expand(&mut self, mut s: usize, p: usize, end: usize) -> Matched {
        loop {
            if let Some(found) = self.do_match(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.single(s, p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn start_capture(&mut self, s: usize, p: usize, len: Length) -> Matched {
        if self.captures.len() >= CAPTURES_MAX {
            return Err(Failure::Malformed("too many captures"));
        }
        self.captures.push(Open { start: s, len });
        let found = self.do_match(s, p)?;
        if found.is_none() {
            self.captures.pop();
        }
        Ok(found)
    }

    fn end_capture(&mut self, s: usize, p: usize) -> Matched {
        let open = self.captures.iter().rposition(|capture| capture.len == Length::Open);
        let open = open.ok_or(Failure::Malformed("invalid pattern capture"))?;
        self.captures[open].len = Length::Closed(s - self.captures[open].start);
        let found = self.do_match(s, p)?;
        if found.is_none() {
            self.captures[open].len = Length::Open;
        }
        Ok(found)
    }

    fn match_balance(&mut self, s: usize, p: usize) -> Matched {
        let (Some(&open), Some(&close)) = (self.pattern.get(p), self.pattern.get(p + 1)) else {
            return Err(Failure::Malformed("unbalanced pattern"));
        };
        if self.subject.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for i in s + 1..self.subject.len() {
            self.step()?;
            let byte = self.subject[i];
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(i + 1));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    fn match_capture(&mut self, s: usize, digit: u8) -> Matched {
        let invalid = Failure::Malformed("invalid capture index");
        let index = usize::from(digit).checked_sub(usize::from(b'1')).ok_or(invalid.clone())?;
        let capture = *self.captures.get(index).ok_or(invalid.clone())?;
        let Length::Closed(len) = capture.len else { return Err(invalid) };
        self.steps_left = self.steps_left.saturating_sub(len as u64 / 8);
        let captured = &self.subject[capture.start..capture.start + len];
        Ok(self.subject[s..].starts_with(captured).then_some(s + len))
    }
}

/// Whether a byte belongs to a class such as `%a`; another character stands for itself.
fn in_class(byte: u8, class: u8) -> bool {
    let is = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    is != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first match and its captures.
    fn find(subject: &str, pattern: &str) -> Option<(Range<usize>, Vec<Capture>)> {
        let (anchored, pattern) = match pattern.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let mut matcher = Matcher::new(subject.as_bytes(), pattern.as_bytes(), 100_000);
        for start in 0..=subject.len() {
            if let Some(end) = matcher.match_at(start).unwrap() {
                return Some((start..end, matcher.captures(start..end).unwrap()));
            }
            if anchored {
                break;
            }
        }
        None
    }

    #[test]
    fn patterns_match_as_the_manual_says() {
        let cases: &[(&str, &str, Option<Range<usize>>)] = &[
            ("hello world", "o w", Some(4..7)),
            ("hello", "l+", Some(2..4)),
            ("hello", "l-o", Some(2..5)),
            ("hello", "x*", Some(0..0)),
            ("hello", "^e", None),
            ("hello", "o$", Some(4..5)),
            ("a.b", "%.", Some(1..2)),
            ("key = value", "^(%w+)%s*=%s*(%w+)$", Some(0..11)),
            ("f(a(b)c)d", "%b()", Some(1..8)),
            ("THE (quick) fox", "%f[%a]%a+", Some(0..3)),
            ("[[x]]", "[]]", Some(3..4)),
            ("a-z", "[a%-]+", Some(0..2)),
            ("xyz", "[^x-y]", Some(2..3)),
            ("\"it's\"", "([\"'])(.-)%1", Some(0..6)),
            ("", "^$", Some(0..0)),
            ("colour", "colou?r", Some(0..6)),
            ("color", "colou?r", Some(0..5)),
        ];
        for (subject, pattern, expected) in cases {
            assert_eq!(find(subject, pattern).map(|(range, _)| range), *expected, "{subject} {pattern}");
        }
        let (_, captures) = find("key = value", "^(%w+)()").unwrap();
        assert_eq!(captures, [Capture::Bytes(0..3), Capture::Position(3)]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for pattern in ["%", "[a", "[^", "(", "(()", ")", "%1", "%b", "%bx", "%f", "(a*(", "[%", "[%]", "%0"]
        {
            let mut matcher = Matcher::new(b"aaaa", pattern.as_bytes(), 1000);
            let refused = match matcher.match_at(0) {
                Ok(Some(end)) => matcher.captures(0..end).is_err(),
                Ok(None) => false,
                Err(_) => true,
            };
            assert!(refused, "{pattern}");
        }
    }

    #[test]
    fn a_match_without_end_ends_with_its_steps() {
        let subject = "a".repeat(40);
        let pattern = format!("{}b", "a*".repeat(30));
        let mut matcher = Matcher::new(subject.as_bytes(), pattern.as_bytes(), 1_000_000);
        assert_eq!(matcher.match_at(0), Err(Failure::TooLong));
        let deep = "a?".repeat(1000);
        let mut matcher = Matcher::new(subject.as_bytes(), deep.as_bytes(), 1_000_000);
        assert!(matcher.match_at(0).is_ok() || matcher.match_at(0).is_err());
    }
}
