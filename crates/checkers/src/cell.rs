//! Cells (`linearizable`): members of sets, fields of hashes, bits: what is set, taken away and asked for, each with an answer
//! about what was there before.

use std::time::Duration;

use crate::search::{Timed, explain};

/// What an operation does with a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellAct {
    /// Puts a value in, whatever is there (SADD, HSET, ZADD, SETBIT to 1).
    Put(u64),
    /// Puts a value in if nothing is there (HSETNX, ZADD NX).
    PutIfEmpty(u64),
    /// Takes out what is there (SREM, HDEL, ZREM, SETBIT to 0).
    Take,
    /// Looks (SISMEMBER, HGET, ZSCORE, GETBIT).
    Look,
}

/// What its answer told of the cell as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Whether anything was there.
    WasThere(bool),
    /// What was there.
    Held(Option<u64>),
}

/// An operation on a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellOp {
    /// When it was called.
    pub begin: Duration,
    /// When it was answered; `None` if its outcome is unknown.
    pub end: Option<Duration>,
    /// What it did.
    pub act: CellAct,
    /// What it told; of no meaning if its outcome is unknown.
    pub told: Told,
}

impl Timed for CellOp {
    fn begin(&self) -> Duration {
        self.begin
    }

    fn end(&self) -> Option<Duration> {
        self.end
    }
}

impl CellOp {
    /// What it makes of a cell; `None` if its answer contradicts what is there.
    fn step(&self, held: Option<u64>) -> Option<Option<u64>> {
        let is_right = match self.told {
            Told::WasThere(there) => there == held.is_some(),
            Told::Held(value) => value == held,
        };
        if self.end.is_some() && !is_right {
            return None;
        }
        Some(match self.act {
            CellAct::Put(value) => Some(value),
            CellAct::PutIfEmpty(value) => held.or(Some(value)),
            CellAct::Take => None,
            CellAct::Look => held,
        })
    }
}

/// Looks for an order of all operations that explains every answer: each takes effect at one moment between its call and its
/// answer. The cell holds `initial` at first. The error says how far an explanation reaches.
pub fn check_cell(initial: Option<u64>, ops: &[CellOp]) -> Result<(), String> {
    let mut ops: Vec<CellOp> =
        ops.iter().filter(|op| op.end.is_some() || op.act != CellAct::Look).copied().collect();
    ops.sort_by_key(|op| (op.begin, op.end));
    explain(&ops, initial, |held, op| op.step(*held))
}

#[cfg(test)]
mod tests {
    use super::*;
    use CellAct::{Look, Put, PutIfEmpty, Take};
    use Told::{Held, WasThere};

    fn op(begin: u64, end: u64, act: CellAct, told: Told) -> CellOp {
        let end = (end > 0).then(|| Duration::from_millis(end));
        CellOp { begin: Duration::from_millis(begin), end, act, told }
    }

    #[test]
    fn what_can_be_explained_is_accepted() {
        let plain = [
            op(0, 1, Put(1), WasThere(false)),
            op(2, 3, PutIfEmpty(2), WasThere(true)),
            op(4, 5, Look, Held(Some(1))),
            op(6, 7, Take, WasThere(true)),
            op(8, 9, Take, WasThere(false)),
            op(10, 11, PutIfEmpty(3), WasThere(false)),
            op(12, 13, Put(4), Held(Some(3))),
        ];
        check_cell(None, &plain).unwrap();
        let unknown =
            [op(0, 0, Put(1), WasThere(false)), op(5, 6, Look, Held(None)), op(7, 8, Look, Held(Some(1)))];
        check_cell(None, &unknown).unwrap();
        check_cell(Some(7), &[op(0, 1, Take, Held(Some(7)))]).unwrap();
        let together = [op(0, 9, Take, WasThere(true)), op(1, 8, Put(1), WasThere(false))];
        check_cell(None, &together).unwrap();
    }

    #[test]
    fn what_cannot_be_is_found() {
        let histories: [&[CellOp]; 6] = [
            &[op(0, 1, Put(1), WasThere(true))],
            &[op(0, 1, Put(1), WasThere(false)), op(2, 3, Look, WasThere(false))],
            // Both were told that they were first, and both that they took it away.
            &[op(0, 9, PutIfEmpty(1), WasThere(false)), op(1, 8, PutIfEmpty(2), WasThere(false))],
            &[
                op(0, 1, Put(1), WasThere(false)),
                op(2, 9, Take, WasThere(true)),
                op(3, 8, Take, WasThere(true)),
            ],
            &[op(0, 0, Take, WasThere(true)), op(1, 2, Look, Held(Some(3)))],
            &[op(0, 0, Put(1), WasThere(false)), op(1, 2, Look, Held(Some(1))), op(3, 4, Look, Held(None))],
        ];
        for history in histories {
            assert!(check_cell(None, history).is_err(), "{history:?}");
        }
    }
}
