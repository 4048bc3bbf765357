//! The binary `quorate`: command line, configuration, listeners, HTTP endpoints, process life.
//!
//! [`cli`] reads the command line. `quorate server` goes on in [`args`] (everything that can be refused before the
//! node starts) and [`node`] (the node itself). The tools talk to running nodes as any client does, through
//! [`client`] and [`admin`]: [`status`], and [`dev`], [`demo`] and [`torture`], which run a [`local_cluster`] of processes. [`recover`] works on the
//! folder of a stopped node.

mod admin;
mod allocator;
mod args;
mod cli;
mod client;
mod cluster_file;
mod demo;
mod dev;
mod http;
mod limits;
mod local_cluster;
mod logging;
mod metrics;
mod node;
mod parent;
mod recover;
mod shutdown;
mod stage;
mod status;
mod torture;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Server(command) => server(&command).map(|()| ExitCode::SUCCESS),
        Command::Dev(command) => dev::run(&command),
        Command::Demo => demo::run(),
        Command::Torture(command) => torture::run(&command),
        Command::Status(command) => status::run(&command),
        Command::Recover(command) => recover::run(&command),
    };
    result.unwrap_or_else(|error| {
        // If even the error stream is gone, the exit code still tells.
        let _ = writeln!(std::io::stderr(), "quorate: {error:#}");
        ExitCode::FAILURE
    })
}

fn server(command: &cli::Server) -> anyhow::Result<()> {
    // For `used_memory`: see allocator.rs. Redis does the same.
    let no_huge_pages = rustix::thread::disable_transparent_huge_pages(true);
    parent::follow()?;
    let args = args::NodeArgs::resolve(command)?;
    logging::start(&args.config)?;
    // A constant "none" in every build but those for tests.
    if let Some(warning) = quorate_planted::plant_from_environment().map_err(anyhow::Error::msg)? {
        tracing::error!("{warning}");
    }
    if let Err(error) = no_huge_pages {
        tracing::warn!(%error, "huge pages stay on: this process may hold more than it says");
    }
    args.report();
    on_a_thread_with_room(|| node::run(args))
}

/// Runs the node on a thread whose stack suffices for every command. That of the main thread is as large as the shell allows.
#[allow(clippy::disallowed_methods, reason = "the entry of the server makes the threads")]
fn on_a_thread_with_room(run: impl FnOnce() -> anyhow::Result<()> + Send) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("node".to_owned()).stack_size(quorate_replica::STACK_BYTES);
        let node = thread.spawn_scoped(scope, run).context("cannot start the thread of the node")?;
        node.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
