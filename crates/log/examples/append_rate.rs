//! How many appends and fsyncs a second the log does on this machine's disk.
//!
//! `cargo run --release -p quorate-log --example append_rate -- [FOLDER] [SECONDS] [BYTES]`
//!
//! Each round keeps 1, 16 and 64 appends outstanding: the completion of one issues the next. The folder is made
//! inside FOLDER and removed again.

#![allow(clippy::print_stdout, clippy::disallowed_types, clippy::disallowed_methods, reason = "it measures")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_env::real::RealDisk;
use quorate_log::{Durability, Entry, Log, Options, ShardId};

const SHARD: ShardId = ShardId(0);

struct Load {
    log: Log,
    payload: Bytes,
    next: AtomicU64,
    completed: AtomicU64,
    stop: AtomicBool,
    ended: Sender<()>,
}

/// Appends the next entry, and again when it is complete. Each shard here has one appender: index and append go
/// together because all appends but the first come from completions, which come one at a time.
fn append(load: Arc<Load>) {
    let index = load.next.fetch_add(1, Ordering::Relaxed);
    let entry = Entry { index, term: 1, kind: 0, payload: load.payload.clone() };
    if index % 100_000 == 99_999 {
        load.log.purge(SHARD, (index - 50_000, 1), Box::new(|result| result.expect("purge")));
    }
    let again = load.clone();
    load.log.append(
        SHARD,
        vec![entry],
        Box::new(move |result| {
            result.expect("append");
            again.completed.fetch_add(1, Ordering::Relaxed);
            if again.stop.load(Ordering::Relaxed) {
                // The receiver is gone once every appender has ended.
                let _ = again.ended.send(());
            } else {
                append(again);
            }
        }),
    );
}

fn measure(dir: &Path, durability: Durability, outstanding: usize, seconds: u64, bytes: usize) {
    let _ = std::fs::remove_dir_all(dir);
    let disk = Arc::new(RealDisk::new().expect("disk"));
    let options = Options { durability, ..Options::default() };
    let (log, _) = Log::open(disk, dir, options).expect("open");
    let (ended, ends) = channel();
    let load = Arc::new(Load {
        log: log.clone(),
        payload: vec![b'x'; bytes].into(),
        next: AtomicU64::new(0),
        completed: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        ended,
    });
    let (before, start) = (log.stats(), Instant::now());
    // One append whose completion starts the others: from then on everything runs on the disk's thread.
    let begin = load.clone();
    log.sync(Box::new(move |result| {
        result.expect("sync");
        (0..outstanding).for_each(|_| append(begin.clone()));
    }));
    std::thread::sleep(Duration::from_secs(seconds));
    load.stop.store(true, Ordering::Relaxed);
    (0..outstanding).for_each(|_| ends.recv().expect("appenders end"));
    let (stats, elapsed) = (log.stats(), start.elapsed().as_secs_f64());
    let rate = |count: u64| count as f64 / elapsed;
    println!(
        "{durability:?}, {outstanding:3} outstanding: {:9.0} appends/s {:8.0} groups/s {:8.0} fsyncs/s {:7.1} MB/s",
        rate(load.completed.load(Ordering::Relaxed)),
        rate(stats.groups - before.groups),
        rate(stats.fsyncs - before.fsyncs),
        rate(stats.bytes_written - before.bytes_written) / 1e6,
    );
}

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or_else(|| ".".to_owned()));
    let seconds = args.next().map_or(3, |s| s.parse().expect("SECONDS is a number"));
    let bytes = args.next().map_or(1024, |s| s.parse().expect("BYTES is a number"));
    let dir = folder.join("append-rate");
    for durability in [Durability::Always, Durability::EverySecond] {
        for outstanding in [1, 16, 64] {
            measure(&dir, durability, outstanding, seconds, bytes);
        }
    }
    let _ = std::fs::remove_dir_all(&dir);
}
