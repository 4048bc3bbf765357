//! One connection: RESP in, commands in program order, replies out.
//!
//! - [`Session`] drives one connection over any byte stream: it reads, finds the commands, hands each to where
//!   it belongs, and writes what was answered.
//! - [`Connection`] is the same connection as everything else sees it: where answers go, in order.
//! - [`Node`] is what all connections of a node share.
//!
//! Program order (R1): a connection's commands are under way in at most one of two lanes of the replica, the
//! writes' (reads behind a write wait there, too) and the other reads'. A lane answers in order; before a
//! connection changes from reads to writes it waits for its reads. What only the session can answer, and does
//! not depend on others, is answered at its place in the lane.

mod access;
mod audience;
mod call;
mod channels;
mod commands;
mod connection;
mod dispatch;
mod incoming;
mod memory;
mod node;
mod outgoing;
mod registered;
mod serve;
mod session;
mod stats;
mod tally;
mod tracking;
mod transaction;

pub use connection::Connection;
pub use node::{Node, Process};
pub use serve::{OnReady, ServeArgs, serve};
pub use session::Session;
pub use tally::Tally;
