//! Time: a monotonic clock that also runs while the machine is suspended (R3), the wall clock, and waiting.
//!
//! The clock is read through a source that belongs to the thread. The default is the operating system's
//! (`CLOCK_BOOTTIME`, `CLOCK_REALTIME`). A simulator [installs](install) its own before it lets a node run;
//! inside that node's turn time stands still, because computing costs no time there.
//!
//! Waiting needs a tokio runtime with its time driver on, the real one's or a simulated node's own.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use rustix::time::{ClockId, clock_gettime};

/// A point on the monotonic clock of this node (CLOCK_BOOTTIME), in nanoseconds since the machine booted.
///
/// It means nothing on another machine or after a reboot. Sums and differences stop at the ends of the range
/// (584 years) instead of overflowing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The clock's present reading.
    pub fn now() -> Self {
        Self(match SOURCE.get() {
            None => system_ns(ClockId::Boottime),
            Some(simulated) => simulated.boot_ns,
        })
    }

    /// The time that has passed since `self`; zero if `self` is still to come.
    pub fn elapsed(self) -> Duration {
        Self::now().duration_since(self)
    }

    /// The time from `earlier` to `self`; zero if `earlier` is the later one.
    pub fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self + duration`, unless that is out of range.
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let ns = u64::try_from(duration.as_nanos()).ok()?;
        self.0.checked_add(ns).map(Self)
    }

    /// Nanoseconds since the machine booted.
    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// The instant `ns` nanoseconds after the machine booted.
    pub fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }
}

impl fmt::Debug for Instant {
    /// Seconds since boot: `12.345678901s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_ns(duration)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_ns(duration)))
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

/// The wall clock: Unix time in milliseconds. It may step in either direction.
pub fn wall_ms() -> u64 {
    match SOURCE.get() {
        None => system_ns(ClockId::Realtime) / 1_000_000,
        Some(simulated) => simulated.wall_ms,
    }
}

/// What both clocks show on the current thread instead of the operating system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simulated {
    /// Nanoseconds since the simulated machine booted: what [`Instant::now`] answers.
    pub boot_ns: u64,
    /// Unix milliseconds: what [`wall_ms`] answers.
    pub wall_ms: u64,
}

/// Makes this thread read `simulated` instead of the operating system's clocks, until the guard is dropped.
///
/// The clocks do not advance by themselves: the simulator installs a new reading for each turn of a node.
pub fn install(simulated: Simulated) -> Installed {
    Installed { previous: SOURCE.replace(Some(simulated)), not_send: PhantomData }
}

/// While it lives, the thread reads simulated clocks; see [`install`].
#[must_use = "the former clock comes back when this is dropped"]
#[derive(Debug)]
pub struct Installed {
    previous: Option<Simulated>,
    not_send: PhantomData<*const ()>,
}

impl Drop for Installed {
    fn drop(&mut self) {
        SOURCE.set(self.previous);
    }
}

/// Waits for `duration`. Timers are as fine as a millisecond and never early.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

/// Waits until the clock shows `deadline`.
///
/// The timers below stand still while the machine is suspended, so a wait that spans a suspension ends late
/// by up to its length. Whoever decides by time compares [`Instant`]s, as leases do.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, timer: timer(deadline) }
}

/// Waits for `future`, but no longer than `duration`.
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    timeout_at(Instant::now() + duration, future)
}

/// Waits for `future`, but not beyond `deadline`.
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep_until(deadline) }
}

/// Stands still for `duration`, as a computation that takes so long would: the real thread does nothing else
/// meanwhile. The result is what is left to wait for: all of it in a simulated node, because the simulator runs all
/// nodes on one thread.
#[allow(clippy::disallowed_methods, reason = "blocking the thread is the purpose")]
pub fn stand_still(duration: Duration) -> Duration {
    match SOURCE.get() {
        None => std::thread::sleep(duration),
        Some(_) => return duration,
    }
    Duration::ZERO
}

/// Lets other threads of the machine run, if any waits for this processor: for whoever looks for something again and
/// again instead of waiting. In a simulated node there is nothing to give.
pub fn give_way() {
    if SOURCE.get().is_none() {
        std::thread::yield_now();
    }
}

/// A deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("deadline has elapsed")]
pub struct Elapsed;

pin_project! {
    /// The future of [`sleep`] and [`sleep_until`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Sleep {
        deadline: Instant,
        #[pin]
        timer: tokio::time::Sleep,
    }
}

impl Sleep {
    /// When it ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves the end, also of a wait that is over: cheaper than a new one.
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        let mut this = self.project();
        *this.deadline = deadline;
        this.timer.set(timer(deadline));
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            ready!(this.timer.as_mut().poll(cx));
            // The timer follows another clock (CLOCK_MONOTONIC), which may run a little faster than ours.
            if Instant::now() >= *this.deadline {
                return Poll::Ready(());
            }
            this.timer.set(timer(*this.deadline));
        }
    }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.sleep.poll(cx).map(|()| Err(Elapsed))
    }
}

thread_local! {
    static SOURCE: Cell<Option<Simulated>> = const { Cell::new(None) };
}

fn system_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Both are positive: a machine neither boots in the future nor lives before 1970.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

fn saturating_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[allow(clippy::disallowed_methods, reason = "the one place where quorate_env's waiting meets tokio's")]
fn timer(deadline: Instant) -> tokio::time::Sleep {
    tokio::time::sleep(deadline.duration_since(Instant::now()))
}
