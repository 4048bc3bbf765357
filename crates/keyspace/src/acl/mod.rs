//! Users and what they may do (access control), as a part of the state.
//!
//! Users are in force on every node from the entry of the log on that changes them. Each has a number that is never used
//! again: a command in the log carries the number of who sent it, and a user that was deleted and made anew is another one.
//! The passwords of a user are kept as SHA-256 hashes, which come hashed into the log.
//!
//! | file | holds |
//! |---|---|
//! | `user` | a user: flags, passwords, selectors |
//! | `selector` | what a user may do: commands, keys, channels |
//! | `commands` | which commands: rules as text, and the set of commands that follows from them |
//! | `rules` | the rules of `ACL SETUSER` |
//! | `check` | judging a command line |
//! | `describe` | a user as rules again |
//! | `stored` | users in a snapshot |

mod check;
mod commands;
mod describe;
mod rules;
mod selector;
mod stored;
#[cfg(test)]
mod tests;
mod user;

use std::{collections::BTreeMap, sync::Arc};

use quorate_planted::{Bug, is_planted};

pub use self::{
    check::{Denial, Denied, Reason},
    rules::{RuleError, is_hash},
    user::User,
};
pub(crate) use self::{
    commands::{categories, category_of},
    stored::{put_users, take_users},
};

/// The name of a user, in any bytes but NULs and spaces.
pub type Name = Arc<[u8]>;

/// Number of the user that a connection has until it names another one.
pub const DEFAULT_USER: u64 = 0;

/// Stands for what nodes do themselves. It is no user: nothing is refused to it.
pub const NODE_USER: u64 = 1;

/// The name of the default user.
pub const DEFAULT_NAME: &[u8] = b"default";

/// The replicated setting that says whether a new user may use all channels.
pub(crate) const CHANNELS_SETTING: &str = "config.acl-pubsub-default";

/// Its value if so.
pub(crate) const ALL_CHANNELS: &[u8] = b"allchannels";

/// The name under which the password of the default user can be set as if it were a replicated setting.
pub(crate) const PASSWORD_SETTING: &str = "config.requirepass";

/// All users. There is always the default user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    users: BTreeMap<Name, Arc<User>>,
    names: BTreeMap<u64, Name>,
    /// Number of the next one.
    next: u64,
    /// Follows from the default user.
    is_open: bool,
}

impl Default for Acl {
    /// The default user alone, who may do everything without a password.
    fn default() -> Self {
        let mut acl =
            Self { users: BTreeMap::new(), names: BTreeMap::new(), next: NODE_USER + 1, is_open: true };
        acl.insert(User::everything(DEFAULT_USER, DEFAULT_NAME.into()));
        acl
    }
}

impl Acl {
    /// The user of this name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// The user with this number.
    #[must_use]
    pub fn by_number(&self, number: u64) -> Option<&Arc<User>> {
        self.users.get(self.names.get(&number)?)
    }

    /// The default user.
    ///
    /// # Panics
    /// Never: it cannot be removed.
    #[must_use]
    pub fn default_user(&self) -> &Arc<User> {
        self.get(DEFAULT_NAME).expect("the default user is always there")
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// Makes or changes a user by the rules of `ACL SETUSER`, whose passwords are hashed already. After an error nothing
    /// has changed. `all_channels`: whether a new user may use all channels. True if this changes anything.
    ///
    /// # Errors
    /// The first rule that is none, or does not fit those before it.
    pub fn set(&mut self, name: &[u8], rules: &[&[u8]], all_channels: bool) -> Result<bool, RuleError> {
        let user = self.user_by(name, rules, all_channels)?;
        if self.get(name).is_some_and(|old| **old == user) {
            return Ok(false);
        }
        self.next = self.next.max(user.number() + 1);
        self.insert(user);
        Ok(true)
    }

    /// What [`Acl::set`] would make of a user.
    ///
    /// # Errors
    /// Those of [`Acl::set`].
    pub fn user_by(&self, name: &[u8], rules: &[&[u8]], all_channels: bool) -> Result<User, RuleError> {
        rules::check_name(name)?;
        let mut user = match self.get(name) {
            Some(user) => User::clone(user),
            None if is_planted(Bug::UserKnownByName) => {
                User::new(name.iter().map(|byte| u64::from(*byte)).sum(), name.into(), all_channels)
            }
            None => User::new(self.next, name.into(), all_channels),
        };
        user.change(rules, all_channels)?;
        Ok(user)
    }

    /// Removes a user, unless it is the default user. False if there is none.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        if name == DEFAULT_NAME {
            return false;
        }
        let Some(user) = self.users.remove(name) else { return false };
        self.names.remove(&user.number());
        true
    }

    /// Whether the default user may do everything: then a command line of it need not be looked at.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// How many users there are.
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether whoever connects is the default user at once.
    #[must_use]
    pub fn lets_anyone_in(&self) -> bool {
        let user = self.default_user();
        user.is_enabled() && user.takes_any_password()
    }

    fn insert(&mut self, user: User) {
        self.names.insert(user.number(), user.name().clone());
        self.users.insert(user.name().clone(), Arc::new(user));
        self.is_open = self.default_user().is_unrestricted();
    }
}
