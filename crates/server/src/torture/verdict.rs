//! From the history to a verdict for every promise.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_checkers::{
    Action, Append, Audit, Count, Fate, Listing, Mortal, Op, PipelineStep, Promise, Queue, QueueAct, QueueOp,
    SessionStep, Sighting, Transfer, Violation, check_bank, check_counter, check_expiry, check_list,
    check_pipeline, check_queue, check_register, check_session, check_unique,
};

use super::history::{Answer, Call, Event};
use super::keys::{ACCOUNTS, INITIAL};

/// By how much the clocks of processes on one machine may differ over a key's life.
const DRIFT: Duration = Duration::from_millis(50);

/// What is there in the end, as one node answers for all.
#[derive(Debug, Default)]
pub(super) struct Remains {
    /// When it was read, since the clients began.
    pub(super) at: Duration,
    pub(super) notes: BTreeSet<u64>,
    pub(super) registers: BTreeMap<u64, Option<u64>>,
    pub(super) counters: BTreeMap<u64, u64>,
    pub(super) lists: BTreeMap<u64, Vec<u64>>,
    pub(super) queues: BTreeMap<u64, Vec<u64>>,
    pub(super) journal: Vec<u64>,
}

/// What the history says.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) violations: Vec<Violation>,
    /// Unique writes that were acknowledged, and how many of them are gone.
    pub(super) acknowledged: u64,
    pub(super) lost: u64,
    /// Unique writes that were refused, and how many of them are there.
    pub(super) refused: u64,
    pub(super) refused_and_there: u64,
    /// Unique writes with an unknown outcome, and how many of them are there.
    pub(super) unknown: u64,
    pub(super) unknown_and_there: u64,
    /// Keys whose histories were searched for an order.
    pub(super) keys: usize,
    /// Sessions on followers.
    pub(super) sessions: usize,
    /// Values that were read, while it ran and in the end.
    pub(super) values: u64,
}

/// Puts the operations of each key together and checks them.
pub(super) fn judge(events: &[Event], remains: &Remains) -> Findings {
    let mut findings = Findings::default();
    notes(events, remains, &mut findings);
    registers(events, remains, &mut findings);
    counters(events, remains, &mut findings);
    lists(events, remains, &mut findings);
    queues(events, remains, &mut findings);
    bank(events, remains, &mut findings);
    expiry(events, &mut findings);
    pipelines(events, &mut findings);
    sessions(events, &mut findings);
    values(events, remains, &mut findings);
    findings
}

impl Findings {
    fn not_linearizable(&mut self, what: &str, why: &str) {
        self.violations.push(Violation::new(Promise::Linearizable, format!("{what}: {why}")));
    }
}

fn notes(events: &[Event], remains: &Remains, findings: &mut Findings) {
    for event in events {
        let Call::Note(number) = event.call else { continue };
        let (fate, there) = (event.answer.fate(), remains.notes.contains(&number));
        let (count, bad, counts_as_bad) = match fate {
            Fate::Acknowledged => (&mut findings.acknowledged, &mut findings.lost, !there),
            Fate::Refused => (&mut findings.refused, &mut findings.refused_and_there, there),
            Fate::Unknown => (&mut findings.unknown, &mut findings.unknown_and_there, there),
        };
        *count += 1;
        *bad += u64::from(counts_as_bad);
        let what = format!(
            "the write of note:{number} by client {} to node {} at {:.3} s",
            event.client,
            event.node,
            event.called().as_secs_f64()
        );
        findings.violations.extend(check_unique(what, fate, there));
    }
}

fn registers(events: &[Event], remains: &Remains, findings: &mut Findings) {
    let mut ops: BTreeMap<u64, Vec<Op>> = BTreeMap::new();
    let mut refused: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for event in events {
        let (register, action) = match (&event.call, &event.answer) {
            (Call::Write { register, value }, answer) if answer.fate() == Fate::Refused => {
                refused.entry(*register).or_default().insert(*value);
                continue;
            }
            (Call::Write { register, value }, _) => (*register, Action::Write(*value)),
            (Call::Read { register }, Answer::Value(value)) => (*register, Action::Read(*value)),
            _ => continue,
        };
        ops.entry(register).or_default().push(Op { begin: event.called(), end: event.known_end(), action });
    }
    for (register, value) in &remains.registers {
        let last = Op { begin: remains.at, end: Some(remains.at), action: Action::Read(*value) };
        ops.entry(*register).or_default().push(last);
    }
    for (register, ops) in &ops {
        findings.keys += 1;
        let name = format!("register:{register}");
        let undead = ops.iter().find_map(|op| match op.action {
            Action::Read(Some(value)) => refused.get(register)?.contains(&value).then_some(value),
            _ => None,
        });
        match (undead, check_register(ops)) {
            (Some(value), _) => findings.violations.push(Violation::new(
                Promise::HonestErrors,
                format!("{name}: a read answered {value}, the write of which was answered as not applied"),
            )),
            (None, Err(why)) => findings.not_linearizable(&name, &why),
            (None, Ok(())) => {}
        }
    }
}

