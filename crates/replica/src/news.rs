//! What this node's clients hear of: what entries did, and what clients of other nodes published (R18).

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use quorate_keyspace::{Interest, Keyspace, News};
use quorate_planted::{Bug, is_planted};

use crate::bus::{Held, Publication};

/// Is told what happened, in order: after each entry that did something of interest, and of messages from other nodes. Behind
/// the news stand the clients of this node whose commands the entry carried, by the place of the command; 0 is a client of
/// another node.
pub type OnNews = Rc<dyn Fn(&[News], &[u64])>;

/// Whom to tell of what.
#[derive(Clone)]
pub struct Audience {
    /// What is of interest now.
    pub interest: Rc<Cell<Interest>>,
    /// Hears of it.
    pub on_news: OnNews,
    /// Whether it takes time to find out who is to hear of a message on a channel of this length.
    pub takes_time: Rc<dyn Fn(usize) -> bool>,
}

impl Default for Audience {
    fn default() -> Self {
        Self { interest: Rc::default(), on_news: Rc::new(|_, _| ()), takes_time: Rc::new(|_| false) }
    }
}

/// See the module.
pub(crate) struct Desk {
    audience: Audience,
    /// Messages that wait for this node to apply what their senders had written before them, in the order of arrival.
    held: VecDeque<(Publication, Held)>,
}

impl Desk {
    pub(crate) fn new(audience: Audience) -> Self {
        Self { audience, held: VecDeque::new() }
    }

    /// Before an entry is applied. Whether it matters whose commands it carries.
    pub(crate) fn before(&self, keyspace: &mut Keyspace) -> bool {
        let interest = self.audience.interest.get();
        keyspace.set_interest(interest);
        interest.keys
    }

    /// After it; `authors` are the clients of this node whose commands it carried, by place.
    pub(crate) fn after(&mut self, keyspace: &mut Keyspace, authors: &[u64]) {
        let news = keyspace.take_news();
        if !news.is_empty() {
            (self.audience.on_news)(&news, authors);
        }
        self.deliver(keyspace.index());
    }

    /// Whether it takes time to hand out a message.
    pub(crate) fn takes_time(&self, publication: &Publication) -> bool {
        (self.audience.takes_time)(publication.channel.len())
    }

    /// A message of another node's client.
    pub(crate) fn published(&mut self, publication: Publication, held: Held, index: u64) {
        self.held.push_back((publication, held));
        self.deliver(index);
    }

    /// There may be changes that this node's clients were not told of.
    pub(crate) fn gap(&self) {
        if self.audience.interest.get().keys {
            (self.audience.on_news)(&[News::AnyChanged], &[]);
        }
    }

    /// Hands out the messages that waited for the state to come to `index`.
    pub(crate) fn deliver(&mut self, index: u64) {
        let is_due = |after| after <= index || is_planted(Bug::MessageBeforeWrite);
        while self.held.front().is_some_and(|(publication, _)| is_due(publication.after)) {
            let Some((publication, _)) = self.held.pop_front() else { return };
            let Publication { channel, message, sharded, .. } = publication;
            let (channel, message) = (channel.as_ref().into(), message.as_ref().into());
            (self.audience.on_news)(&[News::Message { channel, message, sharded }], &[]);
        }
    }
}
