//! Numbers as Redis writes and reads them.

use std::fmt::{self, Write as _};

/// Reads a decimal integer in its only canonical form: no sign `+`, no leading zero, no space.
///
/// `None` for everything else, and for what does not fit.
#[must_use]
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    // Counts downwards, because i64::MIN has no positive counterpart.
    let mut value = 0_i64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// Room for the longest double: a sign, 17 digits, a point, up to six zeros or an exponent of five characters.
const DOUBLE_TEXT_BYTES_MAX: usize = 32;

/// A double as Redis 7.2 prints it: the shortest digits that read back as the same number, `inf`, `-inf`,
/// `nan`; integers without a point, and an exponent only for very large and very small numbers.
#[derive(Clone, Copy)]
pub struct DoubleText {
    bytes: [u8; DOUBLE_TEXT_BYTES_MAX],
    len: usize,
}

impl DoubleText {
    /// Formats `number`; nothing is allocated.
    #[must_use]
    pub fn new(number: f64) -> Self {
        let mut text = Self { bytes: [0; DOUBLE_TEXT_BYTES_MAX], len: 0 };
        if number.is_nan() {
            text.push(b"nan");
        } else if number.is_infinite() {
            text.push(if number > 0.0 { b"inf" } else { b"-inf" });
        } else if number == 0.0 {
            text.push(if number.is_sign_negative() { b"-0" } else { b"0" });
        } else if let Some(integer) = exact_integer(number) {
            text.push(itoa::Buffer::new().format(integer).as_bytes());
        } else {
            text.push_finite(number);
        }
        text
    }

    /// The text, ASCII.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The shortest digits come from the standard library, in its form `d.ddde-x`; this places the point.
    fn push_finite(&mut self, number: f64) {
        let mut scientific = Self { bytes: [0; DOUBLE_TEXT_BYTES_MAX], len: 0 };
        let written = write!(scientific, "{:e}", number.abs());
        assert!(written.is_ok(), "a double needs at most 24 characters");

        let mut digits = [0; DOUBLE_TEXT_BYTES_MAX];
        let mut count = 0;
        let mut exponent = 0;
        for (at, &byte) in scientific.as_bytes().iter().enumerate() {
            match byte {
                b'e' => {
                    exponent = parse_integer(&scientific.as_bytes()[at + 1..]).unwrap_or_default() as i32;
                    break;
                }
                b'.' => {}
                digit => {
                    digits[count] = digit;
                    count += 1;
                }
            }
        }
        if number < 0.0 {
            self.push(b"-");
        }
        self.place_point(&digits[..count], exponent);
    }

    /// Writes `digits` as `d.ddd × 10^exponent`: plainly when few zeros are needed, else with an exponent.
    fn place_point(&mut self, digits: &[u8], exponent: i32) {
        let count = digits.len() as i32;
        let last_place = exponent - (count - 1); // the power of ten of the last digit
        if last_place >= 0 && exponent < count + 7 {
            self.push(digits);
            self.push(&b"00000000"[..last_place as usize]);
        } else if last_place < 0 && (last_place > -7 || exponent.abs() < 4) {
            if exponent < 0 {
                self.push(b"0.");
                self.push(&b"000000"[..(-exponent - 1) as usize]);
                self.push(digits);
            } else {
                let (whole, fraction) = digits.split_at(exponent as usize + 1);
                self.push(whole);
                self.push(b".");
                self.push(fraction);
            }
        } else {
            self.push(&digits[..1]);
            if count > 1 {
                self.push(b".");
                self.push(&digits[1..]);
            }
            self.push(if exponent < 0 { b"e-" } else { b"e+" });
            self.push(itoa::Buffer::new().format(exponent.abs()).as_bytes());
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

impl fmt::Write for DoubleText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.len + text.len() > DOUBLE_TEXT_BYTES_MAX {
            return Err(fmt::Error);
        }
        self.push(text.as_bytes());
        Ok(())
    }
}

impl fmt::Debug for DoubleText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

/// `number` as an integer, if it is one and below 2^62 in size: Redis prints those in full.
fn exact_integer(number: f64) -> Option<i64> {
    const BOUND: f64 = (1_i64 << 62) as f64;
    let in_range = (-BOUND..=BOUND).contains(&number);
    (in_range && number.trunc() == number).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_spelling() {
        for (text, value) in [
            ("0", 0),
            ("7", 7),
            ("-1", -1),
            ("1048576", 1_048_576),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "00",
            " 1",
            "1 ",
            "1a",
            "a",
            "1.0",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
        ] {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text:?}");
        }
    }
    #[test]
    fn doubles_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-17.5, "-17.5"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1.0 / 3.0, "0.3333333333333333"),
            (1234567.891, "1234567.891"),
            (1e17, "100000000000000000"),
            (4e18, "4000000000000000000"),
            (5e18, "5e+18"),
            (1e20, "1e+20"),
            (1.5e300, "1.5e+300"),
            (-1.25e-300, "-1.25e-300"),
            (0.000001, "0.000001"),
            (0.0000001, "1e-7"),
            (0.0000015, "1.5e-6"),
            (0.00123456789, "0.00123456789"),
            (0.000123456789, "1.23456789e-4"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(format!("{:?}", DoubleText::new(number)), text);
        }
    }
}
