//! What the rest of a node may want to hear of an entry: messages that were published, what happened to keys, keys whose
//! values clients may have cached (R18).
//!
//! News are neither state nor in a digest, and say nothing of snapshots: each node tells its own clients what its own apply did.
//! A node says what it wants to hear of; a node that wants nothing pays a branch for it.

use bitflags::bitflags;
use quorate_planted::{Bug, is_planted};

bitflags! {
    /// Which keyspace notifications there are: the classes of `notify-keyspace-events`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Events: u16 {
        /// `K`: they are published on a channel named after the key.
        const KEYSPACE = 1;
        /// `E`: they are published on a channel named after the event.
        const KEYEVENT = 1 << 1;
        /// `g`: commands for any type.
        const GENERIC = 1 << 2;
        /// `$`
        const STRING = 1 << 3;
        /// `l`
        const LIST = 1 << 4;
        /// `s`
        const SET = 1 << 5;
        /// `h`
        const HASH = 1 << 6;
        /// `z`
        const SORTED_SET = 1 << 7;
        /// `x`: keys that expire.
        const EXPIRED = 1 << 8;
        /// `e`: keys that are evicted for memory.
        const EVICTED = 1 << 9;
        /// `t`
        const STREAM = 1 << 10;
        /// `n`: keys that come into being. Not among those that `A` means.
        const NEW = 1 << 11;
        /// `d`: types of modules. There are none.
        const MODULE = 1 << 12;
        /// `A`: all but `n` and `m`.
        const ALL = Self::GENERIC.bits() | Self::STRING.bits() | Self::LIST.bits() | Self::SET.bits()
            | Self::HASH.bits() | Self::SORTED_SET.bits() | Self::EXPIRED.bits() | Self::EVICTED.bits()
            | Self::STREAM.bits() | Self::MODULE.bits();
    }
}

/// The letters of the classes, in the order in which CONFIG GET shows them.
const LETTERS: [(char, Events); 13] = [
    ('g', Events::GENERIC),
    ('$', Events::STRING),
    ('l', Events::LIST),
    ('s', Events::SET),
    ('h', Events::HASH),
    ('z', Events::SORTED_SET),
    ('x', Events::EXPIRED),
    ('e', Events::EVICTED),
    ('t', Events::STREAM),
    ('d', Events::MODULE),
    ('n', Events::NEW),
    ('K', Events::KEYSPACE),
    ('E', Events::KEYEVENT),
];

impl Events {
    /// The classes that a value of `notify-keyspace-events` means; `None` if it has a letter that means none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let of = |letter| match letter {
            'A' => Some(Self::ALL),
            _ => LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, events)| *events),
        };
        text.chars().try_fold(Self::empty(), |all, letter| Some(all | of(letter)?))
    }

    /// The same classes as text, in Redis's order.
    #[must_use]
    pub fn text(self) -> String {
        let mut text = String::new();
        let all = self.contains(Self::ALL);
        if all {
            text.push('A');
        }
        let shown =
            LETTERS.iter().filter(|(_, class)| self.contains(*class) && !(all && Self::ALL.contains(*class)));
        text.extend(shown.map(|(letter, _)| letter));
        text
    }

    /// Whether anything is published at all: a class, on a kind of channel.
    #[must_use]
    pub fn any(self) -> bool {
        self.intersects(Self::KEYSPACE | Self::KEYEVENT)
            && self.intersects(!(Self::KEYSPACE | Self::KEYEVENT))
    }
}

/// What a node wants to hear of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Messages and keyspace notifications: somebody has subscribed to something.
    pub messages: bool,
    /// Keys that change: somebody caches values.
    pub keys: bool,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A transaction or a script published a message.
    Message {
        /// Where.
        channel: Box<[u8]>,
        /// What.
        message: Box<[u8]>,
        /// On a channel of a shard (SPUBLISH).
        sharded: bool,
    },
    /// A keyspace notification.
    Event {
        /// The database.
        db: usize,
        /// What happened, such as `lpush`.
        event: &'static str,
        /// To which key.
        key: Box<[u8]>,
        /// On which kinds of channels it is published.
        on: Events,
    },
    /// A key changed, came or went.
    Changed {
        /// The database.
        db: usize,
        /// The key.
        key: Box<[u8]>,
        /// In which element of the entry, from 0; `None` if no element did it (expiry).
        by: Option<usize>,
        /// How many changes of keys were noted before it, ever: [`Meter::reads`](crate::Meter::reads) says the same of a read.
        at: u64,
    },
    /// Any key may have changed: FLUSHALL, FLUSHDB, SWAPDB.
    AnyChanged,
}

/// The news of one entry may take so many bytes. Messages beyond are dropped: they come at most once (R18). Of keys beyond it
/// is said that any may have changed.
const NEWS_BYTES_MAX: usize = 64 << 20;
/// What one of the news takes beside its own bytes.
const ITEM_BYTES: usize = 64;

/// Collects the news of an entry.
#[derive(Debug, Default)]
pub(crate) struct Gazette {
    interest: Interest,
    /// What `notify-keyspace-events` says.
    pub(crate) events: Events,
    /// The element of the entry at hand.
    element: Option<usize>,
    news: Vec<News>,
    /// What messages and events in `news` take.
    told_bytes: usize,
    /// What changed keys in it take.
    changed_bytes: usize,
    /// How many changes of keys were noted, ever.
    changes: u64,
    /// Messages and events that there was no room for, ever.
    dropped: u64,
}

