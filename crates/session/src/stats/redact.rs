//! Which arguments nobody may read in MONITOR and SLOWLOG.

use quorate_keyspace::command::Command;

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
    let mut shown = args.to_vec();
    match command.name {
        "auth" => hide(&mut shown, 1, usize::MAX),
        "acl|setuser" => hide(&mut shown, 2, usize::MAX),
        "hello" => hide_behind(&mut shown, 2, "auth", 2),
        "migrate" => {
            hide_behind(&mut shown, 6, "auth", 1);
            hide_behind(&mut shown, 6, "auth2", 2);
        }
        "config|set" => {
            for i in (2..args.len().saturating_sub(1)).step_by(2) {
                if SECRET_PARAMETERS.iter().any(|name| is(args[i], name)) {
                    shown[i + 1] = REDACTED;
                }
            }
        }
        _ => {}
    }
    shown
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
        ];
        for (line, expected) in cases {
            assert_eq!(shown_line(line), expected);
        }
    }
}