fn counters(events: &[Event], remains: &Remains, findings: &mut Findings) {
    let mut counts: BTreeMap<u64, Vec<Count>> = BTreeMap::new();
    let mut fates: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for event in events {
        let (counter, increments) = match event.call {
            Call::Increment { counter, .. } => (counter, true),
            Call::Count { counter, follower: false } => (counter, false),
            _ => continue,
        };
        let (acknowledged, unknown) = fates.entry(counter).or_default();
        match &event.answer {
            Answer::Number(value) => {
                *acknowledged += u64::from(increments);
                let (begin, end) = (event.called(), event.answered());
                counts.entry(counter).or_default().push(Count { begin, end, increments, value: *value });
            }
            answer if increments && answer.fate() == Fate::Unknown => *unknown += 1,
            _ => {}
        }
    }
    for (counter, value) in &remains.counters {
        let name = format!("counter:{counter}");
        let (acknowledged, unknown) = fates.get(counter).copied().unwrap_or_default();
        if *value < acknowledged {
            findings.violations.push(Violation::new(
                Promise::NoLostAck,
                format!("{name} is {value} in the end, after {acknowledged} acknowledged increments"),
            ));
        } else if *value > acknowledged + unknown {
            findings.violations.push(Violation::new(
                Promise::HonestErrors,
                format!(
                    "{name} is {value} in the end, after {acknowledged} acknowledged increments and {unknown} of unknown \
                     outcome: one took effect twice, or although it was refused"
                ),
            ));
        }
        let last = Count { begin: remains.at, end: remains.at, increments: false, value: *value };
        counts.entry(*counter).or_default().push(last);
    }
    for (counter, counts) in &counts {
        findings.keys += 1;
        if let Err(why) = check_counter(counts) {
            findings.not_linearizable(&format!("counter:{counter}"), &why);
        }
    }
}

fn lists(events: &[Event], remains: &Remains, findings: &mut Findings) {
    let mut appends: BTreeMap<u64, (Vec<Append>, Vec<Listing>)> = BTreeMap::new();
    for event in events {
        let (begin, end) = (event.called(), event.answered());
        match (&event.call, &event.answer) {
            (Call::Append { list, value }, answer) => {
                let length = if let Answer::Number(length) = answer { *length } else { 0 };
                let append = Append { begin, end, value: *value, fate: answer.fate(), length };
                appends.entry(*list).or_default().0.push(append);
            }
            (Call::List { list }, Answer::Values(values)) => {
                appends.entry(*list).or_default().1.push(Listing { begin, end, values: values.clone() });
            }
            _ => {}
        }
    }
    for (list, (appends, reads)) in &appends {
        findings.keys += 1;
        let last = remains.lists.get(list).map_or(&[][..], Vec::as_slice);
        for mut violation in check_list(last, appends, reads) {
            violation.what = format!("list:{list}: {}", violation.what);
            findings.violations.push(violation);
        }
    }
}

fn queues(events: &[Event], remains: &Remains, findings: &mut Findings) {
    let mut queues: BTreeMap<u64, Queue> = BTreeMap::new();
    for event in events {
        let (queue, act) = match event.call {
            Call::Push { queue, value } => (queue, QueueAct::Push(vec![value])),
            Call::Pop { queue } => (queue, QueueAct::Pop(1)),
            _ => continue,
        };
        let got = match (&act, &event.answer) {
            (QueueAct::Pop(_), Answer::Value(Some(value))) => vec![*value],
            _ => Vec::new(),
        };
        let (begin, end, fate) = (event.called(), event.answered(), event.answer.fate());
        queues.entry(queue).or_default().ops.push(QueueOp { begin, end, fate, act, got });
    }
    for (number, queue) in queues {
        findings.keys += 1;
        let left = remains.queues.get(&number).cloned().unwrap_or_default();
        let queue = Queue { left, in_order: true, one_place: true, ..queue };
        for mut violation in check_queue(&queue) {
            violation.what = format!("queue:{number}: {}", violation.what);
            findings.violations.push(violation);
        }
    }
}

