//! A client of a simulated node: commands out, replies in, as bytes.

use std::collections::VecDeque;
use std::io;

use quorate_resp::{Value, ValueDecoder, ValueLimits, encode_command};

use crate::stream::ClientStream;

/// What arrives at a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// The answer to the first command that has none.
    Reply(Value),
    /// What the node tells it unasked (RESP3): a message, an invalidation; or that it has subscribed.
    Push(Vec<Value>),
}

/// A connection to a node, driven from outside the world. It never sends anything again by itself (R15).
pub struct SimClient {
    stream: ClientStream,
    decoder: ValueDecoder,
    replies: VecDeque<Value>,
    unanswered: usize,
}

impl SimClient {
    pub(crate) fn new(stream: ClientStream) -> Self {
        let decoder = ValueDecoder::new(ValueLimits::default());
        Self { stream, decoder, replies: VecDeque::new(), unanswered: 0 }
    }

    /// Sends a command behind those before it.
    pub fn send(&mut self, args: &[&[u8]]) {
        let mut bytes = Vec::new();
        encode_command(&mut bytes, args);
        self.stream.send(&bytes);
        self.unanswered += 1;
    }

    /// Sends a command that is answered by pushes alone: SUBSCRIBE and its kind, in RESP3.
    pub fn send_for_pushes(&mut self, args: &[&[u8]]) {
        self.send(args);
        self.unanswered -= 1;
    }

    /// What has arrived next, if anything.
    ///
    /// # Panics
    /// If what arrives is not RESP: no client could live with that.
    pub fn heard(&mut self) -> Option<Heard> {
        match self.value()? {
            Value::Push(parts) => Some(Heard::Push(parts)),
            reply => {
                self.unanswered = self.unanswered.checked_sub(1).expect("a reply for each command");
                Some(Heard::Reply(reply))
            }
        }
    }

    /// What has arrived next, whatever it is. For who keeps its own count of what it waits for: in RESP2 a message looks like a reply.
    ///
    /// # Panics
    /// If what arrives is not RESP.
    pub fn value(&mut self) -> Option<Value> {
        self.decoder.feed(&self.stream.received());
        while let Some(value) = self.decoder.next().expect("the node speaks RESP") {
            self.replies.push_back(value);
        }
        self.replies.pop_front()
    }

    /// The next reply, if it has arrived. What comes unasked before it is passed over.
    pub fn reply(&mut self) -> Option<Value> {
        loop {
            if let Heard::Reply(reply) = self.heard()? {
                return Some(reply);
            }
        }
    }

    /// How many commands were sent and not answered.
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// The connection has been made; it may have ended since.
    pub fn is_connected(&mut self) -> bool {
        self.stream.is_connected()
    }

    /// How the connection ended, once it has. Replies that came before are still there.
    pub fn ended(&mut self) -> Option<&io::Result<()>> {
        self.stream.ended()
    }
}
