//! Commands on HyperLogLogs, which are strings.

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Expiry,
    news::Events,
    reply::Reply,
    table::Record,
    types::{
        hyperloglog::{self, Corrupted, Place, Union},
        string::Str,
    },
};

const NOT_ONE: CommandError = CommandError::fixed("WRONGTYPE Key is not a valid HyperLogLog string value.");
const CORRUPTED: CommandError = CommandError::fixed("INVALIDOBJ Corrupted HLL object detected");

type Outcome = Result<(), CommandError>;

impl From<Corrupted> for CommandError {
    fn from(_: Corrupted) -> Self {
        CORRUPTED
    }
}

/// The bytes of a string that is a HyperLogLog.
fn bytes_of(string: &Str) -> Result<&[u8], CommandError> {
    // The text of an integer is none.
    string.as_slice().filter(|bytes| hyperloglog::is_one(bytes)).ok_or(NOT_ONE)
}

/// `PFADD key [element ...]`
pub(super) fn pfadd(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, len_max) = (ctx.arg(1), ctx.rules().hll_sparse_bytes_max);
    let places: SmallVec<[Place; 8]> =
        ctx.args.get(2..).unwrap_or_default().iter().map(|element| Place::of(element)).collect();
    let Some(string) = ctx.get_string(key)? else {
        let mut bytes = hyperloglog::new();
        for place in places {
            hyperloglog::raise(&mut bytes, place, len_max)?;
        }
        hyperloglog::mark_changed(&mut bytes);
        ctx.set(key, Str::raw(bytes), Expiry::Clear);
        ctx.notify(Events::STRING, "pfadd", key);
        reply.int(1);
        return Ok(());
    };
    let bytes = bytes_of(string)?;
    let changed = if hyperloglog::is_dense(bytes) {
        places.iter().any(|place| hyperloglog::would_raise_dense(bytes, *place))
            && ctx.modify_string(key)?.is_some_and(|string| {
                let bytes = string.bytes_mut(0);
                places.iter().for_each(|place| {
                    hyperloglog::raise_dense(bytes, *place);
                });
                hyperloglog::mark_changed(bytes);
                true
            })
    } else {
        let mut bytes = bytes.to_vec();
        let mut changed = false;
        for place in places {
            changed |= hyperloglog::raise(&mut bytes, place, len_max)?;
        }
        if changed {
            hyperloglog::mark_changed(&mut bytes);
            ctx.set(key, Str::raw(bytes), Expiry::Keep);
        }
        changed
    };
    if changed {
        ctx.notify(Events::STRING, "pfadd", key);
    }
    reply.int(i64::from(changed));
    Ok(())
}

