//! What subscribers have heard (`messages`): R18.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Promise, Violation};

/// A message that one connection has published, or that one connection was told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    /// On which channel, and by what kind of subscription if there are several.
    pub channel: String,
    /// Which connection has published it.
    pub publisher: u64,
    /// Its number: each message of a publisher has a larger one.
    pub number: u64,
}

fn violation(what: String) -> Violation {
    Violation::new(Promise::Messages, what)
}

/// Checks what one subscriber has heard, in the order in which it has: the messages of each publisher on each channel in the order in
/// which it has sent them, and none twice. Some may be missing.
///
/// # Errors
/// The first message that is wrong.
pub fn check_order(heard: &[Message]) -> Result<(), Violation> {
    let mut last: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for message in heard {
        let before = last.insert((&message.channel, message.publisher), message.number);
        if let Some(before) = before.filter(|before| *before >= message.number) {
            let what = if before == message.number { "twice" } else { "behind a later one" };
            return Err(violation(format!("{message:?} was heard {what} ({before})")));
        }
    }
    Ok(())
}

/// Checks what one subscriber has heard of messages that stand in the log, where each has the next number: from the first one on that
/// it has heard, none is missing.
///
/// # Errors
/// The first one that is missing, or comes out of order.
pub fn check_unbroken(numbers: &[u64]) -> Result<(), Violation> {
    match numbers.windows(2).find(|pair| pair[1] != pair[0] + 1) {
        Some(pair) => {
            Err(violation(format!("of the log's messages, {} was heard behind {}", pair[1], pair[0])))
        }
        None => Ok(()),
    }
}

/// Checks that one subscriber has heard all of these messages.
///
/// # Errors
/// One that is missing.
pub fn check_complete(heard: &[Message], sent: &[Message]) -> Result<(), Violation> {
    let heard: BTreeSet<&Message> = heard.iter().collect();
    match sent.iter().find(|message| !heard.contains(message)) {
        Some(missing) => Err(violation(format!("{missing:?} did not arrive"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(channel: &str, publisher: u64, number: u64) -> Message {
        Message { channel: channel.to_owned(), publisher, number }
    }

    #[test]
    fn messages_come_in_order_and_once() {
        let fine = [
            message("a", 1, 1),
            message("b", 1, 1),
            message("a", 2, 9),
            message("a", 1, 4),
            message("b", 1, 2),
        ];
        check_order(&fine).unwrap();
        for wrong in [[1, 1], [2, 1]] {
            let heard = wrong.map(|number| message("a", 1, number));
            assert_eq!(check_order(&heard).unwrap_err().promise, Promise::Messages, "{wrong:?}");
        }
    }

    #[test]
    fn messages_of_the_log_have_no_gap() {
        check_unbroken(&[]).unwrap();
        check_unbroken(&[7, 8, 9]).unwrap();
        for wrong in [[7, 9], [7, 7], [8, 7]] {
            assert_eq!(check_unbroken(&wrong).unwrap_err().promise, Promise::Messages, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let sent = [message("a", 1, 1), message("a", 1, 2)];
        check_complete(&[message("b", 1, 1), sent[1].clone(), sent[0].clone()], &sent).unwrap();
        let missing = check_complete(&sent[..1], &sent).unwrap_err();
        assert!(missing.promise == Promise::Messages && missing.what.contains("number: 2"), "{missing}");
    }
}
