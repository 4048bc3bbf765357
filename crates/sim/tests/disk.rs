//! Disks of nodes: what survives which end of a process, and faults.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use quorate_env::{Env, Instant, Op, Queue};
use quorate_sim::{DiskProfile, NodeId, OpKind, Options, World};

const SECOND: Duration = Duration::from_secs(1);
const FOLDER: &str = "/data";
const FILE: &str = "/data/counter";

fn file() -> Arc<Path> {
    Arc::from(Path::new(FILE))
}

fn write(number: u64) -> Op {
    Op::Write { path: file(), offset: 0, bufs: vec![Bytes::copy_from_slice(&number.to_be_bytes())] }
}

async fn submit(env: &Env, queue: Queue, ops: Vec<Op>) -> io::Result<()> {
    let (sender, receiver) = oneshot::channel();
    env.disk.submit(queue, ops, Box::new(move |result| drop(sender.send(result))));
    receiver.await.expect("a completion comes")
}

fn stored(env: &Env) -> u64 {
    let bytes = env.disk.read(Path::new(FILE), 0, 8).expect("there is a counter");
    u64::from_be_bytes(bytes[..].try_into().expect("eight bytes"))
}

/// Takes the folder, makes a counter if there is none, and counts up; says how far it is durable. Every
/// number is written, and every tenth is synced.
async fn count(env: Env, durable: Rc<RefCell<u64>>) -> io::Result<()> {
    let folder = Path::new(FOLDER);
    env.disk.create_dir(folder)?;
    env.disk.lock(folder)?;
    if env.disk.len(Path::new(FILE))?.is_none() {
        let create = Op::Create { path: FILE.into(), len: 8 };
        env.disk.run(vec![create, Op::Sync { path: file() }, Op::SyncDir { path: FOLDER.into() }])?;
    }
    for number in stored(&env) + 1.. {
        let mut ops = vec![write(number)];
        if number % 10 == 0 {
            ops.push(Op::Sync { path: file() });
        }
        submit(&env, Queue::Log, ops).await?;
        if number % 10 == 0 {
            *durable.borrow_mut() = number;
        }
    }
    Ok(())
}

fn counting_world(seed: u64) -> (World, NodeId, Rc<RefCell<u64>>) {
    let mut world = World::new(seed, Options::default());
    let node = world.add_node("n1", "10.0.0.1".parse().unwrap());
    (world, node, Rc::new(RefCell::new(0)))
}

fn on_disk(world: &World, node: NodeId) -> u64 {
    let bytes = world.disk(node).read(FILE).expect("there is a counter");
    u64::from_be_bytes(bytes[..].try_into().expect("eight bytes"))
}

#[test]
fn a_crash_loses_nothing_that_was_written_and_frees_the_folder() {
    let mut was_unsynced = 0;
    for seed in 0..20 {
        let (mut world, node, durable) = counting_world(seed);
        let boot = world.env(node).disk.boot_id();
        for _ in 0..5 {
            let counting = world.start(node, |env| count(env, durable.clone()));
            let some_time = Duration::from_micros(world.rng().u64(1_000..50_000));
            world.run_for(some_time);
            assert!(!counting.is_finished(), "it got the lock");
            let before = on_disk(&world, node);
            world.crash(node);
            let after = on_disk(&world, node);
            // The write under way may have got through.
            assert!(after == before || after == before + 1, "{before} {after}");
            was_unsynced += u32::from(after > *durable.borrow() + 1);
        }
        assert_eq!(world.env(node).disk.boot_id(), boot);
    }
    assert!(was_unsynced > 10, "{was_unsynced}");
}

#[test]
fn a_power_loss_keeps_what_was_synced_and_may_lose_the_rest() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..100 {
        let (mut world, node, durable) = counting_world(seed);
        let boot = world.env(node).disk.boot_id();
        let counting = world.start(node, |env| count(env, durable.clone()));
        let some_time = Duration::from_micros(world.rng().u64(5_000..50_000));
        world.run_for(some_time);
        assert!(!counting.is_finished());
        let (durable, written) = (*durable.borrow(), on_disk(&world, node));
        world.power_loss(node);
        let after = on_disk(&world, node);
        assert!((durable..=written + 1).contains(&after), "{durable} {written} {after}");
        lost += u32::from(after < written);
        kept += u32::from(after > durable);
        assert_ne!(world.env(node).disk.boot_id(), boot);
    }
    assert!(lost > 10 && kept > 10, "{lost} {kept}");
}

#[test]
fn a_second_holder_of_the_lock_is_refused_while_the_first_lives() {
    let (mut world, node, durable) = counting_world(1);
    world.start(node, |env| count(env, durable.clone()));
    world.run_for(SECOND / 100);
    let env = world.env(node);
    let second = world.block_on(node, async move { env.disk.lock(Path::new(FOLDER)) }, SECOND);
    assert_eq!(second.expect("in time").expect_err("held").kind(), io::ErrorKind::ResourceBusy);
}

