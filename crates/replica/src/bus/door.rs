//! Who has connected to the bus and has proven nothing yet: few at a time, and whoever is sent away is counted.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_env::{Instant, timeout};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::handshake::{self, Fault, Heard, Nonce};
use crate::secret::Secret;

/// How many connections may be open whose callers have proven nothing.
pub(crate) const UNPROVEN_MAX: usize = 256;
/// How long a caller may take to prove that it knows the secret. It gives up earlier itself.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(2);
/// The same reason is reported again after this long.
const REPORT_PAUSE: Duration = Duration::from_secs(10);

/// Why a caller was sent away before it was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It does not know the cluster's secret.
    Secret,
    /// It speaks another version of the protocol.
    Version,
    /// It speaks something else.
    Malformed,
    /// It took too long.
    Slow,
    /// Too many others were there, most of them from the same address, and it was there longest.
    Crowded,
}

impl Reason {
    const ALL: [Self; 5] = [Self::Secret, Self::Version, Self::Malformed, Self::Slow, Self::Crowded];

    fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Version => "version",
            Self::Malformed => "malformed",
            Self::Slow => "slow",
            Self::Crowded => "crowded",
        }
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Door {
    waiting: Mutex<Waiting>,
    refused: [AtomicU64; Reason::ALL.len()],
    /// When each reason was reported, and how often it was met then.
    reported: Mutex<[Option<(Instant, u64)>; Reason::ALL.len()]>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    /// In the order in which they came.
    callers: VecDeque<Caller>,
    /// How many of them come from each address.
    from: BTreeMap<IpAddr, usize>,
}

struct Caller {
    id: u64,
    ip: IpAddr,
    _evict: oneshot::Sender<()>,
}

impl Waiting {
    fn remove(&mut self, at: usize) {
        let caller = self.callers.remove(at).expect("callers give places of the queue");
        let count = self.from.get_mut(&caller.ip).expect("it was counted when it came");
        *count -= 1;
        if *count == 0 {
            self.from.remove(&caller.ip);
        }
    }

    /// Sends away whoever came first from the address that most come from: one machine that floods the door does not
    /// keep the others out.
    fn make_room(&mut self) {
        let most = self.from.iter().max_by_key(|(_, count)| **count).map(|(ip, _)| *ip);
        if let Some(at) = self.callers.iter().position(|caller| Some(caller.ip) == most) {
            self.remove(at);
        }
    }
}

impl Door {
    /// Lets a caller in, until it has proven itself (then the place is dropped) or has to make room for others.
    pub(crate) fn enter(self: &Arc<Self>, from: SocketAddr) -> Place {
        let ip = from.ip();
        let mut waiting = self.waiting.lock().expect("not poisoned");
        if waiting.callers.len() >= UNPROVEN_MAX {
            waiting.make_room();
        }
        let (evict, evicted) = oneshot::channel();
        let id = waiting.next;
        waiting.next += 1;
        waiting.callers.push_back(Caller { id, ip, _evict: evict });
        *waiting.from.entry(ip).or_default() += 1;
        Place { door: self.clone(), id, from, evicted }
    }

    /// Counts a caller that is sent away, and tells the operator, not too often.
    fn refuse(&self, reason: Reason, from: SocketAddr, why: &str) {
        let at = reason as usize;
        let count = self.refused[at].fetch_add(1, Ordering::Relaxed) + 1;
        let mut reported = self.reported.lock().expect("not poisoned");
        let more = match reported[at] {
            Some((when, _)) if when.elapsed() < REPORT_PAUSE => return,
            Some((_, before)) => count - before - 1,
            None => 0,
        };
        reported[at] = Some((Instant::now(), count));
        let name = reason.name();
        match reason {
            // A node that lost its power in this moment does it, too.
            Reason::Slow => {
                tracing::info!(%from, more, reason = name, "sent a caller of the bus away: {why}")
            }
            _ => tracing::warn!(%from, more, reason = name, "sent a caller of the bus away: {why}"),
        }
    }

    /// How many callers were sent away, by the reason.
    pub(crate) fn refused(&self) -> Vec<(&'static str, u64)> {
        let count = |reason: Reason| self.refused[reason as usize].load(Ordering::Relaxed);
        Reason::ALL.iter().map(|reason| (reason.name(), count(*reason))).collect()
    }
}

/// The place of a caller that has proven nothing yet.
pub(crate) struct Place {
    door: Arc<Door>,
    id: u64,
    from: SocketAddr,
    evicted: oneshot::Receiver<()>,
}

