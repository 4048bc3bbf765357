//! What was refused lately on this node (`ACL LOG`), and how often anything was.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use quorate_cluster::config::Config;
use quorate_keyspace::Place;
use quorate_replica::Consensus;

/// Refusals of the same kind within this time of the first are one entry.
const TOGETHER_MS: u64 = 60_000;
/// So many entries are looked at for one of the same kind.
const LOOKED_AT: usize = 10;
/// What of a name or a key is kept: whoever is refused must not fill the memory.
const TEXT_BYTES_MAX: usize = 1024;

/// Where a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    TopLevel,
    Multi,
    Lua,
}

impl Context {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::TopLevel => "toplevel",
            Self::Multi => "multi",
            Self::Lua => "lua",
        }
    }
}

impl From<Place> for Context {
    fn from(place: Place) -> Self {
        match place {
            Place::Client => Self::TopLevel,
            Place::Transaction => Self::Multi,
            Place::Script => Self::Lua,
        }
    }
}

/// Something that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// `auth`, `command`, `key` or `channel`.
    pub(crate) reason: &'static str,
    pub(crate) context: Context,
    /// The command, the key or the channel.
    pub(crate) object: Vec<u8>,
    pub(crate) user: Vec<u8>,
    /// The connection, as CLIENT LIST describes it.
    pub(crate) client: String,
}

impl Refusal {
    fn is_like(&self, other: &Self) -> bool {
        (self.reason, self.context, &self.object, &self.user)
            == (other.reason, other.context, &other.object, &other.user)
    }

    fn cut(&mut self) {
        self.object.truncate(TEXT_BYTES_MAX);
        self.user.truncate(TEXT_BYTES_MAX);
    }
}

/// Refusals of the same kind.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) count: u64,
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
    /// The last one.
    pub(crate) refusal: Refusal,
}

/// See the module.
pub(crate) struct Refusals {
    config: Config,
    consensus: Consensus,
    /// Newest first.
    entries: RefCell<VecDeque<Entry>>,
    next_id: Cell<u64>,
    /// In the order of [`REASONS`].
    counts: [Cell<u64>; REASONS.len()],
}

/// What can be refused.
const REASONS: [&str; 4] = ["auth", "command", "key", "channel"];

impl Refusals {
    pub(super) fn new(config: Config, consensus: Consensus) -> Self {
        Self {
            config,
            consensus,
            entries: RefCell::default(),
            next_id: Cell::new(0),
            counts: Default::default(),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.consensus.clock().now_ms()
    }

    /// Notes a refusal.
    pub(crate) fn note(&self, refusal: Refusal) {
        let counted = REASONS.iter().zip(&self.counts).find(|(reason, _)| **reason == refusal.reason);
        if let Some((_, count)) = counted {
            count.set(count.get() + 1);
        }
        let most = self.config.acllog_max_len();
        put(&mut self.entries.borrow_mut(), refusal, self.now_ms(), most, &self.next_id);
    }

    /// How often logging in, a command, a key and a channel were refused.
    pub(crate) fn counts(&self) -> [u64; REASONS.len()] {
        std::array::from_fn(|i| self.counts[i].get())
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset_counts(&self) {
        self.counts.iter().for_each(|count| count.set(0));
    }

    /// The newest entries.
    pub(crate) fn newest(&self, most: usize) -> Vec<Entry> {
        self.entries.borrow().iter().take(most).cloned().collect()
    }

    /// Forgets all entries.
    pub(crate) fn clear(&self) {
        self.entries.borrow_mut().clear();
    }
}

fn put(entries: &mut VecDeque<Entry>, mut refusal: Refusal, now_ms: u64, most: usize, next_id: &Cell<u64>) {
    refusal.cut();
    let like = |entry: &Entry| {
        entry.refusal.is_like(&refusal) && now_ms.saturating_sub(entry.last_ms) <= TOGETHER_MS
    };
    let known = entries.iter().take(LOOKED_AT).position(like).and_then(|at| entries.remove(at));
    let entry = match known {
        Some(entry) => Entry { count: entry.count + 1, last_ms: now_ms, refusal, ..entry },
        None => {
            let id = next_id.replace(next_id.get() + 1);
            Entry { id, count: 1, first_ms: now_ms, last_ms: now_ms, refusal }
        }
    };
    entries.push_front(entry);
    entries.truncate(most);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(object: &str) -> Refusal {
        Refusal {
            reason: "key",
            context: Context::TopLevel,
            object: object.into(),
            user: b"alice".to_vec(),
            client: String::new(),
        }
    }

    #[test]
    fn the_same_within_a_minute_is_one_entry() {
        let (mut entries, id) = (VecDeque::new(), Cell::new(0));
        put(&mut entries, refusal("a"), 1_000, 128, &id);
        put(&mut entries, refusal("b"), 2_000, 128, &id);
        put(&mut entries, refusal("a"), 61_000, 128, &id);
        let seen: Vec<_> = entries.iter().map(|e| (e.id, e.count, e.first_ms, e.last_ms)).collect();
        assert_eq!(seen, [(0, 2, 1_000, 61_000), (1, 1, 2_000, 2_000)]);
        put(&mut entries, refusal("b"), 62_001, 128, &id);
        let seen: Vec<_> = entries.iter().map(|e| (e.id, e.count)).collect();
        assert_eq!(seen, [(2, 1), (0, 2), (1, 1)], "a minute is over");
        let other = Refusal { context: Context::Lua, ..refusal("b") };
        put(&mut entries, other, 62_001, 128, &id);
        assert_eq!(entries.len(), 4, "elsewhere is another kind");
    }

    #[test]
    fn there_are_only_so_many_and_their_texts_are_cut() {
        let (mut entries, id) = (VecDeque::new(), Cell::new(0));
        for n in 0..100 {
            put(&mut entries, refusal(&format!("{n}{}", "x".repeat(1 << 20))), 5, 7, &id);
        }
        assert_eq!(entries.len(), 7);
        assert!(entries.iter().all(|entry| entry.refusal.object.len() == TEXT_BYTES_MAX));
        put(&mut entries, refusal("none"), 5, 0, &id);
        assert!(entries.is_empty());
    }
}
