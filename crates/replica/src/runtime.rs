//! The asynchronous runtime that openraft runs on: tokio's tasks and channels, `env`'s time.
//!
//! openraft's own tokio runtime reads `std::time::Instant`, which stands still while a machine is suspended:
//! a lease measured by it would still look valid afterwards (R3).

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openraft_rt::{AsyncRuntime, OptionalSend};
use openraft_rt_tokio::{TokioMpsc, TokioMutex, TokioOneshot};
use quorate_env::clock;
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// tokio with `env`'s time.
#[derive(Debug, Default)]
pub(crate) struct Runtime;

/// A point in `env`'s monotonic time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(pub(crate) clock::Instant);

impl std::ops::Add<Duration> for Instant {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0 + d)
    }
}

impl std::ops::AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        self.0 = self.0 + d;
    }
}

impl std::ops::Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0 - d)
    }
}

impl std::ops::Sub for Instant {
    type Output = Duration;
    fn sub(self, other: Self) -> Duration {
        self.0 - other.0
    }
}

impl std::ops::SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, d: Duration) {
        self.0 = self.0 - d;
    }
}

impl openraft_rt::Instant for Instant {
    fn now() -> Self {
        Self(clock::Instant::now())
    }
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl AsyncRuntime for Runtime {
    type JoinError = tokio::task::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = tokio::task::JoinHandle<T>;
    type Sleep = Boxed<()>;
    type Instant = Instant;
    type TimeoutError = clock::Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = Timeout<T>;
    type ThreadLocalRng = SmallRng;
    type Mpsc = TokioMpsc;
    type Watch = crate::watch::Watch;
    type Oneshot = TokioOneshot;
    type Mutex<T: OptionalSend + 'static> = TokioMutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        tokio::task::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Box::pin(clock::sleep(duration))
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        Box::pin(clock::sleep_until(deadline.0))
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Timeout { future: Box::pin(future), sleep: Box::pin(clock::sleep(duration)) }
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        Timeout { future: Box::pin(future), sleep: Box::pin(clock::sleep_until(deadline.0)) }
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        join_error.is_panic()
    }

    /// Election timeouts and retry jitter come from here. Seeded by the node's `env`.
    fn thread_rng() -> Self::ThreadLocalRng {
        SmallRng::seed_from_u64(seed::next())
    }

    fn new(_threads: usize) -> Self {
        Self
    }

    /// Only openraft's own tests call this.
    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build();
        rt.expect("a runtime for a test").block_on(future)
    }
}

/// A future with a deadline.
pub(crate) struct Timeout<F: Future> {
    future: Pin<Box<F>>,
    sleep: Boxed<()>,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, clock::Elapsed>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        if let std::task::Poll::Ready(v) = self.future.as_mut().poll(cx) {
            return std::task::Poll::Ready(Ok(v));
        }
        self.sleep.as_mut().poll(cx).map(|()| Err(clock::Elapsed))
    }
}

/// Gives a thread that consensus runs on its source of random numbers.
pub fn seed_thread(source: std::sync::Arc<dyn quorate_env::Random>) {
    seed::install(source);
}

/// Seeds for openraft's random numbers.
///
/// openraft asks for them without a handle, so the source is one per thread: the threads of a node that
/// run consensus, or the only thread of the simulator, which installs the source of the node that it polls.
pub(crate) mod seed {
    use std::cell::RefCell;
    use std::sync::Arc;

    use quorate_env::Random;

    thread_local! {
        static SOURCE: RefCell<Option<Arc<dyn Random>>> = const { RefCell::new(None) };
    }

    /// Makes `source` this thread's.
    pub(crate) fn install(source: Arc<dyn Random>) {
        SOURCE.with_borrow_mut(|s| *s = Some(source));
    }

    pub(super) fn next() -> u64 {
        SOURCE.with_borrow(|s| s.as_ref().map_or(0x9e37_79b9_7f4a_7c15, |s| s.next_u64()))
    }
}
