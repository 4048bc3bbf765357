//! Writes that are made once, each of something that no other write makes (`no-lost-ack`, `honest-errors`).

use std::fmt;

use crate::{Fate, Promise, Violation};

/// Compares what a client was told of a write with whether it is there in the end: none if both fit.
pub fn check_unique(write: impl fmt::Display, fate: Fate, is_there: bool) -> Option<Violation> {
    match (fate, is_there) {
        (Fate::Acknowledged, false) => Some(Violation::new(
            Promise::NoLostAck,
            format!("{write} was acknowledged, and is not there any more"),
        )),
        (Fate::Refused, true) => Some(Violation::new(
            Promise::HonestErrors,
            format!("{write} was answered as not applied, and is there"),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_must_hold() {
        let promise = |fate, there| check_unique("w", fate, there).map(|violation| violation.promise);
        assert_eq!(promise(Fate::Acknowledged, true), None);
        assert_eq!(promise(Fate::Acknowledged, false), Some(Promise::NoLostAck));
        assert_eq!(promise(Fate::Refused, true), Some(Promise::HonestErrors));
        assert_eq!(promise(Fate::Refused, false), None);
        assert_eq!((promise(Fate::Unknown, true), promise(Fate::Unknown, false)), (None, None));
    }
}
