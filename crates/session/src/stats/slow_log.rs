//! The commands that took long, for SLOWLOG.

use std::collections::VecDeque;

/// More arguments than this are only counted.
const ARGS_MAX: usize = 32;
/// More bytes of an argument than this are only counted.
const ARG_BYTES_MAX: usize = 128;

/// A slow command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slow {
    pub(crate) id: u64,
    /// When it had ended, in seconds since 1970.
    pub(crate) at: u64,
    pub(crate) micros: u64,
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) addr: String,
    pub(crate) name: Vec<u8>,
}

/// See the module: the newest first.
#[derive(Debug, Default)]
pub(crate) struct SlowLog {
    entries: VecDeque<Slow>,
    next_id: u64,
}

impl SlowLog {
    /// Notes a command, whose number is set here, and keeps as many as `len_max` says.
    pub(crate) fn add(&mut self, slow: Slow, len_max: usize) {
        self.entries.push_front(Slow { id: self.next_id, ..slow });
        self.next_id += 1;
        self.entries.truncate(len_max);
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Slow> {
        self.entries.iter()
    }

    /// Forgets all; numbers go on.
    pub(crate) fn reset(&mut self) {
        self.entries = VecDeque::new();
    }
}

/// A command as it is kept: many arguments and long ones are cut.
pub(crate) fn cut(args: &[&[u8]]) -> Vec<Vec<u8>> {
    let kept = if args.len() > ARGS_MAX { ARGS_MAX - 1 } else { args.len() };
    let mut cut: Vec<Vec<u8>> = args[..kept].iter().map(|arg| cut_arg(arg)).collect();
    if args.len() > kept {
        cut.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    cut
}

fn cut_arg(arg: &[u8]) -> Vec<u8> {
    let Some((kept, rest)) = arg.split_at_checked(ARG_BYTES_MAX).filter(|(_, rest)| !rest.is_empty()) else {
        return arg.to_vec();
    };
    let mut cut = kept.to_vec();
    cut.extend(format!("... ({} more bytes)", rest.len()).into_bytes());
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(name: &str) -> Slow {
        let args = vec![name.as_bytes().to_vec()];
        Slow { id: 0, at: 0, micros: 0, args, addr: String::new(), name: Vec::new() }
    }

    #[test]
    fn the_newest_are_kept_and_numbers_go_on() {
        let mut log = SlowLog::default();
        ["a", "b", "c"].iter().for_each(|name| log.add(slow(name), 2));
        let shown: Vec<_> = log.iter().map(|slow| (slow.id, slow.args[0].clone())).collect();
        assert_eq!(shown, [(2, b"c".to_vec()), (1, b"b".to_vec())]);
        log.reset();
        assert_eq!(log.iter().len(), 0);
        log.add(slow("d"), 0);
        assert_eq!(log.iter().len(), 0);
        log.add(slow("e"), 1);
        assert_eq!(log.iter().next().map(|slow| slow.id), Some(4));
    }

    #[test]
    fn what_is_long_is_cut() {
        let many: Vec<&[u8]> = vec![b"x"; 33];
        assert_eq!(cut(&many).len(), 32);
        assert_eq!(cut(&many)[31], b"... (2 more arguments)");
        assert_eq!(cut(&many[..32]), vec![b"x".to_vec(); 32]);
        let (fits, long) = ([b'a'; 128], [b'a'; 129]);
        assert_eq!(cut(&[&fits]), [fits.to_vec()]);
        assert_eq!(cut(&[&long])[0], [&fits[..], b"... (1 more bytes)"].concat());
    }
}
