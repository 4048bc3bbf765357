//! MIGRATE under faults: what was acknowledged is here, or at the target, or in both places.

use std::time::Duration;

use quorate_planted::{Bug, plant};
use quorate_resp::Value;
use quorate_sim::{SimClient, SimCluster};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const NODES: usize = 3;
const ROUNDS: usize = 20;
const SEEDS: u64 = 4;

/// One client that stays connected, to a node that runs.
struct Seat {
    client: SimClient,
}

impl Seat {
    fn new(c: &mut SimCluster) -> Self {
        let node = c.world().rng().usize(1..=NODES);
        Self { client: c.connect(node) }
    }

    /// The answers to what was sent, as far as they come before the connection ends.
    fn answers(&mut self, c: &mut SimCluster) -> Vec<Value> {
        let mut answers = Vec::new();
        let end = c.now() + 30 * SECOND;
        while self.client.unanswered() > 0 && c.now() < end {
            match self.client.reply() {
                Some(answer) => answers.push(answer),
                None if self.client.ended().is_some() => break,
                None => c.run_for(MS),
            }
        }
        if self.client.ended().is_some() || self.client.unanswered() > 0 {
            *self = Self::new(c);
        }
        answers
    }
}

/// A key and its life: `APPEND` adds one letter after the other, and each is there once.
#[derive(Default)]
struct Key {
    name: String,
    appended: usize,
    acknowledged: Vec<u8>,
    /// What was acknowledged before it was moved, if that is certain to have succeeded.
    moved: Option<Vec<u8>>,
}

impl Key {
    fn append(&mut self, writer: &mut Seat, times: usize) -> Vec<u8> {
        let letters: Vec<u8> = (0..times).map(|i| b'!' + (self.appended + i) as u8).collect();
        self.appended += times;
        for letter in &letters {
            writer.client.send(&[b"APPEND", self.name.as_bytes(), &[*letter]]);
        }
        letters
    }

    fn note(&mut self, letters: &[u8], answers: &[Value]) {
        let acknowledged = letters.iter().zip(answers).filter(|(_, answer)| answer.as_int().is_some());
        self.acknowledged.extend(acknowledged.map(|(letter, _)| *letter));
    }
}

/// Something happens to a node or its network; the result says what must be mended.
fn fault(c: &mut SimCluster) -> Option<usize> {
    let n = c.world().rng().usize(1..=NODES);
    let machine = c.machine(n);
    match c.world().rng().u32(..6) {
        0 => {
            c.crash(n);
            return Some(n);
        }
        1 => c.world().network().isolate(machine),
        2 => {
            let other = c.machine(n % NODES + 1);
            c.world().network().break_connections(machine, other);
        }
        3 => c.world().pause(machine),
        _ => {}
    }
    None
}

fn mend(c: &mut SimCluster, crashed: Option<usize>) {
    c.world().network().heal();
    for n in 1..=NODES {
        let machine = c.machine(n);
        c.world().resume(machine);
    }
    if let Some(n) = crashed {
        c.restart(n);
    }
}

fn round(c: &mut SimCluster, number: usize, writer: &mut Seat, mover: &mut Seat) -> Key {
    let mut key = Key { name: format!("key{number}"), ..Key::default() };
    let letters = key.append(writer, 3);
    let answers = writer.answers(c);
    key.note(&letters, &answers);
    let before = key.acknowledged.clone();

    let target = format!("n{}", c.world().rng().usize(1..=NODES));
    let mut line: Vec<&[u8]> =
        vec![b"MIGRATE", target.as_bytes(), b"6379", key.name.as_bytes(), b"1", b"2000"];
    if c.world().rng().bool() {
        line.push(b"REPLACE");
    }
    mover.client.send(&line);
    let pause = c.world().rng().u32(..8) * (MS / 2);
    c.run_for(pause);
    let times = c.world().rng().usize(..4);
    let letters = key.append(writer, times);
    let pause = c.world().rng().u32(..4) * (MS / 2);
    c.run_for(pause);
    let crashed = fault(c);
    let pause = c.world().rng().u32(..600) * MS;
    c.run_for(pause);
    mend(c, crashed);
    let answers = writer.answers(c);
    key.note(&letters, &answers);
    let moved = matches!(mover.answers(c).as_slice(), [Value::Simple(ok)] if ok == "OK");
    key.moved = moved.then_some(before);
    key
}

fn value(c: &mut SimCluster, client: &mut SimClient, key: &Key) -> Vec<u8> {
    let reply = c.call(client, &[b"GET", key.name.as_bytes()], 30 * SECOND).unwrap();
    assert!(reply.as_error().is_none(), "{reply:?}");
    reply.as_bytes().unwrap_or_default().to_vec()
}

/// How many keys have moved, how many are still here, and what was lost.
#[derive(Default)]
struct Outcome {
    moved: usize,
    stayed: usize,
    lost: Vec<String>,
}

fn storm(seed: u64, outcome: &mut Outcome) {
    let mut c = SimCluster::new(seed, NODES);
    let (mut writer, mut mover) = (Seat::new(&mut c), Seat::new(&mut c));
    let keys: Vec<Key> = (0..ROUNDS).map(|n| round(&mut c, n, &mut writer, &mut mover)).collect();

    // A node that was just started may have to catch up.
    c.run_for(2 * SECOND);
    let mut client = c.connect(1);
    let here: Vec<Vec<u8>> = keys.iter().map(|key| value(&mut c, &mut client, key)).collect();
    c.call(&mut client, &[b"SELECT", b"1"], 30 * SECOND).unwrap();
    for (key, here) in keys.iter().zip(here) {
        let there = value(&mut c, &mut client, key);
        let is_lost = |letter: &&u8| !here.contains(letter) && !there.contains(letter);
        let lost = key.acknowledged.iter().filter(is_lost);
        outcome
            .lost
            .extend(lost.map(|letter| format!("seed {seed}: {} {}", key.name, letter.escape_ascii())));
        match &key.moved {
            Some(before) => {
                outcome.moved += 1;
                assert!(before.iter().all(|letter| there.contains(letter) && !here.contains(letter)));
            }
            None => outcome.stayed += usize::from(!here.is_empty()),
        }
    }
    assert!(c.wait_until_equal_digests(30 * SECOND), "seed {seed}: {}", c.describe());
    assert!(c.violations().is_empty(), "seed {seed}: {:?}", c.violations());
}

#[test]
fn an_acknowledged_write_to_a_key_that_moves_is_in_one_of_both_places() {
    let mut outcome = Outcome::default();
    (0..SEEDS).for_each(|seed| storm(seed, &mut outcome));
    let Outcome { moved, stayed, lost } = outcome;
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(moved > 30 && stayed > 3, "{moved} keys have moved, {stayed} have stayed");
}

#[test]
fn a_deletion_that_does_not_look_is_seen() {
    let _planted = plant(Some(Bug::MigratedUnwatched));
    let mut outcome = Outcome::default();
    (0..SEEDS).for_each(|seed| storm(seed, &mut outcome));
    assert!(!outcome.lost.is_empty(), "the storm provokes nothing");
}
