//! A majority of the voters is unsure of its log (R6, R8): the longest log wins, and only when all have answered.

use std::path::Path;
use std::time::Duration;

use quorate_env::Env;
use quorate_replica::recover;
use quorate_resp::Value;
use quorate_sim::{Settings, SimClient, SimCluster};

/// QUORATE_SIM_LOG is a filter (`info`, `quorate_replica=debug`) of what the nodes report, on standard error.
fn log_if_asked() {
    let Ok(filter) = std::env::var("QUORATE_SIM_LOG") else { return };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let _already_there = lines.with_writer(std::io::stderr).try_init();
}

/// The seeds of a test: QUORATE_SIM_SEEDS says how many instead of `default`.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let many =
        std::env::var("QUORATE_SIM_SEEDS").ok().map(|n| n.parse().expect("QUORATE_SIM_SEEDS is a number"));
    0..many.unwrap_or(default)
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Until a cluster that can elect a leader has one, with all that is in the way.
const HEALING: Duration = Duration::from_secs(20);

fn everysec() -> Settings {
    Settings::default().with("appendfsync", "everysec")
}

/// One client that counts, one entry at a time, and remembers which entry brought which value.
struct Counter {
    client: SimClient,
    /// Index of the last entry when the reply came, and the value.
    acknowledged: Vec<(u64, i64)>,
}

impl Counter {
    fn new(c: &mut SimCluster, through: usize) -> Self {
        Self { client: c.connect(through), acknowledged: Vec::new() }
    }

    fn run_for(&mut self, c: &mut SimCluster, leader: usize, duration: Duration) {
        let end = c.now() + duration;
        while c.now() < end {
            let Ok(Value::Int(value)) = c.call(&mut self.client, &[b"INCR", b"counter"], SECOND) else {
                return;
            };
            if let Some(view) = c.view(leader) {
                self.acknowledged.push((view.last, value));
            }
            let pause = c.world().rng().u32(2..8) * MS;
            c.run_for(pause);
        }
    }

    /// What the counter was when entry `index` had been applied, at least.
    fn at(&self, index: u64) -> i64 {
        self.acknowledged
            .iter()
            .filter(|(last, _)| *last <= index)
            .map(|(_, value)| *value)
            .max()
            .unwrap_or(0)
    }

    fn last(&self) -> i64 {
        self.acknowledged.last().expect("it has counted").1
    }
}

/// Runs something else than a node on the machine of a node that is down, and leaves it down.
fn on_machine<T: 'static, F: Future<Output = T> + 'static>(
    c: &mut SimCluster,
    n: usize,
    main: impl FnOnce(Env) -> F,
) -> T {
    let machine = c.machine(n);
    let task = c.world().start(machine, main);
    c.run_for(100 * MS);
    let result = task.take().expect("it takes no longer");
    c.crash(n);
    result
}

/// Term and index of the last entry on the disk of a node that is down, and whether it is sure of its log.
fn on_disk(c: &mut SimCluster, n: usize) -> ((u64, u64), bool) {
    let found = on_machine(c, n, |env| async move { recover::survey(&env, Path::new("data")) });
    let found = found.expect("the folder is whole");
    assert_eq!(found.node_id, n as u64);
    (found.last, found.is_sure())
}

fn has_leader(c: &SimCluster) -> bool {
    // One that a majority has just elected, not one that is only remembered.
    c.leader()
        .is_some_and(|n| c.view(n).is_some_and(|v| v.committed > 0 && v.quorum_ms.is_some_and(|ms| ms < 500)))
}

fn counter(c: &mut SimCluster, through: usize) -> i64 {
    let mut client = c.connect(through);
    let reply = c.call(&mut client, &[b"GET", b"counter"], 10 * SECOND).expect("it answers");
    reply.as_str().map_or(0, |text| text.parse().expect("a number"))
}

/// Everybody loses power, one after the other, in an order and at distances that follow the seed.
fn all_lose_power(c: &mut SimCluster, load: &mut Counter, leader: usize) {
    let first = c.world().rng().usize(1..=3);
    for i in 0..3 {
        c.power_loss((first + i - 1) % 3 + 1);
        let pause = c.world().rng().u32(..400) * MS;
        if c.is_running(leader) {
            load.run_for(c, leader, pause);
        } else {
            c.run_for(pause);
        }
    }
}

