//! SIGTERM and SIGINT: the first asks for a clean stop, a second one ends the process at once.
//!
//! The second is handled in the signal handler itself, so that it works whatever the process hangs in.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tokio::signal::unix::{SignalKind, signal as listen};

/// The exit code of a process that was told twice, as shells report a death by SIGINT.
const EXIT_AT_ONCE: i32 = 130;

/// Whether a stop was asked for; for the tools, which look now and then.
#[derive(Debug, Clone)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Whether it was.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a tool was doing was broken off by a signal.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("stopped by a signal")]
pub(crate) struct Interrupted;

/// From now on the signals ask for a clean stop.
pub(crate) fn stop_flag() -> io::Result<StopFlag> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag down, and raises it.
        flag::register_conditional_shutdown(signal, EXIT_AT_ONCE, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
    }
    Ok(StopFlag(asked))
}

/// A future that completes at the first signal, with its name. The signals are caught from the call on, not only when
/// it is polled: call it early. Needs a tokio runtime with its I/O driver on.
pub(crate) fn signal() -> io::Result<impl Future<Output = &'static str> + Send + 'static> {
    stop_flag()?;
    let mut term = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