fn bank(events: &[Event], remains: &Remains, findings: &mut Findings) {
    let (mut transfers, mut audits) = (Vec::new(), Vec::new());
    for event in events {
        let (begin, end) = (event.called(), event.answered());
        match (&event.call, &event.answer) {
            (Call::Transfer { number, from, to, amount, seen }, answer) => {
                let place = if let Answer::Number(place) = answer { *place } else { 0 };
                let (number, from, to, amount, seen) = (*number, *from, *to, *amount, *seen);
                let fate = answer.fate();
                transfers.push(Transfer { number, begin, end, from, to, amount, seen, fate, place });
            }
            (Call::Audit, Answer::Balances { balances, place }) => {
                audits.push(Audit { begin, end, balances: balances.clone(), place: *place });
            }
            _ => {}
        }
    }
    findings.keys += ACCOUNTS;
    findings.violations.extend(check_bank(&[INITIAL; ACCOUNTS], &remains.journal, &transfers, &audits));
}

fn expiry(events: &[Event], findings: &mut Findings) {
    let mut writes: BTreeMap<u64, Mortal> = BTreeMap::new();
    let mut sights: BTreeMap<u64, Vec<Sighting>> = BTreeMap::new();
    for event in events {
        let (begin, end) = (event.called(), event.answered());
        match (&event.call, &event.answer) {
            (Call::Mortal { key, ttl_ms }, answer) => {
                let ttl = Duration::from_millis(*ttl_ms);
                writes.insert(*key, Mortal { begin, end, ttl, fate: answer.fate() });
            }
            (Call::Sight { key }, Answer::Number(found)) => {
                sights.entry(*key).or_default().push(Sighting { begin, end, found: *found > 0 });
            }
            _ => {}
        }
    }
    for (key, write) in writes {
        let Some(sights) = sights.get(&key) else { continue };
        findings.keys += 1;
        if let Err(why) = check_expiry(write, sights, DRIFT) {
            findings.not_linearizable(&format!("mortal:{key}"), &why);
        }
    }
}

fn pipelines(events: &[Event], findings: &mut Findings) {
    for event in events {
        let (Call::Pipeline { key }, Answer::Each(answers)) = (&event.call, &event.answer) else { continue };
        let mut steps = Vec::new();
        for (at, answer) in (0..).zip(answers) {
            match answer {
                Answer::Value(value) => steps.push(PipelineStep::Read(*value)),
                answer if at % 2 == 0 => steps.push(PipelineStep::Write(key * 2 + at / 2, answer.fate())),
                // A read that failed.
                _ => {}
            }
        }
        if let Err(why) = check_pipeline(&steps) {
            findings.not_linearizable(&format!("pipeline:{key}"), &why);
        }
    }
}

/// Looks at every value that was read: did anybody write it, with whatever outcome?
fn values(events: &[Event], remains: &Remains, findings: &mut Findings) {
    let mut written = BTreeSet::new();
    for event in events {
        match event.call {
            Call::Write { register, value } => written.extend([(Place::Register(register), value)]),
            Call::Append { list, value } => written.extend([(Place::List(list), value)]),
            Call::Transfer { number, .. } => written.extend([(Place::Journal, number)]),
            Call::Pipeline { key } => written.extend([0, 1].map(|at| (Place::Pipeline(key), key * 2 + at))),
            _ => {}
        }
    }
    let mut see = |place: Place, values: &[u64], by: &dyn Fn() -> String| {
        findings.values += values.len() as u64;
        for value in values.iter().filter(|value| !written.contains(&(place, **value))) {
            let what = format!("{place:?} showed {value}, which nobody wrote there, to {}", by());
            findings.violations.push(Violation::new(Promise::NoSilentCorruption, what));
        }
    };
    for event in events {
        let by = || {
            format!("client {} at node {}, {:.3} s", event.client, event.node, event.answered().as_secs_f64())
        };
        match (&event.call, &event.answer) {
            (Call::Read { register }, Answer::Value(Some(value))) => {
                see(Place::Register(*register), &[*value], &by);
            }
            (Call::List { list }, Answer::Values(values)) => see(Place::List(*list), values, &by),
            (Call::Pipeline { key }, Answer::Each(answers)) => {
                for answer in answers {
                    if let Answer::Value(Some(value)) = answer {
                        see(Place::Pipeline(*key), &[*value], &by);
                    }
                }
            }
            _ => {}
        }
    }
    let by = || "the last read".to_owned();
    for (register, value) in &remains.registers {
        see(Place::Register(*register), value.as_slice(), &by);
    }
    for (list, values) in &remains.lists {
        see(Place::List(*list), values, &by);
    }
    see(Place::Journal, &remains.journal, &by);
}

