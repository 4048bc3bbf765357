//! How a connection of the bus begins: both ends prove that they know the secret of the cluster, before either listens to
//! anything else.
//!
//! ```text
//! caller                                        acceptor
//!   Hello: who calls whom, what for, a nonce   ──▶
//!                                              ◀──  Challenge: another nonce
//!   Proof: the caller's credentials, its tag   ──▶
//!                                              ◀──  Welcome: credentials, or why not; the acceptor's tag
//! ```
//!
//! A tag is HMAC-SHA256 with the secret as its key, over the role of whoever makes it and all bytes of the handshake so far:
//! protocol version, cluster, both nodes, class, both nonces, and what goes with the tag. So it cannot be sent back to where it
//! comes from, nor be used for another connection. The caller proves first: a stranger who calls learns nothing.
//!
//! What follows on the connection is not authenticated any more, and nothing is encrypted.

use std::io;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use quorate_env::Random;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::frame::{append_message, read_small};
use super::{Credentials, Denied, Hello, MAGIC, PROTOCOL_VERSION, Refusal};
use crate::secret::Secret;
use crate::storage::{decode, encode};

/// The largest message before the other end has proven what it is.
pub(crate) const HANDSHAKE_BYTES_MAX: usize = 4 << 10;
/// What is hashed first: tags of the bus are of use nowhere else.
const PURPOSE: &[u8] = b"quorate bus";
/// Who makes a tag.
const CALLER: &[u8] = b"caller";
const ACCEPTOR: &[u8] = b"acceptor";

/// Random, of use once.
pub(crate) type Nonce = [u8; 32];
/// Proves that whoever made it knows the secret.
type Tag = [u8; 32];

/// The answer to a [`Hello`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Challenge {
    Nonce(Nonce),
    /// Nobody has proven anything: it is only good for a report.
    Refused(Refusal),
}

/// The caller's proof.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) caller: Credentials,
    pub(crate) tag: Tag,
}

/// The answer to a [`Proof`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Welcome {
    /// The caller may go on, and checks the credentials in turn; or it may not.
    Proven { answer: Result<Credentials, Refusal>, tag: Tag },
    /// The caller does not know the secret.
    WrongSecret,
}

/// Why a caller is not heard.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It speaks another version.
    Version(u16),
    /// It does not know the secret.
    Secret,
    /// It does not speak the language of the bus.
    Malformed(String),
    /// The connection broke.
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Malformed(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

/// A new nonce.
pub(crate) fn nonce(random: &dyn Random) -> Nonce {
    let mut nonce = Nonce::default();
    for part in nonce.chunks_exact_mut(8) {
        part.copy_from_slice(&random.next_u64().to_le_bytes());
    }
    nonce
}

/// The hash whose value is the tag of `role` for these messages.
fn hash(secret: &Secret, role: &[u8], messages: &[&[u8]]) -> Hmac<Sha256> {
    let mut hash = secret.keyed();
    for part in [PURPOSE, role].iter().chain(messages) {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash
}

fn tag(secret: &Secret, role: &[u8], messages: &[&[u8]]) -> Tag {
    hash(secret, role, messages).finalize().into_bytes().into()
}

/// Whether a tag is right. It takes the same time wherever a wrong one differs.
fn is_right(tag: &Tag, secret: &Secret, role: &[u8], messages: &[&[u8]]) -> bool {
    hash(secret, role, messages).verify_slice(tag).is_ok()
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, message: &[u8]) -> io::Result<()> {
    let mut wire = Vec::new();
    append_message(&mut wire, &[message]);
    stream.write_all(&wire).await?;
    stream.flush().await
}

async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Bytes> {
    Ok(read_small(stream, HANDSHAKE_BYTES_MAX).await?.into())
}

/// The calling side. Ok: the other end has proven that it knows the secret, and tells its credentials or why it refuses this
/// node. [`Denied`]: it has not.
pub(crate) async fn call<S>(
    stream: &mut S,
    secret: &Secret,
    hello: &Hello,
    credentials: impl FnOnce() -> Credentials,
) -> io::Result<Result<Credentials, Refusal>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let hello = encode(hello);
    send(stream, &hello).await?;
    let challenge = receive(stream).await?;
    if let Challenge::Refused(refusal) = decode(&challenge)? {
        return Err(Denied::unproven(refusal.why));
    }
    let caller = credentials();
    let tag = tag(secret, CALLER, &[&hello, &challenge, &encode(&caller)]);
    let proof = encode(&Proof { caller, tag });
    send(stream, &proof).await?;
    match decode(&receive(stream).await?)? {
        Welcome::Proven { answer, tag }
            if is_right(&tag, secret, ACCEPTOR, &[&hello, &challenge, &proof, &encode(&answer)]) =>
        {
            Ok(answer)
        }
        Welcome::Proven { .. } => Err(Denied::unproven(
            "it does not prove that it knows the cluster's secret: something else listens there, or stands between"
                .to_owned(),
        )),
        Welcome::WrongSecret => Err(Denied::unproven(WRONG_SECRET.to_owned())),
    }
}

/// What the operator of a node with another secret is told.
const WRONG_SECRET: &str = "it has another cluster secret than this node. The secret is the file cluster-secret in the data \
                            folder of each member: copy it from there, and pass the copy with --cluster-secret-file (a \
                            member that has a wrong one: remove that file first)";

/// A caller that has proven that it knows the secret, and waits for its answer.
pub(crate) struct Heard {
    pub(crate) hello: Hello,
    pub(crate) caller: Credentials,
    messages: [Bytes; 3],
}

/// The accepting side, up to the caller's proof.
pub(crate) async fn hear<S>(stream: &mut S, secret: &Secret, nonce: Nonce) -> Result<Heard, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let first = receive(stream).await?;
    let hello = match parse(&first) {
        Ok(hello) => hello,
        Err((fault, why)) => {
            send(stream, &encode(&Challenge::Refused(why.into()))).await?;
            return Err(fault);
        }
    };
    let challenge = encode(&Challenge::Nonce(nonce));
    send(stream, &challenge).await?;
    let third = receive(stream).await?;
    let Proof { caller, tag } = decode(&third)?;
    if !is_right(&tag, secret, CALLER, &[&first, &challenge, &encode(&caller)]) {
        send(stream, &encode(&Welcome::WrongSecret)).await?;
        return Err(Fault::Secret);
    }
    Ok(Heard { hello, caller, messages: [first, challenge, third] })
}

impl Heard {
    /// Answers with a proof of this side's.
    pub(crate) async fn answer<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        secret: &Secret,
        answer: Result<Credentials, Refusal>,
    ) -> io::Result<()> {
        let [hello, challenge, proof] = &self.messages;
        let tag = tag(secret, ACCEPTOR, &[hello, challenge, proof, &encode(&answer)]);
        send(stream, &encode(&Welcome::Proven { answer, tag })).await
    }
}

/// What begins every version's greeting comes first: the rest may look different.
fn parse(first: &[u8]) -> Result<Hello, (Fault, String)> {
    let malformed = |why: &str| (Fault::Malformed(why.to_owned()), why.to_owned());
    let stranger = || malformed("this is the bus of a Quorate node, not a port for clients");
    let ((magic, version), _) = postcard::take_from_bytes::<(u64, u16)>(first).map_err(|_| stranger())?;
    if magic != MAGIC {
        return Err(stranger());
    }
    if version != PROTOCOL_VERSION {
        let why = format!("its bus speaks version {PROTOCOL_VERSION}, that of this node version {version}");
        return Err((Fault::Version(version), why));
    }
    decode(first).map_err(|_| malformed("the greeting makes no sense"))
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
