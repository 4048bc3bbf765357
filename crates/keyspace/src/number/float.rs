//! `double` as Redis reads it in arguments and writes it in replies.

use super::rounding::{BINARY64, Rounded, round_scanned};
use super::scan::{Magnitude, scan};

/// Longest hexadecimal text read as a `double`, in bytes. Redis has no limit; nobody writes more by hand, and
/// rounding costs the square of the length.
const HEXADECIMAL_BYTES_MAX: usize = 5 * 1024;

/// Reads what C's `strtod` reads, correctly rounded: decimal, hexadecimal (`0x1.8p3`), `inf`, `infinity`.
///
/// `None` for NaN, blanks, trailing text, an overflow, and an underflow to zero: `ERR value is not a valid
/// float`.
#[must_use]
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let scanned = scan(text)?;
    let magnitude = match &scanned.magnitude {
        Magnitude::Infinite => f64::INFINITY,
        _ if scanned.is_zero() => 0.0,
        Magnitude::Finite { hexadecimal: true, .. } => parse_hexadecimal(text.len(), &scanned.magnitude)?,
        Magnitude::Finite { hexadecimal: false, .. } => parse_decimal(text)?.abs(),
    };
    Some(if scanned.negative { -magnitude } else { magnitude })
}

fn parse_decimal(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.is_finite() && number != 0.0).then_some(number)
}

fn parse_hexadecimal(text_bytes: usize, magnitude: &Magnitude<'_>) -> Option<f64> {
    /// Of the stored exponent: it counts from the smallest denormal number's, which shares the first normal
    /// one's.
    const HIDDEN_BIT: u64 = 1 << 52;
    if text_bytes > HEXADECIMAL_BYTES_MAX {
        return None;
    }
    match round_scanned(BINARY64, magnitude) {
        Rounded::Finite { mantissa, exponent } if mantissa < HIDDEN_BIT => {
            assert_eq!(exponent, BINARY64.exponent_min, "only a denormal number lacks the leading bit");
            Some(f64::from_bits(mantissa))
        }
        Rounded::Finite { mantissa, exponent } => {
            let stored = (exponent - BINARY64.exponent_min + 1) as u64;
            Some(f64::from_bits(stored << 52 | (mantissa - HIDDEN_BIT)))
        }
        Rounded::Underflow | Rounded::Overflow => None,
    }
}

/// The text Redis 7.2 replies with: the fewest digits that read back as the same number.
///
/// Integers within ±2^62 are written in full. Elsewhere the notation is scientific when it is much shorter.
#[must_use]
pub fn format_f64(number: f64) -> String {
    /// Beyond it Redis does not try whether a number is an integer.
    const INTEGER_MAX: f64 = (1u64 << 62) as f64;
    if let Some(text) = format_special(number) {
        return text;
    }
    if number.abs() <= INTEGER_MAX && (number as i64) as f64 == number {
        return (number as i64).to_string();
    }
    let decimal = Decimal::new(&format!("{:e}", number.abs()));
    let sign = if number < 0.0 { "-" } else { "" };
    format!("{sign}{}", decimal.format_short())
}

/// The text of C's `%.17g`, with Redis's names for infinity and NaN.
#[must_use]
pub fn format_f64_17g(number: f64) -> String {
    format_g(number, 17)
}

/// The text of C's `%.*g` with that many digits, at least one, with Redis's names for infinity and NaN.
#[must_use]
pub fn format_g(number: f64, digits: usize) -> String {
    if let Some(text) = format_special(number) {
        return text;
    }
    let digits = digits.max(1);
    let mut decimal = Decimal::new(&format!("{:.*e}", digits - 1, number.abs()));
    decimal.digits.truncate(decimal.digits.trim_end_matches('0').len());
    let sign = if number < 0.0 { "-" } else { "" };
    if (-4..digits as i32).contains(&decimal.exponent) {
        format!("{sign}{}", decimal.format_positional())
    } else {
        format!("{sign}{}", decimal.format_scientific(2))
    }
}

fn format_special(number: f64) -> Option<String> {
    let text = if number.is_nan() {
        "nan"
    } else if number.is_infinite() {
        if number > 0.0 { "inf" } else { "-inf" }
    } else if number == 0.0 {
        if number.is_sign_negative() { "-0" } else { "0" }
    } else {
        return None;
    };
    Some(text.to_owned())
}

