//! Rounding an exact number to a binary format: to nearest, ties to even (IEEE 754, section 4.3.1).

use num_bigint::BigUint;

use super::scan::Magnitude;

/// A binary floating point format: a finite number is `mantissa × 2^exponent`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    /// Bits of the mantissa, the leading one included.
    pub(super) mantissa_bits: i32,
    /// Exponent of the smallest denormal number.
    pub(super) exponent_min: i32,
    /// Exponent of the largest finite number.
    pub(super) exponent_max: i32,
}

/// `double`.
pub(super) const BINARY64: Format = Format { mantissa_bits: 53, exponent_min: -1074, exponent_max: 971 };
/// The 80-bit format of the x87: `long double` where most Redis servers run.
pub(super) const EXTENDED80: Format = Format { mantissa_bits: 64, exponent_min: -16445, exponent_max: 16320 };

/// What rounding leaves of a number that is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounded {
    /// Smaller than half of the smallest number.
    Underflow,
    /// `mantissa × 2^exponent`; the mantissa's leading bit is set unless the number is denormal.
    Finite { mantissa: u64, exponent: i32 },
    /// Larger than the largest number.
    Overflow,
}

/// Rounds `mantissa × 2^exponent`; `sticky` says that a positive amount below one unit was cut off.
///
/// A caller that sets `sticky` gives at least two bits more than the format keeps.
pub(super) fn round(format: Format, mantissa: u128, exponent: i32, sticky: bool) -> Rounded {
    assert!(mantissa != 0, "zero has no leading bit to round at");
    let bits = (u128::BITS - mantissa.leading_zeros()) as i32;
    let surplus = (bits - format.mantissa_bits).max(format.exponent_min - exponent);
    if surplus <= 0 {
        assert!(!sticky, "bits were cut that the format could have kept");
        let raised = (format.mantissa_bits - bits).min(exponent - format.exponent_min);
        return finite(format, mantissa << raised, exponent - raised);
    }
    if surplus > u128::BITS as i32 {
        return Rounded::Underflow;
    }
    let half = 1u128 << (surplus - 1);
    let kept = mantissa.checked_shr(surplus as u32).unwrap_or(0);
    let cut = mantissa & (half | (half - 1));
    let up = cut > half || (cut == half && (sticky || kept & 1 == 1));
    finite(format, kept + u128::from(up), exponent + surplus)
}

/// Folds the carry of rounding up into the exponent.
fn finite(format: Format, mantissa: u128, exponent: i32) -> Rounded {
    let carried = mantissa >> format.mantissa_bits != 0;
    let (mantissa, exponent) = if carried { (mantissa >> 1, exponent + 1) } else { (mantissa, exponent) };
    if exponent > format.exponent_max {
        return Rounded::Overflow;
    }
    match u64::try_from(mantissa).expect("a mantissa has at most 64 bits") {
        0 => Rounded::Underflow,
        mantissa => Rounded::Finite { mantissa, exponent },
    }
}

/// Rounds scanned digits, at least one of which is not zero.
///
/// Costs the square of the number of digits: callers bound the text's length.
pub(super) fn round_scanned(format: Format, magnitude: &Magnitude<'_>) -> Rounded {
    let Magnitude::Finite { hexadecimal, whole, fraction, exponent } = magnitude else {
        return Rounded::Overflow;
    };
    let digits: Vec<u8> = whole.iter().chain(*fraction).copied().skip_while(|digit| *digit == b'0').collect();
    let significant = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    let places = fraction.len() as i64 - (digits.len() - significant) as i64;
    let radix = if *hexadecimal { 16 } else { 10 };
    let number = BigUint::parse_bytes(&digits[..significant], radix).expect("the scanner takes only digits");
    if *hexadecimal {
        round_ratio(format, &number, &BigUint::from(1u8), exponent - 4 * places)
    } else {
        round_decimal(format, &number, significant, exponent - places)
    }
}

/// Rounds `number × 10^exponent`, where `number` has `digits` decimal digits.
fn round_decimal(format: Format, number: &BigUint, digits: usize, exponent: i64) -> Rounded {
    // No power of ten is computed for what no format of at most 16 bits of exponent can hold.
    let magnitude = exponent + digits as i64;
    if magnitude > 5_000 {
        return Rounded::Overflow;
    }
    if magnitude < -5_000 {
        return Rounded::Underflow;
    }
    let power = BigUint::from(10u8).pow(exponent.unsigned_abs() as u32);
    if exponent >= 0 {
        round_ratio(format, &(number * power), &BigUint::from(1u8), 0)
    } else {
        round_ratio(format, number, &power, 0)
    }
}

/// Rounds `numerator / denominator × 2^exponent`.
fn round_ratio(format: Format, numerator: &BigUint, denominator: &BigUint, exponent: i64) -> Rounded {
    // Enough quotient bits to round by, and few enough for 128 bits.
    const QUOTIENT_BITS: i64 = 100;
    let lifted = QUOTIENT_BITS - (numerator.bits() as i64 - denominator.bits() as i64);
    let (numerator, denominator) = if lifted >= 0 {
        (numerator << lifted as u64, denominator.clone())
    } else {
        (numerator.clone(), denominator << lifted.unsigned_abs())
    };
    let quotient = &numerator / &denominator;
    let sticky = &quotient * &denominator != numerator;
    let quotient = u128::try_from(&quotient).expect("the quotient has 100 or 101 bits");
    match exponent - lifted {
        exponent if exponent > 100_000 => Rounded::Overflow,
        exponent if exponent < -100_000 => Rounded::Underflow,
        exponent => round(format, quotient, exponent as i32, sticky),
    }
}
