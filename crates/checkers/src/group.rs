//! Groups of consumers of a stream (`no-lost-ack`, `linearizable`): each entry is delivered to one of them, belongs to it until
//! another one claims it, and is pending until it is acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::{Fate, Promise, Violation, check_unique};

/// What an operation on a group is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupAct {
    /// Adds an entry that nobody else adds (XADD).
    Add(u64),
    /// New entries for a consumer (XREADGROUP with `>`): those it got.
    Deliver(usize, Vec<u64>),
    /// Entries of others for a consumer (XAUTOCLAIM, XCLAIM): those it got.
    Claim(usize, Vec<u64>),
    /// Acknowledges an entry (XACK); whether it was pending.
    Acknowledge(u64, bool),
}

/// An operation on a group. What it got counts only if it is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOp {
    /// When it was called.
    pub begin: Duration,
    /// When it was answered; of no meaning if its outcome is unknown.
    pub end: Duration,
    /// What its client was told.
    pub fate: Fate,
    /// What it does.
    pub act: GroupAct,
}

/// What a group is like in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupEnd {
    /// The entries of the stream, from which nobody deletes.
    pub entries: Vec<u64>,
    /// Those that are pending, and at which consumer.
    pub pending: Vec<(u64, usize)>,
    /// Those that were not delivered to anybody yet.
    pub undelivered: Vec<u64>,
}

/// What clients know of one entry.
#[derive(Debug, Default)]
struct Story<'a> {
    delivered: Vec<&'a GroupOp>,
    claimed: Vec<&'a GroupOp>,
    acknowledged: Vec<&'a GroupOp>,
    /// Answers that said it was not pending.
    denied: Vec<&'a GroupOp>,
    may_be_acknowledged: bool,
}

/// Checks what clients saw of a group against what it is in the end.
#[must_use]
pub fn check_group(ops: &[GroupOp], end: &GroupEnd) -> Vec<Violation> {
    let mut violations = Vec::new();
    let entries: BTreeSet<u64> = end.entries.iter().copied().collect();
    if entries.len() != end.entries.len() {
        violations.push(wrong(format!("an entry is there twice: {:?}", end.entries)));
    }
    let mut added = BTreeSet::new();
    for op in ops {
        let GroupAct::Add(value) = op.act else { continue };
        assert!(added.insert(value), "{value} is added twice");
        violations.extend(check_unique(format!("the entry {value}"), op.fate, entries.contains(&value)));
    }
    let stories = stories(ops);
    let strange = |value: &&u64| !added.contains(value);
    for value in entries.iter().chain(stories.keys()).filter(strange) {
        let what = format!("nobody added the entry {value}");
        violations.push(Violation::new(Promise::NoSilentCorruption, what));
    }
    let unsure: BTreeSet<usize> = ops.iter().filter_map(may_have_got).collect();
    let pending: BTreeMap<u64, usize> = end.pending.iter().copied().collect();
    let undelivered: BTreeSet<u64> = end.undelivered.iter().copied().collect();
    for value in &entries {
        let none = Story::default();
        let story = stories.get(value).unwrap_or(&none);
        let last = (pending.get(value).copied(), undelivered.contains(value));
        violations.extend(check_entry(*value, story, last, &unsure).err().map(|(promise, why)| {
            let at = last.0.map_or(String::new(), |consumer| format!(", pending at {consumer}"));
            Violation::new(promise, format!("the entry {value}{at}: {why}; {story:?}"))
        }));
    }
    violations
}

fn wrong(what: String) -> Violation {
    Violation::new(Promise::Linearizable, what)
}

fn stories(ops: &[GroupOp]) -> BTreeMap<u64, Story<'_>> {
    let mut stories: BTreeMap<u64, Story<'_>> = BTreeMap::new();
    for op in ops {
        let is_certain = op.fate == Fate::Acknowledged;
        match &op.act {
            GroupAct::Deliver(_, got) if is_certain => {
                got.iter().for_each(|value| stories.entry(*value).or_default().delivered.push(op));
            }
            GroupAct::Claim(_, got) if is_certain => {
                got.iter().for_each(|value| stories.entry(*value).or_default().claimed.push(op));
            }
            GroupAct::Acknowledge(value, was_pending) => {
                let story = stories.entry(*value).or_default();
                match (is_certain, was_pending) {
                    (true, true) => story.acknowledged.push(op),
                    (true, false) => story.denied.push(op),
                    (false, _) => story.may_be_acknowledged |= op.fate == Fate::Unknown,
                }
            }
            _ => {}
        }
    }
    stories
}

/// The consumer of an operation that may have got something without anybody being told.
fn may_have_got(op: &GroupOp) -> Option<usize> {
    match op.act {
        GroupAct::Deliver(consumer, _) | GroupAct::Claim(consumer, _) => {
            (op.fate == Fate::Unknown).then_some(consumer)
        }
        _ => None,
    }
}

fn consumer(op: &GroupOp) -> Option<usize> {
    match op.act {
        GroupAct::Deliver(consumer, _) | GroupAct::Claim(consumer, _) => Some(consumer),
        _ => None,
    }
}

