//! The grammar of C's `strtod`, of which Redis takes all but blanks, trailing text and NaN.

/// Exponents beyond this are infinite or zero in every format; clamping keeps the arithmetic in range.
const EXPONENT_MAX: i64 = 1 << 40;

/// A number's parts, not yet rounded to any format.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Magnitude<'a> {
    /// `inf` or `infinity`.
    Infinite,
    /// `whole.fraction × 10^exponent`, or for hexadecimal digits `whole.fraction × 2^exponent`.
    Finite { hexadecimal: bool, whole: &'a [u8], fraction: &'a [u8], exponent: i64 },
}

/// A sign and a magnitude.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scanned<'a> {
    pub(super) negative: bool,
    pub(super) magnitude: Magnitude<'a>,
}

impl Scanned<'_> {
    /// Whether every digit is zero, whatever the exponent.
    pub(super) fn is_zero(&self) -> bool {
        match &self.magnitude {
            Magnitude::Infinite => false,
            Magnitude::Finite { whole, fraction, .. } => {
                whole.iter().chain(*fraction).all(|digit| *digit == b'0')
            }
        }
    }
}

/// Splits `text` into its parts; `None` unless all of it is one number.
pub(super) fn scan(text: &[u8]) -> Option<Scanned<'_>> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
        return Some(Scanned { negative, magnitude: Magnitude::Infinite });
    }
    let magnitude = match rest {
        [b'0', b'x' | b'X', digits @ ..] => finite(digits, true)?,
        _ => finite(rest, false)?,
    };
    Some(Scanned { negative, magnitude })
}

fn finite(text: &[u8], hexadecimal: bool) -> Option<Magnitude<'_>> {
    let is_digit = |byte: &u8| if hexadecimal { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
    let (whole, rest) = take_while(text, is_digit);
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => take_while(rest, is_digit),
        _ => (&rest[..0], rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent = match (rest, hexadecimal) {
        ([], _) => 0,
        ([b'e' | b'E', exponent @ ..], false) | ([b'p' | b'P', exponent @ ..], true) => {
            scan_exponent(exponent)?
        }
        _ => return None,
    };
    Some(Magnitude::Finite { hexadecimal, whole, fraction, exponent })
}

fn scan_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value =
        digits.iter().fold(0, |value: i64, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
    Some(if negative { -value } else { value })
}

fn take_while(text: &[u8], wanted: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !wanted(byte)).unwrap_or(text.len());
    text.split_at(end)
}
