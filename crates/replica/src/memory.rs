//! `maxmemory`, as the leader sees to it (R12).
//!
//! Before it sends a batch, the leader compares its memory with the limit. Above it, keys are chosen and dropped by an entry
//! that names them; if none may go, the bit of [`Header::memory_short`](quorate_keyspace::batch::Header::memory_short)
//! has every replica refuse what may need memory. No other node has a say.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use quorate_keyspace::{Chooser, Keyspace, Policy, Reply, Victim};

use crate::Client;

/// What a node knows of its memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that count.
    pub used: u64,
    /// Bytes that may be; 0 is any number.
    pub limit: u64,
    /// Keys that are looked at for each one that goes.
    pub samples: usize,
    /// 0 to 100: how much is evicted at a time.
    pub tenacity: u32,
}

impl Memory {
    /// Bytes above the limit.
    #[must_use]
    pub fn over(&self) -> u64 {
        if self.limit == 0 { 0 } else { self.used.saturating_sub(self.limit) }
    }

    /// How many keys may be evicted at a time beside those that make room for new ones. To choose one takes about a
    /// microsecond.
    fn keys_max(&self) -> usize {
        match self.tenacity {
            n @ 0..=10 => 64 + 100 * n as usize,
            n @ 11..=99 => 1064 + 1000 * (n as usize - 10),
            _ => usize::MAX,
        }
    }
}

/// Asks a node what it knows of its memory. Cheap.
pub type LookAtMemory = Rc<dyn Fn() -> Memory>;

/// Further above the limit than this, reads wait until room is being made.
const FAR_ABOVE_BYTES: u64 = 64 << 10;

/// Keys in one command.
const KEYS_PER_COMMAND: usize = 16;

/// Chooses keys, and follows what became of them.
pub(crate) struct Evictor {
    chooser: Chooser,
    under_way: Rc<UnderWay>,
    /// Whether memory was short when it was last looked at.
    was_short: bool,
    /// How many writes there had been by then.
    seen_version: u64,
}

/// What is to go and has not gone yet.
#[derive(Default)]
struct UnderWay {
    /// About how many bytes that will give back.
    bytes: Cell<u64>,
    /// Nothing of what has to go since memory was last far above its limit is gone yet.
    is_first: Cell<bool>,
    /// Keys whose command was answered.
    answered: RefCell<Vec<(usize, Vec<u8>)>>,
}

