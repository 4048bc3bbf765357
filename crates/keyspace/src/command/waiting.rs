//! What all commands that wait for a key have in common; those on sorted sets and streams.

pub(super) mod sorted_sets;
pub(super) mod streams;

use crate::{
    error::CommandError,
    number::{parse_f64, parse_i64},
};

type Outcome = Result<(), CommandError>;

const NEGATIVE: CommandError = CommandError::fixed("ERR timeout is negative");
const OUT_OF_RANGE: CommandError = CommandError::fixed("ERR timeout is out of range");

/// A time to wait in seconds, with a fraction, as milliseconds; 0 is for ever.
pub(super) fn seconds(text: &[u8]) -> Result<u64, CommandError> {
    const NOT_A_TIME: CommandError = CommandError::fixed("ERR timeout is not a float or out of range");
    /// The least number of milliseconds that a signed 64-bit integer does not hold.
    const TOO_LONG: f64 = 9_223_372_036_854_775_808.0;
    let ms = parse_f64(text).ok_or(NOT_A_TIME)? * 1000.0;
    if ms >= TOO_LONG {
        return Err(OUT_OF_RANGE);
    }
    // Any part of a millisecond counts as a whole one.
    let whole = ms as i64;
    let rounded = whole.saturating_add(i64::from(whole as f64 != ms && ms > 0.0));
    not_negative(rounded)
}

/// A time to wait in whole milliseconds; 0 is for ever.
pub(super) fn milliseconds(text: &[u8]) -> Result<u64, CommandError> {
    const NOT_A_TIME: CommandError = CommandError::fixed("ERR timeout is not an integer or out of range");
    not_negative(parse_i64(text).ok_or(NOT_A_TIME)?)
}

fn not_negative(ms: i64) -> Result<u64, CommandError> {
    u64::try_from(ms).map_err(|_| NEGATIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_judged_as_redis_judges_them() {
        let cases = [
            ("0", Ok(0)),
            ("1", Ok(1000)),
            ("0.001", Ok(1)),
            ("0.0001", Ok(1)),
            ("1.5", Ok(1500)),
            ("-0.0001", Ok(0)),
            ("-1", Err("ERR timeout is negative")),
            ("-inf", Err("ERR timeout is negative")),
            ("1e30", Err("ERR timeout is out of range")),
            ("inf", Err("ERR timeout is out of range")),
            ("nan", Err("ERR timeout is not a float or out of range")),
            ("abc", Err("ERR timeout is not a float or out of range")),
            ("", Err("ERR timeout is not a float or out of range")),
        ];
        for (text, expected) in cases {
            let found = seconds(text.as_bytes());
            assert_eq!(
                found.as_ref().map_err(CommandError::text),
                expected.as_ref().map_err(|text| *text),
                "{text}"
            );
        }
        assert_eq!(milliseconds(b"1500"), Ok(1500));
        assert_eq!(milliseconds(b"1.5").unwrap_err().text(), "ERR timeout is not an integer or out of range");
        assert_eq!(milliseconds(b"-1").unwrap_err().text(), "ERR timeout is negative");
    }
}
