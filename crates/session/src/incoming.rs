//! Large commands on their way in: they are read only when there is memory for them (R21).

use std::time::Duration;

use quorate_env::budget::STEP_BYTES;
use quorate_env::{Budget, Charge, Instant, Part, clock};
use quorate_keyspace::CommandError;
use quorate_resp::Decoder;

use crate::connection::Connection;

/// How often a connection that waits for memory looks again.
const ROOM_PAUSE: Duration = Duration::from_millis(5);
/// While others wait, a command that comes in more slowly than this loses its place: bytes per second.
const SLOWEST: f64 = (1 << 20) as f64;
/// How often that is looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// What a client gets instead of a large command that there is no memory for.
pub(crate) const NO_MEMORY: CommandError = CommandError::fixed(
    "OVERLOADED the command was not applied: this node has no memory for so large a command now. It is safe to retry; \
     queue-memory-limit says how much it takes",
);

/// What a connection holds of the node's memory for commands that are not handed on yet.
///
/// The whole of a large command is charged before the rest of it is read, and once more for the batch that it is copied
/// into: so whoever has begun can finish, and clients that each have a part of theirs cannot block each other. Whoever
/// waits reads nothing, so TCP holds its client up; after a while the command is refused, and its bytes pass by.
pub(crate) struct Incoming {
    budget: Budget,
    charge: Charge,
    /// Since when the command at hand is read, and how much of it was there.
    since: Instant,
    had: usize,
}

/// Whether a command may be read on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    ReadOn,
    Refused,
}

impl Incoming {
    pub(crate) fn new(budget: &Budget) -> Self {
        Self { budget: budget.clone(), charge: budget.charge(Part::Queries), since: Instant::now(), had: 0 }
    }

    /// Whether a large command is on its way in.
    pub(crate) fn is_large(&self) -> bool {
        self.charge.bytes() > 0
    }

    /// Counts what the connection holds besides: commands of a MULTI that wait for EXEC.
    pub(crate) fn settle(&mut self, queued: usize) {
        if queued >= STEP_BYTES || self.is_large() {
            self.charge.set(queued);
        }
    }

    /// Waits until there is memory for the command that has begun to arrive, for at most `patience`. `queued` bytes of
    /// earlier ones wait for EXEC.
    pub(crate) async fn admit(
        &mut self,
        decoder: &mut Decoder,
        connection: &Connection,
        queued: usize,
        patience: Duration,
    ) -> Verdict {
        let announced = decoder.announced_bytes();
        let wanted = 2 * announced + queued;
        if announced < STEP_BYTES {
            return self.admit_queued(queued);
        }
        let is_first = !self.is_large();
        if wanted > self.charge.bytes() && !self.charge.try_set(wanted) {
            let _waiting = self.budget.wait();
            let until = Instant::now() + patience;
            while !self.charge.try_set(wanted) {
                if connection.closing.get() || Instant::now() >= until {
                    return self.refuse(queued);
                }
                clock::sleep(ROOM_PAUSE).await;
            }
        }
        if is_first {
            (self.since, self.had) = (Instant::now(), decoder.buffered_bytes());
        } else if self.is_too_slow(decoder.buffered_bytes(), patience) {
            return self.refuse(queued);
        }
        decoder.reserve_announced();
        Verdict::ReadOn
    }

    /// What waits for EXEC came in by small commands, and cannot be put off any more.
    fn admit_queued(&mut self, queued: usize) -> Verdict {
        if queued < STEP_BYTES && !self.is_large() {
            return Verdict::ReadOn;
        }
        match self.charge.try_set(queued) {
            true => Verdict::ReadOn,
            false => Verdict::Refused,
        }
    }

    /// Whether the client takes its time while others wait for the memory that is kept for it.
    fn is_too_slow(&self, have: usize, patience: Duration) -> bool {
        let taken = self.since.elapsed();
        let came = have.saturating_sub(self.had) as f64;
        taken > patience && self.budget.waiting() > 0 && came < taken.as_secs_f64() * SLOWEST
    }

    fn refuse(&mut self, queued: usize) -> Verdict {
        self.charge.set(queued);
        Verdict::Refused
    }
}
