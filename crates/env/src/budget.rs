//! One budget of bytes for everything that queues in a node (R21).
//!
//! Commands on their way in, replies on their way out, what travels between nodes, what waits to be applied: each queue
//! has a bound of its own, and all of them together have this one. Whoever holds much holds a [`Charge`], which gives
//! back what it counts when it is dropped. Small amounts are not counted ([`STEP_BYTES`]), so small commands never touch
//! a counter that threads share.
//!
//! Nothing that is needed to make room ever waits for room: consensus and apply are counted and go on. What a client
//! asks for waits, and is refused in the end. So there is no deadlock, and the budget is exceeded by no more than the
//! few entries that a node takes from its leader at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};

/// Charges are multiples of this; what is smaller is not counted.
pub const STEP_BYTES: usize = 64 << 10;
/// The limit until one is set.
const LIMIT_BYTES: usize = 1 << 30;
/// No smaller limit is useful: a few large commands must fit.
const LIMIT_BYTES_MIN: usize = 16 << 20;

/// What holds bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Commands of clients that are not complete, or not handed on yet.
    Queries,
    /// Replies that clients have not read.
    Replies,
    /// Commands handed on: writes that are not applied yet, reads that are not executed yet.
    Commands,
    /// Messages of other nodes, and the entries that came with them as long as anybody needs them.
    Bus,
    /// Committed entries that wait to be applied.
    Apply,
    /// Pieces of snapshots on their way to the disk.
    Snapshots,
}

impl Part {
    /// All parts.
    pub const ALL: [Part; 6] =
        [Part::Queries, Part::Replies, Part::Commands, Part::Bus, Part::Apply, Part::Snapshots];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Part::Queries => "queries",
            Part::Replies => "replies",
            Part::Commands => "commands",
            Part::Bus => "bus",
            Part::Apply => "apply",
            Part::Snapshots => "snapshots",
        }
    }
}

/// See the module. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit: AtomicUsize,
    total: AtomicUsize,
    parts: [AtomicUsize; Part::ALL.len()],
    waiting: AtomicUsize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                limit: AtomicUsize::new(LIMIT_BYTES),
                total: AtomicUsize::new(0),
                parts: Default::default(),
                waiting: AtomicUsize::new(0),
            }),
        }
    }
}

impl Budget {
    /// How many bytes there are to give away.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.shared.limit.load(Ordering::Relaxed)
    }

    /// Changes that. What is held already stays; at least 16 MiB.
    pub fn set_limit(&self, bytes: usize) {
        self.shared.limit.store(bytes.max(LIMIT_BYTES_MIN), Ordering::Relaxed);
    }

    /// How many bytes are held.
    #[must_use]
    pub fn used(&self) -> usize {
        self.shared.total.load(Ordering::Relaxed)
    }

    /// How many bytes a part holds.
    #[must_use]
    pub fn used_by(&self, part: Part) -> usize {
        self.shared.parts[part as usize].load(Ordering::Relaxed)
    }

    /// How many wait for room: see [`Budget::wait`].
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// Says that somebody waits for room, for as long as the answer lives.
    #[must_use]
    pub fn wait(&self) -> Waiting {
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self.shared.clone())
    }

    /// A charge that counts nothing yet.
    #[must_use]
    pub fn charge(&self, part: Part) -> Charge {
        Charge { shared: self.shared.clone(), part, bytes: 0 }
    }

    /// Whether whoever holds `own` bytes of `part` may hold `more`.
    ///
    /// Commands of clients may fill half of the budget, replies a quarter. Batches that other nodes forward may fill
    /// half, whatever clients hold: small commands of those nodes wait behind them. Something larger gets its turn when
    /// little else of its kind is held, or it would never be served.
    fn admits(&self, part: Part, own: usize, more: usize) -> bool {
        let (limit, total, queries) = (self.limit(), self.used(), self.used_by(Part::Queries));
        let (held, share) = match part {
            Part::Replies => (self.used_by(Part::Replies), limit / 4),
            Part::Queries | Part::Commands => (queries + self.used_by(Part::Commands), limit / 2),
            part => (self.used_by(part), limit / 2),
        };
        let waits_for_all = matches!(part, Part::Queries | Part::Commands | Part::Replies);
        let fits = held + more <= share && (!waits_for_all || total + more <= limit);
        let is_first = part != Part::Queries || queries <= own;
        let others = held.saturating_sub(own);
        let alone =
            is_first && others <= limit / 16 && (!waits_for_all || total - own.min(total) <= limit / 2);
        fits || alone
    }
}

