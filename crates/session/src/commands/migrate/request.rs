//! What a command line of MIGRATE asks for.

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_keyspace::CommandError;

/// What a timeout of zero, or less, means.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);

/// `MIGRATE host port key|"" destination-db timeout [COPY] [REPLACE] [AUTH password | AUTH2 username password]
/// [KEYS key ...]`
pub(super) struct Request {
    pub(super) host: String,
    pub(super) port: String,
    pub(super) db: i64,
    /// For each step on the network.
    pub(super) timeout: Duration,
    pub(super) copy: bool,
    pub(super) replace: bool,
    /// What follows AUTH; nothing if there is to be none.
    pub(super) auth: Vec<Vec<u8>>,
    /// Each once.
    pub(super) keys: Vec<Vec<u8>>,
}

impl Request {
    /// The number of arguments is right.
    pub(super) fn parse(args: &[Vec<u8>]) -> Result<Self, CommandError> {
        const KEY_GIVEN: CommandError = CommandError::fixed(
            "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
        );
        let (mut copy, mut replace, mut username, mut password) = (false, false, None, None);
        let mut keys = &args[3..4];
        let mut options = args[6..].iter();
        while let Some(option) = options.next() {
            let mut next = || options.next().cloned().ok_or(CommandError::SYNTAX);
            match option.to_ascii_lowercase().as_slice() {
                b"copy" => copy = true,
                b"replace" => replace = true,
                b"auth" => password = Some(next()?),
                b"auth2" => (username, password) = (Some(next()?), Some(next()?)),
                b"keys" if !args[3].is_empty() => return Err(KEY_GIVEN),
                b"keys" => {
                    keys = options.as_slice();
                    break;
                }
                _ => return Err(CommandError::SYNTAX),
            }
        }
        let timeout = quorate_resp::parse_integer(&args[5]).ok_or(CommandError::NOT_AN_INTEGER)?;
        let db = quorate_resp::parse_integer(&args[4]).ok_or(CommandError::NOT_AN_INTEGER)?;
        let timeout = u64::try_from(timeout).ok().filter(|&ms| ms > 0).map(Duration::from_millis);
        let mut seen = BTreeSet::new();
        Ok(Self {
            host: String::from_utf8_lossy(&args[1]).into_owned(),
            port: String::from_utf8_lossy(&args[2]).into_owned(),
            db,
            timeout: timeout.unwrap_or(TIMEOUT_DEFAULT),
            copy,
            replace,
            auth: password
                .map(|password| username.into_iter().chain([password]).collect())
                .unwrap_or_default(),
            keys: keys.iter().filter(|key| seen.insert(key.as_slice())).cloned().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, CommandError> {
        let words: Vec<Vec<u8>> =
            line.split(' ').map(|word| word.trim_matches('"').as_bytes().to_vec()).collect();
        Request::parse(&words)
    }

    #[test]
    fn options_come_in_any_order_before_the_keys() {
        let request = parse("MIGRATE h 1 \"\" 2 50 replace AUTH2 keys KEYS copy Keys a keys b a").unwrap();
        assert!(request.copy && request.replace);
        assert_eq!(request.auth, [b"keys", b"KEYS"]);
        assert_eq!(request.keys, [&b"a"[..], b"keys", b"b"], "each key once");
        assert_eq!((request.db, request.timeout), (2, Duration::from_millis(50)));
        let request = parse("MIGRATE h 1 k 0 -3 AUTH secret").unwrap();
        assert_eq!((request.keys, request.auth), (vec![b"k".to_vec()], vec![b"secret".to_vec()]));
        assert_eq!(request.timeout, TIMEOUT_DEFAULT);
    }

    #[test]
    fn what_is_wrong_is_said_as_redis_says_it() {
        let text = |line: &str| parse(line).err().unwrap().text().to_owned();
        assert_eq!(text("MIGRATE h 1 k 0 x NOPE"), "ERR syntax error");
        assert_eq!(text("MIGRATE h 1 k 0 1 AUTH"), "ERR syntax error");
        assert_eq!(text("MIGRATE h 1 k 0 1 AUTH2 one"), "ERR syntax error");
        assert!(text("MIGRATE h 1 k 0 1 KEYS a").starts_with("ERR When using MIGRATE KEYS option"));
        assert_eq!(text("MIGRATE h 1 k x 1"), CommandError::NOT_AN_INTEGER.text());
        assert_eq!(text("MIGRATE h 1 k 0 1.5"), CommandError::NOT_AN_INTEGER.text());
    }
}
