//! The log against a model of it, over random histories of requests, crashes, faults and bit flips. Each seed is
//! one history; a failure names its seed, and `QUORATE_LOG_SEED=n` runs only that one.

#![allow(unreachable_pub, reason = "the disk is shared by test files")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{Rng, TestDisk};
use quorate_log::{Durability, Entry, IndexTerm, Log, Options, Recovery, ShardId};

const DIR: &str = "log";
const SHARDS: u64 = 3;

/// One record.
#[derive(Clone, Debug)]
enum Act {
    Append(u32, Entry),
    Truncate(u32, u64),
    Purge(u32, IndexTerm),
    Reset(u32, IndexTerm),
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Shard {
    purged: Option<IndexTerm>,
    entries: BTreeMap<u64, Entry>,
}

impl Shard {
    fn last(&self) -> Option<IndexTerm> {
        self.entries.values().next_back().map(|e| (e.index, e.term)).or(self.purged)
    }
}

type Shards = BTreeMap<u32, Shard>;

fn apply(shards: &mut Shards, act: &Act) {
    match act {
        Act::Append(shard, entry) => {
            shards.entry(*shard).or_default().entries.insert(entry.index, entry.clone());
        }
        Act::Truncate(shard, from) => {
            shards.entry(*shard).or_default().entries.split_off(from);
        }
        Act::Purge(shard, upto) => {
            let shard = shards.entry(*shard).or_default();
            if shard.purged.is_none_or(|(index, _)| index < upto.0) {
                shard.entries = shard.entries.split_off(&(upto.0 + 1));
                shard.purged = Some(*upto);
            }
        }
        Act::Reset(shard, last) => {
            *shards.entry(*shard).or_default() = Shard { purged: Some(*last), entries: BTreeMap::new() };
        }
    }
}

/// What completions said.
#[derive(Default)]
struct Heard {
    /// Acts up to here are complete.
    complete: usize,
    /// Acts up to here survive the operating system.
    durable: usize,
    votes: BTreeMap<u32, u64>,
    /// The relaxed mode is in force for certain.
    relaxed: bool,
    wants_relaxed: bool,
    /// The number of the last request that was completed.
    order: u64,
    failed: bool,
}

struct World {
    rng: Rng,
    disk: Arc<TestDisk>,
    log: Log,
    options: Options,
    /// Where the last recovery left off.
    base: Shards,
    /// What was asked since.
    acts: Vec<Act>,
    now: Shards,
    heard: Arc<Mutex<Heard>>,
    requests: u64,
    /// Votes are numbers here: the last one asked for.
    votes: BTreeMap<u32, u64>,
    /// Appends are complete when durable, as far as the caller knows.
    always: bool,
    nonce: u64,
    /// Every entry that ever was.
    history: BTreeMap<(u32, u64, u64), Vec<Entry>>,
    suspect: bool,
}

fn options(rng: &mut Rng) -> Options {
    Options {
        segment_bytes: 5000 + rng.below(20_000),
        cache_bytes: [0, 2000, 100_000][rng.below(3) as usize],
        durability: if rng.percent(70) { Durability::Always } else { Durability::EverySecond },
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng(seed);
        let disk = TestDisk::manual();
        let options = options(&mut rng);
        let (log, recovery) = Log::open(disk.clone(), Path::new(DIR), options.clone()).unwrap();
        log.set_prompt(rng.percent(50));
        assert!(recovery.fresh && recovery.is_sound() && recovery.starts == 1, "{recovery:?}");
        let always = options.durability == Durability::Always;
        World {
            rng,
            disk,
            log,
            options,
            base: Shards::new(),
            acts: Vec::new(),
            now: Shards::new(),
            heard: Arc::new(Mutex::new(Heard {
                relaxed: !always,
                wants_relaxed: !always,
                ..Heard::default()
            })),
            requests: 0,
            votes: BTreeMap::new(),
            always,
            nonce: 0,
            history: BTreeMap::new(),
            suspect: false,
        }
    }

    fn done(&mut self, hear: impl FnOnce(&mut Heard) + Send + 'static) -> quorate_env::Completion {
        self.requests += 1;
        let (heard, order) = (self.heard.clone(), self.requests);
        Box::new(move |result| {
            let mut heard = heard.lock().unwrap();
            match result {
                Ok(()) => {
                    assert!(order > heard.order, "completions come in order");
                    assert!(!heard.failed, "nothing succeeds after a failure");
                    heard.order = order;
                    hear(&mut heard);
                }
                Err(_) => heard.failed = true,
            }
        })
    }

    fn done_acts(&mut self) -> quorate_env::Completion {
        let (acts, always) = (self.acts.len(), self.always);
        self.done(move |heard| {
            heard.complete = acts;
            if always {
                heard.durable = acts;
            }
        })
    }

    fn act(&mut self, act: Act) {
        apply(&mut self.now, &act);
        self.acts.push(act);
    }

    fn request(&mut self) {
        let id = self.rng.below(SHARDS) as u32;
        let shard = self.now.get(&id).cloned().unwrap_or_default();
        let (last, purged) = (shard.last(), shard.purged);
        match self.rng.below(100) {
            0..60 => self.append(id, last),
            60..68 => {
                let low = purged.map_or(0, |p| p.0 + 1);
                let from = low + self.rng.below(last.map_or(0, |l| l.0 + 2).saturating_sub(low));
                self.act(Act::Truncate(id, from));
                let done = self.done_acts();
                self.log.truncate(ShardId(id), from, done);
            }
            68..80 => {
                let Some((last, term)) = last else { return };
                let first = shard.entries.keys().next().copied().unwrap_or(last);
                let at = first + self.rng.below(last - first + 3);
                let upto = (at, shard.entries.get(&at).map_or(term, |e| e.term));
                self.act(Act::Purge(id, upto));
                let done = self.done_acts();
                self.log.purge(ShardId(id), upto, done);
            }
            80..82 => {
                let to = (last.map_or(0, |l| l.0) + self.rng.below(20), last.map_or(1, |l| l.1) + 1);
                self.act(Act::Reset(id, to));
                let done = self.done_acts();
                self.log.reset(ShardId(id), to, done);
            }
            82..88 => {
                let vote = self.votes.entry(id).or_default();
                *vote += 1;
                let vote = *vote;
                let done = self.done(move |heard| {
                    heard.votes.insert(id, vote);
                });
                self.log.save_vote(ShardId(id), Bytes::from(vote.to_string()), done);
            }
            88..92 => {
                let acts = self.acts.len();
                let done = self.done(move |heard| (heard.complete, heard.durable) = (acts, acts));
                self.log.sync(done);
            }
            92..94 => self.change_durability(),
            _ => self.check_reads(),
        }
    }

    fn append(&mut self, id: u32, last: Option<IndexTerm>) {
        let (first, term) = last.map_or((0, 1), |(index, term)| (index + 1, term));
        let term = term + self.rng.below(2);
        let mut entries = Vec::new();
        for index in first..first + 1 + self.rng.below(4) {
            self.nonce += 1;
            let size = [0, 10, 300, 700, 3000][self.rng.below(5) as usize];
            let size = if self.rng.percent(1) { 40_000 } else { self.rng.below(size + 1) };
            let mut payload = self.nonce.to_le_bytes().to_vec();
            payload.resize(8 + size as usize, self.nonce as u8);
            let entry = Entry { index, term, kind: self.nonce as u8, payload: payload.into() };
            self.history.entry((id, index, term)).or_default().push(entry.clone());
            self.act(Act::Append(id, entry.clone()));
            entries.push(entry);
        }
        let done = self.done_acts();
        self.log.append(ShardId(id), entries, done);
    }

    fn change_durability(&mut self) {
        let acts = self.acts.len();
        if self.always {
            self.always = false;
            self.heard.lock().unwrap().wants_relaxed = true;
            let done = self.done(|heard| heard.relaxed = heard.wants_relaxed);
            self.log.set_durability(Durability::EverySecond, done);
        } else {
            // Requests that follow are in the new mode: they are carried out in order.
            self.always = true;
            let mut heard = self.heard.lock().unwrap();
            (heard.relaxed, heard.wants_relaxed) = (false, false);
            drop(heard);
            let done = self.done(move |heard| (heard.complete, heard.durable) = (acts, acts));
            self.log.set_durability(Durability::Always, done);
        }
    }

    /// Everything is visible at once, from memory or from disk.
    fn check_reads(&mut self) {
        if self.log.failed().is_some() {
            assert!(self.log.read(ShardId(0), 0..1, 1).is_err());
            return;
        }
        assert_eq!(contents(&self.log), without_empty(&self.now));
        let id = self.rng.below(SHARDS) as u32;
        let Some(shard) = self.now.get(&id) else { return };
        let (Some(first), Some(last)) = (shard.entries.keys().next(), shard.entries.keys().next_back())
        else {
            return;
        };
        let from = first + self.rng.below(last - first + 1);
        let to = from + 1 + self.rng.below(last - from + 3);
        let max = self.rng.below(5000) as usize;
        let read = self.log.read(ShardId(id), from..to, max).unwrap();
        assert!(!read.is_empty(), "at least one if there is any");
        assert!(read.len() == 1 || read.iter().map(|e| e.payload.len()).sum::<usize>() <= max);
        let expected: Vec<Entry> =
            shard.entries.range(from..to).map(|(_, e)| e.clone()).take(read.len()).collect();
        assert_eq!(read, expected);
    }

    fn step(&mut self) {
        for _ in 0..self.rng.below(12) {
            self.disk.step(&mut self.rng);
        }
    }

    /// Opens again, possibly through crashes of the opening itself.
    fn reopen(&mut self) -> (Recovery, bool) {
        self.options = options(&mut self.rng);
        let mut lost_power = false;
        for _ in 0..2 {
            if self.rng.percent(30) {
                self.disk.stop_after(self.rng.below(30));
            }
            let opened = Log::open(self.disk.clone(), Path::new(DIR), self.options.clone());
            let stopped = self.disk.has_stopped();
            assert_eq!(opened.is_err(), stopped);
            if !stopped {
                // What is left of the fuse must not hit the world.
                self.disk.stop_after(u64::MAX);
                let (log, recovery) = opened.unwrap();
                self.log = log;
                return (recovery, lost_power);
            }
            if self.rng.percent(50) {
                lost_power = true;
                self.disk.crash(&mut self.rng);
            } else {
                self.disk.kill(&mut self.rng);
            }
        }
        let (log, recovery) = Log::open(self.disk.clone(), Path::new(DIR), self.options.clone()).unwrap();
        log.set_prompt(self.rng.percent(50));
        self.log = log;
        (recovery, lost_power)
    }

    fn restart(&mut self) {
        // A member that failed an fsync may die with its machine at once.
        let power = self.rng.percent(60);
        match power {
            true => self.disk.crash(&mut self.rng),
            false => self.disk.kill(&mut self.rng),
        }
        let (recovery, also_power) = self.reopen();
        self.check_recovery(&recovery, power, power || also_power);
        self.go_on(contents(&self.log));
    }

    /// `at_once`: power was lost before anything was opened again; `power`: at any time.
    fn check_recovery(&mut self, recovery: &Recovery, at_once: bool, power: bool) {
        let heard = self.heard.lock().unwrap();
        assert!(recovery.damage.as_ref().is_none_or(|d| !d.below_durable), "{recovery:?}");
        assert!(
            !recovery.vote_lost && !recovery.discarded && !recovery.clean && !recovery.fresh,
            "{recovery:?}"
        );
        if at_once && heard.relaxed {
            assert!(recovery.unsynced_lost, "{recovery:?}");
        }
        if self.suspect {
            assert!(!recovery.is_sound(), "suspicion outlives restarts");
        }
        let least = if power { heard.durable } else { heard.complete };
        let found = contents(&self.log);
        self.assert_is_prefix(&found, least, recovery);
        for (shard, asked) in &self.votes {
            let vote =
                self.log.vote(ShardId(*shard)).map_or(0, |v| str::from_utf8(&v).unwrap().parse().unwrap());
            let least = heard.votes.get(shard).copied().unwrap_or(0);
            assert!((least..=*asked).contains(&vote), "vote {vote} of shard {shard}, complete is {least}");
        }
        self.suspect = !recovery.is_sound();
    }

    /// What was found is what the first so many acts left, and at least `least` of them.
    fn assert_is_prefix(&self, found: &Shards, least: usize, recovery: &Recovery) {
        let mut state = self.base.clone();
        let mut matches = Vec::new();
        for count in 0..=self.acts.len() {
            if without_empty(&state) == *found {
                matches.push(count);
            }
            if let Some(act) = self.acts.get(count) {
                apply(&mut state, act);
            }
        }
        assert!(
            matches.iter().any(|count| *count >= least),
            "{least} of {} acts are complete, found what {matches:?} left: {recovery:?}",
            self.acts.len()
        );
    }

    /// Takes what was found as the beginning.
    fn go_on(&mut self, found: Shards) {
        self.base = found;
        self.now = self.base.clone();
        self.acts.clear();
        self.always = self.options.durability == Durability::Always;
        let shards: Vec<u32> = self.votes.keys().copied().collect();
        for shard in shards {
            let vote =
                self.log.vote(ShardId(shard)).map_or(0, |v| str::from_utf8(&v).unwrap().parse().unwrap());
            self.votes.insert(shard, vote);
        }
        let votes = self.votes.clone();
        self.heard = Arc::new(Mutex::new(Heard {
            votes,
            relaxed: !self.always,
            wants_relaxed: !self.always,
            ..Heard::default()
        }));
        self.requests = 0;
        if self.suspect && self.rng.percent(50) {
            let done = self.done(|_| ());
            self.log.trust(done);
            self.disk.settle();
            self.suspect = false;
        }
    }
}

fn without_empty(shards: &Shards) -> Shards {
    shards.iter().filter(|(_, s)| **s != Shard::default()).map(|(id, s)| (*id, s.clone())).collect()
}

/// Everything a log holds.
fn contents(log: &Log) -> Shards {
    let mut shards = Shards::new();
    for id in 0..SHARDS as u32 {
        let state = log.state(ShardId(id));
        let from = state.purged.map_or(0, |p| p.0 + 1);
        let entries = log.read(ShardId(id), from..u64::MAX, usize::MAX).unwrap();
        let entries: BTreeMap<u64, Entry> = entries.into_iter().map(|e| (e.index, e)).collect();
        let shard = Shard { purged: state.purged, entries };
        assert_eq!(state.last, shard.last(), "{state:?}");
        assert_eq!(state.bytes, shard.entries.values().map(|e| 40 + e.payload.len() as u64).sum::<u64>());
        if let Some((index, term)) = state.last {
            assert_eq!(log.term_of(ShardId(id), index), Some(term));
            assert_eq!(log.term_of(ShardId(id), index + 1), None);
        }
        shards.insert(id, shard);
    }
    without_empty(&shards)
}

fn seeds(name: &str, count: u64, history: impl Fn(u64)) {
    if let Ok(seed) = std::env::var("QUORATE_LOG_SEED") {
        return history(seed.parse().unwrap());
    }
    let more: u64 = std::env::var("QUORATE_LOG_SEEDS").map_or(1, |times| times.parse().unwrap());
    for seed in 0..count * more {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history(seed)));
        assert!(outcome.is_ok(), "{name}: seed {seed}");
    }
}