impl Place {
    /// Hears the caller out until it has proven that it knows the secret; `None`: it has not, and was sent away. An error:
    /// the connection broke.
    pub(crate) async fn hear<S>(
        mut self,
        stream: &mut S,
        secret: &Secret,
        nonce: Nonce,
    ) -> io::Result<Option<Heard>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let heard = tokio::select! {
            biased;
            () = self.evicted() => {
                self.door.refuse(Reason::Crowded, self.from, "too many others wait to be let in");
                return Ok(None);
            }
            heard = timeout(HANDSHAKE_TIME, handshake::hear(stream, secret, nonce)) => heard,
        };
        let (reason, why) = match heard {
            Ok(Ok(heard)) => return Ok(Some(heard)),
            Ok(Err(Fault::Io(error))) => return Err(error),
            Ok(Err(Fault::Secret)) => {
                (Reason::Secret, "it does not know the secret of the cluster".to_owned())
            }
            Ok(Err(Fault::Version(version))) => {
                (Reason::Version, format!("it speaks version {version} of the bus's protocol"))
            }
            Ok(Err(Fault::Malformed(why))) => (Reason::Malformed, why),
            Err(_) => (Reason::Slow, "it has not said who it is in time".to_owned()),
        };
        self.door.refuse(reason, self.from, &why);
        Ok(None)
    }

    /// Returns when it has to make room.
    async fn evicted(&mut self) {
        // The sender is never used, only dropped.
        let _dropped = (&mut self.evicted).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.door.waiting.lock().expect("not poisoned");
        if let Some(at) = waiting.callers.iter().position(|caller| caller.id == self.id) {
            waiting.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn is_out(place: &mut Place) -> bool {
        place.evicted().now_or_never().is_some()
    }

    #[test]
    fn one_machine_keeps_only_itself_out() {
        let door = Arc::<Door>::default();
        let [member, other, flood] =
            ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.9:1"].map(|ip| ip.parse().expect("an address"));
        let mut early = door.enter(member);
        let mut places: Vec<Place> = (0..UNPROVEN_MAX + 100).map(|_| door.enter(flood)).collect();
        let mut late = door.enter(other);
        assert!(!is_out(&mut early) && !is_out(&mut late));
        let out: Vec<bool> = places.iter_mut().map(is_out).collect();
        // Those that were there longest.
        assert_eq!(out.iter().filter(|out| **out).count(), 102);
        assert!(out[..102].iter().all(|out| *out));
        assert_eq!(door.waiting.lock().expect("not poisoned").callers.len(), UNPROVEN_MAX);
        drop((places, early, late));
        let waiting = door.waiting.lock().expect("not poisoned");
        assert!(waiting.callers.is_empty() && waiting.from.is_empty());
    }

    #[test]
    fn whoever_is_sent_away_is_counted() {
        let door = Door::default();
        let from = "10.0.0.9:1".parse().expect("an address");
        for reason in [Reason::Secret, Reason::Crowded, Reason::Secret] {
            door.refuse(reason, from, "a test");
        }
        let expected = [("secret", 2), ("version", 0), ("malformed", 0), ("slow", 0), ("crowded", 1)];
        assert_eq!(door.refused(), expected);
    }

    /// What becomes of a caller of whom nothing more is heard than these bytes, and what it is told.
    fn outcome(bytes: &[u8], closes: bool) -> (Arc<Door>, io::Result<bool>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let door = Arc::<Door>::default();
            let (mut near, mut far) = tokio::io::duplex(1 << 16);
            tokio::io::AsyncWriteExt::write_all(&mut near, bytes).await.expect("there is room");
            let _open = (!closes).then_some(near);
            let place = door.enter("10.0.0.9:1".parse().expect("an address"));
            let secret = Secret::parse(b"the secret of tests").expect("long enough");
            let heard = place.hear(&mut far, &secret, [1; 32]).await;
            assert!(door.waiting.lock().expect("not poisoned").callers.is_empty());
            (door, heard.map(|heard| heard.is_some()))
        })
    }

    #[test]
    fn whoever_says_nothing_or_nonsense_is_sent_away() {
        let count = |door: &Door| -> Vec<_> { door.refused().into_iter().filter(|(_, n)| *n > 0).collect() };
        let (door, heard) = outcome(b"", false);
        assert_eq!((count(&door), heard.expect("no error")), (vec![("slow", 1)], false));
        let (door, heard) = outcome(b"\x09", false);
        assert_eq!((count(&door), heard.expect("no error")), (vec![("slow", 1)], false));
        let (door, heard) = outcome(b"GET / HTTP/1.1\r\n\r\n", false);
        assert_eq!((count(&door), heard.expect("no error")), (vec![("malformed", 1)], false));
        // Whoever only looks whether the port is open is none of them.
        let (door, heard) = outcome(b"", true);
        assert!(heard.is_err() && count(&door).is_empty());
    }
}
