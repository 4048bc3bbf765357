//! What of ACL concerns this connection or this node, and passwords on their way into the log.

use std::fmt::Write;
use std::sync::Arc;

use quorate_keyspace::acl::{Acl, Name};
use quorate_keyspace::command::Command;
use quorate_keyspace::{CommandError, Reply};
use sha2::{Digest, Sha256};

use super::{Answer, Cx, text};
use crate::stats::shown;

/// How long the rules of a user may be. More of them are refused before they get anywhere.
const RULES_BYTES_MAX: usize = 1 << 20;

/// Where the rules begin in a line of ACL SETUSER.
const RULES_AT: usize = 3;

const TOO_LONG: CommandError = CommandError::fixed("ERR the rules of a user may have at most 1 MiB");
const NO_FILE: CommandError = CommandError::fixed(
    "ERR This Redis instance is not configured to use an ACL file. Users are in the log of the cluster, on every node: \
     there is nothing to save, and nothing to load",
);
const BAD_BITS: CommandError = CommandError::fixed(
    "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
);
const GENPASS_BITS: i64 = 256;
const GENPASS_BITS_MAX: i64 = 4096;
const LOG_DEFAULT: i64 = 10;

/// The hash of a password, as a rule of ACL SETUSER has it.
pub(crate) fn hash_of(password: &[u8]) -> String {
    Sha256::digest(password).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A command line with hashes in place of its passwords, if it has rules with any: no password gets into the log of the
/// cluster, nor into what a node notes of commands. Rules that can never be right go no further either.
pub(crate) fn without_passwords(
    command: &Command,
    args: &[&[u8]],
    users: impl FnOnce() -> Arc<Acl>,
) -> Result<Option<Vec<Vec<u8>>>, CommandError> {
    match command.name {
        "acl|setuser" => {}
        "acl|dryrun" => {
            // What it says does not depend on them.
            let shown = shown(command, args);
            return Ok((shown != args).then(|| shown.iter().map(|arg| arg.to_vec()).collect()));
        }
        _ => return Ok(None),
    }
    if args.iter().map(|arg| arg.len()).sum::<usize>() > RULES_BYTES_MAX {
        return Err(TOO_LONG);
    }
    let has_passwords = args.iter().skip(RULES_AT).any(|rule| matches!(rule, [b'>' | b'<', ..]));
    let hashed = has_passwords.then(|| hashed(args));
    let rules: Vec<&[u8]> = match &hashed {
        Some(args) => args[RULES_AT..].iter().map(Vec::as_slice).collect(),
        None => args[RULES_AT..].to_vec(),
    };
    let tried = users().user_by(args[2], &rules, false);
    tried.map(drop).or_else(|error| match error.depends_on_user() {
        true => Ok(()),
        false => Err(error.error().clone()),
    })?;
    Ok(hashed)
}

fn hashed(args: &[&[u8]]) -> Vec<Vec<u8>> {
    let rule = |(i, rule): (usize, &&[u8])| match rule {
        [b'>', password @ ..] if i >= RULES_AT => format!("#{}", hash_of(password)).into_bytes(),
        [b'<', password @ ..] if i >= RULES_AT => format!("!{}", hash_of(password)).into_bytes(),
        rule => rule.to_vec(),
    };
    args.iter().enumerate().map(rule).collect()
}

pub(super) fn whoami(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let name = Name::clone(&cx.connection.user_name.borrow());
    reply.bulk(&name);
    Ok(())
}

/// `ACL GENPASS [bits]`: four bits for each letter.
pub(super) fn genpass(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let bits = match args {
        [_, _] => GENPASS_BITS,
        [_, _, bits] => quorate_resp::parse_integer(bits).ok_or(CommandError::NOT_AN_INTEGER)?,
        _ => return Err(CommandError::wrong_arity("acl|genpass")),
    };
    let bits = Some(bits).filter(|bits| (1..=GENPASS_BITS_MAX).contains(bits)).ok_or(BAD_BITS)?;
    let letters = usize::try_from(bits).unwrap_or(0).div_ceil(4);
    let mut password = String::with_capacity(letters + 16);
    while password.len() < letters {
        let _ = write!(password, "{:016x}", cx.node.random());
    }
    reply.bulk(&password.as_bytes()[..letters]);
    Ok(())
}

/// `ACL LOG [count | RESET]`
pub(super) fn log(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let refusals = &cx.node.access.refusals;
    let count = match args {
        [_, _] => LOG_DEFAULT,
        [_, _, word] if word.eq_ignore_ascii_case(b"reset") => {
            refusals.clear();
            reply.ok();
            return Ok(());
        }
        [_, _, count] => quorate_resp::parse_integer(count).ok_or(CommandError::NOT_AN_INTEGER)?,
        _ => return Err(CommandError::wrong_arity("acl|log")),
    };
    let entries = refusals.newest(usize::try_from(count).unwrap_or(0));
    let now_ms = refusals.now_ms();
    reply.array(entries.len());
    for entry in entries {
        let refusal = &entry.refusal;
        let number = |reply: &mut Reply<'_>, name: &str, n: u64| {
            reply.bulk(name.as_bytes());
            reply.int(i64::try_from(n).unwrap_or(i64::MAX));
        };
        reply.map(10);
        number(reply, "count", entry.count);
        let texts: [(&str, &[u8]); 4] = [
            ("reason", refusal.reason.as_bytes()),
            ("context", refusal.context.word().as_bytes()),
            ("object", &refusal.object),
            ("username", &refusal.user),
        ];
        for (name, text) in texts {
            reply.bulk(name.as_bytes());
            reply.bulk(text);
        }
        reply.bulk(b"age-seconds");
        reply.double(now_ms.saturating_sub(entry.last_ms) as f64 / 1000.0);
        reply.bulk(b"client-info");
        reply.bulk(refusal.client.as_bytes());
        number(reply, "entry-id", entry.id);
        number(reply, "timestamp-created", entry.first_ms);
        number(reply, "timestamp-last-updated", entry.last_ms);
    }
    Ok(())
}