#[test]
fn crashes_lose_nothing_that_was_complete_and_revive_nothing_that_was_cut() {
    seeds("crashes", 400, |seed| {
        let mut world = World::new(seed);
        for _ in 0..6 {
            for _ in 0..world.rng.below(60) {
                world.request();
                world.step();
            }
            if world.rng.percent(30) {
                world.disk.settle();
            }
            world.restart();
            world.check_reads();
        }
    });
}

#[test]
fn a_failed_write_or_fsync_stops_everything_and_still_loses_nothing() {
    seeds("faults", 300, |seed| {
        let mut world = World::new(seed);
        for _ in 0..4 {
            let fault = if world.rng.percent(60) { "sync" } else { "write" };
            let nth = world.rng.below(40);
            world.disk.fail(fault, nth);
            for _ in 0..world.rng.below(80) {
                world.request();
                world.step();
            }
            world.disk.settle();
            let failed_before = world.log.failed().is_some();
            let done = world.done(|_| ());
            world.log.sync(done);
            world.disk.settle();
            let failed = world.log.failed().is_some();
            assert!(failed || !failed_before);
            assert_eq!(failed, world.heard.lock().unwrap().failed, "after a failure every request fails");
            world.restart();
        }
    });
}

#[test]
fn a_clean_end_is_found_clean_and_complete() {
    seeds("clean", 100, |seed| {
        let mut world = World::new(seed);
        for _ in 0..3 {
            for _ in 0..world.rng.below(60) {
                world.request();
                world.step();
            }
            let acts = world.acts.len();
            let done = world.done(move |heard| heard.durable = acts);
            world.log.close_clean(done);
            world.disk.settle();
            assert_eq!(world.heard.lock().unwrap().durable, acts);
            world.disk.crash(&mut world.rng);
            let (log, recovery) =
                Log::open(world.disk.clone(), Path::new(DIR), world.options.clone()).unwrap();
            world.log = log;
            assert!(recovery.clean && recovery.is_sound() && recovery.damage.is_none(), "{recovery:?}");
            assert!(!recovery.os_crashed && recovery.torn_tail_bytes == 0, "{recovery:?}");
            assert_eq!(contents(&world.log), without_empty(&world.now));
            world.go_on(contents(&world.log));
        }
    });
}

