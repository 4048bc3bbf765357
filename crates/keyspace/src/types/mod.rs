//! The types of values: one file each.

pub mod list;
pub mod string;
