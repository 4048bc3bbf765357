//! The 80-bit extended float in software: what INCRBYFLOAT and HINCRBYFLOAT compute with (R12).
//!
//! Redis adds with C's `long double`, which on x86-64 is the x87 format with 64 bits of mantissa, and prints
//! with 17 decimals. That is why 0.1 + 0.2 is 0.3 there, and why a `double` would not do.

use num_bigint::BigUint;

use super::rounding::{EXTENDED80, Rounded, round, round_scanned};
use super::scan::{Magnitude, scan};

/// Longest text read as an extended float, in bytes (Redis's buffer of 5 KiB with its terminator).
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;
/// Decimals printed before trailing zeros go.
const DECIMALS: usize = 17;
const DECIMALS_SCALE: u128 = 10u128.pow(DECIMALS as u32);

/// An extended float that is not NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extended {
    /// Plus or minus infinity.
    Infinite {
        /// Whether it is minus infinity.
        negative: bool,
    },
    /// `±mantissa × 2^exponent`; the mantissa's leading bit is set unless the number is zero or denormal.
    Finite {
        /// The sign; zero has one too.
        negative: bool,
        /// 64 bits, the leading one explicit.
        mantissa: u64,
        /// Of the mantissa's last bit.
        exponent: i32,
    },
}

/// Why INCRBYFLOAT or HINCRBYFLOAT failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncrementError {
    /// One of the two texts is not a number: `ERR value is not a valid float`.
    NotAFloat,
    /// The sum is not finite: `ERR increment would produce NaN or Infinity`.
    NotFinite,
}

/// Adds two texts as INCRBYFLOAT does and gives the text of the sum.
///
/// # Errors
/// See [`IncrementError`].
pub fn increment_by_float(value: &[u8], increment: &[u8]) -> Result<String, IncrementError> {
    let value = Extended::parse(value).ok_or(IncrementError::NotAFloat)?;
    let increment = Extended::parse(increment).ok_or(IncrementError::NotAFloat)?;
    let sum = value.plus(increment).and_then(Extended::format_human);
    sum.ok_or(IncrementError::NotFinite)
}

impl Extended {
    /// Reads what C's `strtold` reads, correctly rounded: decimal, hexadecimal (`0x1.8p3`), `inf`,
    /// `infinity`.
    ///
    /// `None` for NaN, blanks, trailing text, an overflow, an underflow to zero, and texts of 5120 bytes or
    /// more.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let scanned = scan(text)?;
        let negative = scanned.negative;
        if scanned.magnitude == Magnitude::Infinite {
            return Some(Self::Infinite { negative });
        }
        if scanned.is_zero() {
            return Some(Self::zero(negative));
        }
        match round_scanned(EXTENDED80, &scanned.magnitude) {
            Rounded::Finite { mantissa, exponent } => Some(Self::Finite { negative, mantissa, exponent }),
            Rounded::Underflow | Rounded::Overflow => None,
        }
    }

    /// Whether this is plus or minus infinity.
    #[must_use]
    pub fn is_infinite(self) -> bool {
        matches!(self, Self::Infinite { .. })
    }

    /// The sum, rounded to nearest, ties to even; `None` when it is NaN (infinities of opposite signs).
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Infinite { negative: a }, Self::Infinite { negative: b }) => (a == b).then_some(self),
            (Self::Infinite { .. }, Self::Finite { .. }) => Some(self),
            (Self::Finite { .. }, Self::Infinite { .. }) => Some(other),
            (
                Self::Finite { negative: sign_a, mantissa: a, exponent: exponent_a },
                Self::Finite { negative: sign_b, mantissa: b, exponent: exponent_b },
            ) => {
                // The larger exponent first; denormal numbers and zero have the smallest.
                let sum = if (exponent_a, a) >= (exponent_b, b) {
                    add_finite((sign_a, a, exponent_a), (sign_b, b, exponent_b))
                } else {
                    add_finite((sign_b, b, exponent_b), (sign_a, a, exponent_a))
                };
                Some(sum)
            }
        }
    }

    /// The text Redis shows: 17 decimals, rounded half to even, without trailing zeros; `None` when infinite.
    #[must_use]
    pub fn format_human(self) -> Option<String> {
        let Self::Finite { negative, mantissa, exponent } = self else {
            return None;
        };
        let magnitude = if exponent < 0 {
            format_fraction(mantissa, exponent.unsigned_abs())
        } else {
            (BigUint::from(mantissa) << exponent).to_string()
        };
        Some(if negative && magnitude != "0" { format!("-{magnitude}") } else { magnitude })
    }

    fn zero(negative: bool) -> Self {
        Self::Finite { negative, mantissa: 0, exponent: EXTENDED80.exponent_min }
    }
}

