//! `client-output-buffer-limit`: how many bytes of replies may wait for a client that does not read them.

use std::fmt;
use std::time::Duration;

use super::kind::{parse_bytes, parse_integer};

/// When a client that does not read its replies is disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimit {
    /// At once when this many bytes wait; 0 is no limit.
    pub hard_bytes: u64,
    /// When this many bytes wait for [`Self::soft`] without a break; 0 is no limit.
    pub soft_bytes: u64,
    /// See [`Self::soft_bytes`].
    pub soft: Duration,
}

/// One limit per class of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimits {
    /// Clients that send commands.
    pub normal: OutputLimit,
    /// Replicas in Redis. Quorate's nodes talk over the bus, so it is kept and shown, and limits nothing.
    pub replica: OutputLimit,
    /// Clients that have subscribed.
    pub pubsub: OutputLimit,
}

impl OutputLimits {
    /// Reads the form that [`fmt::Display`] writes, or some of its classes.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut limits = Self::default();
        limits.update(text)?;
        Ok(limits)
    }

    /// Sets the classes that `text` names; on an error, nothing.
    pub(super) fn update(&mut self, text: &str) -> Result<(), String> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        if words.is_empty() || !words.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        let mut updated = *self;
        for class in words.chunks_exact(4) {
            let limit = updated
                .class(class[0])
                .ok_or("Invalid client class specified in buffer limit configuration.")?;
            *limit = parse_limit(class[1], class[2], class[3])
                .ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
        }
        *self = updated;
        Ok(())
    }

    fn class(&mut self, name: &str) -> Option<&mut OutputLimit> {
        match name.to_ascii_lowercase().as_str() {
            "normal" => Some(&mut self.normal),
            "slave" | "replica" => Some(&mut self.replica),
            "pubsub" => Some(&mut self.pubsub),
            _ => None,
        }
    }
}

fn parse_limit(hard: &str, soft: &str, seconds: &str) -> Option<OutputLimit> {
    Some(OutputLimit {
        hard_bytes: u64::try_from(parse_bytes(hard)?).ok()?,
        soft_bytes: u64::try_from(parse_bytes(soft)?).ok()?,
        soft: Duration::from_secs(u64::try_from(parse_integer(seconds)?).ok()?),
    })
}

impl fmt::Display for OutputLimits {
    /// As CONFIG GET shows it, the class of replicas under its old name as in Redis.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = [("normal", self.normal), (" slave", self.replica), (" pubsub", self.pubsub)];
        for (name, limit) in classes {
            write!(f, "{name} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft.as_secs())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";

    #[test]
    fn naming_one_class_leaves_the_others() {
        let mut limits = OutputLimits::parse(DEFAULT).unwrap();
        limits.update("pubsub 64mb 16mb 90").unwrap();
        assert_eq!(
            limits.to_string(),
            "normal 0 0 0 slave 268435456 67108864 60 pubsub 67108864 16777216 90"
        );
        assert_eq!(limits.pubsub.soft, Duration::from_secs(90));
    }

    #[test]
    fn an_error_changes_nothing() {
        let mut limits = OutputLimits::parse(DEFAULT).unwrap();
        for text in ["", "foo", "normal 1 2", "foo 1 2 3", "normal 1 2 3 pubsub a 2 3", "normal 1 2 -3"] {
            assert!(limits.update(text).is_err(), "{text:?}");
        }
        assert_eq!(limits.to_string(), DEFAULT);
    }
}