#[test]
fn after_all_lose_power_under_everysec_the_longest_log_wins() {
    log_if_asked();
    let (mut lost_something, mut differed) = (0, 0);
    for seed in seeds(6) {
        let mut c = SimCluster::with(seed, 3, everysec());
        let leader = c.leader().unwrap();
        let mut load = Counter::new(&mut c, leader);
        let duration = c.world().rng().u32(1_100..2_200) * MS;
        load.run_for(&mut c, leader, duration);
        if seed % 2 == 0 {
            // All at once: the more is lost.
            c.numbers().for_each(|n| c.power_loss(n));
        } else {
            all_lose_power(&mut c, &mut load, leader);
        }
        let ends: Vec<_> = c.numbers().map(|n| on_disk(&mut c, n)).collect();
        assert!(ends.iter().all(|(_, sure)| !sure), "seed {seed}: {ends:?}");
        let longest = ends.iter().map(|(last, _)| *last).max().unwrap();
        c.forget_entries_behind(longest.1);
        differed += u32::from(ends.iter().any(|(last, _)| *last != longest));

        for n in c.numbers() {
            c.start(n);
            let pause = c.world().rng().u32(..300) * MS;
            c.run_for(pause);
        }
        assert!(c.run_until(has_leader, HEALING), "no leader, seed {seed}{}", c.describe());
        c.wait_until_all_vote(HEALING);
        assert!(c.wait_until_equal_digests(HEALING), "seed {seed}{}", c.describe());
        let value = counter(&mut c, 1);
        let kept = load.at(longest.1);
        assert!(
            value >= kept,
            "seed {seed}: the counter is {value}, the longest log had {kept} at {longest:?}"
        );
        lost_something += u32::from(value < load.last());
        // All are sure again: the next loss of one is an ordinary failover.
        c.run_for(SECOND / 2);
        let next = c.leader().unwrap();
        c.crash(next);
        assert!(c.run_until(|c| has_leader(c) && c.leader() != Some(next), HEALING), "seed {seed}");
    }
    assert!(differed > 0, "the logs were always equal: the test does not test the choice");
    assert!(lost_something > 0, "no window was lost: the test does not reach what it is about");
}

#[test]
fn under_always_nothing_is_lost_when_all_lose_power() {
    let mut unsure = 0;
    // Power is lost between the write and the end of the fsync.
    let mut slow = Settings::default();
    slow.world.disk.sync = 3 * MS..=8 * MS;
    for seed in seeds(250) {
        if unsure == 4 {
            break;
        }
        let mut c = SimCluster::with(seed, 3, slow.clone());
        let leader = c.leader().unwrap();
        let mut load = Counter::new(&mut c, leader);
        load.run_for(&mut c, leader, 100 * MS);
        // Writes that are under way tear the ends of the logs.
        let large = vec![b'x'; 60_000];
        (0..30).for_each(|_| load.client.send(&[b"APPEND", b"other", &large]));
        let moment = c.world().rng().u32(4..60) * MS / 2;
        c.run_for(moment);
        c.numbers().for_each(|n| c.power_loss(n));
        if c.numbers().filter(|n| !on_disk(&mut c, *n).1).count() < 2 {
            continue;
        }
        unsure += 1;
        c.numbers().for_each(|n| c.start(n));
        assert!(c.run_until(has_leader, HEALING), "no leader, seed {seed}{}", c.describe());
        assert!(c.wait_until_equal_digests(HEALING), "seed {seed}{}", c.describe());
        assert_eq!(counter(&mut c, 2), load.last(), "seed {seed}");
    }
    assert!(unsure > 0, "no majority was ever unsure: the test does not reach what it is about");
}

#[test]
fn an_only_node_leads_again_after_a_power_loss_under_everysec() {
    let mut c = SimCluster::with(1, 1, everysec());
    let mut load = Counter::new(&mut c, 1);
    load.run_for(&mut c, 1, 2_500 * MS);
    c.power_loss(1);
    let ((_, index), sure) = on_disk(&mut c, 1);
    assert!(!sure);
    c.start(1);
    assert!(c.run_until(has_leader, HEALING), "{}", c.describe());
    assert!(counter(&mut c, 1) >= load.at(index));
}

#[test]
fn with_a_voter_missing_the_unsure_ones_wait_for_it() {
    for seed in seeds(2) {
        let mut c = SimCluster::with(seed, 3, everysec());
        let leader = c.leader().unwrap();
        let mut load = Counter::new(&mut c, leader);
        load.run_for(&mut c, leader, 1_500 * MS);
        all_lose_power(&mut c, &mut load, leader);
        let missing = c.world().rng().usize(1..=3);
        let longest = c.numbers().map(|n| on_disk(&mut c, n).0).max().unwrap();
        c.forget_entries_behind(longest.1);
        let others: Vec<usize> = c.numbers().filter(|n| *n != missing).collect();
        others.iter().for_each(|n| c.start(*n));
        assert!(
            !c.run_until(has_leader, 10 * SECOND),
            "node {missing} was not asked, seed {seed}{}",
            c.describe()
        );
        // A restart voids what was answered; it still waits.
        c.restart(others[0]);
        assert!(!c.run_until(has_leader, 5 * SECOND), "seed {seed}{}", c.describe());
        c.start(missing);
        assert!(c.run_until(has_leader, HEALING), "seed {seed}{}", c.describe());
        assert!(c.wait_until_equal_digests(HEALING), "seed {seed}{}", c.describe());
        let value = counter(&mut c, missing);
        assert!(value >= load.at(longest.1), "seed {seed}: {value}");
    }
}

