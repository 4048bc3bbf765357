//! Scenarios around disks and data folders (R5, R6, R7).

use std::time::Duration;

use quorate_planted::Bug;
use quorate_sim::checkers::{Act, Violation};
use quorate_sim::{OpKind, Settings};

use super::lab::{Lab, MS, SECOND};

/// Where a node keeps its log.
const LOG: &str = "data/log";

/// Names that scenarios write, one after the other.
fn names(what: &str) -> impl Iterator<Item = String> + use<'_> {
    (0..).map(move |i| format!("{what}:{i}"))
}

/// All machines lose power just after writes were acknowledged.
pub(crate) fn power_is_gone(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    let leader = lab.roles()[0];
    let line = lab.connect(leader);
    for key in names("u").take(20) {
        lab.write(line, &key);
    }
    for n in [1, 2, 3] {
        lab.c.power_loss(n);
    }
    for n in [1, 2, 3] {
        lab.c.start(n);
    }
    lab.run_for(2 * SECOND);
    lab.judge(&[1, 2, 3])
}

/// The disks of all machines fail to sync a write; then the machines lose power.
pub(crate) fn syncs_fail(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default().with("write-timeout", "1000"));
    let leader = lab.roles()[0];
    let line = lab.connect(leader);
    lab.write(line, "u:before");
    lab.run_for(300 * MS);
    for n in [1, 2, 3] {
        let machine = lab.c.machine(n);
        lab.c.world().disk(machine).fail(OpKind::Sync, 0);
    }
    lab.set(line, "u:failed");
    lab.run_for(5 * MS);
    for n in [1, 2, 3] {
        let machine = lab.c.machine(n);
        lab.c.world().disk(machine).fail_no_more();
        lab.c.power_loss(n);
    }
    for n in [1, 2, 3] {
        lab.c.start(n);
    }
    lab.run_for(2 * SECOND);
    lab.judge(&[1, 2, 3])
}

/// One follower misses writes that the leader and the other follower acknowledge. The leader dies; the other follower dies,
/// and comes back after `harm` was done to its disk. Will it and the one that has missed the writes go on without them?
fn harmed_follower(
    seed: u64,
    harm: impl Fn(&mut Lab, usize),
    prepare: impl Fn(&mut Lab, usize),
) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default().with("write-timeout", "1000"));
    let [leader, behind, harmed] = lab.roles()[..] else { unreachable!("three nodes") };
    prepare(&mut lab, harmed);
    let leader_now = lab.roles()[0];
    assert_eq!(leader, leader_now, "nobody disturbed the leader");
    let line = lab.connect(leader);
    lab.write(line, "u:all");
    lab.isolate(behind);
    for key in names("u").take(20) {
        lab.write(line, &key);
    }
    lab.c.crash(leader);
    lab.c.crash(harmed);
    harm(&mut lab, harmed);
    lab.heal();
    lab.c.start(harmed);
    lab.run_for(3 * SECOND);
    if lab.has_leader() {
        return lab.judge(&[behind, harmed]);
    }
    lab.c.start(leader);
    lab.run_for(SECOND);
    lab.judge(&[leader, behind])
}

/// The follower's folder is an older copy of itself.
pub(crate) fn older_copy(seed: u64) -> Vec<Violation> {
    let image = std::cell::RefCell::default();
    let prepare = |lab: &mut Lab, n: usize| {
        lab.c.crash(n);
        let machine = lab.c.machine(n);
        *image.borrow_mut() = lab.c.world().disk(machine).image("data");
        lab.c.start(n);
        lab.run_for(SECOND);
    };
    let harm = |lab: &mut Lab, n: usize| {
        let machine = lab.c.machine(n);
        lab.c.world().disk(machine).restore("data", &image.borrow()).expect("it was taken from there");
    };
    harmed_follower(seed, harm, prepare)
}

/// A bit of the follower's log has turned, in the midst of what was acknowledged.
pub(crate) fn rotten_log(seed: u64) -> Vec<Violation> {
    harmed_follower(seed, |lab, n| rot(lab, n, b"u:3"), |_, _| ())
}

/// One node's log has rotted where a value stands; the node replays it.
pub(crate) fn rotten_value(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    let [leader, _, harmed] = lab.roles()[..] else { unreachable!("three nodes") };
    let line = lab.connect(leader);
    for key in names("u").take(10) {
        lab.write(line, &key);
    }
    lab.run_for(100 * MS);
    lab.c.crash(harmed);
    rot(&mut lab, harmed, b"5:");
    lab.c.start(harmed);
    lab.run_for(SECOND);
    if lab.c.view(harmed).is_some() {
        let reader = lab.connect_readonly(harmed);
        for key in names("u").take(10) {
            lab.call(reader, Act::Get, &key);
        }
    }
    let whole: Vec<usize> = lab.c.numbers().filter(|n| lab.c.is_running(*n)).collect();
    assert!(whole.len() >= 2, "the others run on");
    lab.judge(&whole)
}

