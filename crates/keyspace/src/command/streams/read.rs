//! `XREAD` and `XREADGROUP`.

use smallvec::SmallVec;

use super::{Outcome, exact_id, groups::tell_consumer, integer, reply_entries, reply_entry, reply_id, shown};
use crate::{
    command::waiting,
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    reply::Reply,
    types::stream::{Stream, StreamId},
};

/// Where streams are looked up.
pub(in crate::command) trait Streams {
    /// The stream that a key holds, or WRONGTYPE.
    fn stream(&self, key: &[u8]) -> Result<Option<&Stream>, CommandError>;
}

impl Streams for ReadCtx<'_> {
    fn stream(&self, key: &[u8]) -> Result<Option<&Stream>, CommandError> {
        self.get_stream(key)
    }
}

impl Streams for WriteCtx<'_> {
    fn stream(&self, key: &[u8]) -> Result<Option<&Stream>, CommandError> {
        self.get_stream(key)
    }
}

/// The arguments of a read, with every `$` replaced by the id that it means now.
pub(in crate::command) struct ReadArgs<'a> {
    /// The streams.
    pub(in crate::command) keys: &'a [&'a [u8]],
    /// From where on, each.
    pub(in crate::command) from: SmallVec<[From; 2]>,
    /// At most so many entries of each.
    count: usize,
    /// How long to wait if there is nothing; 0 is for ever.
    pub(in crate::command) block_ms: Option<u64>,
    /// In whose name.
    pub(in crate::command) group: Option<GroupArgs<'a>>,
}

/// From where on a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) enum From {
    /// What is behind this id; for a consumer, of what it has not acknowledged.
    Behind(StreamId),
    /// What the group has not been given yet.
    New,
}

/// Who reads, if not for itself.
#[derive(Clone, Copy, Debug)]
pub(in crate::command) struct GroupArgs<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
    /// Nobody is going to acknowledge.
    no_ack: bool,
}

/// What stands before the streams.
#[derive(Default)]
struct Options<'a> {
    count: Option<usize>,
    block_ms: Option<u64>,
    group: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    /// The first argument behind `STREAMS`.
    streams: Option<usize>,
}

