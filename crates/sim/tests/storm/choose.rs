//! What the clients of a storm do next.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;

use super::MS;
use super::commands::{self, EntryId, How, Kind, Op};
use super::workers::Mix;

/// The streams that groups read.
const STREAMS: [&str; 2] = ["x:0", "x:1"];
/// How many of the newest entries of a stream are remembered.
const REMEMBERED: usize = 12;

/// Draws commands. Some of them build on answers that came before.
#[derive(Debug, Default)]
pub(crate) struct Chooser {
    mix: Mix,
    values: u64,
    /// Of each stream: the newest entries.
    added: BTreeMap<String, Vec<(u64, EntryId)>>,
    /// Those that were delivered, to acknowledge them.
    delivered: BTreeMap<String, Vec<(u64, EntryId)>>,
    /// How many consumers have made everything they need.
    prepared: usize,
}

impl Chooser {
    pub(crate) fn new(mix: Mix) -> Self {
        Self { mix, ..Self::default() }
    }

    fn value(&mut self) -> u64 {
        self.values += 1;
        self.values
    }

    /// Learns from an answer.
    pub(crate) fn note(&mut self, op: &Op) {
        let Some(reply) = op.reply.as_ref().filter(|_| op.is_acknowledged()) else { return };
        let of = |map: &'_ mut BTreeMap<String, Vec<(u64, EntryId)>>, found: Vec<(u64, EntryId)>| {
            let known = map.entry(op.key.clone()).or_default();
            known.extend(found);
            known.drain(..known.len().saturating_sub(REMEMBERED));
        };
        match op.kind {
            Kind::Add(value) => {
                let id = commands::entry_id(reply).expect("XADD answers an identity");
                of(&mut self.added, vec![(value, id)]);
            }
            Kind::Deliver { .. } => of(&mut self.delivered, commands::read_entries(reply)),
            _ => {}
        }
    }

    /// The next commands of a client: one, or a pipeline.
    pub(crate) fn next(&mut self, rng: &mut Rng, client: usize) -> Vec<(Kind, String)> {
        match self.mix {
            Mix::Registers => {
                let kind = if rng.u8(..100) < 30 { Kind::Write(self.value()) } else { Kind::Read };
                vec![(kind, format!("r:{}", rng.u8(..2)))]
            }
            Mix::Strings => self.next_of_strings(rng, client),
            Mix::Everything => self.next_of_everything(rng, client),
        }
    }

    fn next_of_strings(&mut self, rng: &mut Rng, client: usize) -> Vec<(Kind, String)> {
        match rng.u8(..100) {
            0..30 => vec![(Kind::Unique, format!("u:{}", self.value()))],
            30..55 => vec![(Kind::Increment, format!("c:{}", rng.u8(..3)))],
            55..62 => vec![(Kind::ReadCounter, format!("c:{}", rng.u8(..3)))],
            62..66 => vec![(Kind::Bulk(self.value()), format!("b:{}", rng.u8(..4)))],
            66..76 => vec![(Kind::Write(self.value()), format!("r:{}", rng.u8(..5)))],
            76..92 => vec![(Kind::Read, format!("r:{}", rng.u8(..5)))],
            _ => self.pipeline(rng, client),
        }
    }

    fn next_of_everything(&mut self, rng: &mut Rng, client: usize) -> Vec<(Kind, String)> {
        match rng.u8(..100) {
            0..14 => vec![(Kind::Unique, format!("u:{}", self.value()))],
            14..26 => vec![(Kind::Increment, one_of(rng, COUNTERS, 1))],
            26..30 => vec![(Kind::ReadCounter, one_of(rng, COUNTERS, 1))],
            30..33 => vec![(Kind::Bulk(self.value()), format!("b:{}", rng.u8(..4)))],
            33..40 => vec![(Kind::Write(self.value()), one_of(rng, REGISTERS, 2))],
            40..51 => vec![(Kind::Read, one_of(rng, REGISTERS, 2))],
            51..55 => self.pipeline(rng, client),
            55..69 => vec![self.cell(rng)],
            69..79 => vec![self.push(rng)],
            79..83 => vec![pop(rng, None)],
            83..88 => vec![(Kind::Add(self.value()), stream(rng))],
            88..90 => {
                vec![(if rng.bool() { Kind::Sample(self.value()) } else { Kind::Estimate }, "h:0".to_owned())]
            }
            _ => vec![(Kind::Effect(rng.u64(..)), "e:".to_owned())],
        }
    }

    /// The next command of a client that mostly waits.
    pub(crate) fn next_of_consumer(&mut self, rng: &mut Rng) -> (Kind, String) {
        if self.prepared < STREAMS.len() + 1 {
            self.prepared += 1;
            return match STREAMS.get(self.prepared - 1) {
                Some(stream) => (Kind::MakeGroup, (*stream).to_owned()),
                None => (Kind::LoadFunctions, "f:".to_owned()),
            };
        }
        let wait = Some(wait(rng));
        match rng.u8(..100) {
            0..46 => pop(rng, wait),
            46..56 => (Kind::Move { wait: wait.filter(|_| rng.bool()) }, format!("qf:{}", rng.u8(..2))),
            56..75 => (Kind::Deliver { wait: wait.filter(|_| rng.u8(..4) > 0) }, stream(rng)),
            75..86 => self.acknowledge(rng),
            86..89 => (Kind::Claim, stream(rng)),
            89..94 => self.follow(rng, wait),
            94..97 => (Kind::MakeGroup, stream(rng)),
            _ => (Kind::LoadFunctions, "f:".to_owned()),
        }
    }

    fn pipeline(&mut self, rng: &mut Rng, client: usize) -> Vec<(Kind, String)> {
        let key = format!("p:{client}");
        let steps = (0..rng.u8(2..6)).map(|_| [Kind::PrivateWrite(self.value()), Kind::PrivateRead]);
        steps.flatten().map(|kind| (kind, key.clone())).collect()
    }

    fn cell(&mut self, rng: &mut Rng) -> (Kind, String) {
        let place = ['s', 'h', 'z', 'b'][rng.usize(..4)];
        let kind = match rng.u8(..10) {
            0..3 => Kind::Put(self.value()),
            3 => Kind::PutIfEmpty(self.value()),
            4 if place == 'h' => Kind::Swap(self.value()),
            4..7 => Kind::Take,
            _ => Kind::Look,
        };
        (kind, format!("m{place}:0/{}", rng.u8(..3)))
    }

    fn push(&mut self, rng: &mut Rng) -> (Kind, String) {
        let first = self.value();
        let count = rng.u64(1..=3);
        self.values += count - 1;
        let how = [How::Plainly, How::Plainly, How::Script, How::Transaction][rng.usize(..4)];
        (Kind::Push { first, count, how }, queue(rng))
    }

    fn acknowledge(&mut self, rng: &mut Rng) -> (Kind, String) {
        let key = stream(rng);
        let known = self.delivered.entry(key.clone()).or_default();
        if known.is_empty() {
            return (Kind::Deliver { wait: None }, key);
        }
        let at = rng.usize(..known.len());
        // Some are acknowledged a second time.
        let (value, id) = if rng.u8(..8) == 0 { known[at] } else { known.remove(at) };
        (Kind::Acknowledge { value, id }, key)
    }

    fn follow(&mut self, rng: &mut Rng, wait: Option<Duration>) -> (Kind, String) {
        let key = stream(rng);
        let known = self.added.get(&key).filter(|known| !known.is_empty());
        let after = known.map_or((0, 0), |known| known[rng.usize(..known.len())].1);
        (Kind::Follow { after, wait }, key)
    }
}

