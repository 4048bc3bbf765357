//! Registers (`linearizable`): keys that are written and read.

use std::collections::BTreeSet;
use std::time::Duration;

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

/// Looks for an order of all operations that explains every answer: each takes effect at one moment between its
/// call and its answer (the search of Wing and Gong, 1993, with Lowe's memory of configurations, 2017). The
/// register has no value at first. The error says how far an explanation reaches.
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
    Search { ops: &ops, seen: BTreeSet::new() }.run()
}

fn read_value(op: &Op) -> Option<u64> {
    match op.action {
        Action::Read(value) => value,
        Action::Write(_) => None,
    }
}

/// How far an order of operations has come: the operations before `base` and those of `beyond` are in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Progress {
    base: usize,
    beyond: BTreeSet<usize>,
    value: Option<u64>,
}

struct Search<'a> {
    ops: &'a [Op],
    seen: BTreeSet<Progress>,
}

impl Search<'_> {
    fn run(&mut self) -> Result<(), String> {
        let mut stack = vec![Progress { base: 0, beyond: BTreeSet::new(), value: None }];
        let mut furthest = stack[0].clone();
        while let Some(at) = stack.pop() {
            let candidates = self.candidates(&at);
            if candidates.iter().all(|i| self.ops[*i].end.is_none()) && self.is_complete(&at) {
                return Ok(());
            }
            if (at.base, at.beyond.len()) > (furthest.base, furthest.beyond.len()) {
                furthest = at.clone();
            }
            // A read of the present value may always come now: it can hinder nothing.
            let free = candidates.iter().find(|i| self.ops[**i].action == Action::Read(at.value));
            let next: Vec<usize> = match free {
                Some(i) => vec![*i],
                None => candidates
                    .into_iter()
                    .filter(|i| matches!(self.ops[*i].action, Action::Write(_)))
                    .collect(),
            };
            for i in next {
                let progress = self.after(&at, i);
                if self.seen.insert(progress.clone()) {
                    stack.push(progress);
                }
            }
        }
        Err(self.describe(&furthest))
    }

    /// The operations that may come next: nothing that is still missing was over when they began.
    fn candidates(&self, at: &Progress) -> Vec<usize> {
        let mut candidates: Vec<usize> = Vec::new();
        let mut first_end = Duration::MAX;
        for i in (at.base..self.ops.len()).filter(|i| !at.beyond.contains(i)) {
            if self.ops[i].begin > first_end {
                break;
            }
            first_end = first_end.min(self.ops[i].end.unwrap_or(Duration::MAX));
            candidates.push(i);
        }
        let ops = self.ops;
        candidates.retain(|i| ops[*i].begin <= first_end);
        candidates
    }

    fn is_complete(&self, at: &Progress) -> bool {
        (at.base..self.ops.len()).all(|i| at.beyond.contains(&i) || self.ops[i].end.is_none())
    }

    fn after(&self, at: &Progress, i: usize) -> Progress {
        let mut next = at.clone();
        if let Action::Write(value) = self.ops[i].action {
            next.value = Some(value);
        }
        next.beyond.insert(i);
        while next.beyond.remove(&next.base) {
            next.base += 1;
        }
        next
    }

    fn describe(&self, furthest: &Progress) -> String {
        let missing = (furthest.base..self.ops.len()).filter(|i| !furthest.beyond.contains(i));
        let lines: Vec<_> = missing.take(12).map(|i| format!("\n    {:?}", self.ops[i])).collect();
        let ops = &self.ops[furthest.base.saturating_sub(6)..furthest.base];
        let before: Vec<_> = ops.iter().map(|op| format!("\n    {op:?}")).collect();
        format!(
            "no order explains the answers; the last ones explained:{}\n  the register then holds {:?}, and next would be:{}",
            before.concat(),
            furthest.value,
            lines.concat()
        )
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
