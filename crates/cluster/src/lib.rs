//! A node in its cluster: how it starts, who the members are, and what its operator may change.
//!
//! - [`start()`] opens a data folder, joins or founds a cluster and starts consensus.
//! - [`Cluster`] is the handle on it: the members, joins, promotions, removals, transfers of leadership (R19).
//! - [`config`] is the one table of parameters.

pub mod config;
mod membership;
mod start;

pub use membership::{Cluster, NODE_ID_MAX};
pub use start::{StartArgs, member, start};
