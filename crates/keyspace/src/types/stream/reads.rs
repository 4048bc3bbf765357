//! How far the groups of a stream have got, as far as that can be told.
//!
//! A group counts the entries it was given. The count is sure as long as no entry that it has yet to get was deleted;
//! otherwise it can still be told at the two ends of the stream.

use super::{Group, Stream, StreamId};

impl Stream {
    /// How many entries a group has yet to get, if that can be told.
    pub(crate) fn lag(&self, group: &Group) -> Option<i64> {
        let added = self.entries_added as i64;
        if self.entries_added == 0 {
            return Some(0);
        }
        let read = match group.entries_read() {
            Some(read) if !self.may_have_gaps_from(group.last_id()) => Some(read),
            _ => self.entries_up_to(group.last_id()),
        };
        read.map(|read| added.wrapping_sub(read))
    }

    /// The count of a group that is given the entry `id` next.
    pub(crate) fn count_read(&self, read: Option<i64>, id: StreamId) -> Option<i64> {
        match read {
            Some(read) if !self.may_have_gaps_from(id) => Some(read.wrapping_add(1)),
            _ if self.entries_added > 0 => self.entries_up_to(id),
            read => read,
        }
    }

    /// Whether an entry that is not before `start` has been deleted one by one.
    fn may_have_gaps_from(&self, start: StreamId) -> bool {
        self.len > 0
            && self.max_deleted_id != StreamId::MIN
            && self.first_id <= self.max_deleted_id
            && start <= self.max_deleted_id
    }

    /// How many of all entries ever added were not behind `id`, if that can be told.
    pub(crate) fn entries_up_to(&self, id: StreamId) -> Option<i64> {
        let added = self.entries_added as i64;
        if self.entries_added == 0 {
            return Some(0);
        }
        if id == self.last_id || (self.len == 0 && id < self.last_id) {
            return Some(added);
        }
        if id > self.last_id {
            return None;
        }
        let has_no_gaps = self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id;
        let before_first = added.wrapping_sub(self.len as i64);
        match id.cmp(&self.first_id) {
            _ if !has_no_gaps => None,
            std::cmp::Ordering::Less => Some(before_first),
            std::cmp::Ordering::Equal => Some(before_first.wrapping_add(1)),
            std::cmp::Ordering::Greater => None,
        }
    }
}
