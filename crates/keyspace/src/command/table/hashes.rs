//! Hashes.

use crate::command::Command;

pub(super) static HASHES: &[Command] = &[];
