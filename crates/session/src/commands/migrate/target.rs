//! The server that keys go to.

use std::io::ErrorKind;
use std::time::Duration;

use quorate_env::{Stream, timeout};
use quorate_keyspace::CommandError;
use quorate_resp::{Value, ValueDecoder, ValueLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::request::Request;
use super::round::Item;
use crate::node::Node;

/// So many bytes are written in one step, which may take as long as the timeout.
const STEP_BYTES: usize = 64 << 10;
/// No answer to AUTH, SELECT or RESTORE is longer.
const REPLY_BYTES_MAX: usize = 64 << 10;

pub(super) const IOERR_CONNECT: CommandError =
    CommandError::fixed("IOERR error or timeout connecting to the client");
const IOERR_WRITE: CommandError = CommandError::fixed("IOERR error or timeout writing to target instance");
const IOERR_READ: CommandError = CommandError::fixed("IOERR error or timeout reading to target instance");

type Done = Result<(), CommandError>;

/// A connection of its own: MIGRATE makes one for each command and keeps none.
pub(super) struct Target {
    stream: Stream,
    timeout: Duration,
    decoder: ValueDecoder,
    out: Vec<u8>,
}

impl Target {
    pub(super) async fn connect(node: &Node, request: &Request) -> Result<Self, CommandError> {
        let host = match request.host.contains(':') {
            true => format!("[{}]", request.host.trim_matches(['[', ']'])),
            false => request.host.clone(),
        };
        // What is no port is one where nobody listens.
        let port: u16 = request.port.parse().unwrap_or(0);
        let addr = format!("{host}:{port}");
        let connected = timeout(request.timeout, node.network.connect(&addr)).await;
        // Redis finds out that it was refused when it writes.
        let stream = connected.map_err(|_| IOERR_CONNECT)?.map_err(|error| match error.kind() {
            ErrorKind::ConnectionRefused => IOERR_WRITE,
            _ => IOERR_CONNECT,
        })?;
        let limits = ValueLimits {
            bulk_bytes: REPLY_BYTES_MAX,
            reply_bytes: REPLY_BYTES_MAX,
            ..ValueLimits::default()
        };
        Ok(Self { stream, timeout: request.timeout, decoder: ValueDecoder::new(limits), out: Vec::new() })
    }

    /// Authenticates and selects the database, before anything is sent.
    pub(super) async fn greet(&mut self, request: &Request) -> Done {
        let mut expected = 1;
        if !request.auth.is_empty() {
            let mut line: Vec<&[u8]> = vec![b"AUTH"];
            line.extend(request.auth.iter().map(Vec::as_slice));
            self.command(&line).await?;
            expected += 1;
        }
        self.command(&[b"SELECT", request.db.to_string().as_bytes()]).await?;
        self.flush().await?;
        let mut outcome = Ok(());
        for _ in 0..expected {
            let reply = self.reply().await?;
            let error = |text| CommandError::new(format!("ERR Target instance replied with error: {text}"));
            outcome = outcome.and(reply.map_err(error));
        }
        outcome
    }

    /// Sends a key; some of it waits for [`Self::flush`].
    pub(super) async fn restore(&mut self, item: &Item, payload: &[u8], replace: bool) -> Done {
        let ttl = item.ttl_ms.to_string();
        let words: [&[u8]; 5] = [b"RESTORE", &item.key.name, ttl.as_bytes(), payload, b"REPLACE"];
        self.command(if replace { &words } else { &words[..4] }).await
    }

    async fn command(&mut self, args: &[&[u8]]) -> Done {
        self.put(format!("*{}\r\n", args.len()).as_bytes()).await?;
        for arg in args {
            self.put(format!("${}\r\n", arg.len()).as_bytes()).await?;
            self.put(arg).await?;
            self.put(b"\r\n").await?;
        }
        Ok(())
    }

    async fn put(&mut self, mut bytes: &[u8]) -> Done {
        while self.out.len() + bytes.len() >= STEP_BYTES {
            let (now, later) = bytes.split_at(STEP_BYTES - self.out.len());
            self.out.extend_from_slice(now);
            bytes = later;
            self.flush().await?;
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> Done {
        let written = timeout(self.timeout, async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        });
        written.await.ok().and_then(Result::ok).ok_or(IOERR_WRITE)?;
        self.out.clear();
        Ok(())
    }

    /// The next answer: OK, or the text of an error.
    pub(super) async fn reply(&mut self) -> Result<Result<(), String>, CommandError> {
        loop {
            match self.decoder.next().map_err(|_| IOERR_READ)? {
                Some(Value::Simple(_)) => return Ok(Ok(())),
                Some(Value::Error(text)) => return Ok(Err(text)),
                Some(_) => return Err(IOERR_READ),
                None => {}
            }
            let read = timeout(self.timeout, self.stream.read_buf(self.decoder.buffer())).await;
            read.ok().and_then(Result::ok).filter(|&bytes| bytes > 0).ok_or(IOERR_READ)?;
        }
    }
}
