//! Handshakes that are right, wrong, reflected, replayed, changed, cut short, and of another version.

use tokio::io::{AsyncReadExt, DuplexStream};

use super::*;
use crate::bus::Class;
use crate::bus::frame::first_message;

const NONCES: (Nonce, Nonce) = ([1; 32], [2; 32]);

fn secret(text: &str) -> Secret {
    Secret::parse(text.as_bytes()).expect("long enough")
}

fn ours() -> Secret {
    secret("the secret of tests")
}

fn hello() -> Hello {
    Hello::example(NONCES.0)
}

fn credentials(incarnation: u64) -> Credentials {
    Credentials { incarnation, start: 4, nonce: 5, last: 6, term: 7 }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
}

type Called = io::Result<Result<Credentials, Refusal>>;

/// A caller with one secret and an acceptor with another.
fn meet(
    caller: &Secret,
    acceptor: &Secret,
    hello: &Hello,
    answer: Result<Credentials, Refusal>,
) -> (Called, Result<Heard, Fault>) {
    run(async {
        let (mut near, mut far) = tokio::io::duplex(100);
        let call = async move { call(&mut near, caller, hello, || credentials(10)).await };
        let hear = async move {
            let heard = hear(&mut far, acceptor, NONCES.1).await?;
            heard.answer(&mut far, acceptor, answer).await?;
            Ok(heard)
        };
        tokio::join!(call, hear)
    })
}

/// The first message of what is on the wire, and what comes behind it.
fn split(wire: &[u8]) -> (&[u8], &[u8]) {
    let message = first_message(wire, HANDSHAKE_BYTES_MAX).expect("well formed").expect("all there");
    (message, &wire[message.len() + 8..])
}

async fn read_what_is_there(stream: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 16];
    let n = stream.read(&mut bytes).await.expect("open");
    bytes.truncate(n);
    bytes
}

/// What becomes of a caller whose acceptor sends this, whatever it hears.
fn answered_with(hello: &Hello, messages: &[&[u8]]) -> (Called, Vec<u8>) {
    run(async {
        let (mut near, mut far) = tokio::io::duplex(1 << 16);
        for message in messages {
            send(&mut far, message).await.expect("there is room");
        }
        let called = call(&mut near, &ours(), hello, || credentials(10)).await;
        (called, read_what_is_there(&mut far).await)
    })
}

/// What becomes of an acceptor that hears these bytes and then the end.
fn heard_after(bytes: &[u8]) -> Result<Heard, Fault> {
    run(async {
        let (mut near, mut far) = tokio::io::duplex(1 << 16);
        near.write_all(bytes).await.expect("there is room");
        near.shutdown().await.expect("open");
        hear(&mut far, &ours(), NONCES.1).await
    })
}

/// All that a right caller sends, if it is challenged with this nonce.
fn caller_bytes(nonce: Nonce) -> Vec<u8> {
    let zero = Welcome::Proven { answer: Ok(credentials(11)), tag: [0; 32] };
    answered_with(&hello(), &[&encode(&Challenge::Nonce(nonce)), &encode(&zero)]).1
}

fn is_denied(called: &Called) -> bool {
    called.as_ref().is_err_and(Denied::is)
}

#[test]
fn who_knows_the_secret_learns_who_the_other_is() {
    let (called, heard) = meet(&ours(), &ours(), &hello(), Ok(credentials(11)));
    assert_eq!(called.expect("proven").expect("not refused"), credentials(11));
    let heard = heard.expect("proven");
    assert_eq!((heard.hello.from, heard.hello.to, heard.hello.class), (2, 3, Class::Log));
    assert_eq!(heard.caller, credentials(10));
    let refusal = Refusal { why: "a copy".to_owned(), distrust: true };
    let (called, _) = meet(&ours(), &ours(), &hello(), Err(refusal.clone()));
    assert_eq!(called.expect("proven"), Err(refusal));
}

#[test]
fn who_does_not_know_the_secret_learns_nothing() {
    let (called, heard) = meet(&secret("another secret of tests"), &ours(), &hello(), Ok(credentials(11)));
    let why = called.expect_err("a wrong secret");
    assert!(Denied::is(&why) && why.to_string().contains("--cluster-secret-file"), "{why}");
    assert!(matches!(heard, Err(Fault::Secret)));
}

#[test]
fn an_acceptor_must_prove_it_too() {
    let challenge = encode(&Challenge::Nonce(NONCES.1));
    let welcome = |tag| encode(&Welcome::Proven { answer: Ok(credentials(11)), tag });
    assert!(is_denied(&answered_with(&hello(), &[&challenge, &welcome([0; 32])]).0));
    // Refusals must be proven as well: one of them takes a node's vote away.
    let refusal = Refusal { why: "a copy".to_owned(), distrust: true };
    let refused = encode(&Welcome::Proven { answer: Err(refusal.clone()), tag: [0; 32] });
    assert!(is_denied(&answered_with(&hello(), &[&challenge, &refused]).0));
    assert!(is_denied(&answered_with(&hello(), &[&encode(&Challenge::Refused(refusal))]).0));
}

