//! Delays that were worth noting, by what caused them, for LATENCY.

use std::collections::{BTreeMap, VecDeque};

/// So many delays are kept of each event.
const SAMPLES_MAX: usize = 160;

/// A delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// In seconds since 1970.
    pub(crate) at: u64,
    pub(crate) ms: u64,
}

/// What has delayed others.
#[derive(Debug, Default)]
pub(crate) struct Event {
    samples: VecDeque<Sample>,
    /// The longest delay ever.
    pub(crate) longest_ms: u64,
}

impl Event {
    /// Delays of one second count as one, the longest of them.
    fn add(&mut self, sample: Sample) {
        self.longest_ms = self.longest_ms.max(sample.ms);
        if let Some(last) = self.samples.back_mut().filter(|last| last.at == sample.at) {
            last.ms = last.ms.max(sample.ms);
            return;
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Oldest first; there is at least one.
    pub(crate) fn samples(&self) -> impl ExactSizeIterator<Item = Sample> {
        self.samples.iter().copied()
    }

    pub(crate) fn latest(&self) -> Sample {
        *self.samples.back().expect("an event begins with a delay")
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    events: BTreeMap<&'static str, Event>,
}

impl Latency {
    pub(crate) fn add(&mut self, event: &'static str, sample: Sample) {
        self.events.entry(event).or_default().add(sample);
    }

    pub(crate) fn get(&self, event: &str) -> Option<&Event> {
        self.events.get(event)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&'static str, &Event)> {
        self.events.iter().map(|(name, event)| (*name, event))
    }

    /// Forgets an event. Whether there was one.
    pub(crate) fn reset(&mut self, event: &str) -> bool {
        self.events.remove(event).is_some()
    }

    /// Forgets all events. How many there were.
    pub(crate) fn reset_all(&mut self) -> usize {
        std::mem::take(&mut self.events).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_delay_and_an_event_160() {
        let mut latency = Latency::default();
        latency.add("command", Sample { at: 1, ms: 5 });
        latency.add("command", Sample { at: 1, ms: 9 });
        latency.add("command", Sample { at: 1, ms: 7 });
        let event = latency.get("command").expect("it was added");
        assert_eq!(event.samples().collect::<Vec<_>>(), [Sample { at: 1, ms: 9 }]);
        (2..=200).for_each(|at| latency.add("command", Sample { at, ms: 1 }));
        let event = latency.get("command").expect("it was added");
        assert_eq!((event.samples().len(), event.longest_ms), (SAMPLES_MAX, 9));
        assert_eq!(event.samples().next(), Some(Sample { at: 41, ms: 1 }));
        assert_eq!(event.latest().at, 200);
        assert!(latency.reset("command") && !latency.reset("command"));
        latency.add("apply", Sample { at: 1, ms: 5 });
        assert_eq!((latency.reset_all(), latency.iter().len()), (1, 0));
    }
}
