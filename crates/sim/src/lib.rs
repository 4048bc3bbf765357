//! A cluster in one thread, replayed from one seed (R22).
//!
//! A [`World`] owns time and holds nodes. Each node is a simulated machine with an address, a disk and
//! clocks, and runs production code on a tokio runtime of its own, whose clock only the world moves. That
//! code reaches the outside through a [`quorate_env::Env`], and every wire and disk behind it is the world's:
//! it decides when bytes arrive and what a power loss leaves on disk, by its seed alone.
//!
//! ```
//! use std::time::Duration;
//! use quorate_sim::{Options, World};
//!
//! let mut world = World::new(7, Options::default());
//! let node = world.add_node("n1", "10.0.0.1".parse().unwrap());
//! let main = world.start(node, |_env| async { quorate_env::sleep(Duration::from_secs(3600)).await });
//! world.run_for(Duration::from_secs(3601));
//! assert!(main.is_finished());
//! ```
//!
//! - [`World`]: nodes, time, crashes, pauses, clocks; `world.rs`, `node.rs` (one node's turn), `clock.rs`.
//! - [`NetworkFaults`]: partitions, slow and lossy links; `network.rs` (wires), `stream.rs` (the ends).
//! - [`DiskFaults`]: failing, full and rotting disks, images of data folders; `disk.rs` (queues and faults),
//!   `files.rs` (what is durable and what is not).
//!
//! - [`SimCluster`]: nodes of Quorate in a world, as the server runs them; `cluster.rs`. [`SimClient`] speaks to
//!   them by bytes; `client.rs`. A [`Listener`] keeps copies of values and hears messages; `listener.rs`.
//!   A [`Redirected`] one is told of them on a connection beside; `redirected.rs`.
//! - [`history`]: checkers for what clients have seen; [`checkers`]: one for each promise.
//!
//! What the seed decides is the same on every run if the code that runs in a node keeps to its `Env`. tokio
//! adds two decisions of its own, the branch that an unbiased `select!` polls first and the order in which
//! `watch` wakes: these follow the seed only when built with `--cfg tokio_unstable`.

pub mod checkers;
mod client;
mod clock;
mod cluster;
mod disk;
mod files;
pub mod history;
mod listener;
mod memory;
mod network;
mod node;
mod options;
mod redirected;
mod state;
mod stream;
mod timeline;
mod world;

pub use client::{Heard, SimClient};
pub use cluster::{Settings, SimCluster};
pub use disk::DiskFaults;
pub use files::{FolderImage, OpKind};
pub use listener::{
    CHANGES, Caching, Habits, Listener, OF_EVENTS, OF_KEYS, Published, Record, Subscription, Wipe,
    key_changes,
};
pub use network::NetworkFaults;
pub use node::{NodeId, Task, current_node};
pub use options::{DiskProfile, Link, Options};
pub use redirected::{Redirected, RedirectedHabits};
pub use stream::ClientStream;
pub use world::World;
