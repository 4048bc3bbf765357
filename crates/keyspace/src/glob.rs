//! Glob patterns as in KEYS, SCAN, PSUBSCRIBE and access control.
//!
//! `*` stands for any bytes, `?` for any one byte, `[a-z]` and `[^a]` for one byte in or not in a set, `\`
//! takes the next byte literally. Every part but `*` consumes exactly one byte, so remembering the last `*`
//! is enough, and there is no recursion. That takes time with the product of the two lengths at worst. Who makes a pattern
//! for that (`*aaaa...b`) gets nothing for it: beyond a few steps for each byte the match is done anew in another way
//! ([`parts`]). That takes time with the sum of the lengths, unless there are both many `?` or sets and many bytes between two `*`
//! (`*?a?a?a...`): then it is one step of a machine word for 64 bytes of the product. Steps are counted, and such a pattern
//! is given up ([`TooHard`]) before anybody waits for it noticeably.

mod parts;

use std::cell::{Cell, OnceCell};

use self::parts::Parts;
use crate::error::CommandError;

/// So many steps may be taken for each match, and so many more for each byte of the text.
const STEPS_MIN: usize = 512;
const STEPS_PER_BYTE: usize = 4;
/// A pattern of up to so many bytes may be gone through twice for each match.
const SHORT_PATTERN: usize = 4096;
/// So many more may be taken for all matches of a [`Glob`]: some milliseconds.
const EFFORT: usize = 4 << 20;
/// Each byte of the pattern counts for so many when it is taken to pieces.
const STEPS_PER_PIECE: usize = 8;
/// So many for each byte of the pattern are left for that, and for finding out that it is needed.
const STEPS_PER_PATTERN_BYTE: usize = 2 * STEPS_PER_PIECE;
/// The pieces take some 50 bytes of memory for each byte of the pattern, so they are for patterns of up to this size.
const PARTS_BYTES_MAX: usize = 1 << 20;
/// Between two `*` there may be so many bytes with `?` or sets among them, and no text is too long for that: a machine word
/// for 64 of them.
const MIXED_MAX: usize = 1024;

/// It takes too long to find out whether a text matches a pattern. Patterns that anybody has a use for are not like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooHard;

impl From<TooHard> for CommandError {
    fn from(TooHard: TooHard) -> Self {
        Self::fixed("ERR the pattern is too hard to match: it is very long, with many ? or [] between two *")
    }
}

/// Whether the whole of `text` matches `pattern`. What is [`TooHard`] does not match; if [`is_bounded`], nothing is.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    Glob::for_one(pattern, text).matches(text) == Ok(true)
}

/// Whether no text, of any length, is too hard for this pattern.
#[must_use]
pub fn is_bounded(pattern: &[u8]) -> bool {
    pattern.len() <= MIXED_MAX
        || pattern.len() <= PARTS_BYTES_MAX && parts::longest_mixed(pattern) <= MIXED_MAX
}

/// A pattern for many texts.
pub struct Glob<'a> {
    pattern: &'a [u8],
    ignore_case: bool,
    /// Steps that are left beside those of each match.
    effort: Cell<usize>,
    /// The pattern in pieces, once that is needed.
    parts: OnceCell<Parts>,
}

impl<'a> Glob<'a> {
    /// A pattern that tells letters of either case apart.
    #[must_use]
    pub fn new(pattern: &'a [u8]) -> Self {
        let effort = Cell::new(EFFORT + STEPS_PER_PATTERN_BYTE * pattern.len());
        Self { pattern, ignore_case: false, effort, parts: OnceCell::new() }
    }

    /// One with as much effort as a bounded pattern may need for one text.
    fn for_one(pattern: &'a [u8], text: &[u8]) -> Self {
        let effort = STEPS_PER_PATTERN_BYTE * pattern.len() + MIXED_MAX / 64 * text.len();
        Self { effort: Cell::new(effort), ..Self::new(pattern) }
    }

    /// One to which ASCII letters of either case are alike. (An escaped byte within brackets keeps its case, as in Redis.)
    #[must_use]
    pub fn ignoring_case(pattern: &'a [u8]) -> Self {
        Self { ignore_case: true, ..Self::new(pattern) }
    }

