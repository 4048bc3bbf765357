//! The real outside world: the operating system (Linux).

mod disk;
mod net;
mod random;

use std::io;
use std::sync::Arc;

pub use disk::{BOOT_ID_FILE, RealDisk};
pub use net::RealNetwork;
pub use random::RealRandom;

use crate::{Budget, Env};

/// The operating system's disk, network and randomness. Starts the two writer threads of the disk; an error
/// says that the system refused them.
pub fn env() -> io::Result<Env> {
    Ok(Env {
        disk: Arc::new(RealDisk::new()?),
        net: Arc::new(RealNetwork),
        random: Arc::new(RealRandom),
        memory: Budget::default(),
    })
}
