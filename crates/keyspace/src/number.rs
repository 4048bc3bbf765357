//! Numbers as Redis reads and writes them.
//!
//! Everything here is integer arithmetic or a correctly rounded conversion, so that a number has the same
//! bits and the same text on every machine (R12): no platform libm, no `long double` of the host.

mod extended;
mod float;
mod rounding;
mod scan;

pub use extended::{Extended, IncrementError, increment_by_float};
pub use float::{format_f64, format_f64_17g, format_g, parse_f64};

/// Longest text of a 64-bit integer, in bytes: `-9223372036854775808`.
pub const I64_TEXT_BYTES_MAX: usize = 20;

/// Reads a signed 64-bit integer in its one canonical form: an optional `-`, then digits without a leading
/// zero.
///
/// `+1`, `01`, `-0`, blanks, an empty text and anything out of range are `None`, as in Redis.
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() < I64_TEXT_BYTES_MAX => {}
        _ => return None,
    }
    // At most 19 digits: below 10^19, which a u64 holds.
    let mut magnitude: u64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Appends the decimal text of `number`.
pub fn push_i64(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_text_is_an_integer() {
        for number in [0, 1, -1, 9, 10, -10, 1 << 40, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1] {
            assert_eq!(parse_i64(number.to_string().as_bytes()), Some(number));
            let mut out = Vec::new();
            push_i64(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
        let refused = [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "00",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "0x1",
            "--1",
            "1-",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "99999999999999999999",
            "-99999999999999999999",
            "1\0",
            "١",
        ];
        for text in refused {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }
}
