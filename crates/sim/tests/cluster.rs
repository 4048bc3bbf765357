//! A cluster of the production code under faults, replayed from seeds.

use std::time::Duration;

use quorate_resp::Value;
use quorate_sim::{SimCluster, Settings};

const SECOND: Duration = Duration::from_secs(1);

fn log_if_asked() {
    let Ok(filter) = std::env::var("QUORATE_SIM_LOG") else { return };
    struct Clock;
    impl tracing_subscriber::fmt::time::FormatTime for Clock {
        fn format_time(&self, w: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
            let ms = quorate_env::wall_ms().saturating_sub(1_750_000_000_000);
            let node = quorate_sim::current_node().map_or("-".to_owned(), |n| format!("n{}", n.index() + 1));
            write!(w, "{:>4}.{:03} {node}", ms / 1000, ms % 1000)
        }
    }
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_timer(Clock).with_ansi(false).with_writer(std::io::stderr).try_init();
}

#[test]
fn three_nodes_serve() {
    log_if_asked();
    let mut c = SimCluster::with(1, 3, Settings::default());
    eprintln!("founded at {:?}{}", c.now(), c.describe());
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
    let t = c.now();
    c.run_for(20 * SECOND);
    eprintln!("{:?} {:?} {:x}", t, c.now(), c.world().trace_digest());
}
