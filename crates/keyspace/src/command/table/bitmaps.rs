//! Bits of strings.

use crate::command::Command;

pub(super) static BITMAPS: &[Command] = &[];
