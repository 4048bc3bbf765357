//! Counters (`linearizable`): keys that are only ever incremented by one.

use std::collections::BTreeMap;
use std::time::Duration;

/// An answered operation on a counter that only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// When it was called.
    pub begin: Duration,
    /// When it was answered.
    pub end: Duration,
    /// Whether it was an increment by one, and not a read.
    pub increments: bool,
    /// What it answered.
    pub value: u64,
}

/// Checks that no two increments answered the same, and that nothing answered less than what had been answered
/// before it began.
pub fn check_counter(ops: &[Count]) -> Result<(), String> {
    let mut increments: BTreeMap<u64, &Count> = BTreeMap::new();
    for op in ops.iter().filter(|op| op.increments) {
        if let Some(other) = increments.insert(op.value, op) {
            return Err(format!("two increments answered the same: {other:?} and {op:?}"));
        }
    }
    let (mut by_begin, mut by_end): (Vec<&Count>, Vec<&Count>) = (ops.iter().collect(), ops.iter().collect());
    by_begin.sort_by_key(|op| op.begin);
    by_end.sort_by_key(|op| op.end);
    let mut over = by_end.into_iter().peekable();
    let mut largest: Option<&Count> = None;
    for op in by_begin {
        while let Some(before) = over.next_if(|other| other.end < op.begin) {
            if largest.is_none_or(|l| l.value < before.value) {
                largest = Some(before);
            }
        }
        if let Some(before) = largest
            && (op.value < before.value || (op.increments && op.value == before.value))
        {
            return Err(format!(
                "{op:?} answered an older value than {before:?}, which was over when it began"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_only_grow() {
        let count = |begin, end, increments, value| Count {
            begin: Duration::from_millis(begin),
            end: Duration::from_millis(end),
            increments,
            value,
        };
        check_counter(&[
            count(0, 5, true, 2),
            count(1, 4, true, 1),
            count(6, 7, false, 2),
            count(8, 9, true, 4),
        ])
        .unwrap();
        assert!(check_counter(&[count(0, 5, true, 1), count(1, 4, true, 1)]).is_err());
        assert!(check_counter(&[count(0, 1, true, 5), count(2, 3, false, 4)]).is_err());
        assert!(check_counter(&[count(0, 1, false, 5), count(2, 3, true, 5)]).is_err());
    }
}