/// Counters by what keeps them.
const COUNTERS: &[&str] = &["c:", "c:", "ch:", "cz:", "cb:", "cl:", "cs:", "cf:", "ct:"];
/// Registers by what keeps them.
const REGISTERS: &[&str] = &["r:", "r:", "rh:", "rz:", "rb:", "rs:", "rx:", "rt:"];

fn one_of(rng: &mut Rng, places: &[&str], each: u8) -> String {
    format!("{}{}", places[rng.usize(..places.len())], rng.u8(..each))
}

fn stream(rng: &mut Rng) -> String {
    STREAMS[rng.usize(..STREAMS.len())].to_owned()
}

fn queue(rng: &mut Rng) -> String {
    format!("q{}:{}", ['f', 'f', 'm', 'z', 's'][rng.usize(..5)], rng.u8(..2))
}

fn pop(rng: &mut Rng, wait: Option<Duration>) -> (Kind, String) {
    let key = queue(rng);
    // Nobody waits for a set.
    let wait = wait.filter(|_| commands::place(&key) != 's');
    let most = if rng.u8(..4) == 0 { rng.usize(2..4) } else { 1 };
    // In order of their pushes, elements come from the left only.
    let from_right = commands::place(&key) != 'f' && rng.bool();
    (Kind::Pop { most, wait, from_right }, key)
}

/// For how long to wait; 0 is for ever.
fn wait(rng: &mut Rng) -> Duration {
    match rng.u8(..10) {
        0 => Duration::ZERO,
        1..5 => rng.u32(1..100) * MS,
        _ => rng.u32(100..1500) * MS,
    }
}
