//! A small blocking client, for the tools. It never repeats a command: the caller decides what an error means.
#![allow(clippy::disallowed_types, reason = "the tools are clients of real nodes, over real sockets")]

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use quorate_resp::{Value, ValueDecoder, ValueLimits, encode_command};

/// What one read takes from the socket at most, bytes.
const READ_BYTES: usize = 64 << 10;

/// A connection to one node.
pub(crate) struct Client {
    stream: TcpStream,
    decoder: ValueDecoder,
    out: Vec<u8>,
    chunk: Box<[u8]>,
}

impl Client {
    /// Connects, and logs in if there is a password. `limit` is how long connecting, and later each wait for a reply,
    /// may take.
    pub(crate) fn connect(addr: &str, password: Option<&str>, limit: Duration) -> io::Result<Self> {
        let resolved = addr
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{addr} has no address")))?;
        let stream = TcpStream::connect_timeout(&resolved, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        let mut client = Self {
            stream,
            decoder: ValueDecoder::new(ValueLimits::default()),
            out: Vec::new(),
            chunk: vec![0; READ_BYTES].into_boxed_slice(),
        };
        if let Some(password) = password {
            client.expect(&["AUTH", password])?;
        }
        Ok(client)
    }

    /// Sends a command and waits for its reply, which may be an error.
    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        encode_command(&mut self.out, args);
        self.send()?;
        self.receive()
    }

    /// As [`Self::call`]; an error reply becomes an error.
    pub(crate) fn expect<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        let reply = self.call(args)?;
        match reply.as_error() {
            None => Ok(reply),
            Some(text) => {
                let name = String::from_utf8_lossy(args.first().map_or(b"", A::as_ref)).into_owned();
                Err(io::Error::other(format!("{name}: {text}")))
            }
        }
    }

    /// Sends all commands at once and waits for all replies.
    pub(crate) fn pipeline<A: AsRef<[u8]>>(
        &mut self,
        commands: impl IntoIterator<Item = Vec<A>>,
    ) -> io::Result<Vec<Value>> {
        let mut count = 0;
        for args in commands {
            encode_command(&mut self.out, &args);
            count += 1;
        }
        self.send()?;
        (0..count).map(|_| self.receive()).collect()
    }

    fn send(&mut self) -> io::Result<()> {
        let sent = self.stream.write_all(&self.out);
        self.out.clear();
        sent
    }

    fn receive(&mut self) -> io::Result<Value> {
        loop {
            match self.decoder.next() {
                Ok(Some(Value::Push(_))) => {}
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => self.read()?,
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }

    fn read(&mut self) -> io::Result<()> {
        match self.stream.read(&mut self.chunk) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the node closed the connection")),
            Ok(count) => {
                self.decoder.feed(&self.chunk[..count]);
                Ok(())
            }
            // What a socket's read timeout looks like.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A node that answers `replies`, whatever it is asked, and then closes.
    fn node(replies: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        std::thread::Builder::new()
            .spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = [0; 1024];
                let _ = stream.read(&mut asked).unwrap();
                stream.write_all(replies).unwrap();
            })
            .unwrap();
        addr
    }

    fn client(replies: &'static [u8]) -> Client {
        Client::connect(&node(replies), None, Duration::from_secs(5)).unwrap()
    }

    #[test]
    fn replies_come_in_order() {
        let mut client = client(b"+OK\r\n>1\r\n+news\r\n:7\r\n");
        let replies = client.pipeline([vec!["SET", "a", "1"], vec!["INCR", "b"]]).unwrap();
        assert_eq!(replies, [Value::Simple("OK".into()), Value::Int(7)]);
    }

    #[test]
    fn an_error_reply_is_an_error_where_it_is_not_expected() {
        assert_eq!(client(b"-ERR no\r\n").call(&["X"]).unwrap(), Value::Error("ERR no".into()));
        assert_eq!(client(b"-ERR no\r\n").expect(&["X", "y"]).unwrap_err().to_string(), "X: ERR no");
    }

    #[test]
    fn a_node_that_goes_away_is_an_error() {
        assert_eq!(client(b"$5\r\nab").call(&["X"]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(client(b"what\r\n").call(&["X"]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
