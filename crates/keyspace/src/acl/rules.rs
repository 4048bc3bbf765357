//! The rules of `ACL SETUSER`.

use std::borrow::Cow;

use super::{
    Name,
    selector::{Access, KeyPattern, Selector},
    user::{Hash, User},
};
use crate::error::CommandError;

/// How long a user may be, described as rules: a user is one piece of a snapshot, and of many answers.
const RULES_BYTES_MAX: usize = 1 << 20;

const BAD_NAME: CommandError = CommandError::fixed("ERR Usernames can't contain spaces or null characters");
const TOO_LONG: CommandError = CommandError::fixed("ERR the rules of a user may have at most 1 MiB");

/// Why rules are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    error: CommandError,
    depends_on_user: bool,
}

impl RuleError {
    /// A bound that all users share: it may hold again.
    pub(super) fn of_all(error: CommandError) -> Self {
        Self { error, depends_on_user: true }
    }

    /// What the client is told.
    #[must_use]
    pub fn error(&self) -> &CommandError {
        &self.error
    }

    /// Whether the same rules may be right for the same user in another state.
    #[must_use]
    pub fn depends_on_user(&self) -> bool {
        self.depends_on_user
    }
}

impl From<CommandError> for RuleError {
    fn from(error: CommandError) -> Self {
        Self { error, depends_on_user: false }
    }
}

/// What is wrong with a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Syntax,
    Unknown,
    FirstWordOfSubcommand,
    AfterAllKeys,
    AfterAllChannels,
    NoSuchPassword,
    NoHash,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Self::Syntax => "Syntax error",
            Self::Unknown => "Unknown command or category name in ACL",
            Self::FirstWordOfSubcommand => "Allowing first-arg of a subcommand is not supported",
            Self::AfterAllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
                 Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::AfterAllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Self::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            Self::NoHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
        }
    }

    fn of_rule(self, rule: &[u8]) -> RuleError {
        let rule = String::from_utf8_lossy(rule);
        let error = CommandError::new(format!("ERR Error in ACL SETUSER modifier '{rule}': {}", self.text()));
        let depends_on_user =
            matches!(self, Self::AfterAllKeys | Self::AfterAllChannels | Self::NoSuchPassword);
        RuleError { error, depends_on_user }
    }
}

/// Whether this can be the name of a user.
pub(super) fn check_name(name: &[u8]) -> Result<(), CommandError> {
    if has_spaces(name) { Err(BAD_NAME) } else { Ok(()) }
}

/// Whether this is the SHA-256 of a password as text.
#[must_use]
pub fn is_hash(text: &[u8]) -> bool {
    parse_hash(text).is_ok()
}

impl User {
    /// Takes in rules, one after the other. After an error the user is of no use any more.
    pub(super) fn change(&mut self, rules: &[&[u8]], all_channels: bool) -> Result<(), RuleError> {
        for rule in joined(rules)? {
            self.take_in(&rule, all_channels).map_err(|why| why.of_rule(&rule))?;
        }
        self.settle();
        if self.bytes() > RULES_BYTES_MAX {
            return Err(TOO_LONG.into());
        }
        Ok(())
    }

    fn take_in(&mut self, rule: &[u8], all_channels: bool) -> Result<(), Why> {
        match rule.to_ascii_lowercase().as_slice() {
            b"on" => self.is_enabled = true,
            b"off" => self.is_enabled = false,
            b"skip-sanitize-payload" => self.skips_sanitizing = true,
            b"sanitize-payload" => self.skips_sanitizing = false,
            b"nopass" => {
                self.nopass = true;
                self.passwords.clear();
            }
            b"resetpass" => {
                self.nopass = false;
                self.passwords.clear();
            }
            b"clearselectors" => self.selectors.truncate(1),
            b"reset" => *self = Self::new(self.number(), Name::clone(self.name()), all_channels),
            _ => return self.take_in_more(rule, all_channels),
        }
        Ok(())
    }

    /// Passwords and selectors.
    fn take_in_more(&mut self, rule: &[u8], all_channels: bool) -> Result<(), Why> {
        match rule {
            [b'#', hash @ ..] => self.add_password(parse_hash(hash)?),
            [b'!', hash @ ..] => self.remove_password(&parse_hash(hash)?)?,
            // Whoever sends a password has hashed it: see `quorate-session`.
            [b'>' | b'<', ..] => return Err(Why::Syntax),
            [b'(', words @ .., b')'] => {
                let mut selector = Selector::nothing(all_channels);
                for word in words.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
                    selector.take_in(word)?;
                }
                self.selectors.push(selector);
            }
            rule => self.selectors[0].take_in(rule)?,
        }
        Ok(())
    }

    fn add_password(&mut self, hash: Hash) {
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
        self.nopass = false;
    }

    fn remove_password(&mut self, hash: &Hash) -> Result<(), Why> {
        let at = self.passwords.iter().position(|known| known == hash).ok_or(Why::NoSuchPassword)?;
        self.passwords.remove(at);
        Ok(())
    }
}