/// The voters go on restarting and losing power while they ask each other.
#[test]
fn restarts_and_further_losses_while_asking_do_not_choose_a_shorter_log() {
    for seed in seeds(4) {
        let mut c = SimCluster::with(seed, 3, everysec());
        let leader = c.leader().unwrap();
        let mut load = Counter::new(&mut c, leader);
        load.run_for(&mut c, leader, 1_500 * MS);
        all_lose_power(&mut c, &mut load, leader);
        let longest = c.numbers().map(|n| on_disk(&mut c, n).0).max().unwrap();
        c.forget_entries_behind(longest.1);
        c.numbers().for_each(|n| c.start(n));
        for _ in 0..8 {
            let pause = c.world().rng().u32(20..350) * MS;
            c.run_for(pause);
            let n = c.world().rng().usize(1..=3);
            // Who loses power while somebody leads comes back with less than that leader knows it had (R5).
            if has_leader(&c) || c.world().rng().bool() {
                c.crash(n);
            } else {
                c.power_loss(n);
                c.forget_entries_behind(longest.1);
            }
            let pause = c.world().rng().u32(..100) * MS;
            c.run_for(pause);
            c.start(n);
        }
        assert!(c.run_until(has_leader, HEALING), "seed {seed}{}", c.describe());
        assert!(c.wait_until_equal_digests(HEALING), "seed {seed}{}", c.describe());
        // What stood on a disk after the first loss was written again and fsynced by recovery: no later one takes it.
        let (value, kept) = (counter(&mut c, 1), load.at(longest.1));
        assert!(value >= kept, "seed {seed}: the counter is {value}, the longest log had {kept}");
    }
}

/// A node whose vote is lost could break a promise by acknowledging, too: it does nothing before all have answered.
#[test]
fn a_node_that_lost_its_vote_takes_no_part_before_all_voters_have_answered() {
    let mut c = SimCluster::new(3, 3);
    let leader = c.leader().unwrap();
    let others: Vec<usize> = c.numbers().filter(|n| *n != leader).collect();
    let (damaged, away) = (others[0], others[1]);
    let mut client = c.connect(leader);
    assert_eq!(c.call(&mut client, &[b"SET", b"k", b"1"], SECOND).unwrap().as_str(), Some("OK"));
    c.crash(damaged);
    let machine = c.machine(damaged);
    for page in [0, 4096] {
        c.world().disk(machine).flip_bit("data/log/votes", page + 20, 3).unwrap();
    }
    assert!(!on_disk(&mut c, damaged).1);
    c.crash(away);
    c.start(damaged);
    client.send(&[b"SET", b"k", b"2"]);
    c.run_for(4 * SECOND);
    assert_eq!(client.reply(), None, "it acknowledged without a vote{}", c.describe());
    c.start(away);
    assert!(c.run_until(has_leader, HEALING), "{}", c.describe());
    assert!(c.wait_until_equal_digests(HEALING), "{}", c.describe());
    // It is sure again: with it and without the other follower, writes go on.
    c.crash(away);
    let through = c.leader().unwrap();
    let mut client = c.connect(through);
    assert_eq!(c.call(&mut client, &[b"SET", b"k", b"3"], 5 * SECOND).unwrap().as_str(), Some("OK"));
}

/// A majority is gone for good: the folder of one becomes a cluster of its own, whatever interrupts that.
#[test]
fn accepting_a_loss_is_safe_to_interrupt_and_to_repeat() {
    for seed in seeds(4) {
        let mut c = SimCluster::new(seed, 3);
        let survivor = c.world().rng().usize(1..=3);
        let mut load = Counter::new(&mut c, survivor);
        load.run_for(&mut c, survivor, 200 * MS);
        assert!(c.wait_until_equal_digests(SECOND));
        c.numbers().for_each(|n| c.power_loss(n));
        let machine = c.machine(survivor);
        for _ in 0..c.world().rng().u32(1..6) {
            let interrupted = c
                .world()
                .start(machine, |env| async move { recover::accept_loss(&env, Path::new("data")).await });
            let moment = c.world().rng().u32(..60) * MS / 20;
            c.run_for(moment);
            if c.world().rng().bool() {
                c.crash(survivor)
            } else {
                c.power_loss(survivor)
            }
            drop(interrupted);
        }
        let before =
            on_machine(&mut c, survivor, |env| async move { recover::survey(&env, Path::new("data")) });
        let before = before.expect("the folder is whole");
        let new =
            on_machine(
                &mut c,
                survivor,
                |env| async move { recover::accept_loss(&env, Path::new("data")).await },
            );
        let new = new.expect("it can be done");
        assert!(
            new.cluster != before.cluster && new.last > before.last && new.cut.is_none(),
            "{new:?} {before:?}"
        );

        c.start(survivor);
        assert!(c.run_until(has_leader, HEALING), "seed {seed}{}", c.describe());
        assert_eq!(c.view(survivor).expect("it serves").voters, [survivor as u64], "seed {seed}");
        assert_eq!(counter(&mut c, survivor), load.last(), "seed {seed}");
    }
}
