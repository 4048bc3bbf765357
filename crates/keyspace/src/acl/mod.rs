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

use std::{cmp::Ordering, sync::Arc};

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
use crate::{
    error::CommandError,
    tree::{Seek, Tree},
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

/// There can be so many users. They are in the memory of every node, and in every snapshot.
const USERS_MAX: usize = 10_000;
const TOO_MANY: CommandError = CommandError::fixed("ERR there are 10000 users: there can be no more");

/// All of them together can have so many bytes of rules.
const BYTES_MAX: usize = 64 << 20;
const TOO_MUCH: CommandError =
    CommandError::fixed("ERR the rules of all users together may have at most 64 MiB");

/// All users. There is always the default user. A clone takes constant time, and what is changed afterwards is all that it does
/// not share.
#[derive(Clone, Debug)]
pub struct Acl {
    /// In the order of their names.
    users: Tree<Arc<User>>,
    /// In the order of their numbers.
    numbers: Tree<Arc<User>>,
    /// Number of the next one.
    next: u64,
    /// Of the rules of all.
    bytes: usize,
    /// Follows from the default user.
    is_open: bool,
}

impl PartialEq for Acl {
    fn eq(&self, other: &Self) -> bool {
        self.next == other.next && self.iter().eq(other.iter())
    }
}

impl Eq for Acl {}

struct ByName<'a>(&'a [u8]);

impl Seek<Arc<User>> for ByName<'_> {
    fn order(&self, user: &Arc<User>) -> Ordering {
        user.name()[..].cmp(self.0)
    }

    fn number(_: &Arc<User>) -> u64 {
        0
    }

    fn wanted(&self) -> u64 {
        0
    }
}

struct ByNumber(u64);

impl Seek<Arc<User>> for ByNumber {
    fn order(&self, user: &Arc<User>) -> Ordering {
        user.number().cmp(&self.0)
    }

    fn number(_: &Arc<User>) -> u64 {
        0
    }

    fn wanted(&self) -> u64 {
        0
    }
}

impl Default for Acl {
    /// The default user alone, who may do everything without a password.
    fn default() -> Self {
        let (users, numbers) = (Tree::new(), Tree::new());
        let mut acl = Self { users, numbers, next: NODE_USER + 1, bytes: 0, is_open: true };
        acl.insert(User::everything(DEFAULT_USER, DEFAULT_NAME.into()));
        acl
    }
}

impl Acl {
    /// The user of this name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.users.find(&ByName(name))
    }

    /// The user with this number.
    #[must_use]
    pub fn by_number(&self, number: u64) -> Option<&Arc<User>> {
        self.numbers.find(&ByNumber(number))
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
        self.users.iter()
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
            None if self.len() >= USERS_MAX => return Err(RuleError::of_all(TOO_MANY)),
            None if is_planted(Bug::UserKnownByName) => {
                User::new(name.iter().map(|byte| u64::from(*byte)).sum(), name.into(), all_channels)
            }
            None => User::new(self.next, name.into(), all_channels),
        };
        let before = user.bytes();
        user.change(rules, all_channels)?;
        if user.bytes() > before && self.bytes - before + user.bytes() > BYTES_MAX {
            return Err(RuleError::of_all(TOO_MUCH));
        }
        Ok(user)
    }

    /// Removes a user, unless it is the default user. False if there is none.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        if name == DEFAULT_NAME {
            return false;
        }
        if self.get(name).is_none() {
            return false;
        }
        let user = self.users.remove_at(&ByName(name));
        self.numbers.remove_at(&ByNumber(user.number()));
        self.bytes -= user.bytes();
        true
    }

    /// Whether the default user may do everything: then a command line of it need not be looked at.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The highest number that a user has.
    fn last_number(&self) -> u64 {
        self.numbers.get(self.len() - 1).expect("the default user is always there").number()
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
        let user = Arc::new(user);
        let (name, number) = (ByName(user.name()), ByNumber(user.number()));
        self.bytes += user.bytes();
        match self.users.find(&name) {
            Some(old) => {
                self.bytes -= old.bytes();
                self.users.update_at(&name, |old| *old = user.clone());
                self.numbers.update_at(&number, |old| *old = user.clone());
            }
            None => {
                self.users.insert_at(&name, user.clone());
                self.numbers.insert_at(&number, user.clone());
            }
        }
        self.is_open = self.default_user().is_unrestricted();
    }
}
