//! How the bus finds out that a node is gone without a word (power, network), where no message would tell.

use std::sync::Arc;
use std::time::Duration;

use quorate_env::{Listening, Liveness};

use super::Class;

/// A silent connection is asked after this long, and as often.
const ASK: Duration = Duration::from_secs(1);
/// The questions that may go unanswered.
const PROBES: u32 = 3;
/// Connections of other nodes that wait to be accepted.
const BACKLOG: u32 = 1024;

const fn liveness(unacknowledged: Duration) -> Liveness {
    Liveness { idle: ASK, interval: ASK, probes: PROBES, unacknowledged }
}

impl Class {
    /// For whoever calls. A peer that does not read for a while is not gone: it may wait for its disk or for memory. How
    /// long that may take depends on what the connection carries.
    pub(crate) fn liveness(self) -> Liveness {
        liveness(match self {
            // Read at once, always.
            Self::Control | Self::Join => Duration::from_secs(3),
            // As `network::STALL_TIMEOUT`.
            Self::Log => Duration::from_secs(10),
            // Left unread for as long as there is no memory (R21); the origin looks after it.
            Self::Forward | Self::Messages => Duration::ZERO,
            Self::Snapshot => Duration::from_secs(30),
        })
    }
}

/// How a node listens for other nodes. What it sends to those that call it are small answers.
#[must_use]
pub fn listening() -> Listening {
    Listening { backlog: BACKLOG, watch: Arc::new(|| liveness(Duration::from_secs(5))) }
}
