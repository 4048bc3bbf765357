//! Where the node's reports go: one line each, to the standard error stream or a file.
#![allow(clippy::disallowed_types, reason = "the log file of the process is not data: it needs no env")]

use std::fs::File;
use std::io;
use std::sync::Mutex;

use anyhow::Context;
use quorate_cluster::config::{Config, LogLevel};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, reload};

/// Starts reporting as `config` says (`loglevel`, `logfile`), and follows CONFIG SET loglevel.
pub(crate) fn start(config: &Config) -> anyhow::Result<()> {
    let writer = match &*config.logfile() {
        "" => BoxMakeWriter::new(io::stderr),
        path => BoxMakeWriter::new(Mutex::new(
            File::options()
                .append(true)
                .create(true)
                .open(path)
                .with_context(|| format!("the log file {path}"))?,
        )),
    };
    let (filter, handle) = reload::Layer::new(targets(config.loglevel()));
    let lines = fmt::layer().compact().with_ansi(false).with_writer(writer);
    tracing_subscriber::registry().with(filter).with(lines).try_init().context("starting the log")?;
    let values = config.clone();
    config.on_change(move |change| {
        if change.name == "loglevel" {
            // It fails only when nothing reports any more.
            let _ = handle.reload(targets(values.loglevel()));
        }
    });
    Ok(())
}

/// Quorate's own crates speak at the level asked for, libraries more quietly. openraft warns of every heartbeat that an
/// unreachable node does not answer, which would bury all else.
fn targets(level: LogLevel) -> Targets {
    let (own, libraries, openraft) = match level {
        LogLevel::Debug => (LevelFilter::TRACE, LevelFilter::DEBUG, LevelFilter::DEBUG),
        LogLevel::Verbose => (LevelFilter::DEBUG, LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Notice => (LevelFilter::INFO, LevelFilter::WARN, LevelFilter::ERROR),
        LogLevel::Warning => (LevelFilter::WARN, LevelFilter::ERROR, LevelFilter::ERROR),
    };
    Targets::new().with_default(libraries).with_target("quorate", own).with_target("openraft", openraft)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn quorate_speaks_louder_than_its_libraries() {
        let notice = targets(LogLevel::Notice);
        assert!(notice.would_enable("quorate_replica::consensus", &Level::INFO));
        assert!(!notice.would_enable("quorate_replica::consensus", &Level::DEBUG));
        assert!(!notice.would_enable("openraft::core", &Level::WARN));
        assert!(notice.would_enable("openraft::core", &Level::ERROR));
        assert!(notice.would_enable("hyper", &Level::WARN));
        assert!(targets(LogLevel::Debug).would_enable("quorate::node", &Level::TRACE));
        assert!(!targets(LogLevel::Warning).would_enable("quorate", &Level::INFO));
    }
}