impl Evictor {
    /// One whose picks follow from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { chooser: Chooser::new(seed), under_way: Rc::default(), was_short: false, seen_version: 0 }
    }

    /// Looks at the memory of this node, which leads, and hands commands that drop keys to `write` as long as it takes
    /// them. True: memory is short, and no key may go.
    pub(crate) fn look(
        &mut self,
        keyspace: &Keyspace,
        memory: &Memory,
        mut write: impl FnMut(Rc<dyn Client>, usize, &[&[u8]]) -> bool,
    ) -> bool {
        for (db, key) in self.under_way.answered.take() {
            self.chooser.forget(db, &key);
        }
        let over = over(keyspace, memory);
        let mut frees = |lead: &mut Self| {
            keyspace.policy() != Policy::Refuse && lead.evict(keyspace, over, memory, &mut write)
        };
        let is_short = over > 0 && !frees(self);
        self.seen_version = keyspace.version();
        if is_short != self.was_short {
            self.was_short = is_short;
            match is_short {
                true => tracing::warn!(
                    used = memory.used,
                    maxmemory = memory.limit,
                    "memory is short, and no key may be evicted: commands that may need more are refused"
                ),
                false => tracing::info!("memory is no longer short"),
            }
        }
        is_short
    }

    /// Whether this node, which leads, has gone far above its limit and no key was dropped since. Who reads now would find
    /// what in Redis had made room before.
    pub(crate) fn is_far_above(&self) -> bool {
        self.under_way.is_first.get()
    }

    /// Another node leads.
    pub(crate) fn rest(&self) {
        self.under_way.is_first.set(false);
    }

    /// Whether memory is short, without a look for keys that may go.
    pub(crate) fn is_short(&self, keyspace: &Keyspace, memory: &Memory) -> bool {
        over(keyspace, memory) > 0 && (self.was_short || keyspace.policy() == Policy::Refuse)
    }

    /// False: there is nothing to evict.
    fn evict(
        &mut self,
        keyspace: &Keyspace,
        over: u64,
        memory: &Memory,
        write: &mut impl FnMut(Rc<dyn Client>, usize, &[&[u8]]) -> bool,
    ) -> bool {
        if keyspace.garbage_len() > 0 {
            // What was dropped is not all freed yet.
            return true;
        }
        // Many small writes at once must not outrun it.
        let writes = keyspace.version().saturating_sub(self.seen_version);
        let keys_max = memory.keys_max().saturating_add(2 * writes as usize);
        let was_waiting = self.chooser.is_waiting();
        let mut victims = Vec::new();
        let before = self.under_way.bytes.get();
        let mut bytes = before;
        while bytes < over && victims.len() < keys_max {
            let Some(victim) = self.chooser.choose(keyspace, memory.samples) else { break };
            bytes += victim.bytes as u64;
            victims.push(victim);
        }
        victims.sort_by_key(|victim| victim.db);
        let found = was_waiting || !victims.is_empty();
        for of_database in victims.chunk_by(|a, b| a.db == b.db) {
            for some in of_database.chunks(KEYS_PER_COMMAND) {
                self.send(some, write);
            }
        }
        if before == 0 && over >= FAR_ABOVE_BYTES && self.under_way.bytes.get() > 0 {
            self.under_way.is_first.set(true);
        }
        found
    }

    fn send(&self, victims: &[Victim], write: &mut impl FnMut(Rc<dyn Client>, usize, &[&[u8]]) -> bool) {
        let bytes = victims.iter().map(|victim| victim.bytes as u64).sum();
        let keys = victims.iter().map(|victim| (victim.db, victim.key.clone())).collect();
        let going = Rc::new(Going { under_way: self.under_way.clone(), bytes, keys: RefCell::new(keys) });
        self.under_way.bytes.set(self.under_way.bytes.get() + bytes);
        let mut line: Vec<&[u8]> = vec![b"\0evict"];
        line.extend(victims.iter().map(|victim| &victim.key[..]));
        if !write(going.clone(), victims[0].db, &line) {
            // Too much waits already: they may be chosen again.
            going.end();
        }
    }
}

/// Bytes above the limit that evictions can bring back.
fn over(keyspace: &Keyspace, memory: &Memory) -> u64 {
    memory.over().saturating_sub(keyspace.held_back_bytes() as u64)
}

/// Waits for the answer to one command.
struct Going {
    under_way: Rc<UnderWay>,
    bytes: u64,
    keys: RefCell<Vec<(usize, Vec<u8>)>>,
}

impl Going {
    /// The keys are gone, or stay.
    fn end(&self) {
        self.under_way.is_first.set(false);
        self.under_way.bytes.set(self.under_way.bytes.get() - self.bytes);
        self.under_way.answered.borrow_mut().append(&mut self.keys.borrow_mut());
    }
}

impl Client for Going {
    fn write(&self, run: &mut dyn FnMut(&mut Reply<'_>)) {
        run(&mut Reply::discard());
    }

    fn done(&self, _index: u64) {
        self.end();
    }

    fn postpone(&self) {}
}

#[cfg(test)]
mod tests {
    use quorate_keyspace::NoHost;
    use quorate_keyspace::batch::{BatchBuilder, Header, SEMANTICS};

    use super::*;

    /// Carries commands out one entry each.
    struct State {
        keyspace: Keyspace,
        index: u64,
    }

    impl State {
        fn new(policy: &str) -> Self {
            let mut this = Self { keyspace: Keyspace::new(16), index: 0 };
            this.run(0, &[b"\0directory.set", b"config.maxmemory-policy", policy.as_bytes()]);
            this
        }

        fn run(&mut self, db: usize, args: &[&[u8]]) {
            let mut batch = BatchBuilder::new();
            batch.command(db, args);
            self.index += 1;
            let header = Header {
                semantics: SEMANTICS,
                term: 1,
                origin_node: 1,
                origin_start: 1,
                origin_seq: self.index,
                time_ms: 1000,
                ..Header::default()
            };
            self.keyspace.apply(self.index, 1, &batch.finish(&header), &mut NoHost);
        }
    }

    type Line = (Rc<dyn Client>, usize, Vec<Vec<u8>>);

