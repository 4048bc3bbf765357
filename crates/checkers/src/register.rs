//! Registers (`linearizable`): keys that are written and read.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::search::{Timed, explain};

/// What an operation on a register did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Wrote a value. No two writes of a register write the same.
    Write(u64),
    /// Read a value, or that there is none.
    Read(Option<u64>),
}

/// An operation on a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op {
    /// When it was called.
    pub begin: Duration,
    /// When it was answered; `None` if its outcome is unknown.
    pub end: Option<Duration>,
    /// What it did.
    pub action: Action,
}

impl Op {
    /// Whether it was over when `other` began.
    fn is_before(&self, other: &Self) -> bool {
        self.end.is_some_and(|end| end < other.begin)
    }
}

impl Timed for Op {
    fn begin(&self) -> Duration {
        self.begin
    }

    fn end(&self) -> Option<Duration> {
        self.end
    }
}

/// Looks for an order of all operations that explains every answer: each takes effect at one moment between its
/// call and its answer. The register has no value at first. The error says how far an explanation reaches.
pub fn check_register(ops: &[Op]) -> Result<(), String> {
    let read: BTreeSet<u64> = ops.iter().filter_map(read_value).collect();
    // What nobody has seen of an unknown outcome explains nothing and contradicts nothing.
    let matters = |op: &&Op| match op.action {
        Action::Write(value) => op.end.is_some() || read.contains(&value),
        Action::Read(_) => op.end.is_some(),
    };
    let mut ops: Vec<Op> = ops.iter().filter(matters).copied().collect();
    ops.sort_by_key(|op| (op.begin, op.end));
    let mut writes = BTreeSet::new();
    for op in &ops {
        if let Action::Write(value) = op.action {
            assert!(writes.insert(value), "two writes of {value}");
        }
    }
    if let Some(op) = ops.iter().find(|op| read_value(op).is_some_and(|value| !writes.contains(&value))) {
        return Err(format!("{op:?} read what nobody can have written"));
    }
    explain(&ops, None, |value, op| match op.action {
        Action::Write(written) => Some(Some(written)),
        Action::Read(read) => (read == *value).then_some(*value),
    })
}

fn read_value(op: &Op) -> Option<u64> {
    match op.action {
        Action::Read(value) => value,
        Action::Write(_) => None,
    }
}

/// Whether some operation of a register was over before another began: a history without such pairs proves
/// nothing.
pub fn has_order(ops: &[Op]) -> bool {
    ops.iter().any(|op| ops.iter().any(|other| op.is_before(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(begin: u64, end: u64, action: Action) -> Op {
        let end = (end > 0).then(|| Duration::from_millis(end));
        Op { begin: Duration::from_millis(begin), end, action }
    }

    use Action::{Read, Write};

    #[test]
    fn what_can_be_explained_is_accepted() {
        let concurrent =
            [op(0, 10, Write(1)), op(1, 9, Write(2)), op(11, 12, Read(Some(1))), op(2, 5, Read(None))];
        check_register(&concurrent).unwrap();
        let late = [op(0, 0, Write(1)), op(5, 6, Read(None)), op(7, 8, Write(2)), op(9, 10, Read(Some(1)))];
        check_register(&late).unwrap();
        let never_seen = [op(0, 0, Write(1)), op(5, 6, Read(None)), op(7, 0, Read(Some(9)))];
        assert!(check_register(&never_seen[..2]).is_ok());
    }

    #[test]
    fn what_cannot_be_is_found() {
        let stale = [op(0, 1, Write(1)), op(2, 3, Write(2)), op(4, 5, Read(Some(1)))];
        let lost = [op(0, 1, Write(1)), op(2, 3, Read(None))];
        let invented = [op(0, 1, Write(1)), op(2, 3, Read(Some(7)))];
        let back = [op(0, 0, Write(1)), op(2, 3, Read(Some(1))), op(4, 5, Read(None))];
        let flicker = [
            op(0, 20, Write(1)),
            op(0, 20, Write(2)),
            op(1, 2, Read(Some(1))),
            op(3, 4, Read(Some(2))),
            op(5, 6, Read(Some(1))),
        ];
        for history in [&stale[..], &lost, &invented, &back, &flicker] {
            assert!(check_register(history).is_err(), "{history:?}");
        }
    }

    /// Random histories that were made from an order are accepted; with one read falsified they mostly are not.
    #[test]
    fn made_from_an_order_is_accepted() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut found = 0;
        for _ in 0..200 {
            let (mut ops, mut value) = (Vec::new(), None);
            for moment in 1..60_u64 {
                let (before, after) = (rng.u64(1..40), rng.u64(1..40));
                let end = if rng.u8(..10) == 0 { 0 } else { 1000 + moment * 10 + after };
                let action = if rng.bool() { Write(moment) } else { Read(value) };
                if let Write(written) = action {
                    value = Some(written);
                }
                ops.push(op(1000 + moment * 10 - before, end, action));
            }
            check_register(&ops).unwrap();
            let read =
                ops.iter().rposition(|op| matches!(op.action, Read(Some(_))) && op.end.is_some()).unwrap();
            ops[read].action = Read(ops.iter().find_map(read_value));
            found += usize::from(check_register(&ops).is_err());
        }
        assert!(found > 150, "{found}");
    }
}
