//! A cluster of the production code under faults, replayed from seeds.

mod storm;

use std::time::Duration;

use quorate_resp::Value;
use quorate_sim::history::{self, Action, Op};
use quorate_sim::{Settings, SimCluster};

use storm::{LEASES, Plan, REGISTERS, Report, log_if_asked};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The seeds of a test: QUORATE_SIM_SEEDS says how many instead of `default`, QUORATE_SIM_SEED which one alone.
fn seeds(default: u64) -> std::ops::Range<u64> {
    match (number("QUORATE_SIM_SEED"), number("QUORATE_SIM_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, many) => 0..many.unwrap_or(default),
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[allow(clippy::print_stderr, reason = "what a run was like")]
fn storms(default: u64, plan: impl Fn(u64) -> Plan) {
    let (mut total, mut slowest) = ([0; 4], Duration::ZERO);
    let mut simulated = Duration::ZERO;
    let plans = match number("QUORATE_SIM_SEED") {
        // The seed that a failure has named.
        Some(seed) => vec![Plan { seed, ..plan(seed) }],
        None => seeds(default).map(plan).collect(),
    };
    for plan in plans {
        let Report { commands, acknowledged, not_applied, unknown, recovery, simulated: time, .. } =
            storm::run(plan);
        for (sum, n) in total.iter_mut().zip([commands, acknowledged, not_applied, unknown]) {
            *sum += n;
        }
        simulated += time;
        slowest = slowest.max(recovery);
    }
    let [commands, acknowledged, not_applied, unknown] = total;
    eprintln!(
        "{simulated:?} simulated; {commands} commands, {acknowledged} acknowledged, {not_applied} not applied, \
         {unknown} unknown; slowest recovery {slowest:?}"
    );
    let alone = std::env::var_os("QUORATE_SIM_SEED").is_some();
    assert!(alone || acknowledged * 2 > commands, "a cluster that answers little proves little");
}

#[test]
fn three_nodes_serve() {
    log_if_asked();
    let mut c = SimCluster::new(1, 3);
    let mut clients: Vec<_> = c.numbers().map(|n| c.connect(n)).collect();
    for n in 0..3 {
        let key = format!("key{n}");
        let reply = c.call(&mut clients[n], &[b"SET", key.as_bytes(), b"v"], SECOND).unwrap();
        assert_eq!(reply, Value::Simple("OK".into()));
        for client in &mut clients {
            assert_eq!(c.call(client, &[b"GET", key.as_bytes()], SECOND).unwrap(), Value::Bulk(b"v".into()));
        }
    }
    assert!(c.wait_until_equal_digests(SECOND), "{}", c.describe());
    assert!(c.digests().iter().all(|d| d.1 > 3));
}

#[test]
fn nodes_that_start_together_form_a_cluster() {
    log_if_asked();
    for seed in seeds(8) {
        let mut c = SimCluster::down(seed, 3, Settings::default());
        for n in c.numbers() {
            c.start(n);
            let pause = c.world().rng().u32(..12) * (MS / 4);
            c.run_for(pause);
        }
        c.wait_until_all_vote(10 * SECOND);
    }
}

#[test]
fn same_seed_same_history() {
    let run = |seed| storm::run(Plan { duration: 4 * SECOND, ..Plan::everything(seed) });
    let first = run(5);
    assert!(first.acknowledged > 100, "{}", first.acknowledged);
    let second = run(5);
    for (a, b) in first.history.lines().zip(second.history.lines()) {
        assert_eq!(a, b, "the first difference");
    }
    assert_eq!(first, second);
    let other = run(6);
    assert!(other.trace_digest != first.trace_digest && other.history != first.history);
}

/// Even seeds; the odd ones are a test of their own, so that two cores share the work.
#[test]
fn no_lost_ack() {
    storms(15, |seed| Plan::everything(2 * seed));
}

#[test]
fn no_lost_ack_odd() {
    storms(15, |seed| Plan::everything(2 * seed + 1));
}

/// One to seven nodes, short and long storms: what `make sim` runs, and `make storms` hundreds of.
#[test]
fn no_promise_is_broken() {
    storms(6, |seed| Plan::drawn(2 * seed));
}

/// What storms do with each type succeeds, and finds something: verdicts on failures and on nothing show little.
#[test]
fn storms_reach_every_type() {
    let report = storm::run(Plan { faults: Vec::new(), duration: 8 * SECOND, ..Plan::everything(0) });
    let counters =
        ["c", "ch", "cz", "cb", "cl", "cs", "cf", "ct"].map(|place| format!(": Increment {place}:0 -> "));
    let registers = ["rh", "rz", "rb", "rs", "rx", "rt"].map(|place| format!(": Read {place}:1 -> "));
    let cells = ["ms", "mh", "mz", "mb"].map(|place| format!(": Look {place}:0/"));
    let pushes = ["Plainly", "Script", "Transaction"].map(|how| format!("how: {how} }} q"));
    let pops = ["qf", "qm", "qz"].map(|place| format!("ms), from_right: false }} {place}:"));
    let others = [
        ": Put(",
        ": PutIfEmpty(",
        ": Take ",
        ": Swap(",
        ": Move { wait: Some(",
        ": Move { wait: None }",
        ": Add(",
        ": Deliver { wait: Some(",
        ": Deliver { wait: None }",
        ": Acknowledge {",
        ": Claim x:",
        ": Follow {",
        ": Sample(",
        ": Estimate ",
        ": LoadFunctions ",
        ": Effect(",
        " qs:",
    ];
    let others = others.map(str::to_owned);
    for what in counters.iter().chain(&registers).chain(&cells).chain(&pushes).chain(&pops).chain(&others) {
        let lines = report.history.lines().filter(|line| line.contains(what));
        let found =
            lines.filter(|line| !line.ends_with("-> Null") && !line.ends_with("-> NullArray")).count();
        assert!(found > 1, "{what}: {found}");
    }
    let [guests, users] = report.beside;
    assert!(guests > 500 && users > 50, "guests were answered {guests} times, users {users} times");
}

/// 43: a snapshot that the disk had no room for got its name. 50: a change of the voters that lost its leader was never
/// ended. 147: what is to be sent again kept a node busy for as long as nobody led.
#[test]
fn seeds_that_found_bugs() {
    for seed in [43, 50, 147] {
        storm::run(Plan::drawn(seed).of_strings());
    }
}

#[test]
fn no_promise_is_broken_odd() {
    storms(6, |seed| Plan::drawn(2 * seed + 1));
}

#[test]
fn no_lost_ack_with_five_nodes() {
    storms(3, |seed| Plan { nodes: 5, ..Plan::everything(seed) });
}

#[test]
fn registers_are_linearizable() {
    storms(6, |seed| Plan {
        faults: LEASES.to_vec(),
        everysec: false,
        load: REGISTERS,
        ..Plan::everything(seed)
    });
}

/// How a leader is lost.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Killed,
    WithoutPower,
    CutOff,
    Stopped,
}

/// `fast-failover`, and R15: clients of the other nodes see a pause, and no error.
#[test]
fn losing_the_leader_is_a_pause_of_less_than_a_second() {
    log_if_asked();
    for seed in seeds(4) {
        for loss in [Loss::Killed, Loss::WithoutPower, Loss::CutOff, Loss::Stopped] {
            let mut c = SimCluster::new(seed, 3);
            let leader = c.leader().unwrap();
            let mut client = c.connect(leader % 3 + 1);
            let mut count = 0;
            let mut increment = |c: &mut SimCluster| {
                count += 1;
                let reply = c.call(&mut client, &[b"INCR", b"counter"], 5 * SECOND).unwrap();
                assert_eq!(reply, Value::Int(count), "seed {seed}, the leader is {loss:?}");
            };
            for _ in 0..20 + seed {
                increment(&mut c);
            }
            let machine = c.machine(leader);
            let others: Vec<_> = c.numbers().filter(|n| *n != leader).map(|n| c.machine(n)).collect();
            match loss {
                Loss::Killed => c.crash(leader),
                Loss::WithoutPower => c.power_loss(leader),
                Loss::CutOff => c.world().network().partition(&[machine], &others),
                Loss::Stopped => c.world().pause(machine),
            }
            let lost = c.now();
            increment(&mut c);
            let pause = c.now() - lost;
            assert!(pause < SECOND, "writes stopped for {pause:?}, seed {seed}, the leader is {loss:?}");
            (0..20).for_each(|_| increment(&mut c));
        }
    }
}

/// R3: the voters have forgotten that they promised the leader to elect nobody else for a while.
#[test]
fn restarted_voters_do_not_break_the_lease_of_the_leader() {
    log_if_asked();
    for seed in seeds(8) {
        let mut c = SimCluster::new(seed, 3);
        let leader = c.leader().unwrap();
        let others: Vec<usize> = c.numbers().filter(|n| *n != leader).collect();
        let mut reader = c.connect(leader);
        c.call(&mut reader, &[b"SET", b"register", b"1"], SECOND).unwrap();
        let moment = c.world().rng().u32(..40) * MS;
        c.run_for(moment);

        let machines: Vec<_> = others.iter().map(|n| c.machine(*n)).collect();
        let machine = c.machine(leader);
        c.world().network().partition(&[machine], &machines);
        // The slowest clock that is allowed on the leader, the fastest on the voters.
        c.world().set_drift(machine, -24_000);
        for n in &others {
            c.restart(*n);
            let voter = c.machine(*n);
            c.world().set_drift(voter, 24_000);
        }
        let begin = c.now();
        let (mut ops, mut writer, mut answered) = (vec![write(1, Duration::ZERO, begin)], None, None);
        let mut asked = c.now();
        reader.send(&[b"GET", b"register"]);
        while answered.is_none_or(|time| c.now() < time + 300 * MS) {
            c.run_for(MS / 4);
            assert!(c.now() < begin + 3 * SECOND, "no new leader, seed {seed}");
            if let Some(reply) = reader.reply() {
                if reply.as_error().is_none() {
                    let value = reply.as_str().map(|text| text.parse().unwrap());
                    ops.push(Op { begin: asked, end: Some(c.now()), action: Action::Read(value) });
                }
                asked = c.now();
                reader.send(&[b"GET", b"register"]);
            }
            let client = writer.get_or_insert_with(|| c.connect(others[0]));
            if client.ended().is_some() {
                writer = None;
            } else if let Some(reply) = client.reply() {
                match reply.as_error() {
                    None => answered = Some(c.now()),
                    Some(error) => assert!(error.starts_with("LOADING "), "{error}"),
                }
            } else if client.is_connected() && client.unanswered() == 0 && answered.is_none() {
                client.send(&[b"SET", b"register", b"2"]);
            }
        }
        let under_lease = ops.len() - 1;
        assert!(under_lease > 50, "{under_lease} reads while cut off: was there a lease at all? seed {seed}");
        ops.push(write(2, begin, answered.unwrap()));
        if let Err(why) = history::check_register(&ops) {
            panic!("seed {seed}: {why}");
        }
    }
}

fn write(value: u64, begin: Duration, end: Duration) -> Op {
    Op { begin, end: Some(end), action: Action::Write(value) }
}

#[test]
fn a_node_that_was_away_catches_up_by_a_snapshot() {
    log_if_asked();
    let small = Settings::default().with("snapshot-log-size", "1mb").with("log-keep-size", "0");
    let mut c = SimCluster::with(5, 3, small);
    let leader = c.leader().unwrap();
    let away = leader % 3 + 1;
    let mut client = c.connect(leader);
    let value = vec![b'x'; 30_000];
    c.crash(away);
    for i in 0..150 {
        let key = format!("key{i}");
        let reply = c.call(&mut client, &[b"SET", key.as_bytes(), &value], SECOND).unwrap();
        assert_eq!(reply.as_str(), Some("OK"));
    }
    c.run_for(SECOND);
    assert!(c.stats(leader).unwrap().snapshots > 0);
    c.start(away);
    assert!(c.wait_until_equal_digests(10 * SECOND), "{}", c.describe());
    assert_eq!(c.stats(away).unwrap().installs, 1);
    let mut client = c.connect(away);
    assert_eq!(c.call(&mut client, &[b"GET", b"key149"], SECOND).unwrap().as_bytes(), Some(&value[..]));
    // And it goes on from there, also after a further start.
    c.restart(away);
    assert!(c.wait_until_equal_digests(10 * SECOND), "{}", c.describe());
}

/// A planned stop hands over leadership (R19) and leaves a log that needs no repair.
#[test]
fn a_rolling_restart_loses_nothing() {
    log_if_asked();
    let mut c = SimCluster::new(6, 3);
    let mut count = 0;
    for n in [1, 2, 3] {
        let mut client = c.connect(n % 3 + 1);
        let mut increment = |c: &mut SimCluster| {
            count += 1;
            assert_eq!(c.call(&mut client, &[b"INCR", b"counter"], 5 * SECOND).unwrap(), Value::Int(count));
        };
        increment(&mut c);
        c.stop(n);
        while c.is_running(n) {
            increment(&mut c);
            assert!(c.now() < 60 * SECOND, "node {n} does not stop");
        }
        let exit = c.exit(n);
        assert!(matches!(exit, Some(Ok(()))), "node {n}: {exit:?}");
        increment(&mut c);
        c.start(n);
        assert!(c.wait_until_equal_digests(5 * SECOND), "{}", c.describe());
    }
}
