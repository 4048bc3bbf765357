//! Streams between nodes, and what becomes of them when the network or a node fails.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use quorate_env::{Env, Instant, sleep, timeout};
use quorate_sim::{Link, NodeId, Options, World};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Sends back what it gets, on every connection.
async fn echo(env: Env) {
    let mut listener = env.net.listen("0.0.0.0:7000".parse().unwrap()).await.expect("a free port");
    loop {
        let (mut stream, _) = listener.accept().await.expect("connections come");
        tokio::task::spawn_local(async move {
            let mut buf = [0; 1000];
            while let Ok(read @ 1..) = stream.read(&mut buf).await {
                if stream.write_all(&buf[..read]).await.is_err() {
                    break;
                }
            }
        });
    }
}

fn echo_world(seed: u64, options: Options) -> (World, NodeId, NodeId) {
    let mut world = World::new(seed, options);
    let server = world.add_node("server", "10.0.0.1".parse().unwrap());
    world.start(server, echo);
    let client = world.add_client("client");
    world.run_for(MS);
    (world, server, client)
}

#[test]
fn bytes_come_back_in_order_whatever_their_number() {
    for seed in 0..5 {
        let (mut world, _, client) = echo_world(seed, Options::default());
        let env = world.env(client);
        let sent: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let expected = sent.clone();
        let received = world.block_on(
            client,
            async move {
                let stream = env.net.connect("server:7000").await.expect("it listens");
                let (mut read, mut write) = tokio::io::split(stream);
                let writing = tokio::task::spawn_local(async move {
                    write.write_all(&sent).await.expect("written");
                    write.shutdown().await.expect("closed");
                });
                let mut received = Vec::new();
                read.read_to_end(&mut received).await.expect("read");
                writing.await.expect("no panic");
                received
            },
            60 * SECOND,
        );
        assert!(received.expect("in time") == expected, "seed {seed}");
    }
}

#[test]
fn a_round_trip_takes_as_long_as_the_links() {
    let options =
        Options { link: Link { latency: 5 * MS..=5 * MS, ..Link::default() }, ..Options::default() };
    let (mut world, server, client) = echo_world(1, options);
    let slow = Link { latency: 20 * MS..=20 * MS, ..Link::default() };
    world.network().set_link(server, client, Some(slow));
    let env = world.env(client);
    let took = world.block_on(
        client,
        async move {
            let start = Instant::now();
            let mut stream = env.net.connect("10.0.0.1:7000").await.expect("it listens");
            let connected = start.elapsed();
            stream.write_all(b"ping").await.expect("written");
            stream.read_exact(&mut [0; 4]).await.expect("read");
            (connected, start.elapsed())
        },
        SECOND,
    );
    assert_eq!(took.expect("in time"), (25 * MS, 50 * MS));
}

#[test]
fn bandwidth_and_loss_slow_a_stream_down() {
    let took = |link: Link| {
        let (mut world, _, client) = echo_world(2, Options { link, ..Options::default() });
        let env = world.env(client);
        let exchange = async move {
            let start = Instant::now();
            let mut stream = env.net.connect("server:7000").await.expect("it listens");
            for _ in 0..100 {
                stream.write_all(&[1; 1000]).await.expect("written");
                stream.read_exact(&mut [0; 1000]).await.expect("read");
            }
            start.elapsed()
        };
        world.block_on(client, exchange, 600 * SECOND).expect("in time")
    };
    let fast = took(Link::default());
    assert!(fast < 60 * MS, "{fast:?}");
    // 100 kB there and back at 1 MB/s.
    let narrow = took(Link { bandwidth: Some(1_000_000), ..Link::default() });
    assert!(narrow > 200 * MS && narrow < 300 * MS, "{narrow:?}");
    let lossy = took(Link { loss: 0.1, ..Link::default() });
    assert!(lossy > 2 * SECOND && lossy < 20 * SECOND, "{lossy:?}");
}

#[test]
fn a_partition_stops_traffic_until_it_heals() {
    let (mut world, server, client) = echo_world(3, Options::default());
    let mut stream = world.connect(client, "server:7000").expect("a known address");
    stream.send("one");
    world.run_for(10 * MS);
    assert_eq!(stream.received(), b"one");

    world.network().partition(&[client], &[server]);
    stream.send("two");
    world.run_for(60 * SECOND);
    assert_eq!(stream.received(), b"");
    assert!(stream.ended().is_none());

    world.network().heal();
    world.run_for(SECOND);
    assert_eq!(stream.received(), b"two");
}

#[test]
fn one_way_lets_requests_through_and_no_replies() {
    let (mut world, server, client) = echo_world(4, Options::default());
    let (seen, env) = (std::rc::Rc::new(std::cell::Cell::new(0)), world.env(server));
    let counter = seen.clone();
    world.spawn(server, async move {
        let mut listener = env.net.listen("0.0.0.0:7001".parse().unwrap()).await.expect("a free port");
        let (mut stream, _) = listener.accept().await.expect("a connection");
        while let Ok(byte) = stream.read_u8().await {
            counter.set(counter.get() + 1);
            stream.write_u8(byte).await.expect("written");
        }
    });
    let mut stream = world.connect(client, "server:7001").expect("a known address");
    stream.send("a");
    world.run_for(10 * MS);
    world.network().block(server, client);
    stream.send("b");
    world.run_for(10 * MS);
    assert_eq!((seen.get(), stream.received()), (2, b"a".to_vec()));
    world.network().unblock(server, client);
    world.run_for(SECOND);
    assert_eq!(stream.received(), b"b");
}

