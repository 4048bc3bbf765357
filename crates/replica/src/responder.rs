//! How openraft tells what became of a proposal.

use openraft::RaftTypeConfig;

/// Called with the outcome of a proposal.
///
/// The origin of a batch learns from its own apply that the batch was applied, so a batch needs no word of
/// success. What it does need is to hear at once that the leader refused it before the append.
pub(crate) struct Responder<T>(Box<dyn FnOnce(T) + Send>);

impl<T> Responder<T> {
    /// Calls `f` with the outcome.
    pub(crate) fn new(f: impl FnOnce(T) + Send + 'static) -> Self {
        Self(Box::new(f))
    }
}

impl<C: RaftTypeConfig, T: Send + 'static> openraft::raft::responder::Responder<C, T> for Responder<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}
