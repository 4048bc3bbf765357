//! A user.

use super::{Name, selector::Selector};

/// SHA-256 of a password.
pub(super) type Hash = [u8; 32];

/// A user: who may come in under its name, and what it may do then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    number: u64,
    name: Name,
    pub(super) is_enabled: bool,
    /// Any password will do.
    pub(super) nopass: bool,
    /// `skip-sanitize-payload`. It is shown; what RESTORE takes is looked at in any case.
    pub(super) skips_sanitizing: bool,
    pub(super) passwords: Vec<Hash>,
    /// The first one is the user's own, those behind it are alternatives.
    pub(super) selectors: Vec<Selector>,
    /// Follows from the selectors.
    unrestricted: bool,
    /// Of its rules, which follows from all else.
    bytes: usize,
}

impl User {
    /// A new user: disabled, without a password, who may do nothing.
    pub(super) fn new(number: u64, name: Name, all_channels: bool) -> Self {
        Self {
            number,
            name,
            is_enabled: false,
            nopass: false,
            skips_sanitizing: false,
            passwords: Vec::new(),
            selectors: vec![Selector::nothing(all_channels)],
            unrestricted: false,
            bytes: 0,
        }
    }

    /// A user who may do everything without a password.
    pub(super) fn everything(number: u64, name: Name) -> Self {
        let mut user = Self::new(number, name, true);
        (user.is_enabled, user.nopass) = (true, true);
        user.selectors = vec![Selector::everything()];
        user.settle();
        user
    }

    /// Its number, which no other user ever has.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether one can log in.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// Whether any password will do.
    #[must_use]
    pub fn takes_any_password(&self) -> bool {
        self.nopass
    }

    /// Whether it may do everything.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// Whether this is the SHA-256 of one of its passwords. It takes the same time whichever it is, and if it is none.
    #[must_use]
    pub fn has_password(&self, hash: &[u8; 32]) -> bool {
        self.passwords.iter().fold(false, |found, known| {
            let difference = known.iter().zip(hash).fold(0, |bits, (a, b)| bits | (a ^ b));
            found | (difference == 0)
        })
    }

    /// Whether one of its selectors lets it use this channel, or with `is_pattern` this pattern of channels.
    #[must_use]
    pub fn may_use_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.selectors.iter().any(|selector| selector.may_use_channel(channel, is_pattern))
    }

    /// How many bytes its rules have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What follows from all else, once that has changed.
    pub(super) fn settle(&mut self) {
        self.unrestricted = self.selectors.iter().any(Selector::is_everything);
        self.bytes = self.words().map(|word| word.len()).sum();
    }
}
