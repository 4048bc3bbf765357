//! Replies as text: `+OK`, `-ERR ...`, `7`, `,1.5`, `"bytes"`, `nil`, `nil-array`, `[a, b]`, `{a: b}`, `~[a, b]`.

/// Describes the one reply that `bytes` are.
pub(super) fn describe(bytes: &[u8]) -> String {
    let mut rest = bytes;
    let text = take_reply(&mut rest);
    assert!(rest.is_empty(), "one reply, not {:?} more", rest.escape_ascii().to_string());
    text
}

fn take_reply(rest: &mut &[u8]) -> String {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a reply has a line end");
    let line = String::from_utf8(rest[..end].to_vec()).expect("heads of replies are ASCII");
    *rest = &rest[end + 2..];
    let (kind, value) = line.split_at(1);
    match kind {
        "+" | "-" | "," => line,
        ":" => value.to_owned(),
        "_" => "nil".to_owned(),
        "$" if value == "-1" => "nil".to_owned(),
        "*" if value == "-1" => "nil-array".to_owned(),
        "$" => take_bulk(rest, value.parse().expect("a length")),
        "*" => {
            let elements: Vec<String> = (0..count(value)).map(|_| take_reply(rest)).collect();
            format!("[{}]", elements.join(", "))
        }
        "%" => {
            let pair = |rest: &mut _| format!("{}: {}", take_reply(rest), take_reply(rest));
            let pairs: Vec<String> = (0..count(value)).map(|_| pair(rest)).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        "~" => {
            let elements: Vec<String> = (0..count(value)).map(|_| take_reply(rest)).collect();
            format!("~[{}]", elements.join(", "))
        }
        _ => panic!("an unexpected kind of reply: {line}"),
    }
}

fn count(text: &str) -> usize {
    text.parse().expect("a count")
}

fn take_bulk(rest: &mut &[u8], len: usize) -> String {
    let (bytes, after) = rest.split_at(len);
    *rest = after.strip_prefix(b"\r\n").expect("a bulk string has a line end");
    format!("\"{}\"", bytes.escape_ascii())
}
