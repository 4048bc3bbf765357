//! openraft's watch channel: the newest value, and news of a change.
//!
//! tokio's own wakes its receivers in an order drawn by lot, from a generator that cannot be seeded in a stable
//! build; under the simulator that would be the only thing that a seed does not decide (R22). This one wakes in
//! the order in which they began to wait.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use openraft_rt::watch::{self, RecvError, SendError};
use openraft_rt::{OptionalSend, OptionalSync};
use tokio::sync::Notify;

/// See the module.
pub(crate) struct Watch;

struct Shared<T> {
    value: RwLock<T>,
    /// Counts the changes.
    version: AtomicU64,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    changed: Notify,
}

impl<T> Shared<T> {
    fn value(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().expect("not poisoned")
    }
}

/// Sends values.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// Sees the newest value.
pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

impl<T> Receiver<T> {
    fn new(shared: Arc<Shared<T>>, seen: u64) -> Self {
        shared.receivers.fetch_add(1, Ordering::AcqRel);
        Self { shared, seen }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::AcqRel);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone(), self.seen)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receivers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl watch::Watch for Watch {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = RwLockReadGuard<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Sender<T>, Receiver<T>) {
        let shared = Arc::new(Shared {
            value: RwLock::new(init),
            version: AtomicU64::new(0),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(0),
            changed: Notify::new(),
        });
        (Sender(shared.clone()), Receiver::new(shared, 0))
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchSender<Watch, T> for Sender<T> {
    /// Fails when nobody receives.
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.0.receivers.load(Ordering::Acquire) == 0 {
            return Err(SendError(value));
        }
        self.send_if_modified(|present| {
            *present = value;
            true
        });
        Ok(())
    }

    fn send_if_modified<F: FnOnce(&mut T) -> bool>(&self, modify: F) -> bool {
        {
            let mut value = self.0.value.write().expect("not poisoned");
            if !modify(&mut value) {
                return false;
            }
            // Under the lock, so that whoever sees the version sees the value.
            self.0.version.fetch_add(1, Ordering::AcqRel);
        }
        self.0.changed.notify_waiters();
        true
    }

    fn borrow_watched(&self) -> RwLockReadGuard<'_, T> {
        self.0.value()
    }

    fn subscribe(&self) -> Receiver<T> {
        let _unchanged = self.0.value();
        Receiver::new(self.0.clone(), self.0.version.load(Ordering::Acquire))
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchReceiver<Watch, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        let mut notified = std::pin::pin!(self.shared.changed.notified());
        loop {
            // From here on no news is missed.
            notified.as_mut().enable();
            let version = self.shared.version.load(Ordering::Acquire);
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if self.shared.senders.load(Ordering::Acquire) == 0 {
                return Err(RecvError(()));
            }
            notified.as_mut().await;
            notified.set(self.shared.changed.notified());
        }
    }

    fn borrow_watched(&self) -> RwLockReadGuard<'_, T> {
        self.shared.value()
    }

    fn borrow_and_update(&mut self) -> RwLockReadGuard<'_, T> {
        let value = self.shared.value();
        self.seen = self.shared.version.load(Ordering::Acquire);
        value
    }
}

#[cfg(test)]
mod tests {
    use openraft_rt::watch::{Watch as _, WatchReceiver as _, WatchSender as _};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_receiver_hears_of_every_change_once() {
        let (tx, mut rx) = Watch::channel(1);
        tx.send(2).expect("there is a receiver");
        rx.changed().await.expect("there is a sender");
        assert_eq!(*rx.borrow_watched(), 2);
        assert!(!tx.send_if_modified(|_| false));
        let waits = tokio::spawn(async move {
            rx.changed().await.expect("there is a sender");
            let value = *rx.borrow_and_update();
            (value, rx.changed().await.is_err())
        });
        tokio::task::yield_now().await;
        tx.clone().send(3).expect("there is a receiver");
        tokio::task::yield_now().await;
        drop(tx);
        assert_eq!(waits.await.expect("no panic"), (3, true));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn without_receivers_nothing_is_sent() {
        let (tx, rx) = Watch::channel(1);
        drop(rx);
        assert_eq!(tx.send(2), Err(SendError(2)));
        let rx = tx.subscribe();
        tx.send(3).expect("there is a receiver");
        assert_eq!(*rx.borrow_watched(), 3);
    }
}
