//! Queues (`no-lost-ack`, `linearizable`, `honest-errors`): elements that are pushed once each, and popped by who waits for
//! them or not. None is lost, and none comes twice (R17).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Fate, Promise, Violation};

/// What an operation on a queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueAct {
    /// Puts in elements that nobody else puts in, in this order.
    Push(Vec<u64>),
    /// Takes out up to so many.
    Pop(usize),
    /// Takes one out and puts it into the other place of the same queue (BLMOVE).
    Move,
}

/// An operation on a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueOp {
    /// When it was called.
    pub begin: Duration,
    /// When it was answered; of no meaning if its outcome is unknown.
    pub end: Duration,
    /// What its client was told.
    pub fate: Fate,
    /// What it does.
    pub act: QueueAct,
    /// What an acknowledged pop or move answered.
    pub got: Vec<u64>,
}

/// All that is known of one queue.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    /// What clients did.
    pub ops: Vec<QueueOp>,
    /// What is left in the end.
    pub left: Vec<u64>,
    /// What is in the other place in the end: it was moved, and nothing pops there.
    pub moved: Vec<u64>,
    /// Whether what is pushed first is popped first.
    pub in_order: bool,
    /// Whether there is one place to pop from: nobody is told that there is nothing while there is something.
    pub one_place: bool,
}

/// What became of one element.
#[derive(Debug, Clone, Copy)]
struct Element {
    push: usize,
    /// The operation that took it out.
    taken: Option<usize>,
    is_left: bool,
    is_moved: bool,
}

/// Checks that each element went one way: it was taken out once, or is still there, or may have been taken out by an operation
/// whose outcome is unknown; that those in order came in order; and that nobody went empty-handed past an element.
#[must_use]
pub fn check_queue(queue: &Queue) -> Vec<Violation> {
    let mut elements = match pushed(&queue.ops) {
        Ok(elements) => elements,
        Err(violation) => return vec![violation],
    };
    let mut violations = follow(queue, &mut elements);
    violations.extend(lost(queue, &elements));
    if violations.is_empty() {
        violations.extend(passed_over(queue, &elements));
    }
    violations
}

fn broken(promise: Promise, what: String) -> Violation {
    Violation::new(promise, what)
}

fn pushed(ops: &[QueueOp]) -> Result<BTreeMap<u64, Element>, Violation> {
    let mut elements = BTreeMap::new();
    for (push, op) in ops.iter().enumerate() {
        let QueueAct::Push(values) = &op.act else { continue };
        for value in values {
            let element = Element { push, taken: None, is_left: false, is_moved: false };
            assert!(elements.insert(*value, element).is_none(), "{value} is pushed twice");
        }
    }
    Ok(elements)
}

/// Notes where each element was seen; what must not be is a violation.
fn follow(queue: &Queue, elements: &mut BTreeMap<u64, Element>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, op) in queue.ops.iter().enumerate().filter(|(_, op)| op.fate == Fate::Acknowledged) {
        for value in &op.got {
            let Some(element) = elements.get_mut(value) else {
                violations.push(broken(
                    Promise::NoSilentCorruption,
                    format!("{value} was popped, and nobody pushed it: {op:?}"),
                ));
                continue;
            };
            if let Some(other) = element.taken.replace(at) {
                let other = &queue.ops[other];
                violations.push(broken(
                    Promise::Linearizable,
                    format!("{value} was popped twice: {other:?} and {op:?}"),
                ));
            }
            if op.end < queue.ops[element.push].begin {
                violations.push(broken(
                    Promise::Linearizable,
                    format!("{value} was popped before its push: {op:?}"),
                ));
            }
        }
    }
    for (place, is_other) in [(&queue.left, false), (&queue.moved, true)] {
        for value in place {
            violations.extend(seen_in_the_end(queue, elements, *value, is_other));
        }
    }
    let lied = |(value, element): (&u64, &Element)| {
        let push = &queue.ops[element.push];
        let was_seen = element.taken.is_some() || element.is_left || element.is_moved;
        (push.fate == Fate::Refused && was_seen).then(|| {
            broken(
                Promise::HonestErrors,
                format!("the push of {value} was answered as not applied, and it was seen: {push:?}"),
            )
        })
    };
    violations.extend(elements.iter().filter_map(lied));
    violations
}

