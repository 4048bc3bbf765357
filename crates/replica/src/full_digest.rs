//! The full digest of the contents, on demand, in slices between turns (R10).

use tokio::sync::oneshot;

use crate::replica::{Inner, Replica};

/// How many bytes of contents one turn takes in: well under a millisecond.
const SLICE_BYTES: usize = 256 << 10;

/// An index, and the digest of the contents there.
pub type FullDigest = (u64, u128);

/// Who waits for a digest. Whoever comes while one is made waits for the next: it must hold what he has seen.
#[derive(Default)]
pub(crate) struct Digests {
    /// The index of the one that is being made.
    under_way: Option<u64>,
    waiting: Vec<oneshot::Sender<FullDigest>>,
    next: Vec<oneshot::Sender<FullDigest>>,
}

impl Digests {
    /// Whether a slice is to be made.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.is_some() || !self.next.is_empty()
    }

    /// The state was replaced: what was under way begins anew.
    pub(crate) fn begin_anew(&mut self) {
        self.under_way = None;
        self.next.append(&mut self.waiting);
    }
}

impl Replica {
    /// A digest of all that a later entry can see, at one index: the same on every replica there. Commands go on
    /// meanwhile. `None`: the node is stopping.
    pub async fn full_digest(&self) -> Option<FullDigest> {
        let (tx, rx) = oneshot::channel();
        self.with_digests(|digests| digests.next.push(tx));
        rx.await.ok()
    }
}

impl Inner {
    /// Goes on with the digest under way, or begins one that somebody waits for.
    pub(crate) fn digest_slice(&mut self) {
        if !self.digests.is_busy() {
            return;
        }
        if self.digests.under_way.is_none() {
            self.digests.waiting = std::mem::take(&mut self.digests.next);
            self.digests.under_way = Some(self.keyspace.index());
            self.keyspace.content_digest_begin();
        }
        let (Some(index), Some(digest)) =
            (self.digests.under_way, self.keyspace.content_digest_slice(SLICE_BYTES))
        else {
            return;
        };
        self.digests.under_way = None;
        for waiter in self.digests.waiting.drain(..) {
            let _ = waiter.send((index, digest));
        }
    }
}