impl<'a> Options<'a> {
    fn parse(args: &[&'a [u8]], in_group: bool, now_ms: u64) -> Result<Self, CommandError> {
        const NO_GROUP_HERE: CommandError = CommandError::fixed(
            "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
        );
        const NO_NOACK_HERE: CommandError = CommandError::fixed(
            "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
        );
        let mut options = Self::default();
        let mut i = 1;
        while i < args.len() && options.streams.is_none() {
            let more = args.len() - 1 - i;
            let is = |word: &str| args[i].eq_ignore_ascii_case(word.as_bytes());
            if is("block") && more > 0 {
                options.block_ms = Some(timeout_ms(args[i + 1], now_ms)?);
                i += 2;
            } else if is("count") && more > 0 {
                let count = usize::try_from(integer(args[i + 1])?).unwrap_or(0);
                options.count = Some(count).filter(|&count| count > 0);
                i += 2;
            } else if is("streams") && more > 0 {
                options.streams = Some(i + 1);
            } else if is("group") && more >= 2 {
                if !in_group {
                    return Err(NO_GROUP_HERE);
                }
                options.group = Some((args[i + 1], args[i + 2]));
                i += 3;
            } else if is("noack") {
                if !in_group {
                    return Err(NO_NOACK_HERE);
                }
                options.no_ack = true;
                i += 1;
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(options)
    }
}

/// Milliseconds to wait, up to a time that can be told.
fn timeout_ms(text: &[u8], now_ms: u64) -> Result<u64, CommandError> {
    const TOO_LONG: CommandError = CommandError::fixed("ERR timeout is out of range");
    let ms = waiting::milliseconds(text)?;
    if ms > (i64::MAX as u64).saturating_sub(now_ms) { Err(TOO_LONG) } else { Ok(ms) }
}

impl<'a> ReadArgs<'a> {
    /// Reads the arguments of `XREAD`, or of `XREADGROUP`, and judges the streams: an answer cannot fail afterwards.
    pub(in crate::command) fn parse(
        args: &'a [&'a [u8]],
        in_group: bool,
        now_ms: u64,
        streams: &impl Streams,
    ) -> Result<Self, CommandError> {
        const NO_GROUP: CommandError = CommandError::fixed("ERR Missing GROUP option for XREADGROUP");
        let options = Options::parse(args, in_group, now_ms)?;
        let behind = &args[options.streams.unwrap_or(args.len())..];
        if !behind.len().is_multiple_of(2) {
            return Err(unbalanced(in_group));
        }
        if behind.is_empty() {
            return Err(CommandError::SYNTAX);
        }
        let group = match options.group {
            None if in_group => return Err(NO_GROUP),
            None => None,
            Some((group, consumer)) => Some(GroupArgs { group, consumer, no_ack: options.no_ack }),
        };
        let (keys, ids) = behind.split_at(behind.len() / 2);
        let from = keys.iter().zip(ids).map(|(key, id)| parse_from(key, id, group, streams));
        let from = from.collect::<Result<_, _>>()?;
        Ok(Self { keys, from, count: options.count.unwrap_or(usize::MAX), block_ms: options.block_ms, group })
    }

    /// Whether the command would be answered now.
    pub(in crate::command) fn is_ready(&self, streams: &impl Streams) -> bool {
        self.keys.iter().zip(&self.from).any(|(key, &from)| {
            streams.stream(key).ok().flatten().is_some_and(|stream| self.has_something(stream, from))
        })
    }

    fn has_something(&self, stream: &Stream, from: From) -> bool {
        let group = self.group.map(|args| stream.group(args.group));
        let id = match (group, from) {
            (None, From::Behind(id)) => id,
            // A consumer gets its history even if that is empty.
            (Some(Some(_)), From::Behind(_)) => return true,
            (Some(Some(group)), From::New) => group.last_id(),
            (Some(None), _) | (None, From::New) => return false,
        };
        stream.last_id() > id && stream.last_entry().is_some_and(|last| last.id > id)
    }
}

/// What one stream is read from.
fn parse_from(
    key: &[u8],
    id: &[u8],
    group: Option<GroupArgs<'_>>,
    streams: &impl Streams,
) -> Result<From, CommandError> {
    const LAST_IN_GROUP: CommandError = CommandError::fixed(
        "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
         specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
    );
    const NEW_WITHOUT_GROUP: CommandError = CommandError::fixed(
        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
    );
    let stream = streams.stream(key)?;
    if let Some(args) = group
        && stream.and_then(|stream| stream.group(args.group)).is_none()
    {
        return Err(no_such_group(key, args.group));
    }
    match id {
        b"$" if group.is_some() => Err(LAST_IN_GROUP),
        b"$" => Ok(From::Behind(stream.map_or(StreamId::MIN, Stream::last_id))),
        b">" if group.is_none() => Err(NEW_WITHOUT_GROUP),
        b">" => Ok(From::New),
        _ => match exact_id(id)? {
            StreamId::MAX if group.is_some() => Ok(From::New),
            id => Ok(From::Behind(id)),
        },
    }
}

fn unbalanced(in_group: bool) -> CommandError {
    let (command, symbol) = if in_group { ("xreadgroup", '>') } else { ("xread", '$') };
    CommandError::new(format!(
        "ERR Unbalanced '{command}' list of streams: for each stream key an ID or '{symbol}' must be specified."
    ))
}

fn no_such_group(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (shown(key), shown(group));
    CommandError::new(format!(
        "NOGROUP No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option"
    ))
}

/// `XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]`, without waiting.
pub(in crate::command) fn xread(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let args = ReadArgs::parse(ctx.args, false, ctx.time_ms(), ctx)?;
    read(ctx, &args, reply);
    Ok(())
}

/// Answers an `XREAD` with what there is: null if there is nothing.
pub(in crate::command) fn read(streams: &impl Streams, args: &ReadArgs<'_>, reply: &mut Reply<'_>) {
    if !args.is_ready(streams) {
        reply.null_array();
        return;
    }
    let open = reply.open();
    let mut served = 0;
    for (key, &from) in args.keys.iter().zip(&args.from) {
        if let (From::Behind(id), Ok(Some(stream))) = (from, streams.stream(key))
            && args.has_something(stream, from)
        {
            served += 1;
            reply.name(key);
            reply_entries(reply, stream.entries(behind(id), StreamId::MAX), args.count);
        }
    }
    reply.close_named(open, served);
}

/// The first id behind `id`; there is one if there are entries.
fn behind(id: StreamId) -> StreamId {
    id.next().unwrap_or(StreamId::MAX)
}

/// Answers an `XREADGROUP` with what there is: null if there is nothing. The consumer is there afterwards in any case.
pub(in crate::command) fn read_in_group(
    ctx: &mut WriteCtx<'_>,
    args: &ReadArgs<'_>,
    reply: &mut Reply<'_>,
) -> Outcome {
    let Some(group) = args.group else { return Err(CommandError::SYNTAX) };
    let now_ms = ctx.time_ms();
    let open = reply.open();
    let mut served = 0;
    for (key, &from) in args.keys.iter().zip(&args.from) {
        let Some(stream) = ctx.get_stream(key)? else { continue };
        let mut given = Given::default();
        if args.has_something(stream, from) {
            served += 1;
            reply.name(key);
            given = match from {
                From::New => give_new(stream, group, args.count, reply),
                From::Behind(id) => give_history(stream, group, id, args.count, reply),
            };
        }
        if ctx.modify_groups(key).is_some_and(|stream| given.note(stream, group, now_ms)) {
            tell_consumer(ctx, key);
        }
    }
    match served {
        0 => reply.null_array(),
        _ => reply.close_named(open, served),
    }
    Ok(())
}

/// What a consumer was given.
#[derive(Default)]
struct Given {
    new: Vec<StreamId>,
    /// How many entries the group has been given then.
    entries_read: Option<i64>,
    again: Vec<StreamId>,
}

impl Given {
    /// Notes it in the group. Whether the consumer is new.
    fn note(&self, stream: &mut Stream, args: GroupArgs<'_>, now_ms: u64) -> bool {
        let is_new = stream.modify_group(args.group, |group| {
            let is_new = group.see_consumer(args.consumer, now_ms);
            group.deliver_again(&self.again, now_ms);
            if let Some(&last) = self.new.last() {
                group.set_last_id(last, self.entries_read);
                if !args.no_ack {
                    group.deliver(args.consumer, &self.new, now_ms);
                }
            }
            is_new
        });
        is_new.unwrap_or(false)
    }
}

/// Writes what the group has not been given yet.
fn give_new(stream: &Stream, args: GroupArgs<'_>, count: usize, reply: &mut Reply<'_>) -> Given {
    let mut given = Given::default();
    let Some(group) = stream.group(args.group) else { return given };
    given.entries_read = group.entries_read();
    let open = reply.open();
    for entry in stream.entries(behind(group.last_id()), StreamId::MAX).take(count) {
        reply_entry(reply, &entry);
        given.entries_read = stream.count_read(given.entries_read, entry.id);
        given.new.push(entry.id);
    }
    reply.close_array(open, given.new.len());
    given
}

/// Writes what the consumer has been given and has not acknowledged.
fn give_history(
    stream: &Stream,
    args: GroupArgs<'_>,
    from: StreamId,
    count: usize,
    reply: &mut Reply<'_>,
) -> Given {
    let mut given = Given::default();
    let consumer = stream.group(args.group).and_then(|group| group.consumer(args.consumer));
    let open = reply.open();
    let mut found = 0;
    for &id in consumer.iter().flat_map(|consumer| consumer.pending_from(behind(from))).take(count) {
        found += 1;
        match stream.entry(id) {
            Some(entry) => {
                reply_entry(reply, &entry);
                given.again.push(id);
            }
            None => {
                reply.array(2);
                reply_id(reply, id);
                reply.null_array();
            }
        }
    }
    reply.close_array(open, found);
    given
}
