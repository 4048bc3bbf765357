//! Glob patterns as in KEYS, SCAN, PSUBSCRIBE and access control.
//!
//! `*` stands for any bytes, `?` for any one byte, `[a-z]` and `[^a]` for one byte in or not in a set, `\`
//! takes the next byte literally. Every part but `*` consumes exactly one byte, so remembering the last `*`
//! is enough, and there is no recursion. That takes time with the product of the two lengths at worst. Who makes a pattern
//! for that (`*aaaa...b`) gets nothing for it: beyond a few steps for each byte the match is done anew in another way
//! ([`parts`]), which takes one step of a machine word for 64 bytes of the product.

mod parts;

/// Before a match is given up for one that costs more to begin: so many steps, and so many more for each byte.
const STEPS_MIN: usize = 4096;
const STEPS_PER_BYTE: usize = 16;
/// The other way takes some 50 bytes of memory for each byte of the pattern, so it is for patterns of up to this size.
const PARTS_BYTES_MAX: usize = 1 << 20;

/// Whether the whole of `text` matches `pattern`.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, false)
}

/// As [`matches()`], with ASCII letters of either case alike. (An escaped byte within brackets keeps its case,
/// as in Redis.)
#[must_use]
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, true)
}

fn matches_with(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    if text.is_empty() {
        // As in Redis, where KEYS and SCAN take a plain `*` for everything before they ask here.
        return pattern.is_empty();
    }
    let steps_max = STEPS_MIN + STEPS_PER_BYTE * (pattern.len() + text.len());
    within(steps_max, pattern, text, ignore_case).unwrap_or_else(|| match pattern.len() <= PARTS_BYTES_MAX {
        true => parts::matches(pattern, text, ignore_case),
        false => within(usize::MAX, pattern, text, ignore_case).expect("so many steps are enough"),
    })
}

/// The same, unless it takes more steps than that.
fn within(steps_max: usize, pattern: &[u8], text: &[u8], ignore_case: bool) -> Option<bool> {
    let (mut at_pattern, mut at_text, mut steps) = (0, 0, 0);
    // The pattern after the last `*`, and where in the text that `*` currently ends.
    let mut last_star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        if pattern.get(at_pattern) == Some(&b'*') {
            at_pattern += 1;
            if at_pattern == pattern.len() {
                return Some(true);
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
            return Some(false);
        };
        if steps > steps_max {
            return None;
        }
        last_star = Some((after_star, star_end + 1));
        (at_pattern, at_text) = (after_star, star_end + 1);
    }
    Some(pattern[at_pattern..].iter().all(|byte| *byte == b'*'))
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
        assert!(matches_ignoring_case(b"MAX*", b"maxmemory"));
        assert!(matches_ignoring_case(b"[A-C]x", b"bX"));
        assert!(!matches_ignoring_case(br"[\A]", b"a"));
        assert!(matches_ignoring_case(br"\A", b"a"));
    }

    #[test]
    fn pattern_bombs_are_matched_in_another_way() {
        let text = b"a".repeat(20_000);
        for (pattern, fits) in [
            (b"a*".repeat(500), true),
            ([b"a*".repeat(500), b"b".to_vec()].concat(), false),
            ([b"*".to_vec(), b"a".repeat(5000), b"b".to_vec()].concat(), false),
            ([b"*".to_vec(), b"?a".repeat(5000), b"*".to_vec()].concat(), true),
            ([b"*".to_vec(), b"?a".repeat(5000), b"b*".to_vec()].concat(), false),
            ([b"*[".to_vec(), b"xyz".repeat(5000), b"]b*".to_vec()].concat(), false),
            ([b"*[^".to_vec(), b"xyz".repeat(5000), b"]".to_vec()].concat(), true),
        ] {
            assert_eq!(matches(&pattern, &text), fits);
        }
        let product = [b"*".to_vec(), b"a".repeat(5000), b"b".to_vec()].concat();
        let steps_max = STEPS_MIN + STEPS_PER_BYTE * (product.len() + text.len());
        assert_eq!(within(steps_max, &product, &text, false), None, "it is given up in time");
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
                    let simple = within(usize::MAX, &pattern, text, ignore_case);
                    let other = parts::matches(&pattern, text, ignore_case);
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
                    let simple = within(usize::MAX, &pattern, &text, false);
                    assert_eq!(
                        simple,
                        Some(parts::matches(&pattern, &text, false)),
                        "{before} {length} {from} {after}"
                    );
                }
            }
        }
    }
}
