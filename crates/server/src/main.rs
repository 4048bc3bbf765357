//! The binary `quorate`: command line, configuration, listeners, HTTP endpoints, process life.
//!
//! [`cli`] reads the command line. `quorate server` goes on in [`args`] (everything that can be refused before the
//! node starts) and [`node`] (the node itself). The tools talk to running nodes as any client does, through
//! [`client`] and [`admin`]: [`status`], and [`dev`], [`demo`] and [`torture`], which run a [`local_cluster`] of processes. [`recover`] works on the
//! folder of a stopped node.

mod admin;
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

use clap::Parser;

use cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    parent::follow()?;
    let args = args::NodeArgs::resolve(command)?;
    logging::start(&args.config)?;
    // A constant "none" in every build but those for tests.
    if let Some(warning) = quorate_planted::plant_from_environment().map_err(anyhow::Error::msg)? {
        tracing::error!("{warning}");
    }
    args.report();
    node::run(args)
}