impl Selector {
    fn take_in(&mut self, rule: &[u8]) -> Result<(), Why> {
        match rule.to_ascii_lowercase().as_slice() {
            b"allkeys" | b"~*" => {
                self.all_keys = true;
                self.keys.clear();
            }
            b"resetkeys" => {
                self.all_keys = false;
                self.keys.clear();
            }
            b"allchannels" | b"&*" => {
                self.all_channels = true;
                self.channels.clear();
            }
            b"resetchannels" => {
                self.all_channels = false;
                self.channels.clear();
            }
            b"allcommands" => self.commands.change(b"+@all")?,
            b"nocommands" => self.commands.change(b"-@all")?,
            _ => return self.take_in_more(rule),
        }
        Ok(())
    }

    /// Patterns and commands.
    fn take_in_more(&mut self, rule: &[u8]) -> Result<(), Why> {
        match rule {
            [b'~', pattern @ ..] => self.add_keys(Access::BOTH, pattern),
            [b'%', rest @ ..] => {
                let (access, pattern) = parse_access(rest)?;
                self.add_keys(access, pattern)
            }
            [b'&', pattern @ ..] if has_spaces(pattern) => Err(Why::Syntax),
            [b'&', ..] if self.all_channels => Err(Why::AfterAllChannels),
            [b'&', pattern @ ..] => {
                if !self.channels.iter().any(|known| **known == *pattern) {
                    self.channels.push(pattern.into());
                }
                Ok(())
            }
            [b'+' | b'-', _, ..] => self.commands.change(rule),
            [b'+' | b'-'] => Err(Why::Unknown),
            _ => Err(Why::Syntax),
        }
    }

    fn add_keys(&mut self, access: Access, pattern: &[u8]) -> Result<(), Why> {
        if has_spaces(pattern) {
            return Err(Why::Syntax);
        }
        if self.all_keys {
            return Err(Why::AfterAllKeys);
        }
        match self.keys.iter_mut().find(|known| *known.pattern == *pattern) {
            Some(known) => known.access = known.access.with(access),
            None => self.keys.push(KeyPattern { access, pattern: pattern.into() }),
        }
        // It may have come in two halves.
        let is_all = |known: &KeyPattern| known.access == Access::BOTH && *known.pattern == *b"*";
        if self.keys.iter().any(is_all) {
            self.all_keys = true;
            self.keys.clear();
        }
        Ok(())
    }
}

/// `R`, `W` or both, and what follows the `~` behind that.
fn parse_access(rule: &[u8]) -> Result<(Access, &[u8]), Why> {
    let tilde = rule.iter().position(|byte| *byte == b'~').ok_or(Why::Syntax)?;
    let access = match rule[..tilde].to_ascii_lowercase().as_slice() {
        b"r" => Access { reads: true, writes: false },
        b"w" => Access { reads: false, writes: true },
        b"rw" | b"wr" => Access::BOTH,
        _ => return Err(Why::Syntax),
    };
    Ok((access, &rule[tilde + 1..]))
}

fn parse_hash(text: &[u8]) -> Result<Hash, Why> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(Why::NoHash),
    };
    let mut hash = Hash::default();
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != hash.len() {
        return Err(Why::NoHash);
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Ok(hash)
}

/// What separates rules, or ends a text for some.
fn has_spaces(text: &[u8]) -> bool {
    text.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b))
}

/// The rules, where what stands between parentheses is one, however many words it has.
fn joined<'a>(rules: &[&'a [u8]]) -> Result<Vec<Cow<'a, [u8]>>, CommandError> {
    let mut out = Vec::with_capacity(rules.len());
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for rule in rules {
        match &mut open {
            Some((_, words)) => {
                words.push(b' ');
                words.extend_from_slice(rule);
                if rule.ends_with(b")") {
                    out.extend(open.take().map(|(_, words)| Cow::Owned(words)));
                }
            }
            None if rule.starts_with(b"(") && !rule.ends_with(b")") => open = Some((rule, rule.to_vec())),
            None => out.push(Cow::Borrowed(*rule)),
        }
    }
    let Some((first, _)) = open else { return Ok(out) };
    let first = String::from_utf8_lossy(first);
    Err(CommandError::new(format!("ERR Unmatched parenthesis in acl selector starting at '{first}'.")))
}
