//! A leader that is short of memory now and then: what it evicts and refuses is alike on all replicas (R12).

use std::time::Duration;

use quorate_env::clock;
use quorate_resp::Value;
use quorate_sim::{Settings, SimClient, SimCluster};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const LIMIT: u64 = 1 << 20;

/// Above the limit by a few kilobytes for a fifth of a second out of every two: whatever may go has gone before it ends.
fn memory() -> u64 {
    if clock::wall_ms() / 200 % 10 == 7 { LIMIT + 3000 } else { LIMIT / 2 }
}

/// Above it by a few keys for some milliseconds: never does everything go.
fn ample_memory() -> u64 {
    if clock::wall_ms() % 200 < 20 { LIMIT + 200 } else { LIMIT / 2 }
}

fn cluster(seed: u64, policy: &str) -> SimCluster {
    let memory = if policy.starts_with("allkeys") { ample_memory } else { memory };
    let settings = Settings { memory: Some(memory), ..Settings::default() };
    let settings = settings.with("maxmemory", &LIMIT.to_string()).with("maxmemory-policy", policy);
    SimCluster::with(seed, 3, settings)
}

fn call(c: &mut SimCluster, n: usize, line: &str) -> Value {
    let mut client = c.connect(n);
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    c.call(&mut client, &args, 20 * SECOND).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn number_in_info(c: &mut SimCluster, n: usize, name: &str) -> u64 {
    let Value::Bulk(info) = call(c, n, "INFO stats") else { panic!("INFO has an answer") };
    let info = String::from_utf8_lossy(&info).into_owned();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or_else(|| panic!("{name} in {info}"))
}

/// A command of some client: most need memory, some not.
fn any_line(c: &mut SimCluster) -> String {
    let rng = c.world().rng();
    let (key, n) = (rng.u32(0..300), rng.u32(..));
    match rng.u32(0..8) {
        0 => format!("GET k{key}"),
        1 => format!("DEL k{key}"),
        2 => format!("RPUSH l{} {n}", key % 20),
        3 => format!("SET k{key} {n} EX {}", 100 + n % 100),
        4 => format!("EVAL return{}redis.call('SET',KEYS[1],ARGV[1]) 1 k{key} {n}", '\u{c}'),
        5 => format!("LPOP l{}", key % 20),
        _ => format!("SET k{key} {n}"),
    }
}

/// Clients on all nodes; the leader is killed on the way. How many commands were refused for memory, and how many keys
/// the nodes evicted.
fn run(seed: u64, policy: &str) -> (u32, u64) {
    let mut c = cluster(seed, policy);
    let mut refused = 0;
    let mut clients: Vec<(usize, SimClient)> = c.numbers().map(|n| (n, c.connect(n))).collect();
    let mut evicted = 0;
    for round in 0..240 {
        for (n, client) in &mut clients {
            while let Some(reply) = client.reply() {
                let is_oom = reply.as_error().is_some_and(|text| text.starts_with("OOM "));
                refused += u32::from(is_oom);
            }
            if client.ended().is_some() && c.is_running(*n) {
                *client = c.connect(*n);
            }
            for _ in 0..4 {
                let line = any_line(&mut c);
                client.send(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
            }
        }
        c.run_for(10 * MS);
        if round == 120 {
            let leader = c.leader().expect("a leader");
            evicted += number_in_info(&mut c, leader, "evicted_keys");
            c.crash(leader);
            c.run_for(SECOND);
            c.restart(leader);
        }
    }
    c.wait_until_all_vote(20 * SECOND);
    assert!(c.wait_until_equal_digests(20 * SECOND), "{policy}: {}", c.describe());
    c.look_at_contents();
    let leader = c.leader().expect("a leader");
    evicted += number_in_info(&mut c, leader, "evicted_keys");
    (refused, evicted)
}

#[test]
fn replicas_agree_on_what_a_leader_evicts() {
    for (seed, policy) in [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-ttl",
        "volatile-random",
        "volatile-lfu",
    ]
    .into_iter()
    .enumerate()
    {
        let (refused, evicted) = run(seed as u64, policy);
        assert!(evicted > 50, "{policy}: {evicted}");
        // Keys without a deadline do not go: sooner or later there is nothing else.
        assert_eq!(refused > 0, policy.starts_with("volatile"), "{policy}: {refused}");
    }
}

#[test]
fn replicas_agree_on_what_is_refused() {
    for seed in 0..3 {
        let (refused, evicted) = run(seed, "noeviction");
        assert!(refused > 100, "{refused}");
        assert_eq!(evicted, 0);
    }
}