/// Checks one entry that is there in the end, pending at a consumer or not delivered at all or neither.
fn check_entry(
    value: u64,
    story: &Story<'_>,
    (pending, is_undelivered): (Option<usize>, bool),
    unsure: &BTreeSet<usize>,
) -> Result<(), (Promise, String)> {
    let linearizable = |why: &str| Err((Promise::Linearizable, why.to_owned()));
    if story.delivered.len() > 1 {
        return linearizable("it was delivered as a new one twice");
    }
    if story.acknowledged.len() > 1 {
        return linearizable("it was acknowledged twice");
    }
    let was_taken = !story.delivered.is_empty() || !story.claimed.is_empty();
    let is_done = !story.acknowledged.is_empty();
    if is_undelivered && (pending.is_some() || was_taken || is_done) {
        return linearizable("it was delivered already, and then again as a new one");
    }
    if pending.is_some() && is_done {
        return linearizable("it was acknowledged, and is pending again");
    }
    if !is_undelivered && pending.is_none() && !is_done && !story.may_be_acknowledged {
        return Err((
            Promise::NoLostAck,
            "it is not new, not pending, and nobody has acknowledged it".to_owned(),
        ));
    }
    check_denials(story)?;
    let takers = || story.delivered.iter().chain(&story.claimed);
    let Some(owner) = pending else { return Ok(()) };
    if !takers().any(|op| consumer(op) == Some(owner)) && !unsure.contains(&owner) {
        return linearizable("it is pending at a consumer that never got it");
    }
    // Of those that certainly got it, the one after whom nobody else did has it, unless somebody else may have.
    let last = takers().find(|op| takers().all(|other| std::ptr::eq(*op, other) || other.end < op.begin));
    match last {
        Some(op) if consumer(op) != Some(owner) && !unsure.contains(&owner) => {
            Err((Promise::Linearizable, format!("the last who got {value} is another consumer: {op:?}")))
        }
        _ => Ok(()),
    }
}

/// Who acknowledges an entry that it has got is told that it was pending, unless somebody else may have acknowledged it.
fn check_denials(story: &Story<'_>) -> Result<(), (Promise, String)> {
    let Some(delivery) = story.delivered.first() else { return Ok(()) };
    let explained = |denial: &GroupOp| {
        story.may_be_acknowledged || story.acknowledged.iter().any(|op| op.begin < denial.end)
    };
    match story.denied.iter().find(|denial| denial.begin > delivery.end && !explained(denial)) {
        Some(denial) => Err((Promise::NoLostAck, format!("it was not pending when {denial:?}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Fate::{Acknowledged, Unknown};
    use GroupAct::{Acknowledge, Add, Claim, Deliver};

    fn op(begin: u64, fate: Fate, act: GroupAct) -> GroupOp {
        let (begin, end) = (Duration::from_millis(begin), Duration::from_millis(begin + 1));
        GroupOp { begin, end, fate, act }
    }

    fn yes(begin: u64, act: GroupAct) -> GroupOp {
        op(begin, Acknowledged, act)
    }

    fn promises(
        ops: &[GroupOp],
        entries: &[u64],
        pending: &[(u64, usize)],
        undelivered: &[u64],
    ) -> Vec<Promise> {
        let (entries, undelivered) = (entries.to_vec(), undelivered.to_vec());
        let end = GroupEnd { entries, pending: pending.to_vec(), undelivered };
        check_group(ops, &end).into_iter().map(|violation| violation.promise).collect()
    }

    #[test]
    fn a_group_that_keeps_its_promises() {
        let ops = [
            yes(0, Add(1)),
            yes(2, Add(2)),
            op(4, Unknown, Add(3)),
            yes(6, Add(4)),
            yes(8, Deliver(1, vec![1, 2])),
            yes(10, Acknowledge(1, true)),
            yes(12, Acknowledge(1, false)),
            yes(14, Claim(2, vec![2])),
            op(16, Unknown, Deliver(3, vec![])),
        ];
        assert_eq!(promises(&ops, &[1, 2, 3, 4], &[(2, 2), (3, 3)], &[4]), []);
        assert_eq!(promises(&ops, &[1, 2, 4], &[(2, 2)], &[4]), []);
        assert_eq!(promises(&ops, &[1, 2, 4], &[(2, 3), (4, 3)], &[]), [], "3 may have claimed it");
    }

    #[test]
    fn every_way_to_break_one_is_found() {
        use Promise::{Linearizable, NoLostAck, NoSilentCorruption};
        let delivered = [yes(0, Add(1)), yes(2, Deliver(1, vec![1]))];
        let and = |more: GroupOp| [&delivered[..], &[more]].concat();
        assert_eq!(promises(&delivered[..1], &[], &[], &[]), [NoLostAck]);
        assert_eq!(promises(&delivered[..1], &[1, 7], &[], &[1, 7]), [NoSilentCorruption]);
        assert_eq!(promises(&delivered, &[1], &[], &[]), [NoLostAck], "pending no more");
        assert_eq!(promises(&delivered, &[1], &[], &[1]), [Linearizable], "new again");
        assert_eq!(promises(&delivered, &[1], &[(1, 2)], &[]), [Linearizable], "at somebody else");
        assert_eq!(promises(&and(yes(4, Deliver(2, vec![1]))), &[1], &[(1, 2)], &[]), [Linearizable]);
        assert_eq!(promises(&and(yes(4, Acknowledge(1, true))), &[1], &[(1, 1)], &[]), [Linearizable]);
        assert_eq!(promises(&and(yes(4, Acknowledge(1, false))), &[1], &[(1, 1)], &[]), [NoLostAck]);
        assert_eq!(promises(&and(yes(4, Claim(2, vec![1]))), &[1], &[(1, 1)], &[]), [Linearizable]);
        let twice = [and(yes(4, Acknowledge(1, true))), vec![yes(6, Acknowledge(1, true))]].concat();
        assert_eq!(promises(&twice, &[1], &[], &[]), [Linearizable]);
        assert_eq!(promises(&and(op(4, Unknown, Acknowledge(1, false))), &[1], &[], &[]), []);
    }
}
