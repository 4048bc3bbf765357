//! The search for an order of operations that explains every answer.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

/// An operation with the times of its call and of its answer.
pub(crate) trait Timed: Debug {
    /// When it was called.
    fn begin(&self) -> Duration;
    /// When it was answered; `None` if its outcome is unknown: it takes effect at any time after its call, or never.
    fn end(&self) -> Option<Duration>;
}

/// Looks for an order of all operations, which are sorted by their calls, that explains every answer: each takes effect at one
/// moment between its call and its answer (the search of Wing and Gong, 1993, with Lowe's memory of configurations, 2017).
/// `step` says what an operation makes of a state, or that its answer contradicts it. The error says how far an explanation
/// reaches.
pub(crate) fn explain<O: Timed, S: Clone + Ord + Debug>(
    ops: &[O],
    initial: S,
    step: impl Fn(&S, &O) -> Option<S>,
) -> Result<(), String> {
    Search { ops, step, seen: BTreeSet::new() }.run(initial)
}

/// How far an order of operations has come: the operations before `base` and those of `beyond` are in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Progress<S> {
    base: usize,
    beyond: BTreeSet<usize>,
    state: S,
}

struct Search<'a, O, S, F> {
    ops: &'a [O],
    step: F,
    seen: BTreeSet<Progress<S>>,
}

impl<O: Timed, S: Clone + Ord + Debug, F: Fn(&S, &O) -> Option<S>> Search<'_, O, S, F> {
    fn run(&mut self, initial: S) -> Result<(), String> {
        let mut stack = vec![Progress { base: 0, beyond: BTreeSet::new(), state: initial }];
        let mut furthest = stack[0].clone();
        while let Some(at) = stack.pop() {
            let candidates = self.candidates(&at);
            if candidates.iter().all(|i| self.ops[*i].end().is_none()) && self.is_complete(&at) {
                return Ok(());
            }
            if (at.base, at.beyond.len()) > (furthest.base, furthest.beyond.len()) {
                furthest = at.clone();
            }
            for progress in self.next(&at, &candidates) {
                if self.seen.insert(progress.clone()) {
                    stack.push(progress);
                }
            }
        }
        Err(self.describe(&furthest))
    }

    /// Where an order may go on from here.
    fn next(&self, at: &Progress<S>, candidates: &[usize]) -> Vec<Progress<S>> {
        let mut next = Vec::new();
        for i in candidates {
            let Some(state) = (self.step)(&at.state, &self.ops[*i]) else { continue };
            if state != at.state {
                next.push(Self::after(at, *i, state));
            } else if self.ops[*i].end().is_some() {
                // What changes nothing and is right about it may always come now: it can hinder nothing.
                return vec![Self::after(at, *i, state)];
            }
        }
        next
    }

    /// The operations that may come next: nothing that is still missing was over when they began.
    fn candidates(&self, at: &Progress<S>) -> Vec<usize> {
        let mut candidates: Vec<usize> = Vec::new();
        let mut first_end = Duration::MAX;
        for i in (at.base..self.ops.len()).filter(|i| !at.beyond.contains(i)) {
            if self.ops[i].begin() > first_end {
                break;
            }
            first_end = first_end.min(self.ops[i].end().unwrap_or(Duration::MAX));
            candidates.push(i);
        }
        let ops = self.ops;
        candidates.retain(|i| ops[*i].begin() <= first_end);
        candidates
    }

    fn is_complete(&self, at: &Progress<S>) -> bool {
        (at.base..self.ops.len()).all(|i| at.beyond.contains(&i) || self.ops[i].end().is_none())
    }

    fn after(at: &Progress<S>, i: usize, state: S) -> Progress<S> {
        let mut next = Progress { base: at.base, beyond: at.beyond.clone(), state };
        next.beyond.insert(i);
        while next.beyond.remove(&next.base) {
            next.base += 1;
        }
        next
    }

    fn describe(&self, furthest: &Progress<S>) -> String {
        let missing = (furthest.base..self.ops.len()).filter(|i| !furthest.beyond.contains(i));
        let lines: Vec<_> = missing.take(12).map(|i| format!("\n    {:?}", self.ops[i])).collect();
        let ops = &self.ops[furthest.base.saturating_sub(6)..furthest.base];
        let before: Vec<_> = ops.iter().map(|op| format!("\n    {op:?}")).collect();
        format!(
            "no order explains the answers; the last ones explained:{}\n  it then holds {:?}, and next would be:{}",
            before.concat(),
            furthest.state,
            lines.concat()
        )
    }
}
