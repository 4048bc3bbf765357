//! Libraries of functions: one after the other, and the footer of every payload.

use std::borrow::Cow;

use super::{Refused, Version, check_footer, put_footer, reader::Reader, save};
use crate::rules::Rules;

/// Stands before the source of a library.
const FUNCTION: u8 = 245;

/// Sources as a payload.
pub(crate) fn dump_functions<'a>(sources: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for source in sources {
        out.push(FUNCTION);
        save::put_blob(&mut out, source);
    }
    put_footer(&mut out, Version::default());
    out
}

/// The sources in a payload.
pub(crate) fn restore_functions<'a>(payload: &'a [u8], rules: &Rules) -> Result<Vec<Cow<'a, [u8]>>, Refused> {
    let body = check_footer(payload, rules.skips_checksums).ok_or(Refused::Footer)?;
    take_sources(&mut Reader::new(body)).ok_or(Refused::Format)
}

fn take_sources<'a>(reader: &mut Reader<'a>) -> Option<Vec<Cow<'a, [u8]>>> {
    let mut sources = Vec::new();
    while !reader.is_empty() {
        if reader.byte()? != FUNCTION {
            return None;
        }
        sources.push(reader.string()?);
    }
    Some(sources)
}
