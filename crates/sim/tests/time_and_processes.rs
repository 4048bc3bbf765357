//! Clocks, timers, the lives of processes, and that a seed decides everything.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use quorate_env::{Env, Instant, sleep, wall_ms};
use quorate_sim::{Link, NodeId, Options, World};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// When a ticker ticked: its own clock, its wall clock, and how late it was by its own clock.
type Ticks = Rc<RefCell<Vec<(Instant, u64)>>>;

async fn tick(ticks: Ticks, period: Duration) {
    loop {
        ticks.borrow_mut().push((Instant::now(), wall_ms()));
        sleep(period).await;
    }
}

fn ticking_world() -> (World, NodeId, Ticks) {
    let mut world = World::new(1, Options::default());
    let node = world.add_node("n1", "10.0.0.1".parse().unwrap());
    let ticks = Ticks::default();
    let theirs = ticks.clone();
    world.start(node, |_| tick(theirs, 10 * MS));
    (world, node, ticks)
}

#[test]
fn timers_keep_time() {
    let (mut world, _, ticks) = ticking_world();
    world.run_for(SECOND - MS);
    let ticks = ticks.borrow();
    assert_eq!(ticks.len(), 100);
    assert!(ticks.windows(2).all(|pair| pair[1].0 - pair[0].0 == 10 * MS));
    assert!(ticks.windows(2).all(|pair| pair[1].1 - pair[0].1 == 10));
    assert_eq!(world.now(), SECOND - MS);
}

#[test]
fn clocks_drift_with_everything_that_hangs_on_them() {
    let (mut world, node, ticks) = ticking_world();
    let fast = world.add_node("n2", "10.0.0.2".parse().unwrap());
    let fast_ticks = Ticks::default();
    let theirs = fast_ticks.clone();
    world.start(fast, |_| tick(theirs, 100 * MS));
    world.set_drift(fast, 100_000);
    let before = [node, fast].map(|node| world.clocks(node));
    world.run_for(100 * SECOND);
    let after = [node, fast].map(|node| world.clocks(node));

    let passed = [0, 1].map(|i| Duration::from_nanos(after[i].boot_ns - before[i].boot_ns));
    assert_eq!(passed, [100 * SECOND, 110 * SECOND]);
    assert_eq!([0, 1].map(|i| after[i].wall_ms - before[i].wall_ms), [100_000, 110_000]);
    // It ticks at ticks of the world, and so comes out a little behind.
    let (slow, fast) = (ticks.borrow().len(), fast_ticks.borrow().len());
    assert!(slow == 10_001 && (1_080..=1_101).contains(&fast), "{slow} {fast}");
}

#[test]
fn the_wall_clock_steps_and_nothing_else_does() {
    let (mut world, node, ticks) = ticking_world();
    world.run_for(15 * MS);
    world.step_wall(node, -3_600_000);
    world.run_for(10 * MS);
    let ticks = ticks.borrow();
    assert_eq!(ticks[2].1 + 3_600_000 - ticks[1].1, 10);
    assert_eq!(ticks[2].0 - ticks[1].0, 10 * MS);
}

#[test]
fn the_clock_runs_on_while_a_process_is_paused_and_its_timers_are_late() {
    let (mut world, node, ticks) = ticking_world();
    world.run_for(15 * MS);
    world.pause(node);
    world.run_for(SECOND);
    assert_eq!(ticks.borrow().len(), 2);
    world.resume(node);
    world.run_for(MS);
    let ticks = ticks.borrow();
    assert_eq!(ticks.len(), 3);
    assert_eq!(ticks[2].0 - ticks[1].0, SECOND + 5 * MS);
    assert_eq!(ticks[2].1 - ticks[1].1, 1005);
}

#[test]
fn the_clock_runs_on_while_a_machine_is_suspended_but_its_timers_do_not() {
    let (mut world, node, ticks) = ticking_world();
    world.run_for(15 * MS);
    world.suspend(node);
    world.run_for(SECOND);
    world.resume(node);
    world.run_for(4 * MS);
    assert_eq!(ticks.borrow().len(), 2, "CLOCK_MONOTONIC has stood still");
    world.run_for(MS);
    let ticks = ticks.borrow();
    assert_eq!(ticks.len(), 3);
    assert_eq!(ticks[2].0 - ticks[1].0, SECOND + 10 * MS);
}

#[test]
fn the_boot_clock_survives_a_crash_and_not_a_power_loss() {
    let (mut world, node, _) = ticking_world();
    world.run_for(1000 * SECOND);
    let before = world.clocks(node);
    assert!(before.boot_ns > 1_010_000_000_000);
    world.crash(node);
    assert_eq!(world.clocks(node), before);
    world.power_loss(node);
    let after = world.clocks(node);
    assert!(after.boot_ns < before.boot_ns && after.wall_ms == before.wall_ms);
}

