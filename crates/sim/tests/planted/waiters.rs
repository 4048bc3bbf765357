//! Scenarios around commands that wait (R17).

use quorate_checkers::{Fate, Queue, QueueAct, QueueOp, check_queue};
use quorate_planted::Bug;
use quorate_resp::Value;
use quorate_sim::Settings;
use quorate_sim::checkers::{Promise, Violation};

use super::lab::{Lab, MS, SECOND};

/// How many elements are pushed.
const ELEMENTS: u64 = 4;

/// A client of a follower waits for a list while the leader dies; then elements are pushed, one after the other, and it
/// takes one of them.
pub(crate) fn leader_of_a_waiter_dies(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    let [leader, a, b] = lab.roles()[..] else { unreachable!("three nodes") };
    let mut ops = Vec::new();
    let mut waiter = lab.c.connect(a);
    lab.run_for(2 * MS);
    let begin = lab.c.now();
    waiter.send(&[b"BLPOP", b"queue", b"0"]);
    lab.run_for(50 * MS);
    lab.c.crash(leader);
    lab.run_until(|c| c.leader().is_some_and(|n| n == a || n == b), 2 * SECOND);
    lab.run_for(200 * MS);
    let pushing = lab.connect(b);
    for value in 1..=ELEMENTS {
        let begin = lab.c.now();
        let reply = lab.tell(pushing, &[b"RPUSH", b"queue", value.to_string().as_bytes()]);
        let fate = fate(reply.as_ref());
        ops.push(QueueOp {
            begin,
            end: lab.c.now(),
            fate,
            act: QueueAct::Push(vec![value]),
            got: Vec::new(),
        });
    }
    let reply = waiter.reply();
    let popped =
        reply.as_ref().and_then(Value::as_array).and_then(|parts| parts.get(1)).and_then(Value::as_str);
    let got = popped.map(|text| text.parse().expect("an element")).into_iter().collect();
    let (end, fate, act) = (lab.c.now(), fate(reply.as_ref()), QueueAct::Pop(1));
    ops.push(QueueOp { begin, end, fate, act, got });
    lab.c.start(leader);
    lab.run_for(SECOND);
    let rest = lab.tell(pushing, &[b"LRANGE", b"queue", b"0", b"-1"]);
    let rest = rest.as_ref().and_then(Value::as_array).unwrap_or_default();
    let left =
        rest.iter().map(|value| value.as_str().and_then(|text| text.parse().ok()).expect("an element"));
    let queue = Queue { ops, left: left.collect(), moved: Vec::new(), in_order: true, one_place: true };
    let mut violations = lab.judge(&[1, 2, 3]);
    violations.extend(check_queue(&queue).into_iter().map(|found| {
        let promise = match found.promise {
            quorate_checkers::Promise::NoLostAck => Promise::NoLostAck,
            quorate_checkers::Promise::HonestErrors => Promise::HonestErrors,
            quorate_checkers::Promise::NoSilentCorruption => Promise::NoSilentCorruption,
            _ => Promise::Linearizable,
        };
        Violation { promise, what: found.what }
    }));
    violations
}

fn fate(reply: Option<&Value>) -> Fate {
    match reply.map(Value::as_error) {
        Some(None) => Fate::Acknowledged,
        Some(Some(error)) if error.starts_with("NOQUORUM ") => Fate::Refused,
        _ => Fate::Unknown,
    }
}

/// The bug that each scenario is for.
pub(crate) const SCENARIOS: &[super::Scenario] = &[(Bug::WaiterRegisteredAgain, leader_of_a_waiter_dies, 3)];
