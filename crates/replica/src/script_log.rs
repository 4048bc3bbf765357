//! What scripts say to the log of the node whose client has called them.

use quorate_keyspace::{LogLevel, LogLine};

/// Writes a line of `redis.log`, as loud as the script wants it.
pub(crate) fn report(line: &LogLine) {
    let text = &line.text;
    match line.level {
        LogLevel::Debug => tracing::trace!(target: "quorate::script", "{text}"),
        LogLevel::Verbose => tracing::debug!(target: "quorate::script", "{text}"),
        LogLevel::Notice => tracing::info!(target: "quorate::script", "{text}"),
        LogLevel::Warning => tracing::warn!(target: "quorate::script", "{text}"),
    }
}
