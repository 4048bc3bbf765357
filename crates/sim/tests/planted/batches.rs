//! Scenarios around batches, outcomes and determinism (R1, R2, R11, R14, R15).

use quorate_planted::Bug;
use quorate_sim::Settings;
use quorate_sim::checkers::{Act, Violation};

use super::lab::{Lab, MS, SECOND};

/// Snapshots come soon, and little of the log stays behind them.
fn snapshots() -> Settings {
    Settings::default().with("snapshot-log-size", "1mb").with("log-keep-size", "64kb")
}

/// Writes so much that every node makes a snapshot.
fn fill(lab: &mut Lab, line: usize) {
    lab.padding = 130 << 10;
    for _ in 0..16 {
        lab.write(line, "filler");
    }
    lab.padding = 0;
    lab.run_for(500 * MS);
}

/// Reads behind writes, in one go.
pub(crate) fn pipelines(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    for node in lab.roles() {
        let line = lab.connect(node);
        for _ in 0..5 {
            for _ in 0..3 {
                lab.set(line, &format!("p:{node}"));
                lab.send(line, Act::Get, &format!("p:{node}"));
            }
            lab.run_for(5 * MS);
        }
    }
    lab.judge(&[1, 2, 3])
}

/// The followers have a write whose acknowledgements the leader never hears.
pub(crate) fn deaf_leader(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default().with("write-timeout", "1000"));
    let [leader, a, b] = lab.roles()[..] else { unreachable!("three nodes") };
    let line = lab.connect(leader);
    lab.write(line, "u:before");
    lab.block(a, leader);
    lab.block(b, leader);
    lab.set(line, "u:deaf");
    lab.run_for(20 * MS);
    lab.isolate(leader);
    lab.run_for(1500 * MS);
    lab.heal();
    lab.run_for(SECOND);
    lab.judge(&[1, 2, 3])
}

/// A follower does not hear what became of its write. The others make snapshots and start anew from them; then it sends the
/// write again.
pub(crate) fn resent_over_a_snapshot(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, snapshots());
    let [leader, other, origin] = lab.roles()[..] else { unreachable!("three nodes") };
    let (line, filling) = (lab.connect(origin), lab.connect(leader));
    lab.call(line, Act::Increment, "c");
    lab.block(leader, origin);
    lab.block(other, origin);
    lab.send(line, Act::Increment, "c");
    lab.run_for(20 * MS);
    fill(&mut lab, filling);
    for n in [leader, other] {
        lab.c.restart(n);
    }
    lab.run_for(50 * MS);
    lab.heal();
    lab.run_for(3 * SECOND);
    lab.judge(&[1, 2, 3])
}

/// All nodes pick keys at random, one of them from a state that came from a snapshot.
pub(crate) fn picks_after_a_snapshot(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, snapshots());
    let [leader, _, fresh] = lab.roles()[..] else { unreachable!("three nodes") };
    let line = lab.connect(leader);
    for i in 0..40 {
        lab.write(line, &format!("u:{i}"));
    }
    fill(&mut lab, line);
    lab.c.restart(fresh);
    lab.run_for(SECOND);
    for _ in 0..10 {
        for command in [&b"MULTI"[..], b"RANDOMKEY", b"EXEC"] {
            lab.tell(line, &[command]);
        }
    }
    lab.judge(&[1, 2, 3])
}

/// A script writes the members of a set in their order, one node with a state that came from a snapshot.
pub(crate) fn order_after_a_snapshot(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, snapshots());
    let [leader, _, fresh] = lab.roles()[..] else { unreachable!("three nodes") };
    let line = lab.connect(leader);
    lab.tell(line, &[b"SADD", b"set", b"one", b"two", b"three", b"four"]);
    fill(&mut lab, line);
    lab.c.restart(fresh);
    lab.run_for(SECOND);
    let script =
        &b"for _, m in ipairs(redis.call('SMEMBERS', KEYS[1])) do redis.call('RPUSH', KEYS[2], m) end"[..];
    lab.tell(line, &[b"EVAL", script, b"2", b"set", b"list"]);
    lab.judge(&[1, 2, 3])
}

/// The leader's clock is ahead; it shows that a key has expired, and dies at once.
pub(crate) fn leader_ahead_dies(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    let [leader, a, b] = lab.roles()[..] else { unreachable!("three nodes") };
    let (line, elsewhere) = (lab.connect(leader), lab.connect(a));
    lab.call(line, Act::SetFor(1, SECOND), "e");
    let begin = lab.c.now();
    lab.run_for(250 * MS);
    let machine = lab.c.machine(leader);
    lab.c.world().step_wall(machine, 800);
    lab.call(line, Act::Get, "e");
    lab.c.crash(leader);
    lab.run_until(|c| c.leader().is_some_and(|n| n == a || n == b), 2 * SECOND);
    while lab.c.now() < begin + 3 * SECOND / 2 {
        lab.call(elsewhere, Act::Get, "e");
        lab.run_for(5 * MS);
    }
    lab.c.start(leader);
    lab.run_for(SECOND);
    lab.judge(&[1, 2, 3])
}

/// A follower's write is long on its way to the leader. Another node leads meanwhile, and refuses the write because it is
/// about to hand leadership back; the follower has applied an entry of its term by then, and gives the write up as NOT
/// applied. When the first node leads again, what was sent to it first arrives, two terms later.
pub(crate) fn write_arrives_two_terms_later(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default().with("write-timeout", "400"));
    let [first, second, origin] = lab.roles()[..] else { unreachable!("three nodes") };
    let (line, back) = (lab.connect(origin), lab.connect(second));
    lab.write(line, "u:before");
    lab.delay(origin, first, 1500 * MS);
    lab.delay(origin, second, 20 * MS);
    lab.set(line, "u:late");
    lab.run_for(2 * MS);
    lab.hand_over(second);
    // The first node is asked to lead again, and nobody hears it.
    lab.block(first, second);
    lab.block(first, origin);
    lab.ask_to_hand_over(back, first);
    lab.run_for(520 * MS);
    lab.heal();
    lab.run_for(400 * MS);
    lab.hand_over(first);
    lab.run_for(SECOND);
    lab.no_delays();
    lab.run_for(SECOND);
    lab.judge(&[1, 2, 3])
}

/// The bug that each scenario is for.
pub(crate) const SCENARIOS: &[super::Scenario] = &[
    (Bug::ReadOutOfOrder, pipelines, 1),
    (Bug::DiscardedIsNotApplied, deaf_leader, 2),
    (Bug::OldTermAccepted, write_arrives_two_terms_later, 12),
    (Bug::ApplyTwiceAfterSnapshot, resent_over_a_snapshot, 3),
    (Bug::RandomPickByLayout, picks_after_a_snapshot, 2),
    (Bug::ExpiryOutsideTheLog, leader_ahead_dies, 3),
    (Bug::OrderByHistory, order_after_a_snapshot, 2),
];
