//! CLIENT TRACKING and what belongs to it.

use quorate_keyspace::{CommandError, Reply};

use super::{Answer, Cx, count, text};
use crate::tracking::Options;

const OTHER_MODE: CommandError = CommandError::fixed(
    "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a \
     different mode.",
);
const OTHER_CHOICE: CommandError = CommandError::fixed(
    "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a \
     different mode.",
);

/// A client may give so many prefixes.
const PREFIXES_MAX: usize = 10_000;
const TOO_MANY: CommandError = CommandError::fixed("ERR a client may track 10000 prefixes");

fn parse(cx: &Cx<'_>, args: &[&[u8]]) -> Result<Options, CommandError> {
    let mut options = Options::default();
    let mut rest = args.iter();
    while let Some(word) = rest.next() {
        let mut value = || rest.next().copied().ok_or(CommandError::SYNTAX);
        match text(word).to_ascii_lowercase().as_str() {
            "redirect" if options.redirect != 0 => {
                return Err(CommandError::fixed("ERR A client can only redirect to a single other client"));
            }
            "redirect" => {
                let id = count(value()?).map_err(|_| CommandError::fixed("ERR Invalid client ID"))?;
                if !cx.node.clients().iter().any(|c| c.id == id) {
                    return Err(CommandError::fixed("ERR The client ID you want redirect to does not exist"));
                }
                options.redirect = id;
            }
            "prefix" => options.prefixes.push(value()?.to_vec()),
            "bcast" => options.bcast = true,
            "optin" => options.optin = true,
            "optout" => options.optout = true,
            "noloop" => options.noloop = true,
            _ => return Err(CommandError::SYNTAX),
        }
    }
    Ok(options)
}

/// `CLIENT TRACKING ON | OFF [REDIRECT id] [PREFIX prefix ...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]`
pub(super) fn tracking(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let mut options = parse(cx, &args[3..])?;
    let c = cx.connection;
    let before = c.tracked.borrow().as_ref().map(|tracked| tracked.options.clone());
    match text(args[2]).to_ascii_lowercase().as_str() {
        "on" => {}
        "off" => {
            cx.node.tracking.end(c);
            reply.ok();
            return Ok(());
        }
        _ => return Err(CommandError::SYNTAX),
    }
    if !options.bcast && !options.prefixes.is_empty() {
        return Err(CommandError::fixed("ERR PREFIX option requires BCAST mode to be enabled"));
    }
    if before.as_ref().is_some_and(|before| before.bcast != options.bcast) {
        return Err(OTHER_MODE);
    }
    if options.bcast && (options.optin || options.optout) {
        return Err(CommandError::fixed("ERR OPTIN and OPTOUT are not compatible with BCAST"));
    }
    if options.optin && options.optout {
        return Err(CommandError::fixed("ERR You can't specify both OPTIN mode and OPTOUT mode"));
    }
    if before.as_ref().is_some_and(|b| b.optin && options.optout || b.optout && options.optin) {
        return Err(OTHER_CHOICE);
    }
    let old = before.as_ref().map_or(&[][..], |before| &before.prefixes);
    if options.prefixes.len() + old.len() > PREFIXES_MAX {
        return Err(TOO_MANY);
    }
    check_prefixes(&options.prefixes, old)?;
    // Prefixes are added to those there are.
    if let Some(before) = before {
        options.prefixes.splice(0..0, before.prefixes);
    }
    options.prefixes.sort();
    cx.node.tracking.begin(c, options)?;
    reply.ok();
    Ok(())
}

/// A key would be told of twice.
fn check_prefixes(new: &[Vec<u8>], old: &[Vec<u8>]) -> Result<(), CommandError> {
    let overlaps = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    let error = |prefix: &[u8], what: &str, other: &[u8]| {
        let (prefix, other) = (text(prefix), text(other));
        CommandError::new(format!(
            "ERR Prefix '{prefix}' overlaps with {what} prefix '{other}'. Prefixes for a single client must not overlap."
        ))
    };
    // Whether any do is seen among neighbours in order; which, is a matter of the order in which they were given.
    let mut all: Vec<&[u8]> = old.iter().chain(new).map(Vec::as_slice).collect();
    all.sort_unstable();
    if all.is_sorted_by(|a, b| !overlaps(a, b)) {
        return Ok(());
    }
    for (n, prefix) in new.iter().enumerate() {
        if let Some(other) = old.iter().find(|other| overlaps(prefix, other)) {
            return Err(error(prefix, "an existing", other));
        }
        if let Some(other) = new[n + 1..].iter().find(|other| overlaps(prefix, other)) {
            return Err(error(prefix, "another provided", other));
        }
    }
    Ok(())
}

/// `CLIENT CACHING YES | NO`
pub(super) fn caching(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let tracked = cx.connection.tracked.borrow().clone();
    let tracked = tracked.filter(|tracked| tracked.options.optin || tracked.options.optout);
    let tracked = tracked.ok_or(CommandError::fixed(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    ))?;
    match text(args[2]).to_ascii_lowercase().as_str() {
        "yes" if tracked.options.optin => tracked.caching.set(Some(true)),
        "yes" => {
            return Err(CommandError::fixed(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
        "no" if tracked.options.optout => tracked.caching.set(Some(false)),
        "no" => {
            return Err(CommandError::fixed(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
        _ => return Err(CommandError::SYNTAX),
    }
    reply.ok();
    Ok(())
}

/// `CLIENT GETREDIR`: -1 without tracking, 0 without redirection.
pub(super) fn getredir(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    reply.int(redirect(cx));
    Ok(())
}

fn redirect(cx: &Cx<'_>) -> i64 {
    cx.connection.tracked.borrow().as_ref().map_or(-1, |tracked| tracked.options.redirect as i64)
}

/// `CLIENT TRACKINGINFO`
pub(super) fn info(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let tracked = cx.connection.tracked.borrow().clone();
    let (mut flags, mut prefixes) = (Vec::new(), Vec::new());
    match &tracked {
        None => flags.push("off"),
        Some(tracked) => {
            let Options { bcast, optin, optout, noloop, .. } = tracked.options;
            let caching = tracked.caching.get();
            let all = [
                ("on", true),
                ("bcast", bcast),
                ("optin", optin),
                ("caching-yes", optin && caching == Some(true)),
                ("optout", optout),
                ("caching-no", optout && caching == Some(false)),
                ("noloop", noloop),
                ("broken_redirect", tracked.is_broken.get()),
            ];
            flags.extend(all.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag));
            prefixes.clone_from(&tracked.options.prefixes);
            if bcast && prefixes.is_empty() {
                // Every key has it.
                prefixes.push(Vec::new());
            }
        }
    }
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.int(redirect(cx));
    reply.bulk(b"prefixes");
    reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    Ok(())
}
