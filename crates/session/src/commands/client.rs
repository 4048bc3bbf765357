//! CLIENT. It covers the connections of this node (R18).

use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use quorate_keyspace::acl::Acl;
use quorate_keyspace::{CommandError, Release, Reply};
use quorate_resp::Protocol;

use super::acl::no_such_user;
use super::{Answer, Cx, check_name, count, text};
use crate::channels::Kind;
use crate::connection::{Blocked, Connection, ReplyMode};
use crate::tracking::Tracked;

pub(super) fn id(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    reply.int(cx.connection.id as i64);
    Ok(())
}

pub(super) fn info(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let mut line = describe(cx.connection, args);
    line.push('\n');
    reply.verbatim(*b"txt", line.as_bytes());
    Ok(())
}

pub(super) fn list(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let mut ids: Option<Vec<u64>> = None;
    let mut class = None;
    match &args[2..] {
        [] => {}
        [option, kind] if option.eq_ignore_ascii_case(b"type") => class = Some(Class::parse(kind)?),
        [option, rest @ ..] if option.eq_ignore_ascii_case(b"id") && !rest.is_empty() => {
            let parse = |a: &&[u8]| count(a).map_err(|_| CommandError::fixed("ERR Invalid client ID"));
            ids = Some(rest.iter().map(parse).collect::<Result<_, _>>()?);
        }
        _ => return Err(CommandError::SYNTAX),
    }
    let mut lines = String::new();
    for c in cx.node.clients() {
        if class.is_none_or(|class| class == Class::of(&c))
            && ids.as_ref().is_none_or(|ids| ids.contains(&c.id))
        {
            let at_hand = if Rc::ptr_eq(&c, cx.connection) { args } else { &[] };
            lines.push_str(&describe(&c, at_hand));
            lines.push('\n');
        }
    }
    reply.verbatim(*b"txt", lines.as_bytes());
    Ok(())
}

/// What Redis calls the type of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Normal,
    Pubsub,
    /// Of servers, which are no clients here.
    Server,
}

impl Class {
    fn parse(word: &[u8]) -> Result<Self, CommandError> {
        match text(word).to_ascii_lowercase().as_str() {
            "normal" => Ok(Self::Normal),
            "pubsub" => Ok(Self::Pubsub),
            "master" | "replica" | "slave" => Ok(Self::Server),
            kind => Err(CommandError::new(format!("ERR Unknown client type '{kind}'"))),
        }
    }

    fn of(c: &Connection) -> Self {
        if c.subscriptions.borrow().is_empty() { Self::Normal } else { Self::Pubsub }
    }
}

/// `at_hand` is the command of that client that is being carried out: it counts as not yet read, as in Redis.
pub(crate) fn describe(c: &Connection, at_hand: &[&[u8]]) -> String {
    let mut s = String::new();
    let tracked = c.tracked.borrow();
    let tracks = |what: &dyn Fn(&Tracked) -> bool| tracked.as_deref().is_some_and(what);
    let marks = [
        ('O', c.monitors.get()),
        ('P', !c.subscriptions.borrow().is_empty()),
        ('x', c.queued.get().is_some()),
        ('b', c.is_blocked()),
        ('t', tracks(&|_| true)),
        ('R', tracks(&|tracked| tracked.is_broken.get())),
        ('B', tracks(&|tracked| tracked.options.bcast)),
        ('r', c.readonly.get()),
        ('e', c.no_evict.get()),
        ('T', c.no_touch.get()),
    ];
    let mut flags: String = marks.into_iter().filter(|(_, set)| *set).map(|(mark, _)| mark).collect();
    if flags.is_empty() {
        flags.push('N');
    }
    let listens = |kind| c.subscriptions.borrow().len(kind);
    let out = c.output_bytes();
    let args_bytes: usize = at_hand.iter().map(|arg| arg.len()).sum();
    let input = c.buffered.get() + encoded_bytes(at_hand);
    // Writing to a String cannot fail.
    let _ = write!(
        s,
        "id={} addr={} laddr={} fd=0 name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} qbuf={} \
         qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} obl={} oll=0 omem={} tot-mem={} events=r cmd={} \
         user={} redir={} resp={} lib-name={} lib-ver={}",
        c.id,
        c.addr,
        c.local_addr,
        text(&c.name.borrow()),
        c.since.elapsed().as_secs(),
        c.last_active.get().elapsed().as_secs(),
        flags,
        c.db.get(),
        listens(Kind::Channel),
        listens(Kind::Pattern),
        listens(Kind::Shard),
        c.queued.get().map_or(-1, |n| n as i64),
        input,
        c.held.input.get().saturating_sub(input),
        args_bytes,
        c.held.queued.get(),
        out,
        out,
        out,
        out,
        c.memory_bytes().max(input + out),
        c.last_command.get(),
        text(&c.user_name.borrow()),
        tracked.as_ref().map_or(-1, |tracked| tracked.options.redirect as i64),
        if c.protocol.get() == Protocol::Resp3 { 3 } else { 2 },
        text(&c.lib_name.borrow()),
        text(&c.lib_ver.borrow()),
    );
    s
}

