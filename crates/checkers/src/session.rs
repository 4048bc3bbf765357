//! What one connection to a follower wrote and read (`session-reads`).

use std::time::Duration;

use crate::{Promise, Violation};

/// An answer about a counter that only grows, on a connection that lets a follower answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When it was answered.
    pub at: Duration,
    /// Whether it was an increment by one, and not a read.
    pub increments: bool,
    /// The counter's value in the answer.
    pub value: u64,
}

/// Checks the answers about one counter on one connection, in their order: none is older than one before it.
pub fn check_session(steps: &[Step]) -> Result<(), Violation> {
    for pair in steps.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        if after.value < before.value || after.increments && after.value == before.value {
            let kind = if before.increments { "its own write" } else { "its own read" };
            return Err(Violation::new(
                Promise::SessionReads,
                format!("{after:?} is older than {kind} before it, {before:?}"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(increments: bool, value: u64) -> Step {
        Step { at: Duration::ZERO, increments, value }
    }

    #[test]
    fn a_session_never_goes_back() {
        check_session(&[]).unwrap();
        check_session(&[step(false, 3), step(true, 5), step(false, 5), step(false, 9)]).unwrap();
        for steps in [
            [step(true, 5), step(false, 4)],
            [step(false, 5), step(false, 4)],
            [step(false, 5), step(true, 5)],
        ] {
            assert_eq!(check_session(&steps).unwrap_err().promise, Promise::SessionReads, "{steps:?}");
        }
    }
}
