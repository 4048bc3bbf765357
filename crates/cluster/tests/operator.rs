//! What operators ask of a cluster, and what clients rely on meanwhile: members, leadership, transactions, large values.
//! Whole clusters in the simulator.

use std::time::Duration;

use quorate_resp::Value;
use quorate_sim::{Settings, SimClient, SimCluster};

const SECOND: Duration = Duration::from_secs(1);

fn call(c: &mut SimCluster, client: &mut SimClient, line: &str) -> Value {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    c.call(client, &args, 20 * SECOND).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// One command on a connection of its own.
fn ask(c: &mut SimCluster, n: usize, line: &str) -> Value {
    let mut client = c.connect(n);
    call(c, &mut client, line)
}

#[track_caller]
fn refused(reply: &Value, with: &str) {
    let text = reply.as_error().unwrap_or_else(|| panic!("no error, but {reply:?}"));
    assert!(text.contains(with), "{text}");
}

fn ok() -> Value {
    Value::Simple("OK".into())
}

fn leader(c: &mut SimCluster) -> usize {
    assert!(c.run_until(|c| c.leader().is_some(), 10 * SECOND), "{}", c.describe());
    c.leader().expect("just seen")
}

fn voters(c: &SimCluster) -> Vec<u64> {
    let view = c.leader().and_then(|n| c.view(n)).filter(|view| !view.joint);
    view.map_or_else(Vec::new, |view| view.voters)
}

#[test]
fn members_are_promoted_and_removed_and_leadership_is_handed_over() {
    let mut c = SimCluster::down(11, 4, Settings::default().with("replication-factor", "3"));
    for n in c.numbers() {
        c.start(n);
        let joined = |c: &SimCluster| c.view(1).is_some_and(|view| view.members.len() == n);
        assert!(c.run_until(joined, 10 * SECOND), "{}", c.describe());
    }
    c.run_for(SECOND);
    assert!(c.run_until(|c| voters(c).len() == 3, 10 * SECOND), "{}", c.describe());
    let first = leader(&mut c);
    assert_eq!(ask(&mut c, first, "SET kept 1"), ok());
    let voting = voters(&c);
    assert_eq!(voting.len(), 3, "{}", c.describe());
    let learner = c.numbers().find(|n| !voting.contains(&(*n as u64))).expect("the fourth");
    let other = c.numbers().find(|n| *n != first && *n != learner).expect("a follower");

    // From any node, and each refusal says why.
    refused(&ask(&mut c, other, &format!("QUORATE NODE PROMOTE {learner}")), "replication-factor is 3");
    refused(&ask(&mut c, other, "QUORATE NODE PROMOTE 9"), "node 9 is not a member");
    refused(&ask(&mut c, first, "QUORATE NODE REMOVE 9"), "node 9 is not a member");
    let reply = ask(&mut c, learner, &format!("QUORATE NODE PROMOTE {other}"));
    assert!(reply.as_str().is_some_and(|text| text.contains("votes already")), "{reply:?}");
    assert!(ask(&mut c, other, &format!("QUORATE FAILOVER TO {learner}")).as_error().is_some());
    assert_eq!(c.leader(), Some(first));
    assert_eq!(voters(&c), voting, "nothing has changed");

    // Leadership goes where it is sent, and nothing that was acknowledged is lost on the way.
    let reply = ask(&mut c, learner, &format!("QUORATE FAILOVER TO {other}"));
    assert!(reply.as_error().is_none(), "{reply:?}");
    assert!(c.run_until(|c| c.leader() == Some(other), 5 * SECOND), "{}", c.describe());
    assert_eq!(ask(&mut c, first, "INCR kept"), Value::Int(2));

    // A leader that is removed hands over first; the learner takes the place of the voter that is gone.
    let mut reply = ask(&mut c, first, &format!("QUORATE NODE REMOVE {other}"));
    for _ in 0..20 {
        if reply.as_error().is_none() {
            break;
        }
        c.run_for(SECOND / 2);
        reply = ask(&mut c, first, &format!("QUORATE NODE REMOVE {other}"));
    }
    let gone = |c: &SimCluster| {
        let view = c.leader().filter(|n| *n != other).and_then(|n| c.view(n));
        view.is_some_and(|view| !view.members.contains_key(&(other as u64))) && voters(c).len() == 3
    };
    assert!(c.run_until(gone, 20 * SECOND), "{reply:?} {}", c.describe());
    assert!(voters(&c).contains(&(learner as u64)), "{}", c.describe());
    assert_eq!(ask(&mut c, learner, "INCR kept"), Value::Int(3));

    // Its number is never given again: what is remembered of it is of another folder.
    c.join_anew(other);
    assert!(c.run_until(|c| c.member_id(other).is_some_and(|id| id > 4), 20 * SECOND), "{}", c.describe());
    c.run_for(SECOND);
    assert!(c.wait_until_equal_digests(10 * SECOND), "{}", c.describe());
    let Value::Array(list) = ask(&mut c, first, "QUORATE NODE LIST") else { panic!("a list") };
    assert_eq!(list.len(), 4);
}

#[test]
fn the_second_node_has_no_say_until_it_is_promoted() {
    let mut c = SimCluster::down(3, 2, Settings::default().with("replication-factor", "3"));
    c.start(1);
    leader(&mut c);
    refused(&ask(&mut c, 1, "QUORATE NODE REMOVE 1"), "the only voter");
    c.start(2);
    let joined = c.run_until(|c| c.view(1).is_some_and(|view| view.members.len() == 2), 10 * SECOND);
    assert!(joined, "{}", c.describe());
    c.run_for(SECOND);
    assert_eq!(ask(&mut c, 2, "SET k v"), ok());
    assert!(c.wait_until_equal_digests(5 * SECOND), "{}", c.describe());
    // Without it everything goes on.
    c.crash(2);
    assert_eq!(ask(&mut c, 1, "SET k w"), ok());
    assert_eq!(voters(&c), [1]);
    // It cannot vote while nobody reaches it.
    refused(&ask(&mut c, 1, "QUORATE NODE PROMOTE 2"), "reachable and caught up");
    c.start(2);
    c.run_for(SECOND);
    assert!(c.wait_until_equal_digests(10 * SECOND), "{}", c.describe());
    let reply = ask(&mut c, 2, "QUORATE NODE PROMOTE 2");
    assert!(reply.as_error().is_none(), "{reply:?}");
    assert!(c.run_until(|c| voters(c) == [1, 2], 5 * SECOND), "{}", c.describe());
    // Now it does: alone, the first one acknowledges nothing.
    c.crash(2);
    assert!(ask(&mut c, 1, "SET k x").as_error().is_some());
    c.start(2);
    c.run_for(2 * SECOND);
    leader(&mut c);
    assert_eq!(ask(&mut c, 2, "SET k y"), ok());
}

/// R16: what was watched counts on every node, and across a change of leader.
#[test]
fn transactions_see_what_they_watch_on_every_node_and_across_a_failover() {
    let mut c = SimCluster::new(21, 3);
    let first = leader(&mut c);
    let other = first % 3 + 1;
    for (at, by) in [(first, other), (other, first), (other, other)] {
        let mut watching = c.connect(at);
        assert_eq!(call(&mut c, &mut watching, "SET balance 10"), ok());
        // Nobody interferes: all of it, what only the session can answer among it.
        assert_eq!(call(&mut c, &mut watching, "WATCH balance missing"), ok());
        assert_eq!(call(&mut c, &mut watching, "MULTI"), ok());
        for line in ["INCRBY balance 5", "GET balance", "PING", "SELECT 0"] {
            assert_eq!(call(&mut c, &mut watching, line), Value::Simple("QUEUED".into()), "{line}");
        }
        let all = vec![Value::Int(15), Value::Bulk("15".into()), Value::Simple("PONG".into()), ok()];
        assert_eq!(call(&mut c, &mut watching, "EXEC"), Value::Array(all), "at {at}");
        // Somebody does: nothing of it, whichever way they came.
        for (key, interference) in
            [("balance", "INCR balance"), ("missing", "SET missing 1"), ("missing", "DEL missing")]
        {
            assert_eq!(call(&mut c, &mut watching, &format!("WATCH {key}")), ok());
            assert_eq!(call(&mut c, &mut watching, "MULTI"), ok());
            assert_eq!(call(&mut c, &mut watching, "SET balance 0"), Value::Simple("QUEUED".into()));
            assert!(ask(&mut c, by, interference).as_error().is_none());
            assert!(call(&mut c, &mut watching, "EXEC").is_null(), "{interference} at {by}, seen at {at}");
        }
        assert_eq!(call(&mut c, &mut watching, "GET balance"), Value::Bulk("16".into()));
    }

    // The leader goes between WATCH and EXEC.
    let (mut broken, mut whole) = (c.connect(other), c.connect(other));
    assert_eq!(call(&mut c, &mut broken, "WATCH balance"), ok());
    assert_eq!(call(&mut c, &mut whole, "WATCH missing"), ok());
    assert!(ask(&mut c, first, "INCR balance").as_error().is_none());
    c.crash(first);
    for (client, is_whole) in [(&mut broken, false), (&mut whole, true)] {
        assert_eq!(call(&mut c, client, "MULTI"), ok());
        assert_eq!(call(&mut c, client, "INCR done"), Value::Simple("QUEUED".into()));
        let reply = call(&mut c, client, "EXEC");
        assert_eq!(!reply.is_null(), is_whole, "{reply:?}");
    }
    c.start(first);
    assert!(c.wait_until_equal_digests(10 * SECOND), "{}", c.describe());
    assert_eq!(ask(&mut c, first, "GET done"), Value::Bulk("1".into()));
}

/// R20, R21: a value of several megabytes takes another way at each step: copied in pieces, a batch of its own, shared
/// with the bus and the log, cut into frames while it is written.
#[test]
fn large_values_come_whole_to_every_node_and_leave_nothing_behind() {
    let mut c = SimCluster::new(31, 3);
    let first = leader(&mut c);
    let value: Vec<u8> = (0..6 << 20).map(|at: u32| (at ^ at >> 8) as u8).collect();
    for n in [first, first % 3 + 1] {
        let mut client = c.connect(n);
        let key = format!("large-{n}");
        let reply = c.call(&mut client, &[b"SET", key.as_bytes(), &value], 30 * SECOND).expect("answered");
        assert_eq!(reply, ok());
        assert_eq!(ask(&mut c, n, "INCR small"), Value::Int(if n == first { 1 } else { 2 }));
    }
    assert!(c.wait_until_equal_digests(10 * SECOND), "{}", c.describe());
    for reader in c.numbers() {
        for n in [first, first % 3 + 1] {
            let got = ask(&mut c, reader, &format!("GET large-{n}"));
            assert!(got.as_bytes() == Some(&value[..]), "large-{n} at {reader}");
        }
    }
    // And after a start from the log.
    c.restart(first);
    assert!(c.wait_until_equal_digests(20 * SECOND), "{}", c.describe());
    let got = ask(&mut c, first, &format!("GET large-{first}"));
    assert!(got.as_bytes() == Some(&value[..]));
}
