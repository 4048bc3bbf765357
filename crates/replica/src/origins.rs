//! Which nodes the leader takes for gone, as far as clients that wait for keys are concerned (R17).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_env::Instant;

use crate::types::NodeId;

/// What was asked for is asked for again after this time.
const PAUSE: Duration = Duration::from_secs(1);

/// What a leader remembers of nodes whose clients wait.
#[derive(Default)]
pub(crate) struct Origins {
    /// Since when it looks: what went before it, a leader does not know.
    since: Option<Instant>,
    /// When it has last asked that a node's waiters be dropped.
    asked: BTreeMap<NodeId, Instant>,
}

impl Origins {
    /// Another leader, or the same one in another term.
    pub(crate) fn begin_anew(&mut self) {
        *self = Self::default();
    }

    /// Which of the nodes whose clients wait (with their starts) are gone: those that are not among the members, those whose
    /// processes have ended (`down`), and those not heard of for longer than `patience`.
    pub(crate) fn gone(
        &mut self,
        waiting: Vec<(NodeId, u64)>,
        heard: &BTreeMap<NodeId, Option<Instant>>,
        down: &BTreeSet<NodeId>,
        patience: Duration,
    ) -> Vec<(NodeId, u64)> {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let is_gone = |node: &NodeId| match heard.get(node) {
            None => true,
            Some(_) if down.contains(node) => true,
            Some(last) => now.duration_since(last.map_or(since, |last| last.max(since))) > patience,
        };
        self.asked.retain(|_, at| now.duration_since(*at) < PAUSE);
        let gone = waiting.into_iter().filter(|(node, _)| is_gone(node));
        let gone: Vec<_> = gone.filter(|(node, _)| !self.asked.contains_key(node)).collect();
        self.asked.extend(gone.iter().map(|(node, _)| (*node, now)));
        gone
    }
}

#[cfg(test)]
mod tests {
    use quorate_env::clock::{self, Simulated};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn at<T>(ms: u64, look: impl FnOnce() -> T) -> T {
        let _clock = clock::install(Simulated { boot_ns: ms * 1_000_000, wall_ms: 0 });
        look()
    }

    #[test]
    fn who_is_silent_or_no_member_is_gone() {
        let mut origins = Origins::default();
        let then = at(5_000, Instant::now);
        let heard = BTreeMap::from([(1, Some(then)), (2, None)]);
        let mut gone = |ms, heard: &_| {
            at(ms, || origins.gone(vec![(1, 7), (2, 8), (3, 9)], heard, &BTreeSet::new(), PATIENCE))
        };
        assert_eq!(gone(5_000, &heard), [(3, 9)]);
        assert_eq!(gone(5_900, &heard), [], "it was asked for");
        assert_eq!(gone(6_000, &heard), [(3, 9)], "it was lost");
        assert_eq!(gone(15_000, &heard), [(3, 9)]);
        assert_eq!(gone(16_001, &heard), [(1, 7), (2, 8), (3, 9)]);
        let now = at(17_500, Instant::now);
        assert_eq!(gone(17_500, &BTreeMap::from([(1, Some(now)), (2, Some(now))])), [(3, 9)]);
        origins.begin_anew();
        assert_eq!(
            at(90_000, || origins.gone(vec![(1, 7), (2, 8)], &heard, &BTreeSet::new(), PATIENCE)),
            [],
            "a new leader looks anew"
        );
    }

    #[test]
    fn who_has_ended_is_gone_at_once() {
        let mut origins = Origins::default();
        let heard = BTreeMap::from([(1, Some(at(5_000, Instant::now))), (2, None)]);
        let gone = at(5_100, || origins.gone(vec![(1, 7), (2, 8)], &heard, &BTreeSet::from([1]), PATIENCE));
        assert_eq!(gone, [(1, 7)]);
    }
}
