//! Random picks: what HRANDFIELD, SRANDMEMBER and ZRANDMEMBER have in common.

use crate::{error::CommandError, number::parse_i64, types::sample::REPEATED_PICKS_MAX};

/// How many elements to pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count(i64);

/// In which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Picks {
    /// So many different ones, or all.
    Different(usize),
    /// So many, which may repeat.
    Repeated(usize),
}

impl Count {
    /// Reads a count; a negative one says that picks may repeat.
    pub(super) fn parse(text: &[u8]) -> Result<Self, CommandError> {
        const OUT_OF_RANGE: CommandError = CommandError::fixed(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        );
        match parse_i64(text) {
            None => Err(CommandError::NOT_AN_INTEGER),
            Some(i64::MIN) => Err(OUT_OF_RANGE),
            Some(count) => Ok(Self(count)),
        }
    }

    /// Judges a count of elements that are answered with what belongs to them, two by two.
    pub(super) fn check_pairs(self) -> Result<(), CommandError> {
        if self.0.unsigned_abs() > i64::MAX as u64 / 2 { Err(OUT_OF_RANGE) } else { Ok(()) }
    }

    /// What is to be picked from a value that exists.
    pub(super) fn picks(self) -> Result<Picks, CommandError> {
        match usize::try_from(self.0) {
            Ok(count) => Ok(Picks::Different(count)),
            Err(_) if self.0.unsigned_abs() > REPEATED_PICKS_MAX => Err(OUT_OF_RANGE),
            Err(_) => Ok(Picks::Repeated(self.0.unsigned_abs() as usize)),
        }
    }
}

const OUT_OF_RANGE: CommandError = CommandError::fixed("ERR value is out of range");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let picks = |text: &str| Count::parse(text.as_bytes()).and_then(Count::picks);
        assert_eq!(picks("3"), Ok(Picks::Different(3)));
        assert_eq!(picks("0"), Ok(Picks::Different(0)));
        assert_eq!(picks("9223372036854775807"), Ok(Picks::Different(usize::MAX / 2)));
        assert_eq!(picks("-3"), Ok(Picks::Repeated(3)));
        assert_eq!(picks("-16777217"), Err(OUT_OF_RANGE));
        assert_eq!(picks("x"), Err(CommandError::NOT_AN_INTEGER));
        assert!(picks("-9223372036854775808").is_err());
        assert!(Count::parse(b"4611686018427387903").unwrap().check_pairs().is_ok());
        assert!(Count::parse(b"4611686018427387904").unwrap().check_pairs().is_err());
    }
}
