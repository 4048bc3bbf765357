//! The types of values: one file each.

pub mod hash;
pub(crate) mod hashed;
pub(crate) mod hyperloglog;
pub mod list;
pub(crate) mod sample;
pub mod set;
pub mod sorted_set;
pub mod stream;
pub mod string;