#[test]
fn a_process_ends_with_its_main_task_and_takes_everything_with_it() {
    struct Noted(Rc<RefCell<Vec<&'static str>>>);
    impl Drop for Noted {
        fn drop(&mut self) {
            // The clock is still there, as it is for any code that ends a span or a lease.
            let _now = Instant::now();
            self.0.borrow_mut().push("dropped");
        }
    }
    let mut world = World::new(1, Options::default());
    let node = world.add_node("n1", "10.0.0.1".parse().unwrap());
    let notes = Rc::new(RefCell::new(Vec::new()));
    let noted = Noted(notes.clone());
    let main = world.start(node, |env| async move {
        tokio::task::spawn_local(async move {
            let _noted = noted;
            std::future::pending::<()>().await;
        });
        sleep(SECOND).await;
        env.random.next_u64()
    });
    world.run_for(SECOND - MS);
    assert!(world.is_running(node) && notes.borrow().is_empty());
    world.run_for(2 * MS);
    assert!(!world.is_running(node) && main.take().is_some());
    assert_eq!(*notes.borrow(), ["dropped"]);
    let stale = world.env(node).disk.run(Vec::new()).expect_err("the process has ended");
    assert_eq!(stale.kind(), std::io::ErrorKind::NotConnected);
}

#[test]
fn tasks_of_the_runtime_run_beside_local_ones() {
    let mut world = World::new(1, Options::default());
    let node = world.add_node("n1", "10.0.0.1".parse().unwrap());
    let main = world.start(node, |_| async {
        let (to_spawned, mut at_spawned) = tokio::sync::mpsc::unbounded_channel();
        let (to_local, mut at_local) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(number) = at_spawned.recv().await {
                tokio::task::yield_now().await;
                to_local.send(number + 1).expect("the local one waits");
            }
        });
        let start = Instant::now();
        let mut number = 0;
        while number < 10_000 {
            to_spawned.send(number).expect("the spawned one waits");
            number = at_local.recv().await.expect("an answer");
        }
        (number, start.elapsed())
    });
    world.run_for(Duration::ZERO);
    assert_eq!(main.take(), Some((10_000, Duration::ZERO)));
}

#[test]
#[should_panic(expected = "in the world of seed 0x2a: ")]
fn a_panic_in_any_task_of_a_node_is_one_of_the_world() {
    let mut world = World::new(42, Options::default());
    let node = world.add_node("n1", "10.0.0.1".parse().unwrap());
    world.start(node, |_| async {
        tokio::spawn(async { panic!("a broken invariant") });
        std::future::pending::<()>().await;
    });
    world.run_for(SECOND);
}

#[test]
#[should_panic(expected = "does not come to rest")]
fn an_endless_loop_is_found() {
    let mut world = World::new(1, Options::default());
    let node = world.add_node("n1", "10.0.0.1".parse().unwrap());
    world.start(node, |_| async {
        let start = Instant::now();
        while start.elapsed() < MS {
            tokio::task::yield_now().await;
        }
    });
    world.run_for(SECOND);
}

#[test]
#[should_panic(expected = "uses a thread")]
#[allow(clippy::disallowed_methods, reason = "a real thread takes real time to start")]
fn threads_are_found() {
    let mut world = World::new(1, Options::default());
    let node = world.add_node("n1", "10.0.0.1".parse().unwrap());
    world.start(node, |_| async {
        let _runs = tokio::task::spawn_blocking(|| ());
        loop {
            sleep(MS).await;
        }
    });
    for _ in 0..10_000 {
        world.run_for(MS);
        std::thread::sleep(MS);
    }
}

/// Three nodes that gossip random numbers, with crashes and partitions by the seed.
fn stormy(seed: u64) -> (u64, Vec<u64>) {
    async fn gossip(env: Env, others: [&'static str; 2], heard: Rc<RefCell<Vec<u64>>>) {
        let mut listener = env.net.listen("0.0.0.0:7000".parse().unwrap()).await.expect("a free port");
        tokio::task::spawn_local(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let heard = heard.clone();
                tokio::task::spawn_local(async move {
                    while let Ok(number) = stream.read_u64().await {
                        heard.borrow_mut().push(number);
                    }
                });
            }
        });
        loop {
            for other in others {
                if let Ok(mut stream) = env.net.connect(other).await {
                    for _ in 0..env.random.next_u64() % 10 {
                        sleep(MS).await;
                        let _broken = stream.write_u64(env.random.next_u64()).await;
                    }
                }
            }
        }
    }
    let link = Link { loss: 0.01, reset: 0.001, ..Link::default() };
    let mut world = World::new(seed, Options { link, ..Options::default() });
    let heard = Rc::new(RefCell::new(Vec::new()));
    let others = [["n2:7000", "n3:7000"], ["n1:7000", "n3:7000"], ["n1:7000", "n2:7000"]];
    let nodes = [1, 2, 3].map(|i| world.add_node(&format!("n{i}"), [10, 0, 0, i].into()));
    let start = |world: &mut World, node: NodeId| {
        world.start(node, |env| gossip(env, others[node.index()], heard.clone()));
    };
    nodes.iter().for_each(|node| start(&mut world, *node));
    for _ in 0..30 {
        let victim = nodes[world.rng().usize(..3)];
        match world.rng().u8(..4) {
            0 => world.crash(victim),
            1 => world.power_loss(victim),
            2 => world.network().isolate(victim),
            _ => world.pause(victim),
        }
        let time = Duration::from_micros(world.rng().u64(1..200_000));
        world.run_for(time);
        world.network().heal();
        world.resume(victim);
        if !world.is_running(victim) {
            start(&mut world, victim);
        }
        world.run_for(100 * MS);
    }
    (world.trace_digest(), heard.take())
}

#[test]
fn the_same_seed_gives_the_same_history_and_another_seed_another() {
    let first = stormy(1);
    assert!(first.1.len() > 1_000, "{}", first.1.len());
    assert_eq!(stormy(1), first);
    assert_ne!(stormy(2).0, first.0);
}

#[test]
fn a_turn_of_time_without_events_changes_nothing() {
    let (mut world, _, _) = ticking_world();
    let before = world.trace_digest();
    world.run_for(10 * SECOND);
    assert_eq!(world.trace_digest(), before);
}