/// How long a command is on its way here.
fn encoded_bytes(args: &[&[u8]]) -> usize {
    let head = |number: usize| 3 + number.checked_ilog10().unwrap_or(0) as usize + 1;
    match args {
        [] => 0,
        _ => head(args.len()) + args.iter().map(|arg| head(arg.len()) + arg.len() + 2).sum::<usize>(),
    }
}

pub(super) fn setname(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    check_name(args[2], "Client names")?;
    args[2].clone_into(&mut cx.connection.name.borrow_mut());
    reply.ok();
    Ok(())
}

pub(super) fn getname(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let name = cx.connection.name.borrow();
    if name.is_empty() {
        reply.null()
    } else {
        reply.bulk(&name)
    }
    Ok(())
}

pub(super) fn setinfo(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let option = text(args[2]).to_ascii_lowercase();
    let field = match option.as_str() {
        "lib-name" => &cx.connection.lib_name,
        "lib-ver" => &cx.connection.lib_ver,
        _ => return Err(CommandError::new(format!("ERR Unrecognized option '{}'", text(args[2])))),
    };
    check_name(args[3], &option)?;
    args[3].clone_into(&mut field.borrow_mut());
    reply.ok();
    Ok(())
}

/// Which clients CLIENT KILL means.
struct Filter {
    id: Option<u64>,
    addr: Option<Vec<u8>>,
    laddr: Option<Vec<u8>>,
    user: Option<u64>,
    class: Option<Class>,
    skip_me: bool,
    max_age: Option<u64>,
}

impl Filter {
    fn parse(options: &[&[u8]], users: &Acl) -> Result<Self, CommandError> {
        let mut f =
            Self { id: None, addr: None, laddr: None, user: None, class: None, skip_me: true, max_age: None };
        let (pairs, rest) = options.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(CommandError::SYNTAX);
        }
        for [option, value] in pairs {
            match text(option).to_ascii_lowercase().as_str() {
                "id" => {
                    let bad = CommandError::fixed("ERR client-id should be greater than 0");
                    f.id = Some(count(value).ok().filter(|n| *n > 0).ok_or(bad)?);
                }
                "addr" => f.addr = Some(value.to_vec()),
                "laddr" => f.laddr = Some(value.to_vec()),
                "user" => {
                    let user = users.get(value).ok_or_else(|| no_such_user(value))?;
                    f.user = Some(user.number());
                }
                "type" => f.class = Some(Class::parse(value)?),
                "skipme" => match text(value).to_ascii_lowercase().as_str() {
                    "yes" => f.skip_me = true,
                    "no" => f.skip_me = false,
                    _ => return Err(CommandError::SYNTAX),
                },
                "maxage" => f.max_age = Some(count(value)?),
                _ => return Err(CommandError::SYNTAX),
            }
        }
        Ok(f)
    }

    fn matches(&self, c: &Rc<Connection>, me: &Rc<Connection>) -> bool {
        self.class.is_none_or(|class| class == Class::of(c))
            && !(self.skip_me && Rc::ptr_eq(c, me))
            && self.id.is_none_or(|id| c.id == id)
            && self.addr.as_ref().is_none_or(|a| c.addr.as_bytes() == a)
            && self.laddr.as_ref().is_none_or(|a| c.local_addr.as_bytes() == a)
            && self.user.is_none_or(|user| c.user.get() == user)
            && self.max_age.is_none_or(|s| c.since.elapsed().as_secs() >= s)
    }
}

