//! The real clock, waiting, and TCP.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use quorate_env::clock::{self, Simulated};
use quorate_env::{Instant, Network, real, sleep, sleep_until, timeout, wall_ms};

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn sleep_is_never_early_and_timeouts_end_what_takes_longer() {
    let start = Instant::now();
    sleep(SHORT).await;
    assert!(start.elapsed() >= SHORT);
    sleep_until(start).await;

    assert_eq!(timeout(LONG, async { 7 }).await, Ok(7));
    timeout(SHORT, std::future::pending::<()>()).await.expect_err("it never ends");
    assert!(start.elapsed() >= 2 * SHORT && start.elapsed() < LONG);
}

#[tokio::test]
async fn a_wait_can_be_moved_and_used_in_select() {
    let start = Instant::now();
    let mut tick = std::pin::pin!(sleep(LONG));
    for turn in 1..=3 {
        tick.as_mut().reset(start + turn * SHORT);
        tokio::select! {
            () = &mut tick => assert!(start.elapsed() >= turn * SHORT),
            () = sleep(LONG) => panic!("the longer wait ended first"),
        }
    }
}

#[test]
fn instants_stop_at_the_ends_of_their_range() {
    let (start, end) = (Instant::from_nanos(5), Instant::from_nanos(u64::MAX));
    assert_eq!(start - Duration::from_secs(1), Instant::from_nanos(0));
    assert_eq!(start + Duration::MAX, end);
    assert_eq!(start.checked_add(Duration::MAX), None);
    assert_eq!(end.checked_add(Duration::from_nanos(1)), None);
    assert_eq!(start - end, Duration::ZERO);
    assert_eq!(end - start, Duration::from_nanos(u64::MAX - 5));
    assert_eq!(format!("{:?}", Instant::from_nanos(12_000_000_034)), "12.000000034s");
}

#[test]
fn an_installed_clock_is_read_until_its_guard_goes() {
    let (real, real_wall) = (Instant::now(), wall_ms());
    {
        let _outer = clock::install(Simulated { boot_ns: 1, wall_ms: 2 });
        {
            let _inner = clock::install(Simulated { boot_ns: 3, wall_ms: 4 });
            assert_eq!((Instant::now(), wall_ms()), (Instant::from_nanos(3), 4));
        }
        assert_eq!((Instant::now(), wall_ms()), (Instant::from_nanos(1), 2));
    }
    assert!(Instant::now() >= real && wall_ms() + 60_000 > real_wall);
}

#[tokio::test]
async fn streams_carry_bytes_both_ways_and_end() {
    let env = real::env().expect("the disk's threads start");
    let mut listener = env.net.listen("127.0.0.1:0".parse().expect("an address")).await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let echo = tokio::spawn(async move {
        let (mut stream, from) = listener.accept().await.expect("a connection");
        assert!(from.ip().is_loopback());
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("read");
        stream.write_all(&bytes).await.expect("written");
        stream.shutdown().await.expect("closed");
        listener
    });
    let mut stream = env.net.connect(&addr.to_string()).await.expect("connected");
    stream.write_all(b"hello").await.expect("written");
    stream.shutdown().await.expect("closed");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("read");
    assert_eq!(bytes, b"hello");

    let listener = echo.await.expect("no panic");
    let error = env.net.listen(addr).await.err().expect("the port is taken");
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    drop(listener);
    // A connection of it is in TIME_WAIT now, and yet the port is free.
    env.net.listen(addr).await.expect("the port is free again");
    assert_ne!(env.random.next_u64(), env.random.next_u64());
}

#[tokio::test]
async fn a_refused_connection_names_the_address() {
    let network = real::RealNetwork;
    let free = network.listen("127.0.0.1:0".parse().expect("an address")).await.expect("a free port");
    let addr = free.local_addr().expect("an address");
    drop(free);
    let error = network.connect(&addr.to_string()).await.err().expect("nobody listens");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}
