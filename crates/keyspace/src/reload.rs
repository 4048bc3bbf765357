//! What DEBUG RELOAD does: proving that a snapshot of the state makes the same state again.

use crate::{
    keyspace::Keyspace,
    restore::{Restore, RestoreError},
    snapshot::Snapshot,
};

/// Bytes of the snapshot that are made and taken in at a time.
const SLICE_BYTES: usize = 256 << 10;

/// Why a state cannot be made again.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Its snapshot is refused.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// What its snapshot makes is another state.
    #[error("the state that the snapshot makes is another one")]
    Differs,
}

impl Keyspace {
    /// Makes a second keyspace of a snapshot of this one and compares the two. Takes time in proportion to the contents, and
    /// as much memory again.
    ///
    /// # Errors
    /// If the snapshot is refused or the two differ: a fault of the software.
    pub fn check_reload(&self) -> Result<(), ReloadError> {
        let (mut snapshot, mut restore) = (Snapshot::new(self), Restore::new());
        let mut bytes = Vec::new();
        loop {
            let done = snapshot.slice(&self.databases, &mut bytes, SLICE_BYTES);
            restore.push(&bytes)?;
            bytes.clear();
            if done {
                break;
            }
        }
        let copy = restore.finish()?;
        let is_same = copy.content_digest() == self.content_digest() && copy.digest() == self.digest();
        if is_same { Ok(()) } else { Err(ReloadError::Differs) }
    }
}
