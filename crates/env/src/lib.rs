//! Time, randomness, network and disk behind small traits (R22).
//!
//! Everything above this crate reaches the outside world only through an [`Env`]. The real one
//! ([`real`]) talks to the operating system; the simulator brings its own, and owns all of it.
//!
//! - [`budget`]: how much memory everything that queues may take together ([`Budget`]).
//! - [`clock`]: [`Instant`] (a clock that also runs while the machine is suspended), the wall clock,
//!   [`sleep`] and [`timeout`]. Both are read through a thread-local source, because consensus needs a
//!   `now()` without a handle.
//! - [`disk`]: completion-based: submit writes and fsyncs, get a completion ([`Disk`]).
//! - [`net`]: listen and connect, byte streams ([`Network`]).
//! - [`random`]: the only source of randomness ([`Random`]).

pub mod budget;
pub mod clock;
pub mod disk;
pub mod net;
pub mod random;
pub mod real;

use std::sync::Arc;

pub use budget::{Budget, Charge, Part};
pub use clock::{Elapsed, Instant, Sleep, Timeout, sleep, sleep_until, timeout, timeout_at, wall_ms};
pub use disk::{Completion, Disk, Op, Queue};
pub use net::{BoxFuture, Duplex, Listener, Listening, Liveness, Network, Stream};
pub use random::Random;

/// What one node may use of the outside world.
#[derive(Clone)]
pub struct Env {
    /// The data folder of the node lives here.
    pub disk: Arc<dyn Disk>,
    /// Clients and peers.
    pub net: Arc<dyn Network>,
    /// Seeds, identities, jitter.
    pub random: Arc<dyn Random>,
    /// How much memory its queues may take.
    pub memory: Budget,
}