/// A positive number as `d.ddd × 10^exponent`.
struct Decimal {
    digits: String,
    exponent: i32,
}

impl Decimal {
    /// Reads the standard library's `{:e}`.
    fn new(scientific: &str) -> Self {
        let (digits, exponent) = scientific.split_once('e').expect("{:e} writes an exponent");
        let exponent = exponent.parse().expect("{:e} writes a decimal exponent");
        Self { digits: digits.replace('.', ""), exponent }
    }

    /// Redis's choice of notation for shortest digits.
    fn format_short(&self) -> String {
        let count = self.digits.len() as i32;
        // Powers of ten after the last digit.
        let trailing = self.exponent - (count - 1);
        let magnitude = self.exponent.abs();
        let positional = if trailing >= 0 { magnitude < count + 7 } else { trailing > -7 || magnitude < 4 };
        if positional { self.format_positional() } else { self.format_scientific(1) }
    }

    fn format_positional(&self) -> String {
        let count = self.digits.len() as i32;
        if self.exponent < 0 {
            let zeros = "0".repeat((-self.exponent - 1) as usize);
            format!("0.{zeros}{}", self.digits)
        } else if self.exponent >= count - 1 {
            let zeros = "0".repeat((self.exponent - (count - 1)) as usize);
            format!("{}{zeros}", self.digits)
        } else {
            let (whole, fraction) = self.digits.split_at(self.exponent as usize + 1);
            format!("{whole}.{fraction}")
        }
    }

    fn format_scientific(&self, exponent_digits: usize) -> String {
        let (first, rest) = self.digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let sign = if self.exponent < 0 { '-' } else { '+' };
        format!("{first}{point}{rest}e{sign}{:0exponent_digits$}", self.exponent.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_read_as_strtod_reads_them() {
        let cases = [
            ("1", 1.0),
            ("+1.5", 1.5),
            ("-.5", -0.5),
            ("5.", 5.0),
            ("1E3", 1000.0),
            ("inf", f64::INFINITY),
            ("-INFINITY", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("-0x1.8p1", -3.0),
            ("0X.8P+1", 1.0),
            ("0e999999999999", 0.0),
            ("5e-324", 5e-324),
            ("0x1p-1074", 5e-324),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1p-1022", f64::MIN_POSITIVE),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000081p0", 1.0000000000000002),
        ];
        for (text, number) in cases {
            assert_eq!(parse_f64(text.as_bytes()), Some(number), "{text}");
        }
        assert!(parse_f64(b"-0").unwrap().is_sign_negative());
        for text in [
            "",
            "nan",
            " 1",
            "1 ",
            "1e400",
            "-1e400",
            "1e-400",
            "0x1p-1075",
            "0x1p1024",
            "1e",
            "0x",
            "x",
            "1\0",
            "1,5",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn doubles_are_written_as_redis_writes_them() {
        let cases = [
            (1.0, "1"),
            (-3.0, "-3"),
            (0.1, "0.1"),
            (1.5, "1.5"),
            (1e17, "100000000000000000"),
            (1e21, "1e+21"),
            (1.2e300, "1.2e+300"),
            (1e-5, "0.00001"),
            (1e-7, "1e-7"),
            (1.5e-9, "1.5e-9"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (-0.0, "-0"),
            (2.141592653589793, "2.141592653589793"),
            (123456.789, "123456.789"),
            (5e-324, "5e-324"),
            (0.30000000000000004, "0.30000000000000004"),
        ];
        for (number, text) in cases {
            assert_eq!(format_f64(number), text);
        }
        assert_eq!(format_f64(f64::NAN), "nan");
    }

    #[test]
    fn seventeen_digits_are_written_as_c_writes_them() {
        let cases = [
            (1.0, "1"),
            (0.1, "0.10000000000000001"),
            (-2.5, "-2.5"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1e-5, "1.0000000000000001e-05"),
            (1.5e300, "1.5000000000000001e+300"),
            (0.0001, "0.0001"),
            (123456789.5, "123456789.5"),
            (5e-324, "4.9406564584124654e-324"),
        ];
        for (number, text) in cases {
            assert_eq!(format_f64_17g(number), text);
        }
    }
}
