//! Ranges of ranks, of scores and of members.

use std::ops::Range;

use crate::{
    error::CommandError,
    number::{parse_f64, parse_i64},
    types::sorted_set::SortedSet,
};

/// By what members are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Lex,
}

/// Which members are chosen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bounds<'a> {
    /// From and to a rank, both included; negative ones count from the end.
    Rank(i64, i64),
    Score(ScoreBound, ScoreBound),
    Lex(LexBound<'a>, LexBound<'a>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ScoreBound {
    score: f64,
    excluded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LexBound<'a> {
    /// `-`
    Lowest,
    /// `[member`, `(member`
    At { member: &'a [u8], excluded: bool },
    /// `+`
    Highest,
}

impl<'a> Bounds<'a> {
    /// Reads the two ends.
    pub(super) fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Self, CommandError> {
        const NOT_A_SCORE: CommandError = CommandError::fixed("ERR min or max is not a float");
        const NOT_LEX: CommandError = CommandError::fixed("ERR min or max not valid string range item");
        match by {
            By::Rank => {
                let rank = |text| parse_i64(text).ok_or(CommandError::NOT_AN_INTEGER);
                Ok(Self::Rank(rank(min)?, rank(max)?))
            }
            By::Score => {
                let score = |text| ScoreBound::parse(text).ok_or(NOT_A_SCORE);
                Ok(Self::Score(score(min)?, score(max)?))
            }
            By::Lex => {
                let lex = |text| LexBound::parse(text).ok_or(NOT_LEX);
                Ok(Self::Lex(lex(min)?, lex(max)?))
            }
        }
    }

    /// The ranks of what is chosen. `reverse` says from which end Redis would look: it matters to ranks, and to ranges of
    /// members of different scores, which stand in no order.
    pub(super) fn ranks(&self, set: &SortedSet, reverse: bool) -> Range<usize> {
        match *self {
            Self::Rank(start, stop) => rank_range(start, stop, set.len(), reverse),
            Self::Score(min, max) => {
                let begin = set.position(|_, score| min.is_above(score));
                let end = set.position(|_, score| max.admits_below(score));
                begin..end.max(begin)
            }
            Self::Lex(min, max) => lex_range(set, min, max, reverse),
        }
    }
}

impl ScoreBound {
    fn parse(text: &[u8]) -> Option<Self> {
        match text {
            [b'(', score @ ..] => Some(Self { score: parse_as_strtod(score)?, excluded: true }),
            score => Some(Self { score: parse_as_strtod(score)?, excluded: false }),
        }
    }

    /// Whether this lower end leaves a score out.
    fn is_above(self, score: f64) -> bool {
        if self.excluded { score <= self.score } else { score < self.score }
    }

    /// Whether this upper end takes a score in.
    fn admits_below(self, score: f64) -> bool {
        if self.excluded { score < self.score } else { score <= self.score }
    }
}

/// A number as C's `strtod` reads it at the beginning of a string that ends with it: what is too large or too small is fine
/// here, unlike in other arguments.
fn parse_as_strtod(text: &[u8]) -> Option<f64> {
    number_as_c(text, |text| {
        parse_f64(text).or_else(|| {
            let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            (!number.is_nan()).then_some(number)
        })
    })
}

/// Lets `parse` read a number where C reads one: a NUL ends it, blanks may be in front, and nothing at all is 0.
pub(in crate::command) fn number_as_c(text: &[u8], parse: impl Fn(&[u8]) -> Option<f64>) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t'..=b'\r');
    parse(&text[text.iter().take_while(is_blank).count()..])
}

impl<'a> LexBound<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        match text {
            b"-" => Some(Self::Lowest),
            b"+" => Some(Self::Highest),
            [b'[', member @ ..] => Some(Self::At { member, excluded: false }),
            [b'(', member @ ..] => Some(Self::At { member, excluded: true }),
            _ => None,
        }
    }

    /// Whether this lower end leaves a member out.
    fn is_above(self, member: &[u8]) -> bool {
        match self {
            Self::Lowest => false,
            Self::At { member: bound, excluded: true } => member <= bound,
            Self::At { member: bound, excluded: false } => member < bound,
            Self::Highest => true,
        }
    }

    /// Whether this upper end takes a member in.
    fn admits_below(self, member: &[u8]) -> bool {
        match self {
            Self::Lowest => false,
            Self::At { member: bound, excluded: true } => member < bound,
            Self::At { member: bound, excluded: false } => member <= bound,
            Self::Highest => true,
        }
    }
}

