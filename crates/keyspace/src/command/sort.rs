//! `SORT` and `SORT_RO`.

mod pattern;

use std::{borrow::Cow, cmp::Ordering};

use self::pattern::Pattern;
use super::sorted_sets::{number_as_c, text};
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Expiry,
    news::Events,
    number::{parse_f64, parse_i64},
    reply::Reply,
    rules::Rules,
    types::list::List,
    value::Value,
};

type Outcome = Result<(), CommandError>;

type Bytes<'a> = Cow<'a, [u8]>;

const BY_DENIED: CommandError =
    CommandError::fixed("ERR BY option of SORT denied due to insufficient ACL permissions.");
const GET_DENIED: CommandError =
    CommandError::fixed("ERR GET option of SORT denied due to insufficient ACL permissions.");

/// What the arguments behind the key say.
struct Options<'a> {
    by: Option<Pattern<'a>>,
    /// `BY` a constant: the order stays as it is.
    unsorted: bool,
    get: Vec<Pattern<'a>>,
    descending: bool,
    alpha: bool,
    offset: i64,
    count: i64,
    store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// `reads_all`: whoever sorts may read all keys, as the patterns of BY and GET ask for.
    fn parse(args: &[&'a [u8]], may_store: bool, reads_all: bool) -> Result<Self, CommandError> {
        let mut options = Self {
            by: None,
            unsorted: false,
            get: Vec::new(),
            descending: false,
            alpha: false,
            offset: 0,
            count: -1,
            store: None,
        };
        let mut rest = args;
        while let [option, after @ ..] = rest {
            rest = match (option.to_ascii_lowercase().as_slice(), after) {
                (b"asc", _) => {
                    options.descending = false;
                    after
                }
                (b"desc", _) => {
                    options.descending = true;
                    after
                }
                (b"alpha", _) => {
                    options.alpha = true;
                    after
                }
                (b"limit", [offset, count, after @ ..]) => {
                    options.offset = parse_i64(offset).ok_or(CommandError::NOT_AN_INTEGER)?;
                    options.count = parse_i64(count).ok_or(CommandError::NOT_AN_INTEGER)?;
                    after
                }
                (b"store", [key, after @ ..]) if may_store => {
                    options.store = Some(key);
                    after
                }
                (b"by", [pattern, after @ ..]) => {
                    let pattern = Pattern::new(pattern);
                    if !reads_all && !pattern.is_constant() {
                        return Err(BY_DENIED);
                    }
                    // Once said, it holds, whatever another BY says.
                    options.unsorted |= pattern.is_constant();
                    options.by = Some(pattern);
                    after
                }
                (b"get", [_, ..]) if !reads_all => return Err(GET_DENIED),
                (b"get", [pattern, after @ ..]) => {
                    options.get.push(Pattern::new(pattern));
                    after
                }
                _ => return Err(CommandError::SYNTAX),
            };
        }
        Ok(options)
    }
}

/// The state as one of the two contexts shows it.
struct View<'v> {
    get: &'v dyn Fn(&[u8]) -> Option<&'v Value>,
    rules: Rules,
    in_script: bool,
}

/// What an element is ordered by.
enum Weight {
    Number(f64),
    /// Nothing if there is no such key.
    Text(Option<Vec<u8>>),
    /// The element itself.
    Own,
}

/// The elements of a sort, sorted and cut.
fn sorted<'v>(
    view: &View<'v>,
    key: &[u8],
    options: &mut Options<'_>,
) -> Result<Vec<Bytes<'v>>, CommandError> {
    let value = (view.get)(key);
    let mut elements: Vec<Bytes<'v>> = match value {
        None => Vec::new(),
        Some(Value::List(list)) => list.iter_from(0).map(Cow::Borrowed).collect(),
        Some(Value::Set(set)) => set.iter().map(text).collect(),
        Some(Value::SortedSet(set)) => set.iter().map(|(member, _)| Cow::Borrowed(member)).collect(),
        Some(_) => return Err(CommandError::WRONG_TYPE),
    };
    let is_set = matches!(value, Some(Value::Set(_)));
    if options.unsorted && is_set && (options.store.is_some() || view.in_script) {
        // What is stored or a script sees must follow from the members alone, in Redis too.
        (options.unsorted, options.alpha, options.by) = (false, true, None);
    }
    if !options.unsorted {
        elements = sort(view, elements, options)?;
    } else if options.descending && !is_set {
        elements.reverse();
    }
    let start = usize::try_from(options.offset).unwrap_or(0).min(elements.len());
    let count = usize::try_from(options.count).unwrap_or(usize::MAX).min(elements.len() - start);
    elements.truncate(start + count);
    elements.drain(..start);
    Ok(elements)
}