#[test]
fn a_tag_that_comes_back_proves_nothing() {
    let wire = caller_bytes(NONCES.1);
    let proof: Proof = decode(split(split(&wire).1).0).expect("a proof");
    // All is deterministic here, so this is the tag that the caller will send.
    let reflected = encode(&Welcome::Proven { answer: Ok(proof.caller), tag: proof.tag });
    let (called, sent) = answered_with(&hello(), &[&encode(&Challenge::Nonce(NONCES.1)), &reflected]);
    assert_eq!(sent, wire);
    assert!(is_denied(&called));
}

#[test]
fn what_was_right_once_is_not_right_again() {
    assert!(heard_after(&caller_bytes(NONCES.1)).is_ok(), "the challenge that it is the answer to");
    assert!(matches!(heard_after(&caller_bytes([3; 32])), Err(Fault::Secret)), "another challenge");
    // The same for the acceptor: its answer is to one nonce of the caller's.
    let heard = heard_after(&caller_bytes(NONCES.1)).expect("proven");
    let welcome = run(async {
        let (mut near, mut far) = tokio::io::duplex(1 << 16);
        heard.answer(&mut near, &ours(), Ok(credentials(11))).await.expect("there is room");
        receive(&mut far).await.expect("a message")
    });
    let challenge = encode(&Challenge::Nonce(NONCES.1));
    let called = answered_with(&hello(), &[&challenge, &welcome]).0;
    assert_eq!(called.expect("proven"), Ok(credentials(11)));
    assert!(is_denied(&answered_with(&Hello { nonce: [4; 32], ..hello() }, &[&challenge, &welcome]).0));
}

#[test]
fn nothing_can_be_changed_on_the_way() {
    let wire = caller_bytes(NONCES.1);
    let (hello, rest) = split(&wire);
    let (proof, _) = split(rest);
    let deliver = |hello: &[u8], proof: &[u8]| {
        let mut wire = Vec::new();
        append_message(&mut wire, &[hello]);
        append_message(&mut wire, &[proof]);
        heard_after(&wire)
    };
    assert!(deliver(hello, proof).is_ok());
    for at in 0..hello.len() + proof.len() {
        for bit in 0..8 {
            let (mut hello, mut proof) = (hello.to_vec(), proof.to_vec());
            match at.checked_sub(hello.len()) {
                None => hello[at] ^= 1 << bit,
                Some(at) => proof[at] ^= 1 << bit,
            }
            assert!(deliver(&hello, &proof).is_err(), "bit {bit} of byte {at}");
        }
    }
    // Not a byte may be missing, nor one be there that is not in the tag.
    assert!(deliver(&[hello, b"x"].concat(), proof).is_err());
    for len in 0..wire.len() {
        assert!(heard_after(&wire[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn strangers_send_few_bytes() {
    // The length of a message that never comes: nothing waits for it.
    let frame = |len: u32| [(len | 1 << 31).to_le_bytes(), [0; 4]].concat();
    for len in [HANDSHAKE_BYTES_MAX as u32 + 1, 256 << 10, u32::MAX >> 1] {
        assert!(matches!(heard_after(&frame(len)), Err(Fault::Malformed(_))), "{len}");
    }
    // A message of several frames.
    assert!(matches!(heard_after(&[100, 0, 0, 0, 0, 0, 0, 0]), Err(Fault::Malformed(_))));
    assert!(matches!(heard_after(&[0xff; 1000]), Err(Fault::Malformed(_))));
}

#[test]
fn another_version_is_named() {
    let other = Hello { version: PROTOCOL_VERSION - 1, ..hello() };
    let (called, heard) = meet(&ours(), &ours(), &other, Ok(credentials(11)));
    let why = called.expect_err("another version").to_string();
    assert!(why.contains(&format!("version {PROTOCOL_VERSION}")), "{why}");
    assert!(matches!(heard, Err(Fault::Version(v)) if v == PROTOCOL_VERSION - 1));
    // Of another version only the beginning is known.
    let mut wire = Vec::new();
    append_message(&mut wire, &[&encode(&(MAGIC, 99_u16))]);
    assert!(matches!(heard_after(&wire), Err(Fault::Version(99))));
    let stranger = Hello { magic: 1, ..hello() };
    let (called, heard) = meet(&ours(), &ours(), &stranger, Ok(credentials(11)));
    assert!(is_denied(&called) && matches!(heard, Err(Fault::Malformed(_))));
}