#[test]
fn connecting_fails_at_once_without_a_listener_and_late_without_an_answer() {
    let (mut world, server, client) = echo_world(5, Options::default());
    let connect = |world: &mut World, addr: &'static str| {
        let env = world.env(client);
        let attempt = async move {
            let start = Instant::now();
            let error = env.net.connect(addr).await.err().expect("nobody is there");
            assert!(error.to_string().contains(addr), "{error}");
            (error.kind(), start.elapsed())
        };
        world.block_on(client, attempt, 60 * SECOND).expect("in time")
    };
    let (kind, took) = connect(&mut world, "server:7999");
    assert!(kind == io::ErrorKind::ConnectionRefused && took < MS, "{kind} {took:?}");
    assert_eq!(connect(&mut world, "10.9.9.9:7000").0, io::ErrorKind::HostUnreachable);
    assert_eq!(connect(&mut world, "nowhere:7000").0, io::ErrorKind::NotFound);

    world.power_loss(server);
    let (kind, took) = connect(&mut world, "server:7000");
    assert!(kind == io::ErrorKind::TimedOut && took >= 20 * SECOND, "{kind} {took:?}");
    world.start(server, echo);
    world.crash(server);
    assert_eq!(connect(&mut world, "server:7000").0, io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_crash_ends_the_connections_of_both_ends() {
    let (mut orderly, mut reset) = (0, 0);
    for seed in 0..20 {
        let (mut world, server, client) = echo_world(seed, Options::default());
        let mut stream = world.connect(client, "server:7000").expect("a known address");
        stream.send("last words");
        world.run_for(10 * MS);
        world.crash(server);
        world.run_for(10 * MS);
        assert_eq!(stream.received(), b"last words");
        match stream.ended().expect("it is told") {
            Ok(()) => orderly += 1,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                reset += 1;
            }
        }
        world.start(server, echo);
        let mut again = world.connect(client, "server:7000").expect("a known address");
        again.send("hello");
        world.run_for(10 * MS);
        assert_eq!(again.received(), b"hello");
    }
    assert!(orderly > 3 && reset > 3, "{orderly} {reset}");
}

#[test]
fn nobody_hears_of_a_power_loss_until_the_machine_is_back() {
    let (mut world, server, client) = echo_world(6, Options::default());
    let mut stream = world.connect(client, "server:7000").expect("a known address");
    world.run_for(10 * MS);
    world.power_loss(server);
    stream.send("anybody?");
    world.run_for(60 * SECOND);
    assert!(stream.ended().is_none());
    world.start(server, echo);
    world.run_for(SECOND);
    assert!(matches!(stream.ended(), Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset));
}

#[test]
fn a_writer_waits_for_a_reader_that_does_not_read() {
    let options = Options { stream_capacity: 10_000, ..Options::default() };
    let (mut world, server, client) = echo_world(7, options);
    let env = world.env(server);
    world.spawn(server, async move {
        let mut listener = env.net.listen("0.0.0.0:7001".parse().unwrap()).await.expect("a free port");
        let (mut stream, _) = listener.accept().await.expect("a connection");
        sleep(10 * SECOND).await;
        stream.read_exact(&mut vec![0; 50_000]).await.expect("read");
        std::future::pending::<()>().await;
    });
    let env = world.env(client);
    let writing = world.spawn(client, async move {
        let mut stream = env.net.connect("server:7001").await.expect("it listens");
        let start = Instant::now();
        stream.write_all(&[1; 10_000]).await.expect("written");
        let first = start.elapsed();
        stream.write_all(&[2; 40_000]).await.expect("written");
        let all = start.elapsed();
        timeout(SECOND, stream.write_all(&[3; 10_001]))
            .await
            .expect_err("there is no room for the last byte");
        (first, all)
    });
    assert!(world.run_until(|_| writing.is_finished(), 60 * SECOND));
    let (first, all) = writing.take().expect("finished");
    assert!(first < MS && all > 9 * SECOND && all < 11 * SECOND, "{first:?} {all:?}");
}

#[test]
fn a_dropped_stream_or_listener_is_an_end_for_the_other_side() {
    let (mut world, server, client) = echo_world(8, Options::default());
    let env = world.env(server);
    world.spawn(server, async move {
        let mut listener = env.net.listen("0.0.0.0:7001".parse().unwrap()).await.expect("a free port");
        drop(listener.accept().await.expect("a connection"));
        sleep(20 * MS).await;
        drop(listener);
        env.net.listen("0.0.0.0:7001".parse().unwrap()).await.expect("the port is free again");
    });
    let mut dropped = world.connect(client, "server:7001").expect("a known address");
    world.run_for(5 * MS);
    assert!(matches!(dropped.ended(), Some(Ok(()))));
    let mut never_accepted = world.connect(client, "server:7001").expect("a known address");
    never_accepted.send("hello?");
    world.run_for(5 * MS);
    assert!(never_accepted.is_connected() && never_accepted.ended().is_none());
    world.run_for(20 * MS);
    assert!(never_accepted.ended().is_some());
}

#[test]
fn broken_connections_leave_new_ones_alone() {
    let (mut world, server, client) = echo_world(9, Options::default());
    let mut old = world.connect(client, "server:7000").expect("a known address");
    world.run_for(5 * MS);
    world.network().break_connections(server, client);
    let mut new = world.connect(client, "server:7000").expect("a known address");
    new.send("new");
    world.run_for(5 * MS);
    assert!(matches!(old.ended(), Some(Err(_))));
    assert_eq!(new.received(), b"new");
    assert!(new.ended().is_none());
}
