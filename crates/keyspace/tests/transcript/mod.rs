//! Runs commands against one keyspace and writes their replies as text.

mod reply_text;

use quorate_keyspace::{
    Host, Keyspace, Outcome, Reply,
    batch::{BatchBuilder, Header, SEMANTICS},
};
use quorate_resp::Protocol;

/// Where the log's time begins, in milliseconds.
const START_MS: u64 = 1_000_000;
const TERM: u64 = 1;

/// One keyspace with one client, each of whose commands is an entry of the log.
pub(crate) struct Server {
    pub(crate) keyspace: Keyspace,
    protocol: Protocol,
    pub(crate) time_ms: u64,
}

/// Runs a transcript: `command => reply` on each line, `@ time` to move the log's time, `HELLO 3` to change the
/// protocol.
pub(crate) fn check(transcript: &str) {
    let mut server = Server::new();
    for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once(" => ") {
            Some((command, expected)) => {
                let words: Vec<&[u8]> =
                    command.split(' ').map(|word| word.trim_matches('"').as_bytes()).collect();
                assert_eq!(server.run(&words), expected, "{command}");
            }
            None if line == "HELLO 3" => server.protocol = Protocol::Resp3,
            None => {
                let time = line.strip_prefix("@ ").expect("a line has a reply, or is a directive");
                server.time_ms = time.parse().expect("a time is a number");
            }
        }
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        Self { keyspace: Keyspace::new(16), protocol: Protocol::Resp2, time_ms: START_MS }
    }

    /// A snapshot of the state makes the same state.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn check_reload(&self) {
        self.keyspace.check_reload().unwrap();
    }

    /// The reply as text: see [`reply_text`].
    pub(crate) fn run(&mut self, args: &[&[u8]]) -> String {
        let index = self.keyspace.index() + 1;
        let header = Header {
            semantics: SEMANTICS,
            time_ms: self.time_ms,
            seed: index,
            term: TERM,
            origin_node: 1,
            origin_start: 1,
            origin_epoch: 1,
            origin_seq: index,
            memory_short: false,
            few_replicas: false,
        };
        let mut batch = BatchBuilder::new();
        batch.command(0, args);
        let mut client = Client { out: Vec::new(), protocol: self.protocol };
        let applied = self.keyspace.apply(index, TERM, &batch.finish(&header), &mut client);
        assert_eq!(applied.outcome, Outcome::Applied);
        reply_text::describe(&client.out)
    }
}

struct Client {
    out: Vec<u8>,
    protocol: Protocol,
}

impl Host for Client {
    fn reply(&mut self, _: usize, run: &mut dyn FnMut(&mut Reply<'_>)) {
        run(&mut Reply::new(&mut self.out, self.protocol));
    }
}
