//! What this node's clients hear without having asked at that moment: messages, keyspace notifications, invalidations.

use std::rc::Rc;

use quorate_keyspace::News;
use quorate_planted::{Bug, is_planted};
use quorate_replica::Audience;

use crate::channels::Channels;
use crate::tracking::Tracking;

/// Who is told what happens.
pub(crate) fn audience(channels: Rc<Channels>, tracking: Rc<Tracking>) -> Audience {
    let interest = channels.interest();
    let listeners = channels.clone();
    let takes_time = Rc::new(move |channel_len| listeners.takes_time(channel_len));
    let on_news = Rc::new(move |news: &[News], authors: &[u64]| {
        for item in news {
            match item {
                News::Message { channel, message, sharded } => {
                    channels.deliver(channel, message, *sharded);
                }
                News::Event { .. }
                    if is_planted(Bug::EventToldAtOriginOnly) && authors.iter().all(|id| *id == 0) => {}
                News::Event { db, event, key, on } => channels.tell_event(*db, event, key, *on),
                News::Changed { key, by, at, .. } => {
                    tracking.changed(key, by.and_then(|n| authors.get(n)).copied(), *at);
                }
                News::AnyChanged => tracking.all_changed(),
            }
        }
        tracking.broadcast();
    });
    Audience { interest, on_news, takes_time }
}
