//! Judging a command line.

use smallvec::SmallVec;

use super::{Acl, NODE_USER, selector::Selector, user::User};
use crate::{
    command::{Command, Flags, KeyFlags, KeyPositions, flags_by_arguments, lookup, subcommand},
    error::CommandError,
};

/// What a command line is refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The command.
    Command,
    /// A key.
    Key,
    /// A channel.
    Channel,
}

/// Why a command line is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The user was deleted.
    Gone,
    /// It may not do that.
    Rights {
        /// Its name.
        user: super::Name,
        /// What for.
        reason: Reason,
        /// Which of the arguments that is.
        at: usize,
    },
}

/// A command line that was refused when it was to be carried out, for who notes such things.
#[derive(Clone, Copy, Debug)]
pub struct Denial<'a> {
    /// The name of the user.
    pub user: &'a [u8],
    /// What for.
    pub reason: Reason,
    /// The name of the command, the key, or the channel.
    pub object: &'a [u8],
}

impl Denied {
    /// What a client is told.
    #[must_use]
    pub fn error(&self, command: &Command) -> CommandError {
        CommandError::new(format!("NOPERM {}", self.told(command)))
    }

    /// What the caller of a script is told.
    pub(crate) fn error_in_script(&self, command: &Command) -> CommandError {
        CommandError::new(format!("ERR ACL failure in script: {}", self.told(command)))
    }

    /// What EXEC says of a command that was allowed when it was queued.
    #[must_use]
    pub fn error_at_exec(&self) -> CommandError {
        let why = match self {
            Self::Gone => "the user was deleted",
            Self::Rights { reason: Reason::Command, .. } => {
                "no permission to execute the command or subcommand"
            }
            Self::Rights { reason: Reason::Key, .. } => "no permission to touch the specified keys",
            Self::Rights { reason: Reason::Channel, .. } => {
                "no permission to access one of the channels used as arguments to the command"
            }
        };
        CommandError::new(format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
             command is no longer allowed for the following reason: {why}"
        ))
    }

    /// What `ACL DRYRUN` says.
    pub(crate) fn in_full(&self, command: &Command, args: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Rights { user, reason: reason @ (Reason::Key | Reason::Channel), at } => {
                let what: &[u8] = if *reason == Reason::Key { b"' key" } else { b"' channel" };
                let object = args.get(*at).copied().unwrap_or_default();
                [b"User ", &**user, b" has no permissions to access the '", object, what].concat()
            }
            _ => self.told(command).into_bytes(),
        }
    }

    /// The same for who notes it; nothing if there is no user any more.
    #[must_use]
    pub fn denial<'a>(&'a self, command: &Command, args: &[&'a [u8]]) -> Option<Denial<'a>> {
        let Self::Rights { user, reason, at } = self else { return None };
        let object = match reason {
            Reason::Command => told_name(command).as_bytes(),
            Reason::Key | Reason::Channel => args.get(*at).copied().unwrap_or_default(),
        };
        Some(Denial { user, reason: *reason, object })
    }

    fn told(&self, command: &Command) -> String {
        match self {
            Self::Gone => "The user of this connection was deleted".to_owned(),
            Self::Rights { user, reason: Reason::Command, .. } => {
                let (user, name) = (String::from_utf8_lossy(user), told_name(command));
                format!("User {user} has no permissions to run the '{name}' command")
            }
            Self::Rights { reason: Reason::Key, .. } => "No permissions to access a key".to_owned(),
            Self::Rights { reason: Reason::Channel, .. } => "No permissions to access a channel".to_owned(),
        }
    }
}

/// As what CONFIG SET stands in the log.
const DIRECTORY_SET: &str = "\0directory.set";

/// The name of a command as Redis knows it.
fn told_name(command: &Command) -> &'static str {
    match command.name {
        DIRECTORY_SET => "config|set",
        name if name.starts_with("debug|") => "debug",
        name => name,
    }
}

/// What judging one selector after the other finds out once.
struct Asked<'a> {
    command: &'static Command,
    args: &'a [&'a [u8]],
    keys: Option<SmallVec<[(usize, KeyFlags); 4]>>,
}