/// `PFCOUNT key [key ...]`: a read. Redis keeps the estimate in the string; here it is made anew until the next one that
/// comes with an estimate from elsewhere.
pub(super) fn pfcount(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let count = match ctx.args.get(1..).unwrap_or_default() {
        [key] => match ctx.get_string(key)? {
            Some(string) => estimate(ctx, key, bytes_of(string)?)?,
            None => 0,
        },
        keys => {
            let mut union = Union::new();
            for key in keys {
                if let Some(string) = ctx.get_string(key)? {
                    union.take(bytes_of(string)?)?;
                }
            }
            union.count()
        }
    };
    reply.int(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

/// The estimate of one that a key holds.
fn estimate(ctx: &ReadCtx<'_>, key: &[u8], bytes: &[u8]) -> Result<u64, Corrupted> {
    let keyspace = ctx.keyspace;
    let record = keyspace.live(ctx.db(), keyspace.hash(key), key);
    // What the command under execution has changed may change again under the same version.
    let version = record.map_or(0, Record::version);
    let settled = version <= keyspace.version();
    // Nobody can choose keys that look alike: the seed is keyed by the cluster's secret.
    let id = xxh3_64_with_seed(key, keyspace.hash(key).wrapping_add(ctx.db() as u64));
    if settled && let Some(count) = keyspace.estimates.get(id, version) {
        return Ok(count);
    }
    let count = hyperloglog::count(bytes)?;
    if settled {
        keyspace.estimates.keep(id, version, count);
    }
    Ok(count)
}

/// `PFMERGE destkey [sourcekey ...]`
pub(super) fn pfmerge(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, len_max) = (ctx.arg(1), ctx.rules().hll_sparse_bytes_max);
    let mut union = Union::new();
    let mut any_dense = false;
    for key in ctx.args.get(1..).unwrap_or_default() {
        if let Some(string) = ctx.get_string(key)? {
            let bytes = bytes_of(string)?;
            any_dense |= hyperloglog::is_dense(bytes);
            union.take(bytes)?;
        }
    }
    let mut bytes = match ctx.get_string(key)? {
        Some(string) => bytes_of(string)?.to_vec(),
        None => hyperloglog::new(),
    };
    if any_dense {
        hyperloglog::make_dense(&mut bytes)?;
    }
    union.merge_into(&mut bytes, len_max)?;
    ctx.args.iter().skip(1).for_each(|key| ctx.count_as_read(key));
    ctx.set(key, Str::raw(bytes), Expiry::Keep);
    ctx.notify(Events::STRING, "pfadd", key);
    reply.ok();
    Ok(())
}

/// `PFDEBUG GETREG | DECODE | ENCODING | TODENSE key`
pub(super) fn pfdebug(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    const NO_KEY: CommandError = CommandError::fixed("ERR The specified key does not exist");
    const NOT_SPARSE: CommandError = CommandError::fixed("ERR HLL encoding is not sparse");
    let (name, key) = (ctx.arg(1), ctx.arg(2));
    let bytes = bytes_of(ctx.get_string(key)?.ok_or(NO_KEY)?)?;
    let is_dense = hyperloglog::is_dense(bytes);
    match name.to_ascii_lowercase().as_slice() {
        b"getreg" => {
            let mut union = Union::new();
            union.take(bytes)?;
            make_dense(ctx, key)?;
            reply.array(hyperloglog::REGISTERS);
            union.registers().iter().for_each(|&value| reply.int(value.into()));
        }
        b"decode" if is_dense => return Err(NOT_SPARSE),
        b"decode" => reply.bulk(hyperloglog::describe_runs(bytes)?.as_bytes()),
        b"encoding" => reply.simple(if is_dense { "dense" } else { "sparse" }),
        b"todense" => {
            make_dense(ctx, key)?;
            reply.int(i64::from(!is_dense));
        }
        _ => {
            let name = String::from_utf8_lossy(name);
            return Err(CommandError::new(format!("ERR Unknown PFDEBUG subcommand '{name}'")));
        }
    }
    Ok(())
}

fn make_dense(ctx: &mut WriteCtx<'_>, key: &[u8]) -> Outcome {
    if let Some(string) = ctx.get_string(key)? {
        let bytes = bytes_of(string)?;
        if !hyperloglog::is_dense(bytes) {
            let mut bytes = bytes.to_vec();
            hyperloglog::make_dense(&mut bytes)?;
            ctx.set(key, Str::raw(bytes), Expiry::Keep);
        }
    }
    Ok(())
}

/// `PFSELFTEST`: counts what is known, in both encodings.
pub(super) fn pfselftest(_: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    /// Five times the standard error of 0.81 %, for numbers of elements from this on.
    const ERROR_MAX: f64 = 0.0405;
    const COUNT_MIN: u32 = 1000;
    const COUNT_MAX: u32 = 20_000;
    /// As Redis's default: most elements are counted densely.
    const SPARSE_LEN_MAX: usize = 3000;
    let failed = |what: &str, n: u32| CommandError::new(format!("TESTFAILED {what} after {n} elements"));
    let (mut sparse, mut dense) = (hyperloglog::new(), hyperloglog::new());
    hyperloglog::make_dense(&mut dense)?;
    for n in 1..=COUNT_MAX {
        let place = Place::of(&n.to_le_bytes());
        let in_sparse = hyperloglog::raise(&mut sparse, place, SPARSE_LEN_MAX)?;
        let in_dense = hyperloglog::raise(&mut dense, place, SPARSE_LEN_MAX)?;
        if in_sparse != in_dense {
            return Err(failed("the encodings differ", n));
        }
        if n >= COUNT_MIN && n.is_power_of_two() || n == COUNT_MAX {
            hyperloglog::mark_changed(&mut sparse);
            hyperloglog::mark_changed(&mut dense);
            let (a, b) = (hyperloglog::count(&sparse)?, hyperloglog::count(&dense)?);
            if a != b {
                return Err(failed("the estimates differ", n));
            }
            if (a as f64 - f64::from(n)).abs() > f64::from(n) * ERROR_MAX {
                return Err(failed("the estimate is wrong", n));
            }
        }
    }
    reply.ok();
    Ok(())
}