fn seen_in_the_end(
    queue: &Queue,
    elements: &mut BTreeMap<u64, Element>,
    value: u64,
    in_other_place: bool,
) -> Option<Violation> {
    let Some(element) = elements.get_mut(&value) else {
        return Some(broken(
            Promise::NoSilentCorruption,
            format!("{value} is there in the end, and nobody pushed it"),
        ));
    };
    if element.is_left || element.is_moved {
        return Some(broken(Promise::Linearizable, format!("{value} is there twice in the end")));
    }
    (element.is_left, element.is_moved) = (!in_other_place, in_other_place);
    let by = element.taken.map(|at| &queue.ops[at]);
    match by {
        Some(op) if !in_other_place || op.act != QueueAct::Move => Some(broken(
            Promise::Linearizable,
            format!("{value} was popped, and is still there in the end: {op:?}"),
        )),
        _ if in_other_place
            && queue.ops.iter().all(|op| op.act != QueueAct::Move || op.fate == Fate::Refused) =>
        {
            Some(broken(Promise::Linearizable, format!("{value} was moved, and nobody asked for that")))
        }
        _ => None,
    }
}

/// What was pushed for certain and is nowhere must have been taken by an operation of unknown outcome; a moved element is
/// always in one of the places.
fn lost(queue: &Queue, elements: &BTreeMap<u64, Element>) -> Option<Violation> {
    let acknowledged = |element: &Element| queue.ops[element.push].fate == Fate::Acknowledged;
    let by_move = |element: &Element| element.taken.is_some_and(|at| queue.ops[at].act == QueueAct::Move);
    let (mut nowhere, mut dropped) = (Vec::new(), Vec::new());
    for (value, element) in elements {
        match element.is_left || element.is_moved {
            false if by_move(element) => dropped.push(*value),
            false if element.taken.is_none() && acknowledged(element) => nowhere.push(*value),
            _ => {}
        }
    }
    if !dropped.is_empty() {
        return Some(broken(
            Promise::NoLostAck,
            format!("{dropped:?} were moved, and are nowhere in the end"),
        ));
    }
    let room: usize = queue.ops.iter().filter(|op| op.fate == Fate::Unknown).map(could_have_taken).sum();
    (nowhere.len() > room).then(|| {
        broken(
            Promise::NoLostAck,
            format!(
                "{nowhere:?} were pushed, were popped by nobody and are not there; only {room} pops have an unknown outcome"
            ),
        )
    })
}

fn could_have_taken(op: &QueueOp) -> usize {
    match op.act {
        QueueAct::Pop(most) => most,
        QueueAct::Push(_) | QueueAct::Move => 0,
    }
}