/// Flips one bit anywhere, restarts, and looks: either it is reported, or it changed nothing.
#[test]
fn a_flipped_bit_is_reported_or_without_effect_and_never_gives_wrong_data() {
    seeds("flips", 600, |seed| {
        let mut world = World::new(seed);
        for round in 0..3 {
            for _ in 0..20 + world.rng.below(60) {
                world.request();
                world.step();
            }
            let clean = world.rng.percent(30);
            if clean {
                let acts = world.acts.len();
                let done = world.done(move |heard| (heard.complete, heard.durable) = (acts, acts));
                world.log.close_clean(done);
                world.disk.settle();
            }
            world.disk.crash(&mut world.rng);
            let files = world.disk.files();
            let file = files[world.rng.below(files.len() as u64) as usize].clone();
            let content = world.disk.content(&file);
            let used = content.iter().rposition(|b| *b != 0).map_or(0, |last| last as u64 + 1);
            let bit = world.rng.below(used * 8);
            world.disk.flip(&file, bit);
            let at = bit / 8;

            let (log, recovery) =
                Log::open(world.disk.clone(), Path::new(DIR), world.options.clone()).unwrap();
            world.log = log;
            let found = contents(&world.log);
            for (shard, log) in &found {
                for entry in log.entries.values() {
                    let known = &world.history[&(*shard, entry.index, entry.term)];
                    assert!(known.contains(entry), "round {round}: wrong data in {entry:?}");
                }
            }
            if recovery.is_sound() {
                // Only `clean` or a tail that was never complete may be the less for it.
                let least = world.heard.lock().unwrap().durable;
                world.assert_is_prefix(&found, least, &recovery);
            }
            if let Some(damage) = recovery.damage.as_ref().filter(|d| d.below_durable) {
                assert!(
                    file == damage.file || damage.file.exists() || !recovery.is_sound(),
                    "{damage} for {at}"
                );
                let refused = Arc::new(Mutex::new(None));
                let answer = refused.clone();
                let last = world.log.state(ShardId(0)).last.map_or(0, |l| l.0 + 1);
                let entry = Entry { index: last, term: 99, kind: 0, payload: Bytes::new() };
                let done = Box::new(move |r: std::io::Result<()>| *answer.lock().unwrap() = Some(r.is_err()));
                world.log.append(ShardId(0), vec![entry], done);
                assert_eq!(*refused.lock().unwrap(), Some(true), "a damaged log is read-only");
                // Killed before it is discarded, it is as damaged as before.
                world.disk.kill(&mut world.rng);
                let (log, again) =
                    Log::open(world.disk.clone(), Path::new(DIR), world.options.clone()).unwrap();
                assert_eq!(again.damage, recovery.damage);
                world.log = log;
                assert_eq!(contents(&world.log), found);
                world.log.discard_damaged(Box::new(|r| r.unwrap()));
                world.disk.settle();
                world.disk.crash(&mut world.rng);
                let (log, after) =
                    Log::open(world.disk.clone(), Path::new(DIR), world.options.clone()).unwrap();
                world.log = log;
                assert!(after.discarded && after.damage.is_none(), "{after:?}");
                assert_eq!(contents(&world.log), found);
            }
            world.suspect = true;
            world.go_on(found);
            world.log.trust(Box::new(|r| r.unwrap()));
            world.disk.settle();
            world.heard.lock().unwrap().votes.clear();
        }
    });
}
