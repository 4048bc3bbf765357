//! Errors of scripts: what the client is told, and what a script catches.

use mlua::{Error, Lua, Value};

use super::convert;

/// What Lua says if there is no memory left.
pub(super) const NO_MEMORY: &str = "not enough memory";

/// An error with a text for the client, as redis.call raises it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CallError(pub(crate) String);

impl CallError {
    /// As an error of Lua.
    pub(crate) fn raise(text: String) -> Error {
        Error::external(Self(text))
    }
}

/// An error, and where in the script it was raised.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Its text, with a code word.
    pub(crate) text: String,
    /// Source and line.
    pub(crate) place: Option<(String, i64)>,
}

impl Failed {
    pub(super) fn of(error: &Error) -> Self {
        Self { text: text_of(error), place: None }
    }

    /// Whether there was no memory left: whoever says so himself may be taken for it.
    pub(super) fn is_no_memory(&self) -> bool {
        self.text.contains(NO_MEMORY)
    }
}

/// What `xpcall` in the prelude returns: whether all went well, and the result or the error.
pub(super) type Returned = (bool, Value);

/// What came of a run.
pub(super) fn outcome(returned: mlua::Result<Returned>) -> Result<Value, Failed> {
    let (ok, value) = returned.map_err(|error| Failed::of(&error))?;
    if ok {
        return Ok(value);
    }
    match value {
        Value::Table(table) => {
            let text = table.raw_get::<mlua::String>("err").map(|text| text.to_string_lossy());
            let place = match (table.raw_get::<String>("source"), table.raw_get::<i64>("line")) {
                (Ok(source), Ok(line)) => Some((source, line)),
                _ => None,
            };
            Err(Failed { text: text.unwrap_or_else(|error| text_of(&error)), place })
        }
        Value::Error(error) => Err(Failed::of(&error)),
        // Lua hands this one to no handler.
        Value::String(text) if &*text.as_bytes() == NO_MEMORY.as_bytes() => {
            Err(Failed { text: format!("ERR {NO_MEMORY}"), place: None })
        }
        _ => Err(Failed { text: "ERR unknown error".to_owned(), place: None }),
    }
}

/// The text of an error, with a code word.
pub(super) fn text_of(error: &Error) -> String {
    match error {
        Error::CallbackError { cause, .. } => text_of(cause),
        Error::ExternalError(error) => match error.downcast_ref::<CallError>() {
            Some(CallError(text)) => text.clone(),
            None => format!("ERR {error}"),
        },
        Error::MemoryError(_) => format!("ERR {NO_MEMORY}"),
        Error::RuntimeError(text) => format!("ERR {}", without_traceback(text)),
        error => format!("ERR {}", error.to_string().lines().next().unwrap_or_default()),
    }
}

/// Whom Rust's functions have called and been called by is no part of a message.
fn without_traceback(text: &str) -> &str {
    text.split_once("\nstack traceback:").map_or(text, |(text, _)| text)
}

/// An error as a script catches it: a table if redis.call has raised it, else a text.
pub(super) fn error_value(lua: &Lua, error: &Error) -> mlua::Result<Value> {
    let text = text_of(error);
    if is_call_error(error) {
        return convert::error_table(lua, &text).map(Value::Table);
    }
    lua.create_string(text.strip_prefix("ERR ").unwrap_or(&text)).map(Value::String)
}

fn is_call_error(error: &Error) -> bool {
    match error {
        Error::CallbackError { cause, .. } => is_call_error(cause),
        Error::ExternalError(error) => error.is::<CallError>(),
        _ => false,
    }
}

/// An error of a library function, which begins with the line of the script that has called it.
pub(super) fn error_here(lua: &Lua, text: &str) -> Error {
    let place =
        caller(lua).map(|(source, line)| format!("{}:{line}: ", source.trim_start_matches(['@', '='])));
    Error::RuntimeError(format!("{}{text}", place.unwrap_or_default()))
}

/// The line that has called a library function. None if it is not a line of a script: `pcall(cjson.decode, 'x')`.
fn caller(lua: &Lua) -> Option<(String, i64)> {
    (1..200).find_map(|level| {
        let frame = lua.inspect_stack(level, |frame| {
            let source = frame.source();
            let name = source.source.as_deref().unwrap_or_default().to_owned();
            let line = frame.current_line().and_then(|line| i64::try_from(line).ok());
            let is_script = source.what == "Lua" || source.what == "main";
            if name == "=prelude" { None } else { Some(line.filter(|_| is_script).map(|line| (name, line))) }
        });
        // The end of the stack ends the search, too.
        frame.unwrap_or(Some(None))
    })?
}

/// The innermost line of a script that is being carried out.
pub(super) fn place(lua: &Lua) -> (Option<String>, Option<i64>) {
    for level in 1..200 {
        let found = lua.inspect_stack(level, |frame| {
            let source = frame.source();
            let name = source.source.as_deref().unwrap_or_default().to_owned();
            let is_script = source.what == "Lua" || source.what == "main";
            (is_script && name != "=prelude").then(|| (name, frame.current_line()))
        });
        match found {
            None => break,
            Some(Some((name, line))) => return (Some(name), line.and_then(|line| i64::try_from(line).ok())),
            Some(None) => {}
        }
    }
    (None, None)
}
