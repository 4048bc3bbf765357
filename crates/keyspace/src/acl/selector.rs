//! What a user may do.

use super::commands::Commands;
use crate::{command::KeyFlags, glob};

/// Commands, and the keys and channels that they may be used with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) all_keys: bool,
    pub(super) keys: Vec<KeyPattern>,
    pub(super) all_channels: bool,
    pub(super) channels: Vec<Box<[u8]>>,
    pub(super) commands: Commands,
}

/// Keys that may be read, or changed, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPattern {
    pub(super) access: Access,
    pub(super) pattern: Box<[u8]>,
}

/// What may be done with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) reads: bool,
    pub(super) writes: bool,
}

impl Access {
    pub(super) const BOTH: Self = Self { reads: true, writes: true };

    /// What a command does with a key. One that tells only whether or how much there is does neither.
    fn of(flags: KeyFlags) -> Self {
        let changes = KeyFlags::INSERT.union(KeyFlags::DELETE).union(KeyFlags::UPDATE);
        Self { reads: flags.contains(KeyFlags::ACCESS), writes: flags.intersects(changes) }
    }

    fn covers(self, wanted: Self) -> bool {
        (self.reads || !wanted.reads) && (self.writes || !wanted.writes)
    }

    /// Both together.
    pub(super) fn with(self, other: Self) -> Self {
        Self { reads: self.reads || other.reads, writes: self.writes || other.writes }
    }
}

impl Selector {
    /// No commands, no keys, and all channels or none.
    pub(super) fn nothing(all_channels: bool) -> Self {
        Self {
            all_keys: false,
            keys: Vec::new(),
            all_channels,
            channels: Vec::new(),
            commands: Commands::none(),
        }
    }

    pub(super) fn everything() -> Self {
        Self { all_keys: true, commands: Commands::all(), ..Self::nothing(true) }
    }

    pub(super) fn is_everything(&self) -> bool {
        self.all_keys && self.all_channels && self.commands.is_all()
    }

    /// Whether a command may do with this key what it does.
    pub(super) fn may_use_key(&self, key: &[u8], flags: KeyFlags) -> bool {
        let wanted = Access::of(flags);
        let fits = |known: &KeyPattern| known.access.covers(wanted) && glob::matches(&known.pattern, key);
        self.all_keys || self.keys.iter().any(fits)
    }

    /// Whether all keys may be read.
    pub(super) fn may_read_all_keys(&self) -> bool {
        self.all_keys || self.keys.iter().any(|known| known.access.reads && *known.pattern == *b"*")
    }

    /// Whether this channel may be used. A pattern of channels must be there as it is.
    pub(super) fn may_use_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        let fits = |known: &[u8]| if is_pattern { known == channel } else { glob::matches(known, channel) };
        self.all_channels || self.channels.iter().any(|known| fits(known))
    }
}
