//! Commands that one connection sent together, about keys of its own (program order, a part of `linearizable`).

use std::collections::BTreeSet;

use crate::Fate;

/// One command of a pipeline about one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Wrote a value that nothing else writes.
    Write(u64, Fate),
    /// Read a value, or that there is none. A read that failed is no step.
    Read(Option<u64>),
}

/// Checks that each read answers what the writes before it, in the order sent, left. Nobody else writes the key, which
/// does not exist at first.
pub fn check_pipeline(steps: &[Step]) -> Result<(), String> {
    // A write of unknown outcome may take effect now, later or never.
    let (mut present, mut floating) = (None, BTreeSet::new());
    for (at, step) in steps.iter().enumerate() {
        match *step {
            Step::Write(value, Fate::Acknowledged) => present = Some(value),
            Step::Write(_, Fate::Refused) => {}
            Step::Write(value, Fate::Unknown) => {
                floating.insert(value);
            }
            Step::Read(value) if value == present => {}
            Step::Read(Some(value)) if floating.remove(&value) => present = Some(value),
            Step::Read(value) => {
                return Err(format!(
                    "command {at} of a pipeline read {value:?} instead of {present:?}: {steps:?}"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Step::{Read, Write};

    #[test]
    fn reads_see_the_writes_before_them() {
        let (yes, no, unknown) = (Fate::Acknowledged, Fate::Refused, Fate::Unknown);
        check_pipeline(&[Read(None), Write(1, yes), Read(Some(1)), Write(2, yes), Read(Some(2))]).unwrap();
        check_pipeline(&[Write(1, unknown), Read(None), Read(Some(1)), Write(2, no), Read(Some(1))]).unwrap();
        for wrong in [
            &[Write(1, yes), Read(None)][..],
            &[Write(1, yes), Write(2, yes), Read(Some(1))],
            &[Read(Some(1)), Write(1, yes)],
            &[Write(1, no), Read(Some(1))],
            &[Write(1, unknown), Read(Some(1)), Read(None)],
        ] {
            assert!(check_pipeline(wrong).is_err(), "{wrong:?}");
        }
    }
}
