//! HELLO, AUTH, RESET, QUIT.

use std::sync::Arc;

use quorate_keyspace::acl::User;
use quorate_keyspace::{CommandError, Reply};
use quorate_planted::{Bug, is_planted};
use quorate_resp::Protocol;
use sha2::{Digest, Sha256};

use super::{Answer, Cx, check_name};
use crate::access::Context;
use crate::connection::ReplyMode;
use crate::dispatch::State;

/// The version of Redis whose behaviour clients may expect.
pub(crate) const REDIS_VERSION: &str = "7.2.0";

const WRONG_PASSWORD: CommandError =
    CommandError::fixed("WRONGPASS invalid username-password pair or user is disabled.");
const NO_PASSWORD: CommandError = CommandError::fixed(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
     configuration is correct?",
);

pub(super) fn auth(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let (user, password) = match args {
        [_, password] => {
            if cx.node.access.users().default_user().takes_any_password() {
                return Err(NO_PASSWORD);
            }
            (&b"default"[..], *password)
        }
        [_, user, password] => (*user, *password),
        _ => return Err(CommandError::SYNTAX),
    };
    authenticate(cx, args[0], user, password)?;
    reply.ok();
    Ok(())
}

/// `word` is the command as it was sent.
fn authenticate(cx: &Cx<'_>, word: &[u8], name: &[u8], password: &[u8]) -> Answer {
    let users = cx.node.access.users();
    // It takes as long if there is no such user.
    let hash = Sha256::digest(password).into();
    let is_enabled = |user: &User| user.is_enabled() || is_planted(Bug::DisabledUserLetIn);
    let fits =
        |user: &&Arc<User>| is_enabled(user) && (user.has_password(&hash) || user.takes_any_password());
    let c = cx.connection;
    match users.get(name).filter(fits) {
        Some(user) => {
            c.log_in(user.number(), user.name());
            Ok(())
        }
        None => {
            let context = if c.queued.get().is_some() { Context::Multi } else { Context::TopLevel };
            c.refused("auth", context, name, word);
            Err(WRONG_PASSWORD)
        }
    }
}

pub(super) fn hello(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let mut protocol = None;
    if let Some(version) = args.get(1) {
        protocol = Some(match quorate_resp::parse_integer(version) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(CommandError::fixed("NOPROTO unsupported protocol version")),
            None => {
                return Err(CommandError::fixed("ERR Protocol version is not an integer or out of range"));
            }
        });
    }
    let (mut name, mut credentials) = (None, None);
    let mut rest = args.get(2..).unwrap_or_default();
    while let Some((option, after)) = rest.split_first() {
        rest = match after {
            [user, password, more @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                credentials = Some((*user, *password));
                more
            }
            [value, more @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                check_name(value, "Client names")?;
                name = Some(*value);
                more
            }
            _ => {
                let option = super::text(option);
                return Err(CommandError::new(format!("ERR Syntax error in HELLO option '{option}'")));
            }
        };
    }
    if let Some((user, password)) = credentials {
        authenticate(cx, args[0], user, password)?;
    }
    if !cx.connection.authenticated.get() && cx.node.requires_password() {
        return Err(CommandError::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
             same time",
        ));
    }
    if let Some(name) = name {
        name.clone_into(&mut cx.connection.name.borrow_mut());
    }
    if let Some(protocol) = protocol {
        cx.connection.protocol.set(protocol);
        reply.set_protocol(protocol);
    }
    greet(cx, reply);
    Ok(())
}

fn greet(cx: &Cx<'_>, reply: &mut Reply<'_>) {
    let version = if cx.connection.protocol.get() == Protocol::Resp3 { 3 } else { 2 };
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.int(version);
    reply.bulk(b"id");
    reply.int(cx.connection.id as i64);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(if cx.node.is_master() { b"master" } else { b"replica" });
    reply.bulk(b"modules");
    reply.array(0);
}

pub(super) fn quit(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    reply.ok();
    cx.connection.quit.set(true);
    Ok(())
}

/// RESET: the connection is as if it were new.
pub(crate) fn reset(state: &State) {
    let c = &state.connection;
    c.protocol.set(Protocol::Resp2);
    c.reply_mode.set(ReplyMode::On);
    c.db.set(0);
    c.readonly.set(false);
    c.no_evict.set(false);
    c.no_touch.set(false);
    c.name.borrow_mut().clear();
    c.log_out(state.node.lets_anyone_in());
    c.reply(&mut |reply| reply.simple("RESET"));
}