/// Turns a bit of the byte that stands first where `text` stands last in the log of a node that is down.
fn rot(lab: &mut Lab, n: usize, text: &[u8]) {
    let machine = lab.c.machine(n);
    let disk = lab.c.world().disk(machine);
    for name in disk.list(LOG).into_iter().filter(|name| name.ends_with(".log")) {
        let path = format!("{LOG}/{name}");
        let bytes = disk.read(&path).expect("it is there");
        if let Some(at) = bytes.windows(text.len()).rposition(|window| window == text) {
            return disk.flip_bit(&path, at as u64, 1).expect("it is that long");
        }
    }
    panic!("{:?} stands nowhere in the log", String::from_utf8_lossy(text));
}

/// A candidate lacks what was acknowledged while it was cut off.
pub(crate) fn candidate_is_behind(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    let [leader, behind, _] = lab.roles()[..] else { unreachable!("three nodes") };
    let line = lab.connect(leader);
    lab.write(line, "u:all");
    lab.isolate(behind);
    // The leader dies before the voter hears that this is committed: an engine that knew would refuse to cut it.
    lab.write(line, "u:acknowledged");
    // It has asked for votes all the while, and is the first to ask when the voter's promise to the leader is over.
    lab.c.power_loss(leader);
    lab.heal();
    lab.run_for(2 * SECOND);
    lab.c.start(leader);
    lab.run_for(SECOND);
    lab.judge(&[1, 2, 3])
}

/// The log of a node that has led ends with entries that nobody else has. The next leader cuts them off and writes fewer
/// of its own, the last one to this node alone. Then it dies, and this node starts anew.
pub(crate) fn suffix_was_cut(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default().with("write-timeout", "500"));
    let leader = lab.roles()[0];
    let line = lab.connect(leader);
    lab.write(line, "u:before");
    lab.isolate(leader);
    // Each is so large that it becomes an entry of its own.
    lab.padding = 130 << 10;
    for key in names("u:cut").take(4) {
        lab.set(line, &key);
        lab.run_for(5 * MS);
    }
    lab.padding = 0;
    lab.run_for(SECOND);
    lab.heal();
    lab.run_for(300 * MS);
    let next = lab.roles()[0];
    let behind = lab.c.numbers().find(|n| *n != next && *n != leader).expect("three nodes");
    let line = lab.connect(next);
    lab.isolate(behind);
    lab.write(line, "u:acknowledged");
    lab.c.power_loss(next);
    lab.c.crash(leader);
    lab.heal();
    lab.c.start(leader);
    lab.run_for(2 * SECOND);
    lab.c.start(next);
    lab.run_for(SECOND);
    lab.judge(&[1, 2, 3])
}

/// The leader is cut off with a write that nobody else has, and then dies.
pub(crate) fn cut_off_leader_dies(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default().with("write-timeout", "1000"));
    let leader = lab.roles()[0];
    let line = lab.connect(leader);
    lab.write(line, "u:before");
    lab.isolate(leader);
    lab.set(line, "u:alone");
    lab.run_for(20 * MS);
    lab.c.power_loss(leader);
    lab.heal();
    lab.run_for(2 * SECOND);
    let others: Vec<usize> = lab.c.numbers().filter(|n| *n != leader).collect();
    lab.judge(&others)
}

/// A node shows what it has applied, while an entry before that asks for a pause.
pub(crate) fn apply_waits(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    let [leader, follower, _] = lab.roles()[..] else { unreachable!("three nodes") };
    let (slow, session) = (lab.connect(leader), lab.connect_readonly(follower));
    lab.write(session, "r");
    lab.run_for(10 * MS);
    // The follower stands still until both are committed, so that it hears of both at once.
    lab.sleep(slow, Duration::from_millis(200));
    lab.set(session, "r");
    lab.c.world().run_for(MS / 2);
    let machine = lab.c.machine(follower);
    lab.c.world().pause(machine);
    lab.run_for(50 * MS);
    lab.c.world().resume(machine);
    for _ in 0..300 {
        lab.run_for(MS);
        if lab.is_idle(session) {
            lab.send(session, Act::Get, "r");
        }
    }
    lab.judge(&[1, 2, 3])
}

/// The bug that each scenario is for.
pub(crate) const SCENARIOS: &[super::Scenario] = &[
    (Bug::AcknowledgeBeforeMajority, cut_off_leader_dies, 2),
    (Bug::SkipFsync, power_is_gone, 3),
    (Bug::GoOnAfterFailedFsync, syncs_fail, 30),
    (Bug::ReusedIdentity, older_copy, 2),
    (Bug::TailCutTooFar, rotten_log, 2),
    (Bug::CutSuffixReturns, suffix_was_cut, 2),
    (Bug::IgnoreChecksum, rotten_value, 1),
    (Bug::TruncateCommitted, candidate_is_behind, 4),
    (Bug::ReplyBeforeApply, apply_waits, 2),
];
