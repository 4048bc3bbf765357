//! What scripts say to the log of the node that they run on first. It is no part of the state: only the node whose client waits for the
//! reply keeps the lines, until whoever applies entries takes them.

/// Longest line, in bytes.
const LINE_BYTES_MAX: usize = 1024;

/// Most lines of one run, and most that wait to be taken.
const LINES_MAX: usize = 100;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// `redis.LOG_DEBUG`
    Debug,
    /// `redis.LOG_VERBOSE`
    Verbose,
    /// `redis.LOG_NOTICE`
    Notice,
    /// `redis.LOG_WARNING`
    Warning,
}

impl LogLevel {
    /// Of a number that a script gives.
    pub(super) fn of(number: f64) -> Option<Self> {
        match number as i64 {
            0 => Some(Self::Debug),
            1 => Some(Self::Verbose),
            2 => Some(Self::Notice),
            3 => Some(Self::Warning),
            _ => None,
        }
    }
}

/// A line that a script wants in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// On one line, whatever the script has put into it.
    pub text: String,
}

/// Lines that wait, as many as may.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    kept: Vec<LogLine>,
    /// How many more there were.
    dropped: usize,
}

impl Lines {
    /// Adds a line, made of these parts.
    pub(super) fn push(&mut self, level: LogLevel, parts: &[Vec<u8>]) {
        if self.kept.len() >= LINES_MAX {
            self.dropped += 1;
            return;
        }
        let bytes = parts.join(&b' ');
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LINE_BYTES_MAX)]);
        let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.kept.push(LogLine { level, text });
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.dropped = 0;
    }

    /// Whether there is nothing to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.dropped == 0
    }

    /// Moves the lines of a run behind these.
    pub(crate) fn append(&mut self, run: &mut Self) {
        let room = LINES_MAX.saturating_sub(self.kept.len()).min(run.kept.len());
        self.dropped += run.dropped + run.kept.len() - room;
        self.kept.extend(run.kept.drain(..room));
        run.clear();
    }

    /// The lines, and one more that says how many were dropped.
    pub(crate) fn take(&mut self) -> Vec<LogLine> {
        let mut lines = std::mem::take(&mut self.kept);
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let text = format!("{dropped} more lines of scripts were dropped");
            lines.push(LogLine { level: LogLevel::Warning, text });
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_in_number_and_size() {
        let mut run = Lines::default();
        for _ in 0..LINES_MAX + 7 {
            run.push(LogLevel::Notice, &[vec![b'x'; 5000], b"more".to_vec()]);
        }
        let mut lines = Lines::default();
        lines.push(LogLevel::Debug, &[b"one\r\ntwo\x1b[0m".to_vec(), b"three".to_vec()]);
        lines.append(&mut run);
        assert!(run.is_empty() && !lines.is_empty());
        let taken = lines.take();
        assert!(lines.is_empty());
        assert_eq!(taken[0], LogLine { level: LogLevel::Debug, text: "one  two [0m three".to_owned() });
        assert_eq!(taken.len(), LINES_MAX + 1);
        assert!(taken.iter().all(|line| line.text.len() <= LINE_BYTES_MAX));
        assert_eq!(taken[LINES_MAX].text, "8 more lines of scripts were dropped");
    }
}