/// Adds `small` to `large`, whose magnitude is not smaller.
fn add_finite(large: (bool, u64, i32), small: (bool, u64, i32)) -> Extended {
    /// Room below the larger mantissa: one bit stays free above it for the carry.
    const GUARD_BITS: u32 = 63;
    let (negative, large_mantissa, large_exponent) = large;
    let (small_negative, small_mantissa, small_exponent) = small;
    let distance = large_exponent.abs_diff(small_exponent);
    let wide_large = u128::from(large_mantissa) << GUARD_BITS;
    let wide_small = u128::from(small_mantissa) << GUARD_BITS;
    // What falls off the end is kept as a set last bit. More than 60 guard bits remain above it after any
    // cancellation it takes part in, so it decides ties and nothing else.
    let mut shifted = wide_small.checked_shr(distance).unwrap_or(0);
    if small_mantissa != 0 && distance > wide_small.trailing_zeros() {
        shifted |= 1;
    }
    let sum = if negative == small_negative { wide_large + shifted } else { wide_large - shifted };
    if sum == 0 {
        // IEEE 754, section 6.3: an exact cancellation is +0; the sum of two zeros of one sign keeps it.
        return Extended::zero(negative && small_negative);
    }
    match round(EXTENDED80, sum, large_exponent - GUARD_BITS as i32, false) {
        Rounded::Finite { mantissa, exponent } => Extended::Finite { negative, mantissa, exponent },
        Rounded::Overflow => Extended::Infinite { negative },
        Rounded::Underflow => unreachable!("a sum of numbers is a multiple of the smallest number"),
    }
}

/// The text of `mantissa / 2^shift` with up to 17 decimals.
fn format_fraction(mantissa: u64, shift: u32) -> String {
    // Below 2^64 × 10^17 < 2^121.
    let scaled = u128::from(mantissa) * DECIMALS_SCALE;
    let rounded = if shift < u128::BITS {
        let half = 1u128 << (shift - 1);
        let kept = scaled >> shift;
        let cut = scaled & (half | (half - 1));
        kept + u128::from(cut > half || (cut == half && kept & 1 == 1))
    } else {
        0
    };
    let (whole, decimals) = (rounded / DECIMALS_SCALE, rounded % DECIMALS_SCALE);
    if decimals == 0 {
        return whole.to_string();
    }
    let mut text = format!("{whole}.{decimals:0width$}", width = DECIMALS);
    text.truncate(text.trim_end_matches('0').len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(value: &str, increment: &str) -> String {
        increment_by_float(value.as_bytes(), increment.as_bytes()).unwrap()
    }

    #[test]
    fn sums_are_what_people_expect() {
        assert_eq!(sum("0.1", "0.2"), "0.3");
        assert_eq!(sum("10.50", "0.1"), "10.6");
        assert_eq!(sum("10.6", "-5"), "5.6");
        assert_eq!(sum("5.0e3", "2.0e2"), "5200");
        assert_eq!(sum("3.0e3", "0"), "3000");
        assert_eq!(sum("1", "-1"), "0");
        assert_eq!(sum("-1e-18", "0"), "0");
        assert_eq!(sum("0x1.8p1", "0x.8"), "3.5");
        assert_eq!(sum("1e20", "1"), "100000000000000000000");
    }

    #[test]
    fn what_is_not_a_finite_number_is_refused() {
        for text in [
            "", " 1", "1 ", "nan", "NAN(1)", "1e", "1e+", ".", "0x", "0x.p1", "1_0", "1e5000", "1e-5000", "-",
        ] {
            assert_eq!(increment_by_float(b"1", text.as_bytes()), Err(IncrementError::NotAFloat), "{text:?}");
            assert_eq!(increment_by_float(text.as_bytes(), b"1"), Err(IncrementError::NotAFloat), "{text:?}");
        }
        for (value, increment) in [("1", "inf"), ("-Infinity", "1"), ("inf", "-inf"), ("1e4932", "1e4932")] {
            let outcome = increment_by_float(value.as_bytes(), increment.as_bytes());
            assert_eq!(outcome, Err(IncrementError::NotFinite), "{value} + {increment}");
        }
        assert!(Extended::parse(&[b'1'; TEXT_BYTES_MAX]).is_none(), "overflows");
        assert!(Extended::parse(&[b'0'; TEXT_BYTES_MAX]).is_some());
        assert!(Extended::parse(&[b'0'; TEXT_BYTES_MAX + 1]).is_none());
    }

    #[test]
    fn the_ends_of_the_range_are_exact() {
        // (2^64 - 1) × 2^16320, and half a unit above it.
        assert_eq!(
            Extended::parse(b"0xffffffffffffffffp16320"),
            Some(Extended::Finite { negative: false, mantissa: u64::MAX, exponent: 16320 })
        );
        assert_eq!(Extended::parse(b"0xffffffffffffffff8p16316"), None);
        assert!(Extended::parse(b"0xffffffffffffffff7fp16312").is_some());
        // The smallest denormal number, and its half.
        assert_eq!(
            Extended::parse(b"0x1p-16445"),
            Some(Extended::Finite { negative: false, mantissa: 1, exponent: -16445 })
        );
        assert_eq!(Extended::parse(b"0x1p-16446"), None, "a tie goes to even, which is zero");
        assert!(Extended::parse(b"0x1.01p-16446").is_some());
        assert!(Extended::parse(b"3.6e-4951").is_some());
    }
}