pub(super) fn kill(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let me = cx.connection;
    if let [_, _, addr] = args {
        let found = cx.node.clients().into_iter().find(|c| c.addr.as_bytes() == *addr);
        let c = found.ok_or(CommandError::fixed("ERR No such client"))?;
        end(&c, me);
        reply.ok();
        return Ok(());
    }
    let filter = Filter::parse(&args[2..], &cx.node.access.users())?;
    let doomed: Vec<_> = cx.node.clients().into_iter().filter(|c| filter.matches(c, me)).collect();
    reply.count(doomed.len());
    doomed.iter().for_each(|c| end(c, me));
    Ok(())
}

/// The caller's own connection ends after the answer.
fn end(c: &Rc<Connection>, me: &Rc<Connection>) {
    if Rc::ptr_eq(c, me) { me.quit.set(true) } else { c.close() }
}

fn on_off(arg: &[u8]) -> Result<bool, CommandError> {
    match text(arg).to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(CommandError::SYNTAX),
    }
}

pub(super) fn no_evict(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    cx.connection.no_evict.set(on_off(args[2])?);
    reply.ok();
    Ok(())
}

pub(super) fn no_touch(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    cx.connection.no_touch.set(on_off(args[2])?);
    reply.ok();
    Ok(())
}

pub(super) fn reply_mode(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    match text(args[2]).to_ascii_lowercase().as_str() {
        "on" => {
            cx.connection.reply_mode.set(ReplyMode::On);
            reply.ok();
        }
        "off" => cx.connection.reply_mode.set(ReplyMode::Off),
        "skip" if cx.connection.reply_mode.get() != ReplyMode::Off => {
            cx.connection.reply_mode.set(ReplyMode::SkipNext);
        }
        "skip" => {}
        _ => return Err(CommandError::SYNTAX),
    }
    Ok(())
}

pub(super) fn pause(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let timeout = CommandError::fixed("ERR timeout is not an integer or out of range");
    let ms = quorate_resp::parse_integer(args[2]).ok_or(timeout)?;
    let ms = u64::try_from(ms).map_err(|_| CommandError::fixed("ERR timeout is negative"))?;
    let writes_only = match args.get(3).map(|a| text(a).to_ascii_lowercase()).as_deref() {
        None | Some("all") => false,
        Some("write") => true,
        Some(_) => return Err(CommandError::fixed("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    cx.node.pause(Duration::from_millis(ms), writes_only);
    reply.ok();
    Ok(())
}

/// `CLIENT UNBLOCK client-id [TIMEOUT | ERROR]`: clients of this node, as all of CLIENT. The waiting ends through the log,
/// so what the other client gets may still be what it waited for.
pub(super) fn unblock(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let release = match args.get(3).map(|arg| arg.to_ascii_lowercase()).as_deref() {
        None | Some(b"timeout") => Release::Timeout,
        Some(b"error") => Release::Error,
        Some(_) => {
            return Err(CommandError::fixed("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
        }
    };
    if args.len() > 4 {
        return Err(CommandError::SYNTAX);
    }
    let id = quorate_resp::parse_integer(args[2]).ok_or(CommandError::NOT_AN_INTEGER)?;
    let found = cx.node.clients().into_iter().find(|c| i64::try_from(c.id) == Ok(id));
    reply.int(found.is_some_and(|c| end_waiting(cx, &c, release)).into());
    Ok(())
}

/// Whether the client has waited.
fn end_waiting(cx: &Cx<'_>, c: &Connection, release: Release) -> bool {
    if let Some(blocked) = c.blocked.get().filter(|blocked| !blocked.is_ending) {
        c.blocked.set(Some(Blocked { is_ending: true, ..blocked }));
        cx.node.replica.release(blocked.waiter, release);
        return true;
    }
    let awaits = c.awaits_replicas.get() && c.unblocked.get().is_none();
    if awaits {
        c.unblocked.set(Some(release));
    }
    awaits
}

pub(super) fn unpause(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    cx.node.unpause();
    reply.ok();
    Ok(())
}
