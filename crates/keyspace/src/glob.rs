//! Glob patterns as in KEYS, SCAN, PSUBSCRIBE and access control.
//!
//! `*` stands for any bytes, `?` for any one byte, `[a-z]` and `[^a]` for one byte in or not in a set, `\`
//! takes the next byte literally. Every part but `*` consumes exactly one byte, so remembering the last `*`
//! is enough: the worst case is the product of the two lengths, whatever the pattern, and there is no
//! recursion.

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
    let (mut at_pattern, mut at_text) = (0, 0);
    // The pattern after the last `*`, and where in the text that `*` currently ends.
    let mut last_star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        if pattern.get(at_pattern) == Some(&b'*') {
            at_pattern += 1;
            if at_pattern == pattern.len() {
                return true;
            }
            last_star = Some((at_pattern, at_text));
            continue;
        }
        if let Some(width) = match_one(&pattern[at_pattern..], text[at_text], ignore_case) {
            at_pattern += width;
            at_text += 1;
            continue;
        }
        let Some((after_star, star_end)) = last_star else {
            return false;
        };
        last_star = Some((after_star, star_end + 1));
        (at_pattern, at_text) = (after_star, star_end + 1);
    }
    pattern[at_pattern..].iter().all(|byte| *byte == b'*')
}

/// The width of the pattern's first part, which is not `*`, if it matches `byte`.
fn match_one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<usize> {
    let fold = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', set @ ..] => match_set(set, byte, ignore_case).map(|width| width + 1),
        [b'\\', literal, ..] => (fold(*literal) == fold(byte)).then_some(2),
        [literal, ..] => (fold(*literal) == fold(byte)).then_some(1),
    }
}

/// The width of the set after its `[`, the closing `]` included, if it holds `byte`. A set left open ends
/// with the pattern.
fn match_set(set: &[u8], byte: u8, ignore_case: bool) -> Option<usize> {
    let fold = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
    let negated = set.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &set[at..] {
            [] => break,
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [start, b'-', end, ..] => {
                let (low, high) = (*start.min(end), *start.max(end));
                found |= (fold(low)..=fold(high)).contains(&fold(byte));
                at += 3;
            }
            [literal, ..] => {
                found |= fold(*literal) == fold(byte);
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
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
    fn bounded_a_pattern_bomb_costs_no_more_than_the_product_of_the_lengths() {
        // Recursive matching needs more steps here than there are atoms.
        let pattern = b"a*".repeat(500);
        let text = b"a".repeat(2000);
        assert!(matches(&pattern, &text));
        assert!(!matches(&[pattern.as_slice(), b"b"].concat(), &text));
    }
}
