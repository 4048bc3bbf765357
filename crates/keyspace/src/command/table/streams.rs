//! Streams.

use crate::command::Command;

pub(super) static STREAMS: &[Command] = &[];