#[test]
fn completions_keep_their_order_within_a_queue_and_queues_do_not_wait_for_each_other() {
    let slow = Duration::from_millis(50);
    let disk = DiskProfile { sync: slow..=slow, slow_sync_share: 0.0, ..DiskProfile::default() };
    let mut world = World::new(2, Options { disk, ..Options::default() });
    let node = world.add_node("n1", "10.0.0.1".parse().unwrap());
    let order = Rc::new(RefCell::new(Vec::new()));
    let done = order.clone();
    let main = world.start(node, |env| async move {
        env.disk.create_dir(Path::new(FOLDER)).expect("made");
        let start = Instant::now();
        let submissions = [
            ("create", Queue::Log, vec![Op::Create { path: FILE.into(), len: 0 }, Op::Sync { path: file() }]),
            ("write", Queue::Log, vec![write(7)]),
            ("nothing", Queue::Log, vec![]),
            ("snapshot", Queue::Snapshot, vec![Op::Create { path: "/data/snapshot".into(), len: 0 }]),
        ];
        let tasks = submissions.map(|(name, queue, ops)| {
            let (env, done) = (env.clone(), done.clone());
            tokio::task::spawn_local(async move {
                submit(&env, queue, ops).await.expect("done");
                done.borrow_mut().push((name, start.elapsed() >= slow));
            })
        });
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    assert!(world.run_until(|_| main.is_finished(), SECOND));
    let expected = [("snapshot", false), ("create", true), ("write", true), ("nothing", true)];
    assert_eq!(*order.borrow(), expected);
}

#[test]
fn planned_failures_hit_the_operation_they_name_and_say_so() {
    for kind in [OpKind::Write, OpKind::Sync] {
        let (mut world, node, durable) = counting_world(3);
        let counting = world.start(node, |env| count(env, durable.clone()));
        world.run_for(SECOND / 100);
        assert!(!counting.is_finished());
        world.disk(node).fail(kind, 3);
        assert!(world.run_until(|_| counting.is_finished(), SECOND));
        let error = counting.take().expect("finished").expect_err("it failed");
        assert!(error.to_string().contains(FILE), "{error}");
        assert!(error.to_string().contains(&format!("{kind:?}")), "{error}");
        assert!(!world.is_running(node), "a process ends with its main task");
    }
}

#[test]
fn a_full_disk_says_so() {
    let (mut world, node, durable) = counting_world(4);
    world.disk(node).set_capacity(Some(7));
    let counting = world.start(node, |env| count(env, durable.clone()));
    world.run_for(SECOND / 100);
    let error = counting.take().expect("finished").expect_err("eight bytes do not fit");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    world.disk(node).set_capacity(None);
    world.disk(node).clear(FOLDER).expect("emptied");
    let counting = world.start(node, |env| count(env, durable.clone()));
    world.run_for(SECOND / 100);
    assert!(!counting.is_finished() && *durable.borrow() > 0);
}

#[test]
fn folders_can_be_copied_emptied_and_put_back_and_bits_rot() {
    let (mut world, node, durable) = counting_world(5);
    let other = world.add_node("n2", "10.0.0.2".parse().unwrap());
    world.start(node, |env| count(env, durable.clone()));
    world.run_for(SECOND / 100);
    world.crash(node);
    let (image, number) = (world.disk(node).image(FOLDER), on_disk(&world, node));

    world.start(node, |env| count(env, durable.clone()));
    world.run_for(SECOND / 100);
    world.crash(node);
    assert!(on_disk(&world, node) > number);
    world.disk(node).restore(FOLDER, &image).expect("restored");
    world.disk(other).restore(FOLDER, &image).expect("cloned");
    assert_eq!((on_disk(&world, node), on_disk(&world, other)), (number, number));

    world.disk(node).clear(FOLDER).expect("emptied");
    assert!(world.disk(node).list(FOLDER).is_empty());
    world.disk(other).flip_bit(FILE, 0, 7).expect("there is a bit");
    world.power_loss(other);
    assert_eq!(on_disk(&world, other), number | 1 << 63);
    assert_eq!(
        world.disk(other).flip_bit(FILE, 8, 0).expect_err("no bit").kind(),
        io::ErrorKind::UnexpectedEof
    );
}

#[test]
fn a_paused_process_finishes_no_operation() {
    let (mut world, node, durable) = counting_world(6);
    world.start(node, |env| count(env, durable.clone()));
    world.run_for(SECOND / 100);
    world.pause(node);
    let before = on_disk(&world, node);
    world.run_for(SECOND);
    assert_eq!(on_disk(&world, node), before);
    world.resume(node);
    world.run_for(SECOND / 100);
    assert!(on_disk(&world, node) > before + 10);
}
