//! The secret that the members of a cluster share: whoever does not know it takes no part, and disturbs nobody.

use std::time::Duration;

use quorate_resp::Value;
use quorate_sim::{Settings, SimCluster};

const SECOND: Duration = Duration::from_secs(1);
const OTHER: &[u8] = b"a secret of another cluster";

fn set(c: &mut SimCluster, n: usize, value: u64) -> Value {
    let mut client = c.connect(n);
    c.call(&mut client, &[b"SET", b"k", value.to_string().as_bytes()], 20 * SECOND).expect("an answer")
}

/// Three voters, and the machine of a fourth node.
fn three_of_four(seed: u64) -> SimCluster {
    let mut c = SimCluster::down(seed, 4, Settings::default());
    c.start(1);
    assert!(c.run_until(|c| c.leader() == Some(1), 30 * SECOND), "{}", c.describe());
    (2..=3).for_each(|n| c.start(n));
    assert!(c.run_until(|c| voters(c) == 3, 30 * SECOND), "{}", c.describe());
    c
}

fn voters(c: &SimCluster) -> usize {
    let leader = c.leader().and_then(|n| c.view(n));
    leader.filter(|view| !view.joint).map_or(0, |view| view.voters.len())
}

/// The process of a node ends by itself, and says why.
fn end_of(c: &mut SimCluster, n: usize) -> String {
    assert!(c.run_until(|c| !c.is_running(n), 10 * SECOND), "{}", c.describe());
    c.exit(n).expect("told once").expect_err("it was refused").to_string()
}

#[test]
fn who_lacks_the_secret_joins_nothing_and_disturbs_nobody() {
    for seed in 0..3 {
        let mut c = three_of_four(seed);
        let (leader, term) = (c.leader(), c.view(1).map(|view| view.term));
        for (secret, says) in [(Some(OTHER), "has another cluster secret"), (None, "needs the secret")] {
            c.set_secret(4, secret);
            c.start(4);
            let why = end_of(&mut c, 4);
            assert!(why.contains(says) && why.contains("--cluster-secret-file"), "{why}");
            assert_eq!(set(&mut c, 2, seed), Value::Simple("OK".into()));
        }
        assert_eq!((c.leader(), c.view(1).map(|view| view.term)), (leader, term));
        assert_eq!(c.view(1).expect("it runs").members.len(), 3);
    }
}

#[test]
fn a_member_has_the_secret_in_its_folder() {
    let mut c = three_of_four(7);
    c.set_secret(2, Some(OTHER));
    c.restart(2);
    let why = end_of(&mut c, 2);
    assert!(why.contains("another secret than data/cluster-secret"), "{why}");
    c.set_secret(2, None);
    c.start(2);
    assert!(
        c.run_until(|c| c.view(2).is_some_and(|view| view.leader.is_some()), 10 * SECOND),
        "{}",
        c.describe()
    );
    assert_eq!(set(&mut c, 2, 1), Value::Simple("OK".into()));

    // Of a damaged one it says so; with a copy of another member's it goes on.
    c.crash(2);
    let machine = c.machine(2);
    c.world().disk(machine).flip_bit("data/cluster-secret", 3, 1).expect("there is such a file");
    c.start(2);
    let why = end_of(&mut c, 2);
    assert!(why.contains("is not what was written there") && why.contains("--cluster-secret-file"), "{why}");
    let machine = c.machine(3);
    let copy = c.world().disk(machine).read("data/cluster-secret").expect("there is such a file");
    c.set_secret(2, Some(&copy));
    c.start(2);
    assert!(
        c.run_until(|c| c.view(2).is_some_and(|view| view.leader.is_some()), 10 * SECOND),
        "{}",
        c.describe()
    );
    assert_eq!(set(&mut c, 2, 2), Value::Simple("OK".into()));
}

/// What nobody has given differs from cluster to cluster, and a copy of it lets others in.
#[test]
fn a_founder_makes_a_secret_of_its_own() {
    let secrets: Vec<_> = (0..2)
        .map(|seed| {
            let mut c = SimCluster::down(seed, 2, Settings::default());
            c.set_secret(1, None);
            c.start(1);
            assert!(c.run_until(|c| c.leader() == Some(1), 30 * SECOND), "{}", c.describe());
            let machine = c.machine(1);
            let secret = c.world().disk(machine).read("data/cluster-secret").expect("it has made one");
            c.set_secret(2, Some(&secret));
            c.start(2);
            let joined = c.run_until(|c| c.view(1).is_some_and(|view| view.members.len() == 2), 30 * SECOND);
            assert!(joined, "{}", c.describe());
            secret
        })
        .collect();
    assert!(secrets[0] != secrets[1] && secrets.iter().all(|secret| secret.len() == 65));
}
