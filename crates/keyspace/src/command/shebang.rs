//! The first line of a script or a library: `#!lua name=mylib flags=no-writes`.

use crate::error::CommandError;

/// A source and what its first line says.
pub(super) struct Shebang<'a> {
    /// What follows, with the line end of the first line, so that errors name the right lines.
    pub(super) rest: &'a [u8],
    /// The engine, and whatever else stands there.
    words: Vec<String>,
}

/// Why there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NoShebang {
    /// It does not begin with `#!`.
    Missing,
    /// It has no end, or quotes that have none.
    Malformed,
}

impl<'a> Shebang<'a> {
    /// Of a source.
    pub(super) fn of(source: &'a [u8]) -> Result<Self, NoShebang> {
        if !source.starts_with(b"#!") {
            return Err(NoShebang::Missing);
        }
        let end = source.iter().position(|byte| *byte == b'\n').ok_or(NoShebang::Malformed)?;
        let line = String::from_utf8_lossy(&source[..end]);
        Ok(Self { rest: &source[end..], words: words(&line).ok_or(NoShebang::Malformed)? })
    }

    /// With `#!`.
    pub(super) fn engine_word(&self) -> &str {
        &self.words[0]
    }

    /// The name of the engine.
    pub(super) fn engine(&self) -> &str {
        &self.words[0][2..]
    }

    /// What follows it.
    pub(super) fn options(&self) -> &[String] {
        &self.words[1..]
    }
}

/// The words of a line. One may stand in quotes.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    while chars.peek().is_some() {
        if chars.next_if(|c| c.is_ascii_whitespace()).is_some() {
            continue;
        }
        let mut word = String::new();
        while let Some(c) = chars.next_if(|c| !c.is_ascii_whitespace()) {
            if c != '"' && c != '\'' {
                word.push(c);
                continue;
            }
            loop {
                match chars.next()? {
                    end if end == c => break,
                    '\\' => word.push(chars.next()?),
                    inner => word.push(inner),
                }
            }
            if chars.peek().is_some_and(|next| !next.is_ascii_whitespace()) {
                return None;
            }
        }
        words.push(word);
    }
    Some(words)
}

/// What the first line of a script promises; a script needs none.
///
/// # Errors
/// If it makes no sense.
pub(super) fn of_script<'a>(
    source: &'a [u8],
    known: &[&str],
) -> Result<(&'a [u8], Vec<String>), CommandError> {
    let shebang = match Shebang::of(source) {
        Ok(shebang) => shebang,
        Err(NoShebang::Missing) => return Ok((source, Vec::new())),
        Err(NoShebang::Malformed) => return Err(CommandError::fixed("ERR Invalid script shebang")),
    };
    if shebang.engine() != "lua" {
        let engine = shebang.engine_word();
        return Err(CommandError::new(format!("ERR Unexpected engine in script shebang: {engine}")));
    }
    let mut flags = Vec::new();
    for word in shebang.options() {
        let Some(list) = word.strip_prefix("flags=") else {
            return Err(CommandError::new(format!("ERR Unknown lua shebang option: {word}")));
        };
        for flag in list.split(',').filter(|flag| !flag.is_empty()) {
            if !known.contains(&flag) {
                return Err(CommandError::new(format!("ERR Unexpected flag in script shebang: {flag}")));
            }
            flags.push(flag.to_owned());
        }
    }
    Ok((shebang.rest, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_stand_in_quotes() {
        let split = |line: &str| words(line);
        assert_eq!(split("#!lua  name=\"foo\" x").unwrap(), ["#!lua", "name=foo", "x"]);
        assert_eq!(split("#! 'a b'").unwrap(), ["#!", "a b"]);
        assert_eq!(split(r#"#!lua "a\"b""#).unwrap(), ["#!lua", "a\"b"]);
        for bad in ["#!lua \"", "#!lua 'x", "#!lua name=\"a\"b", "#!lua \"a\\"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
