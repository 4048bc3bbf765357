//! A cluster of the production code under faults, replayed from seeds.

mod storm;

use std::time::Duration;

use quorate_resp::Value;
use quorate_sim::{Settings, SimCluster};

use storm::{EVERYTHING, LEASES, MIXED, Plan, REGISTERS, Report};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// QUORATE_SIM_LOG is a filter (`info`, `quorate_replica=debug`) of what the nodes report, on standard error.
fn log_if_asked() {
    use tracing_subscriber::fmt::format::Writer;
    use tracing_subscriber::fmt::time::FormatTime;
    struct Who;
    impl FormatTime for Who {
        fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
            let ms = quorate_env::wall_ms().saturating_sub(quorate_sim::Options::default().wall_start_ms);
            let node = quorate_sim::current_node().map_or(0, |n| n.index() + 1);
            write!(w, "{:>4}.{:03}s node {node}", ms / 1000, ms % 1000)
        }
    }
    let Ok(filter) = std::env::var("QUORATE_SIM_LOG") else { return };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_timer(Who).with_ansi(false);
    let _already_there = lines.with_writer(std::io::stderr).try_init();
}

/// The seeds of a test: QUORATE_SIM_SEEDS says how many instead of `default`, QUORATE_SIM_SEED which one alone.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().map(|n| n.parse().unwrap_or_else(|_| panic!("{name} is a number")));
    match number("QUORATE_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("QUORATE_SIM_SEEDS").unwrap_or(default),
    }
}

#[allow(clippy::print_stderr, reason = "what a run was like")]
fn storms(default: u64, plan: impl Fn(u64) -> Plan) {
    let (mut total, mut slowest) = ([0; 4], Duration::ZERO);
    let mut simulated = Duration::ZERO;
    for seed in seeds(default) {
        let Report { commands, acknowledged, not_applied, unknown, recovery, simulated: time, .. } = storm::run(plan(seed));
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
    assert!(acknowledged * 2 > commands, "a cluster that answers little proves little");
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
fn same_seed_same_history() {
    let run = |seed| {
        storm::run(Plan { seed, nodes: 3, duration: 4 * SECOND, faults: EVERYTHING, load: MIXED })
    };
    let first = run(7);
    assert!(first.acknowledged > 100, "{}", first.acknowledged);
    let second = run(7);
    for (a, b) in first.history.lines().zip(second.history.lines()) {
        assert_eq!(a, b, "the first difference");
    }
    assert_eq!(first, second);
    let other = run(8);
    assert!(other.trace_digest != first.trace_digest && other.history != first.history);
}

#[test]
fn no_lost_ack() {
    storms(20, |seed| Plan { seed, nodes: 3, duration: 6 * SECOND, faults: EVERYTHING, load: MIXED });
}

#[test]
fn no_lost_ack_with_five_nodes() {
    storms(6, |seed| Plan { seed: seed + 1000, nodes: 5, duration: 6 * SECOND, faults: EVERYTHING, load: MIXED });
}

#[test]
fn registers_are_linearizable() {
    storms(10, |seed| Plan { seed: seed + 2000, nodes: 3, duration: 5 * SECOND, faults: LEASES, load: REGISTERS });
}
