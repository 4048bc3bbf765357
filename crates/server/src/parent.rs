//! A node that `quorate dev` or `quorate demo` started never outlives it, however that ends.

use std::process::Command;

use anyhow::{Context, bail};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Tells the child who its parent is. Not an argument: whoever runs the node's command line again is not bound to.
const VARIABLE: &str = "QUORATE_PARENT_PID";

/// Makes the process that `command` starts end with this one. It must be started by a thread that lives as long as
/// the process: the kernel watches the thread.
pub(crate) fn bind(command: &mut Command) {
    command.env(VARIABLE, std::process::id().to_string());
}

/// In the child: asks the kernel for SIGKILL when the parent ends. A node loses nothing by it.
pub(crate) fn follow() -> anyhow::Result<()> {
    let Ok(parent) = std::env::var(VARIABLE) else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL)).context("asking to end with the parent process")?;
    // It may have ended before the kernel was asked.
    let present = getppid().map(|pid| pid.as_raw_pid().to_string());
    if present.as_deref() != Some(&parent) {
        bail!("process {parent}, which started this node ({VARIABLE}), has ended");
    }
    Ok(())
}