fn rank_range(start: i64, stop: i64, len: usize, reverse: bool) -> Range<usize> {
    let count = len as i64;
    let absolute = |index: i64| if index < 0 { index.saturating_add(count) } else { index };
    let (start, stop) = (absolute(start).max(0), absolute(stop).min(count - 1));
    if start > stop {
        return 0..0;
    }
    let (start, end) = (start as usize, stop as usize + 1);
    if reverse { len - end..len - start } else { start..end }
}

fn lex_range(set: &SortedSet, min: LexBound<'_>, max: LexBound<'_>, reverse: bool) -> Range<usize> {
    let len = set.len();
    let (Some(first), Some(last)) = (set.get(0), set.get(len.wrapping_sub(1))) else { return 0..0 };
    if first.1 == last.1 {
        let begin = set.position(|member, _| min.is_above(member));
        let end = set.position(|member, _| max.admits_below(member));
        return begin..end.max(begin);
    }
    // Members of different scores are in no order: what Redis finds in a small set, going through it.
    if min.is_above(last.0) || !max.admits_below(first.0) {
        return 0..0;
    }
    let members = || set.range(0..len, reverse).map(|(member, _)| member);
    let is_before = |member: &[u8]| if reverse { !max.admits_below(member) } else { min.is_above(member) };
    let is_behind = |member: &[u8]| if reverse { min.is_above(member) } else { !max.admits_below(member) };
    let begin = members().take_while(|member| is_before(member)).count();
    let count = members().skip(begin).take_while(|member| !is_behind(member)).count();
    if reverse { len - begin - count..len - begin } else { begin..begin + count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_read_as_strtod_reads_them() {
        let cases: [(&[u8], f64); 11] = [
            (b"", 0.0),
            (b"1.5", 1.5),
            (b" \t1", 1.0),
            (b"1\0junk", 1.0),
            (b"\0", 0.0),
            (b"1e400", f64::INFINITY),
            (b"-1e400", f64::NEG_INFINITY),
            (b"1e-400", 0.0),
            (b"+inf", f64::INFINITY),
            (b"-Infinity", f64::NEG_INFINITY),
            (b"0x10", 16.0),
        ];
        for (text, number) in cases {
            assert_eq!(parse_as_strtod(text), Some(number), "{text:?}");
        }
        for text in [&b" "[..], b"1 ", b"nan", b"-nan", b"x", b"1e", b"(1"] {
            assert_eq!(parse_as_strtod(text), None, "{text:?}");
        }
    }

    #[test]
    fn ranks_count_from_either_end() {
        let cases = [
            ((0, -1), 0..5, 0..5),
            ((1, 2), 1..3, 2..4),
            ((-2, -1), 3..5, 0..2),
            ((-100, 1), 0..2, 3..5),
            ((3, 100), 3..5, 0..2),
            ((5, 10), 0..0, 0..0),
            ((3, 1), 0..0, 0..0),
            ((0, -6), 0..0, 0..0),
            ((i64::MIN, i64::MAX), 0..5, 0..5),
        ];
        for ((start, stop), forward, backward) in cases {
            assert_eq!(rank_range(start, stop, 5, false), forward, "{start} {stop}");
            assert_eq!(rank_range(start, stop, 5, true), backward, "{start} {stop}");
        }
        assert_eq!(rank_range(0, -1, 0, false), 0..0);
    }
}