fn sort<'v>(
    view: &View<'v>,
    elements: Vec<Bytes<'v>>,
    options: &Options<'_>,
) -> Result<Vec<Bytes<'v>>, CommandError> {
    let weighed = elements.into_iter().map(|element| Ok((weigh(view, &element, options)?, element)));
    let mut all = weighed.collect::<Result<Vec<(Weight, Bytes<'v>)>, CommandError>>()?;
    let order = |a: &(Weight, Bytes<'_>), b: &(Weight, Bytes<'_>)| match (&a.0, &b.0) {
        (Weight::Number(x), Weight::Number(y)) => {
            x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(&b.1))
        }
        (Weight::Text(x), Weight::Text(y)) => match (x, y) {
            (Some(x), Some(y)) => collate(x, y, options.store.is_some()),
            _ => x.is_some().cmp(&y.is_some()),
        },
        _ => collate(&a.1, &b.1, options.store.is_some()),
    };
    if options.descending {
        all.sort_by(|a, b| order(b, a));
    } else {
        all.sort_by(order);
    }
    Ok(all.into_iter().map(|(_, element)| element).collect())
}

/// The order of ALPHA. For a client, Redis compares strings of C, which a NUL ends; for a list, all bytes.
fn collate(a: &[u8], b: &[u8], to_store: bool) -> Ordering {
    if to_store {
        return a.cmp(b);
    }
    let end = |bytes: &[u8]| bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    a[..end(a)].cmp(&b[..end(b)])
}

fn weigh(view: &View<'_>, element: &[u8], options: &Options<'_>) -> Result<Weight, CommandError> {
    const NOT_A_NUMBER: CommandError =
        CommandError::fixed("ERR One or more scores can't be converted into double");
    let number = |text: &[u8]| number_as_c(text, parse_f64).ok_or(NOT_A_NUMBER).map(Weight::Number);
    match &options.by {
        None if options.alpha => Ok(Weight::Own),
        None => number(element),
        Some(pattern) => match pattern.find(view, element) {
            found if options.alpha => Ok(Weight::Text(found.map(Cow::into_owned))),
            Some(text) => number(&text),
            None => Ok(Weight::Number(0.0)),
        },
    }
}

/// What is answered for an element, or stored: itself, or what the GET patterns find.
fn each_output(
    view: &View<'_>,
    elements: &[Bytes<'_>],
    options: &Options<'_>,
    mut put: impl FnMut(Option<&[u8]>),
) {
    for element in elements {
        if options.get.is_empty() {
            put(Some(element));
        }
        for pattern in &options.get {
            put(pattern.find(view, element).as_deref());
        }
    }
}

fn reply_sorted(view: &View<'_>, elements: &[Bytes<'_>], options: &Options<'_>, reply: &mut Reply<'_>) {
    reply.array(elements.len() * options.get.len().max(1));
    each_output(view, elements, options, |output| match output {
        Some(output) => reply.bulk(output),
        None => reply.null(),
    });
}

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]`
pub(super) fn sort_any(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let mut options = Options::parse(&ctx.args[2..], true, ctx.may_read_all_keys())?;
    let view = View { get: &|key| ctx.get(key), rules: ctx.rules(), in_script: ctx.keyspace.scripts.running };
    let elements = sorted(&view, ctx.arg(1), &mut options)?;
    let Some(destination) = options.store else {
        reply_sorted(&view, &elements, &options, reply);
        return Ok(());
    };
    let mut list = List::new();
    each_output(&view, &elements, &options, |output| list.push_back(output.unwrap_or_default()));
    reply.count(list.len());
    if list.is_empty() {
        ctx.delete(destination);
    } else {
        list.encode_for_growth(ctx.rules().list_limit, &[]);
        ctx.set(destination, list, Expiry::Clear);
        ctx.notify(Events::LIST, "sortstore", destination);
    }
    Ok(())
}

/// `SORT_RO key ...`: SORT without STORE.
pub(super) fn sort_ro(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let mut options = Options::parse(&ctx.args[2..], false, ctx.may_read_all_keys())?;
    let view = View { get: &|key| ctx.get(key), rules: ctx.rules(), in_script: ctx.keyspace.scripts.running };
    let elements = sorted(&view, ctx.arg(1), &mut options)?;
    reply_sorted(&view, &elements, &options, reply);
    Ok(())
}

/// Where the key behind STORE is: the last one.
pub(super) fn store_position(args: &[&[u8]]) -> Option<usize> {
    let (mut i, mut found) = (2, None);
    while let Some(arg) = args.get(i) {
        i += match arg.to_ascii_lowercase().as_slice() {
            b"limit" => 3,
            b"get" | b"by" => 2,
            b"store" if i + 1 < args.len() => {
                found = Some(i + 1);
                1
            }
            _ => 1,
        };
    }
    found
}