    fn look(evictor: &mut Evictor, state: &State, over: u64) -> (bool, Vec<Line>) {
        let memory = Memory { used: 1000 + over, limit: 1000, samples: 5, tenacity: 10 };
        let mut lines = Vec::new();
        let short = evictor.look(&state.keyspace, &memory, |client, db, args| {
            lines.push((client, db, args.iter().map(|arg| arg.to_vec()).collect()));
            true
        });
        (short, lines)
    }

    #[test]
    fn as_much_goes_as_is_missing_and_nothing_twice() {
        let mut state = State::new("allkeys-lru");
        for n in 0..400 {
            state.run(n % 3, &[b"SET", format!("k{n}").as_bytes(), &[b'x'; 1000]]);
        }
        let mut evictor = Evictor::new(1);
        assert!(look(&mut evictor, &state, 0).1.is_empty());
        assert!(!evictor.is_far_above());
        let (short, lines) = look(&mut evictor, &state, 100_000);
        assert!(evictor.is_far_above());
        let keys: usize = lines.iter().map(|line| line.2.len() - 1).sum();
        assert!(!short && (80..=100).contains(&keys), "{keys}");
        assert!(lines.iter().all(|line| line.2.len() <= 1 + KEYS_PER_COMMAND));
        // They are on their way: no more is needed.
        assert!(look(&mut evictor, &state, 100_000).1.is_empty());
        let (_, more) = look(&mut evictor, &state, 150_000);
        let names = |lines: &[Line]| -> std::collections::BTreeSet<(usize, Vec<u8>)> {
            lines.iter().flat_map(|line| line.2[1..].iter().map(|key| (line.1, key.clone()))).collect()
        };
        assert!(!more.is_empty() && names(&more).is_disjoint(&names(&lines)));
        for (client, db, line) in lines.iter().chain(&more) {
            state.run(*db, &line.iter().map(Vec::as_slice).collect::<Vec<_>>());
            client.done(1);
            assert!(!evictor.is_far_above(), "something has gone");
        }
        look(&mut evictor, &state, FAR_ABOVE_BYTES - 1);
        assert!(!evictor.is_far_above());
        let left: usize = (0..16).map(|db| state.keyspace.stats(db).keys).sum();
        assert_eq!(left, 400 - names(&lines).len() - names(&more).len());
        assert_eq!(state.keyspace.usage().evicted as usize, 400 - left);
    }

    #[test]
    fn memory_is_short_when_nothing_may_go() {
        for policy in ["noeviction", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
            let mut state = State::new(policy);
            state.run(0, &[b"SET", b"k", b"v"]);
            let mut evictor = Evictor::new(1);
            assert!(!look(&mut evictor, &state, 0).0, "{policy}");
            let (short, lines) = look(&mut evictor, &state, 1);
            assert!(short && lines.is_empty(), "{policy}");
            let at = |used| Memory { used, limit: 1000, ..Memory::default() };
            assert!(evictor.is_short(&state.keyspace, &at(1001)), "{policy}");
            assert!(!evictor.is_short(&state.keyspace, &at(1000)), "{policy}: it is no longer");
            state.run(0, &[b"SET", b"goes", b"v", b"EX", b"100"]);
            let (short, lines) = look(&mut evictor, &state, 1);
            assert_eq!((short, lines.len()), (policy == "noeviction", usize::from(policy != "noeviction")));
            for (client, _, line) in &lines {
                assert_eq!(line[1..], [b"goes".to_vec()]);
                // As long as it is on its way there is hope.
                assert!(!look(&mut evictor, &state, 1).0);
                client.done(1);
            }
        }
    }

    #[test]
    fn what_nobody_took_may_be_chosen_again() {
        let mut state = State::new("allkeys-random");
        state.run(0, &[b"SET", b"k", b"v"]);
        let mut evictor = Evictor::new(1);
        let memory = Memory { used: 2, limit: 1, samples: 5, tenacity: 10 };
        assert!(!evictor.look(&state.keyspace, &memory, |_, _, _| false));
        assert_eq!(look(&mut evictor, &state, 1).1.len(), 1);
    }

    #[test]
    fn no_limit_is_never_exceeded() {
        let unlimited = Memory { used: u64::MAX, ..Memory::default() };
        assert_eq!(unlimited.over(), 0);
    }
}
