//! Parameters that are the cluster's, and what depends on them.

use std::time::Duration;

use quorate_resp::Value;
use quorate_sim::{Settings, SimClient, SimCluster};

const SECOND: Duration = Duration::from_secs(1);

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

/// One command on a connection that is kept.
fn call(c: &mut SimCluster, client: &mut SimClient, line: &str) -> Value {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    c.call(client, &args, 20 * SECOND).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// One command on a connection of its own.
fn ask(c: &mut SimCluster, n: usize, line: &str) -> Value {
    let mut client = c.connect(n);
    call(c, &mut client, line)
}

fn voters(c: &SimCluster) -> Vec<u64> {
    let leader = c.leader().and_then(|n| c.view(n));
    leader.filter(|view| !view.joint).map_or_else(Vec::new, |view| view.voters)
}

#[test]
fn the_voters_follow_the_replication_factor_and_the_leader_stays() {
    for seed in 0..3 {
        let mut c = SimCluster::new(seed, 5);
        let leader = c.leader().expect("a leader");
        // An even number: as many as there are, if that is one more.
        for (wanted, expected) in [(3, 3), (2, 3), (1, 1), (4, 3), (7, 5), (4, 5), (1, 1), (5, 5)] {
            let any = c.world().rng().usize(1..=5);
            let reply = ask(&mut c, any, &format!("CONFIG SET replication-factor {wanted}"));
            assert_eq!(reply, Value::Simple("OK".into()));
            let there = c.run_until(|c| voters(c).len() == expected, 10 * SECOND);
            assert!(there, "{wanted}: {}", c.describe());
            c.run_for(2 * SECOND);
            assert_eq!(voters(&c).len(), expected, "{wanted} once it has settled: {}", c.describe());
            assert!(voters(&c).contains(&(leader as u64)));
            assert_eq!(c.leader(), Some(leader), "{wanted}: {}", c.describe());
            assert_eq!(ask(&mut c, any, &format!("SET k {wanted}")), Value::Simple("OK".into()));
        }
        assert!(c.wait_until_equal_digests(SECOND), "{}", c.describe());
    }
}

#[test]
fn a_new_leader_keeps_to_the_replication_factor_that_the_log_says() {
    let mut c = SimCluster::new(3, 5);
    // None of them knows it from its command line.
    for n in c.numbers() {
        c.stop(n);
    }
    assert!(c.run_until(|c| c.numbers().all(|n| !c.is_running(n)), 20 * SECOND), "{}", c.describe());
    for n in c.numbers() {
        c.start_with(n, &[("replication-factor", "1")]);
    }
    c.wait_until_all_vote(20 * SECOND);
    c.run_for(3 * SECOND);
    assert_eq!(voters(&c).len(), 5, "{}", c.describe());
    // What an operator may ask for beyond it is refused.
    ask(&mut c, 1, "CONFIG SET replication-factor 3");
    assert!(c.run_until(|c| voters(c).len() == 3, 10 * SECOND), "{}", c.describe());
    let learner = (1..=5).find(|id| !voters(&c).contains(id)).expect("two do not vote");
    let Value::Error(text) = ask(&mut c, 1, &format!("QUORATE NODE PROMOTE {learner}")) else {
        panic!("promoted")
    };
    assert!(text.contains("replication-factor is 3"), "{text}");
}

#[test]
fn the_number_of_databases_is_the_founders() {
    let mut c = SimCluster::down(1, 3, Settings::default());
    c.start_with(1, &[("databases", "20")]);
    assert!(c.run_until(|c| c.leader() == Some(1), 10 * SECOND));
    c.start_with(2, &[("databases", "4")]);
    c.start(3);
    c.wait_until_all_vote(20 * SECOND);
    let check = |c: &mut SimCluster| {
        for n in c.numbers() {
            let mut client = c.connect(n);
            assert_eq!(call(c, &mut client, "SELECT 19"), Value::Simple("OK".into()), "node {n}");
            assert_eq!(call(c, &mut client, &format!("SET k{n} v")), Value::Simple("OK".into()));
            assert!(matches!(call(c, &mut client, "SELECT 20"), Value::Error(_)));
            let Value::Array(shown) = call(c, &mut client, "CONFIG GET databases") else { panic!() };
            assert_eq!(shown[1], bulk("20"));
        }
        assert!(c.wait_until_equal_digests(SECOND), "{}", c.describe());
    };
    check(&mut c);
    for n in c.numbers() {
        c.crash(n);
    }
    // A restart reads it from the log.
    for n in c.numbers() {
        c.start_with(n, &[("databases", "7")]);
    }
    c.wait_until_all_vote(20 * SECOND);
    check(&mut c);
}

#[test]
fn a_node_with_another_timing_is_not_taken_in() {
    let mut c = SimCluster::down(1, 2, Settings::default());
    c.start(1);
    assert!(c.run_until(|c| c.leader() == Some(1), 10 * SECOND));
    c.start_with(2, &[("election-timeout-max", "400")]);
    let mut ended = None;
    c.run_until(
        |c| {
            ended = c.exit(2);
            ended.is_some()
        },
        10 * SECOND,
    );
    let text = ended.expect("it ends").expect_err("it is refused").to_string();
    assert!(text.contains("election-timeout-max 400 instead of 180"), "{text}");
    assert!(text.contains("--set election-timeout-max=180"), "{text}");
    assert_eq!(c.view(1).expect("it runs").members.len(), 1);
    c.start(2);
    assert!(
        c.run_until(|c| c.view(1).is_some_and(|v| v.members.len() == 2), 10 * SECOND),
        "{}",
        c.describe()
    );
}

#[test]
fn full_digests_are_equal_and_see_what_was_written() {
    let mut c = SimCluster::new(7, 3);
    for n in 0..200 {
        ask(&mut c, n % 3 + 1, &format!("SET key{n} {n}"));
    }
    assert!(c.wait_until_equal_digests(SECOND));
    let all = |c: &mut SimCluster| -> Vec<Value> {
        c.numbers().map(|n| ask(c, n, "QUORATE DIGEST FULL")).collect()
    };
    let before = all(&mut c);
    let Value::Array(fields) = &before[0] else { panic!("{before:?}") };
    assert!(
        matches!((&fields[0], &fields[1]), (Value::Int(index), Value::Bulk(d)) if *index > 200 && d.len() == 32)
    );
    assert!(before.iter().all(|digest| *digest == before[0]), "{before:?}");
    ask(&mut c, 2, "SET key0 other");
    assert!(c.wait_until_equal_digests(SECOND));
    let after = all(&mut c);
    assert!(after.iter().all(|digest| *digest == after[0]), "{after:?}");
    assert_ne!(before[0], after[0]);
    let Value::Error(text) = ask(&mut c, 1, "QUORATE DIGEST EMPTY") else { panic!("accepted") };
    assert_eq!(text, "ERR usage: QUORATE DIGEST [FULL]");
}

/// Power goes at once everywhere, in the middle of the second between two syncs.
#[test]
fn what_waitaof_counts_survives_a_loss_of_power() {
    let mut lost = 0;
    for seed in 0..6 {
        let mut c = SimCluster::with(seed, 3, Settings::default().with("appendfsync", "everysec"));
        c.run_for(2 * SECOND);
        let mut client = c.connect(seed as usize % 3 + 1);
        assert_eq!(call(&mut c, &mut client, "SET kept v"), Value::Simple("OK".into()));
        let counted = call(&mut c, &mut client, "WAITAOF 1 2 0");
        assert_eq!(counted, Value::Array(vec![Value::Int(1), Value::Int(2)]));
        let (_, kept, _) = c.digests()[0];
        for n in 1..=40 {
            assert_eq!(call(&mut c, &mut client, "INCR perhaps"), Value::Int(n));
        }
        // They may be lost, and their numbers be given again.
        c.forget_entries_behind(kept);
        for n in c.numbers() {
            c.power_loss(n);
        }
        for n in c.numbers() {
            c.start(n);
        }
        c.wait_until_all_vote(60 * SECOND);
        assert_eq!(ask(&mut c, 1, "GET kept"), bulk("v"), "seed {seed}");
        lost += u32::from(ask(&mut c, 2, "GET perhaps") != bulk("40"));
    }
    assert!(lost > 0, "without it nothing was lost either: the test proves nothing");
}

#[test]
fn wait_on_a_follower_is_answered_as_soon_as_the_disks_have_it() {
    let mut c = SimCluster::new(1, 3);
    let follower = c.numbers().find(|n| Some(*n) != c.leader()).expect("two of them");
    let mut client = c.connect(follower);
    let mut slowest = Duration::ZERO;
    for n in 0..30 {
        call(&mut c, &mut client, &format!("SET k {n}"));
        let since = c.now();
        assert_eq!(call(&mut c, &mut client, "WAIT 2 0"), Value::Int(2));
        slowest = slowest.max(c.now() - since);
    }
    // Simulated time: it does not depend on the machine.
    assert!(slowest <= Duration::from_millis(15), "{slowest:?}");
}