/// Where values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Register(u64),
    List(u64),
    Pipeline(u64),
    Journal,
}

fn sessions(events: &[Event], findings: &mut Findings) {
    let mut sessions: BTreeMap<(u64, u64), Vec<SessionStep>> = BTreeMap::new();
    for event in events {
        let (counter, increments) = match event.call {
            Call::Increment { counter, follower: true } => (counter, true),
            Call::Count { counter, follower: true } => (counter, false),
            _ => continue,
        };
        if let Answer::Number(value) = event.answer {
            let step = SessionStep { at: event.answered(), increments, value };
            sessions.entry((event.connection, counter)).or_default().push(step);
        }
    }
    findings.sessions = sessions.keys().map(|(connection, _)| connection).collect::<BTreeSet<_>>().len();
    for ((connection, counter), steps) in &sessions {
        if let Err(mut violation) = check_session(steps) {
            violation.what = format!("connection {connection}, counter:{counter}: {}", violation.what);
            findings.violations.push(violation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: u64, call: Call, answer: Answer) -> Event {
        let (begin, end) = (at * 1_000_000, (at + 1) * 1_000_000);
        Event { client: 1, connection: 1, node: 1, begin, end, call, answer }
    }

    fn promises(events: &[Event], remains: Remains) -> Vec<Promise> {
        let remains = Remains { at: Duration::from_secs(100), ..remains };
        judge(events, &remains).violations.into_iter().map(|violation| violation.promise).collect()
    }

    fn refused() -> Answer {
        Answer::Refused("NOQUORUM".into())
    }

    fn unknown() -> Answer {
        Answer::Unknown("UNKNOWN".into())
    }

    /// A history in which everything happens and every promise is kept.
    fn sound() -> (Vec<Event>, Remains) {
        let events = vec![
            event(0, Call::Note(1), Answer::Done),
            event(1, Call::Note(2), refused()),
            event(2, Call::Note(3), unknown()),
            event(3, Call::Write { register: 1, value: 10 }, Answer::Done),
            event(5, Call::Read { register: 1 }, Answer::Value(Some(10))),
            event(7, Call::Increment { counter: 1, follower: false }, Answer::Number(1)),
            event(9, Call::Increment { counter: 1, follower: true }, unknown()),
            event(11, Call::Count { counter: 1, follower: true }, Answer::Number(1)),
            event(13, Call::Count { counter: 1, follower: true }, Answer::Number(2)),
            event(15, Call::Append { list: 1, value: 7 }, Answer::Number(1)),
            event(17, Call::List { list: 1 }, Answer::Values(vec![7])),
            event(30, Call::Push { queue: 1, value: 8 }, Answer::Number(1)),
            event(32, Call::Pop { queue: 1 }, Answer::Value(Some(8))),
            event(34, Call::Pop { queue: 1 }, Answer::Value(None)),
            event(36, Call::Push { queue: 1, value: 9 }, Answer::Number(1)),
            event(
                19,
                Call::Transfer { number: 5, from: 0, to: 1, amount: 3, seen: (INITIAL, INITIAL) },
                Answer::Number(1),
            ),
            event(21, Call::Mortal { key: 1, ttl_ms: 500 }, Answer::Done),
            event(23, Call::Sight { key: 1 }, Answer::Number(1)),
            event(900, Call::Sight { key: 1 }, Answer::Number(0)),
            event(
                25,
                Call::Pipeline { key: 4 },
                Answer::Each(vec![
                    Answer::Done,
                    Answer::Value(Some(8)),
                    Answer::Done,
                    Answer::Value(Some(9)),
                ]),
            ),
        ];
        let mut balances = vec![INITIAL; ACCOUNTS];
        (balances[0], balances[1]) = (INITIAL - 3, INITIAL + 3);
        let audit = event(27, Call::Audit, Answer::Balances { balances, place: 1 });
        let remains = Remains {
            at: Duration::ZERO,
            notes: BTreeSet::from([1, 3]),
            registers: BTreeMap::from([(1, Some(10))]),
            counters: BTreeMap::from([(1, 2)]),
            lists: BTreeMap::from([(1, vec![7])]),
            queues: BTreeMap::from([(1, vec![9])]),
            journal: vec![5],
        };
        (events.into_iter().chain([audit]).collect(), remains)
    }

    #[test]
    fn a_sound_history_has_no_violation() {
        let (events, remains) = sound();
        let findings = judge(&events, &Remains { at: Duration::from_secs(100), ..remains });
        assert_eq!(findings.violations, []);
        assert_eq!((findings.acknowledged, findings.refused, findings.unknown_and_there), (1, 1, 1));
        assert_eq!(findings.sessions, 1);
    }

    /// The sound history with one thing changed in what remains.
    fn with_remains(change: impl FnOnce(&mut Remains)) -> Vec<Promise> {
        let (events, mut remains) = sound();
        change(&mut remains);
        promises(&events, remains)
    }

    /// The sound history with one more operation.
    fn with_event(more: Event) -> Vec<Promise> {
        let (mut events, remains) = sound();
        events.push(more);
        promises(&events, remains)
    }

    #[test]
    fn what_is_gone_is_found() {
        use Promise::{HonestErrors, Linearizable, NoLostAck};
        assert_eq!(with_remains(|r| r.notes.clear()), [NoLostAck]);
        assert_eq!(with_remains(|r| assert!(r.notes.insert(2))), [HonestErrors]);
        assert_eq!(with_remains(|r| assert!(r.registers.insert(1, None).is_some())), [Linearizable]);
        assert_eq!(with_remains(|r| assert!(r.counters.insert(1, 0).is_some())), [NoLostAck, Linearizable]);
        assert_eq!(with_remains(|r| assert!(r.counters.insert(1, 3).is_some())), [HonestErrors]);
        assert_eq!(with_remains(|r| r.lists.clear()), [NoLostAck, Linearizable]);
        assert_eq!(with_remains(|r| r.queues.clear()), [NoLostAck]);
        assert_eq!(with_remains(|r| r.journal.clear()), [NoLostAck, Linearizable]);
    }

    #[test]
    fn values_that_nobody_wrote_are_found() {
        let shows = |promises: Vec<Promise>| promises.contains(&Promise::NoSilentCorruption);
        assert!(shows(with_remains(|r| r.journal.push(99))));
        assert!(shows(with_remains(|r| r.lists.insert(1, vec![7, 8]).map(drop).unwrap())));
        assert!(shows(with_event(event(30, Call::Read { register: 1 }, Answer::Value(Some(11))))));
        assert!(shows(with_event(event(30, Call::List { list: 1 }, Answer::Values(vec![6])))));
        let other =
            Answer::Each(vec![Answer::Done, Answer::Value(Some(8)), Answer::Done, Answer::Value(Some(9))]);
        assert!(shows(with_event(event(30, Call::Pipeline { key: 9 }, other))));
        let read = event(30, Call::Read { register: 1 }, Answer::Value(Some(10)));
        assert!(!shows(with_event(read)));
    }

    #[test]
    fn answers_that_nothing_explains_are_found() {
        use Promise::{HonestErrors, Linearizable, SessionReads};
        let stale = event(30, Call::Read { register: 1 }, Answer::Value(None));
        assert_eq!(with_event(stale), [Linearizable]);
        let old = event(30, Call::Count { counter: 1, follower: true }, Answer::Number(1));
        assert_eq!(with_event(old), [SessionReads]);
        let alive = event(2000, Call::Sight { key: 1 }, Answer::Number(1));
        assert_eq!(with_event(alive), [Linearizable]);
        let disorder = Answer::Each(vec![Answer::Done, Answer::Value(None), Answer::Done, refused()]);
        assert_eq!(with_event(event(30, Call::Pipeline { key: 9 }, disorder)), [Linearizable]);
        let half = Answer::Balances { balances: vec![INITIAL; ACCOUNTS], place: 1 };
        assert_eq!(with_event(event(30, Call::Audit, half)), [Linearizable]);
        let again = event(40, Call::Pop { queue: 1 }, Answer::Value(Some(8)));
        assert_eq!(with_event(again), [Linearizable]);
        let twice = event(30, Call::Append { list: 1, value: 9 }, Answer::Number(1));
        assert!(with_event(twice).contains(&Linearizable));
        let (mut events, mut remains) = sound();
        events.push(event(30, Call::Write { register: 2, value: 77 }, refused()));
        assert!(remains.registers.insert(2, Some(77)).is_none());
        assert_eq!(promises(&events, remains), [HonestErrors]);
    }
}
