//! What `CLIENT PAUSE` holds back while it lets reads pass.

use crate::{
    command::{Command, Flags, scripting},
    keyspace::Keyspace,
    script::Sha,
};

impl Keyspace {
    /// Whether a command may change something, by what is known of it before it is carried out: scripts and functions
    /// may promise not to write.
    #[must_use]
    pub fn may_change(&self, command: &Command, args: &[&[u8]]) -> bool {
        if command.flags.contains(Flags::WRITE) {
            return true;
        }
        command.flags.contains(Flags::MAY_REPLICATE) && !self.promises_no_writes(command, args)
    }

    /// Whether a command runs a script that says nothing of itself: what it may do is judged while it runs.
    #[must_use]
    pub fn runs_silent_script(&self, command: &Command, args: &[&[u8]]) -> bool {
        let Some(what) = args.get(1) else { return false };
        match command.name {
            "eval" => scripting::is_silent(what),
            "evalsha" => {
                let source = Sha::parse(what).and_then(|sha| self.scripts.source(&sha));
                source.is_some_and(|source| scripting::is_silent(&source))
            }
            _ => false,
        }
    }

    fn promises_no_writes(&self, command: &Command, args: &[&[u8]]) -> bool {
        let Some(what) = args.get(1) else { return false };
        let text = || String::from_utf8_lossy(what);
        match command.name {
            "eval" => scripting::promises_no_writes(what),
            "evalsha" => {
                let source = Sha::parse(what).and_then(|sha| self.scripts.source(&sha));
                source.is_some_and(|source| scripting::promises_no_writes(&source))
            }
            "fcall" => {
                let function = self.scripts.registered(&text()).map(|(.., function)| function);
                function.is_some_and(|function| function.flags.iter().any(|flag| flag == "no-writes"))
            }
            _ => false,
        }
    }
}