/// Somebody waits for room.
#[derive(Debug)]
pub struct Waiting(Arc<Shared>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes of a part that are held until this is dropped.
#[derive(Debug)]
pub struct Charge {
    shared: Arc<Shared>,
    part: Part,
    bytes: usize,
}

impl Charge {
    /// How many bytes it counts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts `bytes` from now on, whatever the limit says; in steps, rounded down.
    pub fn set(&mut self, bytes: usize) {
        let bytes = bytes - bytes % STEP_BYTES;
        if bytes == self.bytes {
            return;
        }
        let change = bytes.wrapping_sub(self.bytes);
        self.shared.total.fetch_add(change, Ordering::Relaxed);
        self.shared.parts[self.part as usize].fetch_add(change, Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// Counts `bytes` from now on if a client may hold so many. False: nothing has changed.
    #[must_use]
    pub fn try_set(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let budget = Budget { shared: self.shared.clone() };
        // One thread admits clients, and another messages: both may take the last room at the same moment, once.
        let admitted = more < STEP_BYTES || budget.admits(self.part, self.bytes, more);
        if admitted {
            self.set(bytes);
        }
        admitted
    }

    /// The bytes, which are counted until nobody holds any part of them.
    #[must_use]
    pub fn around(self, bytes: BytesMut) -> Bytes {
        Bytes::from_owner(Charged { bytes, _charge: self })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

struct Charged {
    bytes: BytesMut,
    _charge: Charge,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: usize = 1 << 20;

    fn budget(limit: usize) -> Budget {
        let budget = Budget::default();
        budget.set_limit(limit);
        budget
    }

    #[test]
    fn a_charge_is_given_back_whoever_held_it_last() {
        let budget = budget(100 * MB);
        let mut charge = budget.charge(Part::Bus);
        charge.set(10 * MB + 5);
        assert_eq!((budget.used(), budget.used_by(Part::Bus)), (10 * MB, 10 * MB));
        let bytes = charge.around(BytesMut::from(&b"abcdef"[..]));
        let part = bytes.slice(2..4);
        drop(bytes);
        assert_eq!((&part[..], budget.used()), (&b"cd"[..], 10 * MB));
        drop(part);
        assert_eq!((budget.used(), budget.used_by(Part::Bus)), (0, 0));
    }

    #[test]
    fn what_is_small_is_not_counted() {
        let budget = budget(100 * MB);
        let mut charge = budget.charge(Part::Replies);
        charge.set(STEP_BYTES - 1);
        assert_eq!(budget.used(), 0);
        charge.set(STEP_BYTES);
        assert_eq!(budget.used(), STEP_BYTES);
    }

    #[test]
    fn clients_get_half_and_what_comes_from_nodes_is_counted_beyond_the_limit() {
        let budget = budget(100 * MB);
        let (mut first, mut second) = (budget.charge(Part::Queries), budget.charge(Part::Queries));
        assert!(first.try_set(40 * MB));
        assert!(!second.try_set(20 * MB), "the half of it is taken");
        assert!(second.try_set(10 * MB));
        let mut node = budget.charge(Part::Bus);
        node.set(200 * MB);
        assert_eq!(budget.used(), 250 * MB);
        drop(first);
        assert!(!second.try_set(20 * MB), "nothing new before that is worked off");
        drop(node);
        assert!(second.try_set(20 * MB));
    }

    #[test]
    fn one_that_is_larger_than_its_share_is_served_alone() {
        let budget = budget(100 * MB);
        let (mut small, mut huge) = (budget.charge(Part::Queries), budget.charge(Part::Queries));
        assert!(small.try_set(MB));
        assert!(!huge.try_set(300 * MB));
        drop(small);
        assert!(huge.try_set(300 * MB));
        let mut other = budget.charge(Part::Queries);
        assert!(!other.try_set(MB), "one at a time");
        assert!(huge.try_set(310 * MB), "it may finish what it has begun");
    }
}