impl Acl {
    /// Whether the user with this number may do what a command line says. The line has a right number of arguments.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(&self, user: u64, command: &'static Command, args: &[&[u8]]) -> Result<(), Denied> {
        let command = match command.name {
            _ if user == NODE_USER => return Ok(()),
            DIRECTORY_SET => {
                subcommand(lookup(b"config").expect("it is in the table"), b"set").expect("it is one")
            }
            // No client can send these.
            _ if command.flags.contains(Flags::INTERNAL) => return Ok(()),
            _ => command,
        };
        self.by_number(user).ok_or(Denied::Gone)?.judge(command, args)
    }

    /// Whether a user may read all keys with this command line.
    pub(crate) fn may_read_all_keys(&self, user: u64, command: &'static Command, args: &[&[u8]]) -> bool {
        let Some(user) = self.by_number(user) else { return user == NODE_USER };
        let mut asked = Asked { command, args, keys: None };
        let mut selectors = user.selectors.iter();
        selectors.any(|selector| selector.may_read_all_keys() && selector.judge(&mut asked).is_ok())
    }
}

impl User {
    /// Whether it may do what a command line says. The line has a right number of arguments.
    ///
    /// # Errors
    /// Why not: what the selector that comes furthest refuses.
    pub fn judge(&self, command: &'static Command, args: &[&[u8]]) -> Result<(), Denied> {
        if self.is_unrestricted() {
            return Ok(());
        }
        let mut asked = Asked { command, args, keys: None };
        let mut furthest = (Reason::Command, 0);
        for selector in &self.selectors {
            match selector.judge(&mut asked) {
                Ok(()) => return Ok(()),
                Err(refused) => furthest = furthest.max(refused),
            }
        }
        Err(Denied::Rights { user: self.name().clone(), reason: furthest.0, at: furthest.1 })
    }
}

impl Selector {
    fn judge(&self, asked: &mut Asked<'_>) -> Result<(), (Reason, usize)> {
        let (command, args) = (asked.command, asked.args);
        if !command.flags.contains(Flags::NO_AUTH) && !self.commands.allow(command, args) {
            return Err((Reason::Command, 0));
        }
        if !self.all_keys && !command.keys.is_empty() {
            let keys = asked.keys.get_or_insert_with(|| keys_of(command, args));
            let refused = keys.iter().find(|(at, flags)| !self.may_use_key(args[*at], *flags));
            refused.map_or(Ok(()), |(at, _)| Err((Reason::Key, *at)))?;
        }
        if !self.all_channels
            && let Some((channels, are_patterns)) = channels_of(command, args)
        {
            let refused = channels.clone().find(|at| !self.may_use_channel(args[*at], are_patterns));
            refused.map_or(Ok(()), |at| Err((Reason::Channel, at)))?;
        }
        Ok(())
    }
}

/// The places of the keys of a command line, and what becomes of them. What cannot be found, because the line makes no
/// sense, the command refuses.
fn keys_of(command: &Command, args: &[&[u8]]) -> SmallVec<[(usize, KeyFlags); 4]> {
    let by_arguments = flags_by_arguments(command, args);
    let mut found = SmallVec::new();
    for spec in command.keys.iter().filter(|spec| !spec.flags.contains(KeyFlags::NOT_KEY)) {
        let mut positions = KeyPositions::new();
        if spec.positions(args, &mut positions).is_ok() {
            let flags = by_arguments.unwrap_or(spec.flags);
            found.extend(positions.into_iter().map(|at| (at, flags)));
        }
    }
    found
}

/// The places of the channels of a command line, and whether they are patterns.
fn channels_of(command: &Command, args: &[&[u8]]) -> Option<(std::ops::Range<usize>, bool)> {
    match command.name {
        "publish" | "spublish" => Some((1..2.min(args.len()), false)),
        "subscribe" | "ssubscribe" => Some((1..args.len(), false)),
        "psubscribe" => Some((1..args.len(), true)),
        _ => None,
    }
}