    /// Whether the whole of `text` matches.
    ///
    /// # Errors
    /// If that takes too long, together with what was asked before.
    pub fn matches(&self, text: &[u8]) -> Result<bool, TooHard> {
        if text.is_empty() {
            // As in Redis, where KEYS and SCAN take a plain `*` for everything before they ask here.
            return Ok(self.pattern.is_empty());
        }
        let allowed = STEPS_MIN + STEPS_PER_BYTE * text.len() + 2 * self.pattern.len().min(SHORT_PATTERN);
        // Where this way was too long once, it is given up sooner.
        let quick = if self.parts.get().is_some() { allowed / 2 } else { allowed };
        let (found, steps) = within(quick, self.pattern, text, self.ignore_case);
        self.spend(steps.saturating_sub(allowed))?;
        let Some(found) = found else { return self.matches_by_parts(text, allowed) };
        Ok(found)
    }

    fn matches_by_parts(&self, text: &[u8], allowed: usize) -> Result<bool, TooHard> {
        if self.parts.get().is_none() {
            let can_be = self.pattern.len() <= PARTS_BYTES_MAX;
            self.spend(if can_be { STEPS_PER_PIECE * self.pattern.len() } else { usize::MAX })?;
        }
        let parts = self.parts.get_or_init(|| Parts::new(self.pattern, self.ignore_case));
        let mut steps = allowed + self.effort.get();
        let found = parts.matches(text, &mut steps);
        self.effort.set(steps.min(self.effort.get()));
        found
    }

    fn spend(&self, steps: usize) -> Result<(), TooHard> {
        let left = self.effort.get().checked_sub(steps);
        self.effort.set(left.unwrap_or(0));
        left.map(drop).ok_or(TooHard)
    }
}

/// Whether they match, unless it takes more steps than that, and how many it has taken. A step too wide is still taken.
fn within(steps_max: usize, pattern: &[u8], text: &[u8], ignore_case: bool) -> (Option<bool>, usize) {
    let (mut at_pattern, mut at_text, mut steps) = (0, 0, 0);
    // The pattern after the last `*`, and where in the text that `*` currently ends.
    let mut last_star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        if pattern.get(at_pattern) == Some(&b'*') {
            at_pattern += 1;
            if at_pattern == pattern.len() {
                return (Some(true), steps);
            }
            last_star = Some((at_pattern, at_text));
            continue;
        }
        let (is_match, width) = match_one(&pattern[at_pattern..], text[at_text], ignore_case);
        steps += 1 + width;
        if is_match {
            at_pattern += width;
            at_text += 1;
            continue;
        }
        let Some((after_star, star_end)) = last_star else {
            return (Some(false), steps);
        };
        if steps > steps_max {
            return (None, steps);
        }
        last_star = Some((after_star, star_end + 1));
        (at_pattern, at_text) = (after_star, star_end + 1);
    }
    (Some(pattern[at_pattern..].iter().all(|byte| *byte == b'*')), steps)
}

/// Whether the pattern's first part, which is not `*`, matches `byte`, and its width.
fn match_one(pattern: &[u8], byte: u8, ignore_case: bool) -> (bool, usize) {
    let fold = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
    match pattern {
        [] => (false, 0),
        [b'?', ..] => (true, 1),
        [b'[', set @ ..] => {
            let (is_match, width) = match_set(set, byte, ignore_case);
            (is_match, width + 1)
        }
        [b'\\', literal, ..] => (fold(*literal) == fold(byte), 2),
        [literal, ..] => (fold(*literal) == fold(byte), 1),
    }
}

/// Whether the set behind a `[` holds `byte`, and the width of the set, its closing `]` included. A set left open ends
/// with the pattern.
fn match_set(set: &[u8], byte: u8, ignore_case: bool) -> (bool, usize) {
    let fold = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
    let mut found = false;
    let (negated, width) = each_of_set(set, |item| {
        found |= match item {
            Item::Escaped(literal) => literal == byte,
            Item::Byte(literal) => fold(literal) == fold(byte),
            Item::Range(low, high) => (fold(low)..=fold(high)).contains(&fold(byte)),
        };
    });
    (found != negated, width)
}

/// What a set names.
enum Item {
    Byte(u8),
    Escaped(u8),
    Range(u8, u8),
}

