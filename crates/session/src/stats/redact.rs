//! Which arguments nobody may read in MONITOR and SLOWLOG.

use quorate_keyspace::command::{Command, named};

/// What stands in the place of a secret.
const REDACTED: &[u8] = b"(redacted)";

/// Parameters of CONFIG SET that are secrets.
const SECRET_PARAMETERS: &[&str] =
    &["requirepass", "masterauth", "masteruser", "tls-key-file-pass", "tls-client-key-file-pass"];

fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// The arguments of a command as anybody may read them. A command that is not right is treated alike.
pub(crate) fn shown<'a>(command: &Command, args: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let (mut shown, mut command, mut at) = (args.to_vec(), command, 0);
    // A command line in a command line, perhaps in many.
    while command.name == "acl|dryrun" && args.len() > at + 3 {
        at += 3;
        let Some(inner) = named(&args[at..]) else { break };
        command = inner;
    }
    redact(command, &mut shown[at..]);
    shown
}

fn redact(command: &Command, args: &mut [&[u8]]) {
    match command.name {
        "auth" => hide(args, 1, usize::MAX),
        "acl|setuser" => hide(args, 2, usize::MAX),
        "hello" => hide_behind(args, 1, "auth", 2),
        "migrate" => {
            hide_behind(args, 6, "auth", 1);
            hide_behind(args, 6, "auth2", 2);
        }
        "config|set" => {
            for i in (2..args.len().saturating_sub(1)).step_by(2) {
                if SECRET_PARAMETERS.iter().any(|name| is(args[i], name)) {
                    args[i + 1] = REDACTED;
                }
            }
        }
        _ => {}
    }
}

fn hide(args: &mut [&[u8]], from: usize, most: usize) {
    args.iter_mut().skip(from).take(most).for_each(|arg| *arg = REDACTED);
}

/// Hides what follows a word.
fn hide_behind(args: &mut [&[u8]], from: usize, word: &str, count: usize) {
    let found: Vec<usize> = (from..args.len()).filter(|i| is(args[*i], word)).collect();
    found.into_iter().for_each(|i| hide(args, i + 1, count));
}

#[cfg(test)]
mod tests {
    use quorate_keyspace::command::named;

    use super::*;

    fn shown_line(line: &str) -> String {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let shown = shown(named(&args).expect("it is a command"), &args);
        String::from_utf8(shown.join(&b' ')).expect("text")
    }

    #[test]
    fn secrets_are_hidden_and_nothing_else() {
        let cases = [
            ("AUTH pw", "AUTH (redacted)"),
            ("auth user pw", "auth (redacted) (redacted)"),
            ("hello 3 AUTH user pw SETNAME n", "hello 3 AUTH (redacted) (redacted) SETNAME n"),
            ("hello 3 setname auth", "hello 3 setname auth"),
            ("migrate h 1 key 0 9 COPY AUTH pw", "migrate h 1 key 0 9 COPY AUTH (redacted)"),
            (
                "migrate h 1 key 0 9 auth2 u pw REPLACE",
                "migrate h 1 key 0 9 auth2 (redacted) (redacted) REPLACE",
            ),
            (
                "config set REQUIREPASS pw maxmemory 1 masterauth x",
                "config set REQUIREPASS (redacted) maxmemory 1 masterauth (redacted)",
            ),
            ("config set requirepass", "config set requirepass"),
            ("set auth pw", "set auth pw"),
            ("hello auth user pw", "hello auth (redacted) (redacted)"),
            ("acl dryrun u auth pw", "acl dryrun u auth (redacted)"),
            ("acl dryrun u set k v", "acl dryrun u set k v"),
            (
                "acl dryrun u acl dryrun v acl setuser w >pw",
                "acl dryrun u acl dryrun v acl setuser (redacted) (redacted)",
            ),
            ("acl dryrun u acl dryrun", "acl dryrun u acl dryrun"),
        ];
        for (line, expected) in cases {
            assert_eq!(shown_line(line), expected);
        }
    }
}
