//! Scenarios around leases and votes (R3).

use quorate_planted::Bug;
use quorate_sim::Settings;
use quorate_sim::checkers::{Act, Violation};

use super::lab::{Lab, MS, SECOND};

/// The leader is cut off and goes on answering reads, while the others elect and write.
pub(crate) fn cut_off_leader(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    let [leader, other, _] = lab.roles()[..] else { unreachable!("three nodes") };
    let line = lab.connect(leader);
    lab.write(line, "r");
    lab.keep_reading(leader, "r");
    lab.isolate(leader);
    lab.keep_writing(other, "r");
    lab.run_for(SECOND);
    lab.heal();
    lab.run_for(SECOND);
    lab.judge(&[1, 2, 3])
}

/// The leader keeps its lease by one voter alone, whom it loses, while a third one that hears only that voter campaigns.
/// The clocks differ in speed by as much as `clock-drift` allows.
pub(crate) fn lost_voter_with_drift(seed: u64) -> Vec<Violation> {
    lease_race(seed, Settings::default().with("clock-drift", "0.45"), |lab, [leader, voter, third]| {
        for (n, ppm) in [(leader, -190_000), (voter, 190_000), (third, 190_000)] {
            let machine = lab.c.machine(n);
            lab.c.world().set_drift(machine, ppm);
        }
        lab.run_for(300 * MS);
        lab.cut(leader, voter);
    })
}

/// The same with equal clocks, where the voter is killed and started at once when the leader loses it.
pub(crate) fn lost_voter_restarts(seed: u64) -> Vec<Violation> {
    lease_race(seed, Settings::default(), |lab, [leader, voter, _]| {
        lab.run_for(300 * MS);
        lab.cut(leader, voter);
        lab.c.restart(voter);
    })
}

/// See [`lost_voter_with_drift`]: `lose` makes the leader lose the voter.
fn lease_race(seed: u64, settings: Settings, lose: impl Fn(&mut Lab, [usize; 3])) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, settings);
    for round in ["r0", "r1"] {
        let [leader, voter, third] = lab.roles()[..] else { unreachable!("three nodes") };
        let line = lab.connect(leader);
        lab.write(line, round);
        lab.cut(leader, third);
        lab.run_for(400 * MS);
        lab.keep_writing(third, round);
        lab.keep_reading(leader, round);
        lose(&mut lab, [leader, voter, third]);
        lab.run_for(500 * MS);
        lab.stop_habits();
        for n in lab.c.numbers() {
            let machine = lab.c.machine(n);
            lab.c.world().set_drift(machine, 0);
        }
        lab.heal();
        lab.run_for(400 * MS);
    }
    lab.judge(&[1, 2, 3])
}

/// A voter that has just elected somebody is killed before it hears of the new leader. Started again, it is asked
/// for its vote by another candidate in the same term.
pub(crate) fn voter_dies_after_its_vote(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    let [old, a, b] = lab.roles()[..] else { unreachable!("three nodes") };
    let term = lab.c.view(old).map_or(0, |v| v.term);
    lab.c.crash(old);
    let mut winner = None;
    for _ in 0..20_000 {
        lab.c.world().run_for(MS / 10);
        let leads = |n: &usize| lab.c.view(*n).is_some_and(|v| v.is_leader && v.term > term);
        winner = [a, b].into_iter().find(leads);
        if winner.is_some() {
            break;
        }
    }
    let winner = winner.expect("two of three elect a leader");
    let voter = if winner == a { b } else { a };
    lab.isolate(winner);
    lab.c.look();
    lab.c.restart(voter);
    lab.c.start(old);
    lab.run_for(2 * SECOND);
    lab.heal();
    lab.run_for(SECOND);
    lab.judge(&[1, 2, 3])
}

/// A follower that is cut off answers reads of its clients.
pub(crate) fn cut_off_follower(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default().with("write-timeout", "1000"));
    let [leader, follower, _] = lab.roles()[..] else { unreachable!("three nodes") };
    let (writer, reader) = (lab.connect(leader), lab.connect(follower));
    lab.write(writer, "r");
    lab.isolate(follower);
    lab.write(writer, "r");
    lab.call(reader, Act::Get, "r");
    lab.heal();
    lab.run_for(SECOND);
    lab.judge(&[1, 2, 3])
}

/// The leader's machine is suspended while the followers' answers are on their way to it. The others elect and write;
/// the new leader dies, clients ask the old one, and its machine goes on: it finds the answers first.
pub(crate) fn suspended_leader(seed: u64) -> Vec<Violation> {
    let mut settings = Settings::default().with("appendfsync", "everysec");
    settings.world.link.latency = MS..=5 * MS;
    let mut lab = Lab::new(seed, 3, settings);
    for round in ["r0", "r1", "r2", "r3"] {
        let [leader, other, _] = lab.roles()[..] else { unreachable!("three nodes") };
        let asking = [lab.connect(leader), lab.connect(leader), lab.connect(leader)];
        lab.write(asking[0], round);
        (0..4).for_each(|_| lab.keep_writing(leader, "w"));
        let moment = lab.c.world().rng().u32(50..70) * MS;
        lab.run_for(moment);
        let machine = lab.c.machine(leader);
        lab.c.world().suspend(machine);
        lab.run_for(10 * MS);
        lab.keep_writing(other, round);
        lab.run_for(SECOND);
        lab.stop_habits();
        let next = lab.roles()[0];
        lab.c.crash(next);
        for line in asking {
            lab.send(line, Act::Get, round);
        }
        lab.run_for(10 * MS);
        lab.c.world().resume(machine);
        lab.run_for(50 * MS);
        lab.c.start(next);
        lab.run_for(500 * MS);
    }
    lab.judge(&[1, 2, 3])
}

/// The bug that each scenario is for.
pub(crate) const SCENARIOS: &[super::Scenario] = &[
    (Bug::ReadAfterLease, cut_off_leader, 1),
    (Bug::NoLeaseMargin, lost_voter_with_drift, 3),
    (Bug::OldAnswerProlongsLease, suspended_leader, 8),
    (Bug::VoteAfterRestart, lost_voter_restarts, 3),
    (Bug::ForgetVote, voter_dies_after_its_vote, 8),
    (Bug::FollowerReadWithoutIndex, cut_off_follower, 1),
];