/// Hands out what the set behind a `[` names. Whether it stands for all else, and its width.
#[inline]
fn each_of_set(set: &[u8], mut run: impl FnMut(Item)) -> (bool, usize) {
    let negated = set.first() == Some(&b'^');
    let mut at = usize::from(negated);
    loop {
        match &set[at..] {
            [] => break,
            [b'\\', literal, ..] => {
                run(Item::Escaped(*literal));
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [start, b'-', end, ..] => {
                run(Item::Range(*start.min(end), *start.max(end)));
                at += 3;
            }
            [literal, ..] => {
                run(Item::Byte(*literal));
                at += 1;
            }
        }
    }
    (negated, at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes())
    }

    #[test]
    fn every_part_of_a_pattern() {
        let matching = [
            ("*", "anything"),
            ("h?llo", "hello"),
            ("h*llo", "hllo"),
            ("h*llo", "heeeello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-b]llo", "hbllo"),
            ("h[b-a]llo", "hallo"),
            (r"h\*llo", "h*llo"),
            (r"[\]]", "]"),
            ("a**b*", "ab"),
            ("", ""),
            ("*a*b*c", "xxaxbxc"),
            ("[a", "a"),
            ("[^", "x"),
            ("[^]", "x"),
            (r"a\", r"a\"),
            (r"[\", r"\"),
            ("[a-]", "]"),
            ("*[0-9]", "key:7"),
            (r"*\?", "why?"),
        ];
        for (pattern, text) in matching {
            assert!(check(pattern, text), "{pattern} {text}");
        }
        let failing = [
            ("", "a"),
            ("a", ""),
            ("*", ""),
            ("h?llo", "hllo"),
            ("h[ae]llo", "hillo"),
            ("h[^e]llo", "hello"),
            ("H*", "hello"),
            ("[]", "]"),
            ("[", "["),
            ("*a", "ab"),
            (r"\*", "x"),
            ("a*b*c", "aXbXd"),
        ];
        for (pattern, text) in failing {
            assert!(!check(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn case_is_ignored_on_request() {
        let fits = |pattern, text| Glob::ignoring_case(pattern).matches(text).unwrap();
        assert!(fits(b"MAX*", b"maxmemory"));
        assert!(fits(b"[A-C]x", b"bX"));
        assert!(!fits(br"[\A]", b"a"));
        assert!(fits(br"\A", b"a"));
    }

    #[test]
    fn pattern_bombs_are_matched_in_another_way() {
        let text = b"a".repeat(20_000);
        for (pattern, fits) in [
            (b"a*".repeat(500), true),
            ([b"a*".repeat(500), b"b".to_vec()].concat(), false),
            ([b"*".to_vec(), b"a".repeat(5000), b"b".to_vec()].concat(), false),
            ([b"*".to_vec(), b"a".repeat(9000), b"b*".to_vec()].concat(), false),
            ([b"*".to_vec(), b"?a".repeat(5000), b"*".to_vec()].concat(), true),
            (
                [b"*".to_vec(), b"?".repeat(5000), b"a*".to_vec(), b"?".repeat(14_999), b"*".to_vec()]
                    .concat(),
                true,
            ),
            (
                [b"*".to_vec(), b"?".repeat(5000), b"a*".to_vec(), b"?".repeat(15_000), b"*".to_vec()]
                    .concat(),
                false,
            ),
            ([b"*".to_vec(), b"?a".repeat(1000), b"b*".to_vec()].concat(), false),
            ([b"*[".to_vec(), b"xyz".repeat(5000), b"]b*".to_vec()].concat(), false),
            ([b"*[^".to_vec(), b"xyz".repeat(5000), b"]".to_vec()].concat(), true),
        ] {
            assert_eq!(Glob::new(&pattern).matches(&text), Ok(fits), "{}", pattern.escape_ascii());
        }
        let product = [b"*".to_vec(), b"a".repeat(5000), b"b".to_vec()].concat();
        let steps_max = STEPS_MIN + STEPS_PER_BYTE * text.len();
        assert_eq!(within(steps_max, &product, &text, false).0, None, "it is given up in time");
    }

    #[test]
    fn what_is_too_hard_is_given_up() {
        let hard = [b"*".to_vec(), b"a?".repeat(5_000), b"ab*".to_vec()].concat();
        let text = b"a".repeat(60_000);
        assert_eq!(Glob::new(&hard).matches(&text), Err(TooHard));
        assert!(!is_bounded(&hard) && !matches(&hard, &text), "who cannot tell takes it for no match");
        // Each match alone may be possible, and all together not.
        let glob = Glob::new(&hard);
        let results: Vec<_> = (0..40).map(|_| glob.matches(&text[..10_100])).collect();
        assert_eq!(results[0], Ok(false));
        assert_eq!(results[39], Err(TooHard));
        // What matches at once, or not at all, costs nothing, before and after.
        for glob in [glob, Glob::new(&hard)] {
            assert_eq!(glob.matches(b"xyz"), Ok(false));
            assert_eq!(glob.matches(&[&b"a".repeat(10_001)[..], b"b"].concat()), Ok(true));
        }
        let long = [b"*".to_vec(), b"a".repeat(2 << 20), b"b".to_vec()].concat();
        assert_eq!(Glob::new(&long).matches(&b"a".repeat(3 << 20)), Err(TooHard));
        assert_eq!(Glob::new(&long).matches(&b"a".repeat(60)), Ok(false));
        assert_eq!(Glob::new(&long[1..]).matches(&long[1..]), Ok(true), "as long as may be, if it is easy");
        // Many texts, each of which fits nothing of a long set.
        let set = [&b"["[..], &b"b".repeat(40_000), b"]x"].concat();
        let glob = Glob::new(&set);
        assert!((0..1000).any(|_| glob.matches(b"a") == Err(TooHard)));
    }

    #[test]
    fn a_bounded_pattern_is_too_hard_for_no_text() {
        let text = b"a".repeat(300_000);
        for middle in [b"a?".repeat(MIXED_MAX / 2 - 1), b"a?".repeat(20), b"[ac]".repeat(MIXED_MAX - 1)] {
            let pattern = [b"*".to_vec(), middle, b"b*".to_vec()].concat();
            assert!(is_bounded(&pattern), "{}", pattern.len());
            assert_eq!(Glob::new(&pattern).matches(&text), Ok(false));
            assert_eq!(Glob::for_one(&pattern, &text).matches(&text), Ok(false), "as `matches()` does");
        }
        assert!(is_bounded(&b"a".repeat(1 << 20)) && is_bounded(b"*") && is_bounded(b""));
        assert!(is_bounded(&[&b"*"[..], &b"?".repeat(100_000), b"*"].concat()));
        assert!(!is_bounded(&[&b"*"[..], &b"a[bc]".repeat(MIXED_MAX), b"*"].concat()));
    }

    #[test]
    fn both_ways_agree() {
        // All patterns and texts of a few bytes, by counting.
        let (parts, letters) = (b"ab*?[]^-\\A", b"abA-]");
        let words = |alphabet: &[u8], length: u32| -> Vec<Vec<u8>> {
            let digits = |n: usize| (0..length).map(move |i| n / alphabet.len().pow(i) % alphabet.len());
            (0..alphabet.len().pow(length)).map(|n| digits(n).map(|d| alphabet[d]).collect()).collect()
        };
        let texts: Vec<_> = (1..=3).flat_map(|length| words(letters, length)).collect();
        let mut fits = 0;
        for pattern in (0..=3).flat_map(|length| words(parts, length)) {
            for text in &texts {
                for ignore_case in [false, true] {
                    let simple = within(usize::MAX, &pattern, text, ignore_case).0;
                    let other =
                        Parts::new(&pattern, ignore_case).matches(text, &mut usize::MAX.clone()).unwrap();
                    let show = (pattern.escape_ascii(), text.escape_ascii());
                    assert_eq!(simple, Some(other), "{} {} {ignore_case}", show.0, show.1);
                    fits += usize::from(other);
                }
            }
        }
        assert!(fits > 10_000, "{fits}");
    }

    #[test]
    fn both_ways_agree_on_long_ones() {
        let text: Vec<u8> = (0..3000_u32).map(|n| b'a' + (n * n / 7 % 3) as u8).collect();
        for length in [1, 63, 64, 65, 128, 300, 2999, 3000, 3001] {
            for from in [0, 1, 17, 1000] {
                let mut middle = text[from..(from + length).min(text.len())].to_vec();
                middle.iter_mut().step_by(5).for_each(|byte| *byte = b'?');
                for (before, after) in [("*", "*"), ("", "*"), ("*", ""), ("a*", "*b"), ("*c*", "*a*")] {
                    let pattern = [before.as_bytes(), &middle, after.as_bytes()].concat();
                    let simple = within(usize::MAX, &pattern, &text, false).0;
                    let other = Parts::new(&pattern, false).matches(&text, &mut usize::MAX.clone());
                    assert_eq!(simple, Some(other.unwrap()), "{before} {length} {from} {after}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn both_ways_agree_on_what_has_many_parts(
            pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "A", "?", "*", "*", "[ab]", "[^a]", "[", "\\b"]), 0..14),
            text in prop::collection::vec(prop::sample::select(vec![b'a', b'b', b'c', b'[']), 1..20),
            ignore_case: bool,
        ) {
            let pattern = pattern.concat().into_bytes();
            let simple = within(usize::MAX, &pattern, &text, ignore_case).0;
            let other = Parts::new(&pattern, ignore_case).matches(&text, &mut usize::MAX.clone()).unwrap();
            prop_assert_eq!(simple, Some(other), "{} {}", pattern.escape_ascii(), text.escape_ascii());
        }
    }
}
