//! Connections in MONITOR: they are told what this node's sessions carry out.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::rc::{Rc, Weak};

use quorate_env::clock;
use quorate_keyspace::command::{Command, Flags};

use super::shown;
use crate::connection::Connection;

/// Of an argument that is longer, so many bytes are shown.
const ARG_BYTES_MAX: usize = 1 << 20;
/// When the line has so many bytes, no further argument is shown.
const LINE_BYTES_MAX: usize = 4 << 20;

/// See the module.
#[derive(Default)]
pub(crate) struct Monitors {
    there_are: Cell<bool>,
    connections: RefCell<Vec<Weak<Connection>>>,
}

impl Monitors {
    /// Whether anybody wants to know: asked for each command.
    pub(crate) fn there_are(&self) -> bool {
        self.there_are.get()
    }

    /// Makes a connection one of them.
    pub(crate) fn add(&self, connection: &Rc<Connection>) {
        if !connection.monitors.replace(true) {
            self.connections.borrow_mut().push(Rc::downgrade(connection));
            self.there_are.set(true);
        }
    }

    /// Makes it a normal one again.
    pub(crate) fn remove(&self, connection: &Connection) {
        connection.monitors.set(false);
        self.clean();
    }

    fn clean(&self) {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|c| c.upgrade().is_some_and(|c| c.monitors.get() && !c.closing.get()));
        self.there_are.set(!connections.is_empty());
    }

    /// The line for a command, if monitors are shown it. `by`: its client's address, or what stands in its place.
    pub(crate) fn line(db: usize, by: &str, command: &Command, args: &[&[u8]]) -> Option<String> {
        if command.flags.intersects(Flags::ADMIN.union(Flags::SKIP_MONITOR)) && !is_script(command) {
            return None;
        }
        let mut line = format!("[{db} {by}]");
        let args = shown(command, args);
        for (n, arg) in args.iter().enumerate() {
            if line.len() > LINE_BYTES_MAX {
                // Writing to a String cannot fail.
                let _ = write!(line, " ... ({} more arguments)", args.len() - n);
                break;
            }
            line.push_str(" \"");
            quote(&arg[..arg.len().min(ARG_BYTES_MAX)], &mut line);
            if arg.len() > ARG_BYTES_MAX {
                // Writing to a String cannot fail.
                let _ = write!(line, "... ({} more bytes)", arg.len() - ARG_BYTES_MAX);
            }
            line.push('"');
        }
        Some(line)
    }

    /// Tells all of them.
    pub(crate) fn tell(&self, line: &str) {
        let ms = clock::wall_ms();
        let line = format!("+{}.{:06} {line}\r\n", ms / 1000, ms % 1000 * 1000);
        let connections: Vec<_> = self.connections.borrow().iter().filter_map(Weak::upgrade).collect();
        connections.iter().for_each(|c| c.feed(line.as_bytes()));
        if connections.is_empty() || connections.iter().any(|c| c.closing.get()) {
            self.clean();
        }
    }
}

/// EVAL and its kin are shown although their flags say otherwise: in Redis they show themselves.
fn is_script(command: &Command) -> bool {
    matches!(command.name, "eval" | "eval_ro" | "evalsha" | "evalsha_ro" | "fcall" | "fcall_ro")
}

/// Bytes as text in quotes.
fn quote(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend(['\\', char::from(*byte)]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_keyspace::command::named;

    use super::*;

    fn line(args: &[&[u8]]) -> Option<String> {
        Monitors::line(3, "127.0.0.1:5", named(args).expect("it is a command"), args)
    }

    #[test]
    fn arguments_are_quoted_and_secrets_hidden() {
        let shown = line(&[b"set", b"a b\"\\", b"\x00\xff\r\n\t\x07\x08"]);
        assert_eq!(shown.as_deref(), Some(r#"[3 127.0.0.1:5] "set" "a b\"\\" "\x00\xff\r\n\t\a\b""#));
        assert_eq!(line(&[b"auth", b"pw"]).as_deref(), Some(r#"[3 127.0.0.1:5] "auth" "(redacted)""#));
    }

    #[test]
    fn what_is_for_administrators_is_not_shown_and_scripts_are() {
        assert_eq!(line(&[b"config", b"get", b"port"]), None);
        assert!(line(&[b"eval", b"return 1", b"0"]).is_some());
        assert!(line(&[b"fcall", b"f", b"0"]).is_some());
    }

    #[test]
    fn a_very_long_argument_is_cut() {
        let long = vec![b'x'; ARG_BYTES_MAX + 7];
        let shown = line(&[b"echo", &long]).expect("it is shown");
        assert!(shown.ends_with("xxx... (7 more bytes)\""));
    }
}