/// `ACL SAVE` and `ACL LOAD`.
pub(super) fn no_file() -> Answer {
    Err(NO_FILE)
}

/// The error for a name that no user has.
pub(super) fn no_such_user(name: &[u8]) -> CommandError {
    CommandError::new(format!("ERR No such user '{}'", text(name)))
}

#[cfg(test)]
mod tests {
    use quorate_keyspace::command::resolve;

    use super::*;

    /// What goes on of a command line.
    fn goes_on(line: &str) -> Result<String, String> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let command = resolve(&args).map_err(|error| error.text().to_owned())?;
        let changed = without_passwords(command, &args, Arc::default).map_err(|e| e.text().to_owned())?;
        let args = changed.unwrap_or_else(|| args.iter().map(|arg| arg.to_vec()).collect());
        Ok(String::from_utf8(args.join(&b' ')).expect("it is text"))
    }

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn passwords_go_on_as_hashes() {
        assert_eq!(goes_on("ACL SETUSER u >test on"), Ok(format!("ACL SETUSER u #{HASH} on")));
        assert_eq!(
            goes_on("acl setuser u <test"),
            Ok(format!("acl setuser u !{HASH}")),
            "judged where it is applied"
        );
        assert_eq!(goes_on("ACL SETUSER >u on"), Ok("ACL SETUSER >u on".to_owned()), "that is a name");
        let line = "ACL DRYRUN default ACL SETUSER u";
        assert_eq!(
            goes_on(&format!("{line} >test")),
            Ok("ACL DRYRUN default ACL SETUSER (redacted) (redacted)".to_owned())
        );
        assert_eq!(
            goes_on("ACL DRYRUN default AUTH u test"),
            Ok("ACL DRYRUN default AUTH (redacted) (redacted)".to_owned())
        );
        assert_eq!(goes_on("ACL DRYRUN default GET >test"), Ok("ACL DRYRUN default GET >test".to_owned()));
        assert_eq!(goes_on("SET >a >b"), Ok("SET >a >b".to_owned()));
    }

    #[test]
    fn what_can_never_be_right_goes_nowhere() {
        for line in [
            "ACL SETUSER u test",
            "ACL SETUSER u (+get >test)",
            "ACL SETUSER u (+get ~x",
            "ACL SETUSER u +nope",
        ] {
            assert!(goes_on(line).is_err(), "{line}");
        }
        let long = format!("ACL SETUSER u >{}", "x".repeat(RULES_BYTES_MAX));
        assert_eq!(goes_on(&long), Err(TOO_LONG.text().to_owned()));
        assert!(goes_on("ACL SETUSER default ~x").is_ok(), "it depends on the user at the time");
    }
}