impl Gazette {
    /// What is collected from now on.
    pub(crate) fn set_interest(&mut self, interest: Interest) {
        self.interest = interest;
    }

    /// What is collected.
    pub(crate) fn interest(&self) -> Interest {
        self.interest
    }

    /// See the field.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// See the field.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// What follows is done by this element of the entry.
    pub(crate) fn begin(&mut self, element: Option<usize>) {
        self.element = element;
    }

    pub(crate) fn message(&mut self, channel: &[u8], message: &[u8], sharded: bool) {
        if self.interest.messages && self.has_room(channel.len() + message.len()) {
            self.news.push(News::Message { channel: channel.into(), message: message.into(), sharded });
        }
    }

    pub(crate) fn event(&mut self, class: Events, event: &'static str, db: usize, key: &[u8]) {
        if self.interest.messages && self.events.contains(class) {
            let on = self.events & (Events::KEYSPACE | Events::KEYEVENT);
            if !on.is_empty() && self.has_room(key.len()) {
                self.news.push(News::Event { db, event, key: key.into(), on });
            }
        }
    }

    pub(crate) fn changed(&mut self, db: usize, key: &[u8]) {
        if self.interest.keys && self.changed_bytes <= NEWS_BYTES_MAX {
            self.changed_bytes += ITEM_BYTES + key.len();
            if self.changed_bytes > NEWS_BYTES_MAX {
                self.news.retain(|news| !matches!(news, News::Changed { .. }));
                self.news.push(News::AnyChanged);
            } else {
                let (by, at) = (self.element, self.changes);
                self.news.push(News::Changed { db, key: key.into(), by, at });
                self.changes += 1;
            }
        }
    }

    /// To say so once is enough: FLUSHALL says it of each database.
    pub(crate) fn any_changed(&mut self) {
        let is_said = self.news.last() == Some(&News::AnyChanged);
        let is_silent = is_planted(Bug::WipeNotTold);
        if self.interest.keys && !is_silent && !is_said && self.changed_bytes <= NEWS_BYTES_MAX {
            self.news.push(News::AnyChanged);
        }
    }

    pub(crate) fn take(&mut self) -> Vec<News> {
        (self.told_bytes, self.changed_bytes) = (0, 0);
        std::mem::take(&mut self.news)
    }

    /// Counts a message or an event. False: it must go.
    fn has_room(&mut self, bytes: usize) -> bool {
        let after = self.told_bytes + ITEM_BYTES + bytes;
        // One of any size has room.
        if self.told_bytes > 0 && after > NEWS_BYTES_MAX {
            self.dropped += 1;
            return false;
        }
        self.told_bytes = after;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_read_and_shown_as_redis_does() {
        for (text, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("Kx", "xK"),
            ("Elg", "glE"),
            ("g$lshzxetd", "A"),
            ("AKEn", "AnKE"),
            ("Kn", "nK"),
        ] {
            assert_eq!(Events::parse(text).expect("known letters").text(), shown, "{text}");
        }
        assert_eq!(Events::parse("KEq"), None);
    }

    #[test]
    fn nothing_is_published_without_a_kind_of_channel_and_a_class() {
        assert!(!Events::parse("A").expect("known").any());
        assert!(!Events::parse("KE").expect("known").any());
        assert!(Events::parse("Kg").expect("known").any());
    }

    #[test]
    fn only_what_is_wanted_is_collected() {
        let mut gazette = Gazette { events: Events::parse("KEg").expect("known"), ..Gazette::default() };
        let tell = |gazette: &mut Gazette| {
            gazette.message(b"c", b"m", false);
            gazette.event(Events::GENERIC, "del", 0, b"k");
            gazette.event(Events::LIST, "lpush", 0, b"k");
            gazette.changed(0, b"k");
            gazette.any_changed();
            gazette.take().len()
        };
        assert_eq!(tell(&mut gazette), 0);
        gazette.set_interest(Interest { messages: true, keys: false });
        assert_eq!(tell(&mut gazette), 2, "the message and one event");
        gazette.set_interest(Interest { messages: false, keys: true });
        assert_eq!(tell(&mut gazette), 2);
    }

    #[test]
    fn the_news_of_an_entry_have_a_bound() {
        let mut gazette = Gazette { events: Events::parse("KEg").expect("known"), ..Gazette::default() };
        gazette.set_interest(Interest { messages: true, keys: true });
        let long = vec![b'x'; NEWS_BYTES_MAX / 4];
        for _ in 0..10 {
            gazette.message(b"c", &long, false);
            gazette.changed(0, &long);
        }
        gazette.any_changed();
        let news = gazette.take();
        let messages = news.iter().filter(|news| matches!(news, News::Message { .. })).count();
        assert_eq!((messages, gazette.dropped()), (3, 7));
        let keys: Vec<_> = news.iter().filter(|news| !matches!(news, News::Message { .. })).collect();
        assert_eq!(keys, [&News::AnyChanged], "no key is forgotten");
        gazette.changed(0, b"k");
        assert_eq!(gazette.take().len(), 1, "the next entry begins anew");
        gazette.message(b"c", &vec![b'x'; 2 * NEWS_BYTES_MAX], false);
        assert_eq!(gazette.take().len(), 1, "one of any size has room");
    }
}
