//! A user as rules again: given to `ACL SETUSER` they make the same user.

use std::{borrow::Cow, fmt::Write};

use super::{
    selector::{Access, KeyPattern, Selector},
    user::{Hash, User},
};

impl User {
    /// A line of `ACL LIST`.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut line = [b"user ", &**self.name()].concat();
        for word in self.words() {
            line.push(b' ');
            line.extend_from_slice(&word);
        }
        line
    }

    /// The rules, one by one.
    pub(super) fn words(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let [own, others @ ..] = &self.selectors[..] else {
            unreachable!("a user has a selector of its own")
        };
        let flags = self.flags().map(|flag| flag.as_bytes().into());
        let passwords = self.hashes().map(|hash| format!("#{hash}").into_bytes().into());
        let others = others.iter().map(|selector| {
            let words: Vec<_> = selector.words().collect();
            [b"(", &words.join(&b' ')[..], b")"].concat().into()
        });
        flags.chain(passwords).chain(own.words()).chain(others)
    }

    /// The flags.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static str> {
        let state = if self.is_enabled { "on" } else { "off" };
        let nopass = self.nopass.then_some("nopass");
        let payloads = if self.skips_sanitizing { "skip-sanitize-payload" } else { "sanitize-payload" };
        std::iter::once(state).chain(nopass).chain([payloads])
    }

    /// The hashes of the passwords as text.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = String> {
        self.passwords.iter().map(hex)
    }

    /// Of each selector, the user's own first: commands, keys, channels.
    pub(crate) fn rights(&self) -> impl ExactSizeIterator<Item = [Vec<u8>; 3]> {
        self.selectors.iter().map(|selector| {
            let commands: Vec<_> = selector.commands.words().map(str::as_bytes).collect();
            let keys: Vec<_> = selector.key_words().collect();
            let channels: Vec<_> = selector.channel_words().collect();
            [commands.join(&b' '), keys.join(&b' '), channels.join(&b' ')]
        })
    }
}

impl Selector {
    fn words(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        // Which channels there are without a word depends on a setting.
        let reset = (!self.all_channels).then_some(Cow::Borrowed(&b"resetchannels"[..]));
        let commands = self.commands.words().map(|word| word.as_bytes().into());
        self.key_words().chain(reset).chain(self.channel_words()).chain(commands)
    }

    fn key_words(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let all = self.all_keys.then_some(Cow::Borrowed(&b"~*"[..]));
        all.into_iter().chain(self.keys.iter().map(|known| key_word(known).into()))
    }

    fn channel_words(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let all = self.all_channels.then_some(Cow::Borrowed(&b"&*"[..]));
        all.into_iter().chain(self.channels.iter().map(|known| [b"&", &**known].concat().into()))
    }
}

fn key_word(known: &KeyPattern) -> Vec<u8> {
    let mark: &[u8] = match known.access {
        Access { reads: true, writes: true } => b"~",
        Access { reads: true, .. } => b"%R~",
        Access { .. } => b"%W~",
    };
    [mark, &known.pattern].concat()
}

fn hex(hash: &Hash) -> String {
    hash.iter().fold(String::with_capacity(2 * hash.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
