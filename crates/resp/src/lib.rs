//! The Redis protocol, RESP2 and RESP3: bytes to values and back.
//!
//! A server needs two types. [`Decoder`] turns what a client sends into [`Request`]s, each a list of byte
//! strings that borrows from the decoder's buffer: no allocation per command. [`Writer`] appends replies to
//! a byte vector in the [`Protocol`] that the connection speaks.
//!
//! A client needs the mirror image: [`encode_command`] writes a command, [`ValueDecoder`] turns replies into
//! [`Value`]s.
//!
//! Nothing here reads or writes a socket: bytes are handed in ([`Decoder::feed`], or reading straight into
//! [`Decoder::buffer`]) and handed out. Both decoders are incremental (a message may arrive in any pieces,
//! and no byte is looked at twice on that account) and bounded (what a peer announces reserves nothing; only
//! what it really sends takes memory, up to named limits).
//!
//! ```
//! use quorate_resp::{Decoder, Limits, Protocol, Writer};
//!
//! let mut decoder = Decoder::new(Limits::default());
//! decoder.feed(b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n");
//! let mut out = Vec::new();
//! while let Some(request) = decoder.next()? {
//!     Writer::new(&mut out, Protocol::Resp2).bulk(request.get(1).unwrap_or_default());
//! }
//! assert_eq!(out, b"$2\r\nhi\r\n");
//! # Ok::<(), quorate_resp::ProtocolError>(())
//! ```

mod inbox;
mod inline;
mod number;
mod reply;
mod request;
mod value;
mod value_decoder;

pub use number::{DoubleText, parse_integer};
pub use reply::Writer;
pub use request::{
    ARGS_MAX, Args, BULK_BYTES_MAX, Decoder, INLINE_BYTES_MAX, Limits, ProtocolError, QUERY_BYTES_MAX,
    Request, UNAUTHENTICATED_ARGS_MAX, UNAUTHENTICATED_BULK_BYTES_MAX,
};
pub use value::{Value, encode_command};
pub use value_decoder::{ValueDecoder, ValueError, ValueLimits};

/// The version of the protocol a connection speaks; `HELLO 3` changes it.
///
/// Requests look the same in both: it matters only to replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// Adds maps, sets, doubles, booleans, pushes and a null of its own.
    Resp3,
}