/// An element that was there all the time while a pop found nothing, or took out one that was pushed later.
fn passed_over(queue: &Queue, elements: &BTreeMap<u64, Element>) -> Option<Violation> {
    let ops = &queue.ops;
    // From when to when each certainly was there, and its value.
    let mut stays: Vec<(Duration, Duration, u64)> = elements
        .iter()
        .filter(|(_, element)| ops[element.push].fate == Fate::Acknowledged)
        .filter_map(|(value, element)| {
            let until = match element.taken {
                Some(at) => ops[at].begin,
                None if element.is_left => Duration::MAX,
                // Taken by an operation of unknown outcome, at an unknown time.
                None => return None,
            };
            Some((ops[element.push].end, until, *value))
        })
        .collect();
    stays.sort_unstable();
    // Who could have had one of them: pops that found nothing, and pops of elements that came later.
    let mut passers: Vec<(Duration, Duration, String)> = Vec::new();
    if queue.one_place {
        let empty = |op: &&QueueOp| {
            op.fate == Fate::Acknowledged && !matches!(op.act, QueueAct::Push(_)) && op.got.is_empty()
        };
        passers
            .extend(ops.iter().filter(empty).map(|op| (op.begin, op.end, format!("{op:?} found nothing"))));
    }
    if queue.in_order {
        passers.extend(elements.iter().filter_map(|(value, element)| {
            let by = &ops[element.taken?];
            Some((
                ops[element.push].begin,
                by.end,
                format!("{value} was pushed later and popped before: {by:?}"),
            ))
        }));
    }
    passers.sort_unstable();
    let (mut longest, mut stays) = ((Duration::ZERO, 0), stays.into_iter().peekable());
    for (from, until, what) in passers {
        while let Some((_, end, value)) = stays.next_if(|(begin, ..)| *begin < from) {
            longest = longest.max((end, value));
        }
        if longest.0 > until {
            return Some(broken(
                Promise::Linearizable,
                format!("{} was there all the time; {what}", longest.1),
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use Fate::{Acknowledged, Refused, Unknown};

    fn op(begin: u64, end: u64, fate: Fate, act: QueueAct, got: &[u64]) -> QueueOp {
        let (begin, end) = (Duration::from_millis(begin), Duration::from_millis(end));
        QueueOp { begin, end, fate, act, got: got.to_vec() }
    }

    fn push(begin: u64, fate: Fate, values: &[u64]) -> QueueOp {
        op(begin, begin + 1, fate, QueueAct::Push(values.to_vec()), &[])
    }

    fn pop(begin: u64, end: u64, got: &[u64]) -> QueueOp {
        op(begin, end, Acknowledged, QueueAct::Pop(got.len().max(1)), got)
    }

    fn promises(ops: &[QueueOp], left: &[u64], moved: &[u64]) -> Vec<Promise> {
        let (left, moved) = (left.to_vec(), moved.to_vec());
        let queue = Queue { ops: ops.to_vec(), left, moved, in_order: true, one_place: true };
        check_queue(&queue).into_iter().map(|violation| violation.promise).collect()
    }

    #[test]
    fn a_queue_that_keeps_its_promises() {
        let ops = [
            pop(0, 5, &[1]),
            push(2, Acknowledged, &[1, 2]),
            push(6, Unknown, &[3]),
            push(7, Refused, &[4]),
            pop(8, 9, &[2]),
            op(10, 0, Unknown, QueueAct::Pop(1), &[]),
            push(11, Acknowledged, &[5, 6]),
            op(13, 14, Acknowledged, QueueAct::Move, &[6]),
            op(15, 16, Acknowledged, QueueAct::Pop(1), &[]),
        ];
        assert_eq!(promises(&ops, &[], &[6]), [], "5 went to the one of whom nobody knows");
        assert_eq!(promises(&[push(0, Unknown, &[1]), pop(2, 3, &[]), pop(4, 5, &[1])], &[], &[]), []);
        // Nobody knows whether it was moved, but it is there.
        let unsure = op(5, 0, Unknown, QueueAct::Move, &[]);
        let pushed = push(0, Acknowledged, &[1]);
        assert_eq!(promises(&[pushed.clone(), unsure.clone()], &[], &[1]), []);
        assert_eq!(promises(&[pushed.clone(), unsure.clone()], &[1], &[]), []);
        assert_eq!(promises(&[pushed, unsure], &[], &[]), [Promise::NoLostAck], "a move loses nothing");
    }

    #[test]
    fn every_way_to_break_one_is_found() {
        use Promise::{HonestErrors, Linearizable, NoLostAck, NoSilentCorruption};
        let pushed = || push(0, Acknowledged, &[1]);
        assert_eq!(promises(&[pushed()], &[], &[]), [NoLostAck]);
        assert_eq!(promises(&[pushed(), pop(2, 3, &[1]), pop(4, 5, &[1])], &[], &[]), [Linearizable]);
        assert_eq!(promises(&[pushed(), pop(2, 3, &[1])], &[1], &[]), [Linearizable], "still there");
        assert_eq!(promises(&[pushed()], &[1, 1], &[]), [Linearizable], "there twice");
        assert_eq!(promises(&[push(0, Refused, &[1])], &[1], &[]), [HonestErrors]);
        assert_eq!(promises(&[pushed(), pop(2, 3, &[7])], &[1], &[]), [NoSilentCorruption]);
        assert_eq!(promises(&[pop(0, 1, &[1]), push(2, Acknowledged, &[1])], &[], &[]), [Linearizable]);
        assert_eq!(promises(&[pushed(), pop(2, 3, &[]), pop(4, 5, &[1])], &[], &[]), [Linearizable]);
        assert_eq!(promises(&[pushed(), pop(2, 3, &[])], &[1], &[]), [Linearizable], "who found nothing");
        let moved = |got: &[u64]| op(2, 3, Acknowledged, QueueAct::Move, got);
        assert_eq!(promises(&[pushed(), moved(&[1])], &[], &[]), [NoLostAck]);
        assert_eq!(promises(&[pushed(), moved(&[1])], &[1], &[]), [Linearizable]);
        assert_eq!(promises(&[pushed()], &[], &[1]), [Linearizable], "nobody has moved it");
        let later = [pushed(), push(2, Acknowledged, &[2]), pop(4, 5, &[2]), pop(6, 7, &[1])];
        assert_eq!(promises(&later, &[], &[]), [Linearizable], "out of order");
        assert_eq!(promises(&later[..3], &[1], &[]), [Linearizable], "out of order, and the first is left");
    }
}
