//! Commands on places, which are members of sorted sets: their scores are geohashes.

mod geohash;
mod geometry;
mod search;

use self::geohash::{LATITUDE_MAX, LONGITUDE_MAX, Point};
pub(super) use self::search::*;
use super::sorted_sets;
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    number::parse_f64,
    reply::Reply,
    types::sorted_set::SortedSet,
};

type Outcome = Result<(), CommandError>;

/// `GEOADD key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]`
pub(super) fn geoadd(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let is_option =
        |arg: &&&[u8]| [&b"nx"[..], b"xx", b"ch"].iter().any(|option| arg.eq_ignore_ascii_case(option));
    let (head, places) = ctx.args.split_at(2 + ctx.args[2..].iter().take_while(is_option).count());
    let has = |option: &[u8]| head[2..].iter().any(|arg| arg.eq_ignore_ascii_case(option));
    let (places, rest) = places.as_chunks::<3>();
    if !rest.is_empty() || (has(b"nx") && has(b"xx")) {
        return Err(CommandError::SYNTAX);
    }
    let scores = places
        .iter()
        .map(|[longitude, latitude, _]| Ok(parse_point(longitude, latitude)?.score().to_string()));
    let scores = scores.collect::<Result<Vec<String>, CommandError>>()?;
    let mut args = head.to_vec();
    for ([_, _, member], score) in places.iter().zip(&scores) {
        args.extend([score.as_bytes(), member]);
    }
    sorted_sets::add(ctx, reply, &args, false)
}

/// `GEOPOS key [member [member ...]]`
pub(super) fn geopos(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let set = ctx.get_sorted_set(ctx.arg(1))?;
    reply.array(ctx.args.len() - 2);
    for member in &ctx.args[2..] {
        match point_of(ctx, set, member) {
            Some(point) => reply_point(reply, point),
            None => reply.null_array(),
        }
    }
    Ok(())
}

/// `GEOHASH key [member [member ...]]`
pub(super) fn geohash(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let set = ctx.get_sorted_set(ctx.arg(1))?;
    reply.array(ctx.args.len() - 2);
    for member in &ctx.args[2..] {
        match point_of(ctx, set, member) {
            Some(point) => reply.bulk(&point.geohash()),
            None => reply.null(),
        }
    }
    Ok(())
}

/// `GEODIST key member1 member2 [M | KM | FT | MI]`
pub(super) fn geodist(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let meters_per_unit = match &ctx.args[4..] {
        [] => 1.0,
        [unit] => parse_unit(unit)?,
        _ => return Err(CommandError::SYNTAX),
    };
    let set = ctx.get_sorted_set(ctx.arg(1))?;
    let place = |member: &[u8]| point_of(ctx, set, member);
    match place(ctx.arg(2)).zip(place(ctx.arg(3))) {
        Some((a, b)) => reply_distance(reply, geometry::distance(a, b) / meters_per_unit),
        None => reply.null(),
    }
    Ok(())
}

fn point_of(ctx: &ReadCtx<'_>, set: Option<&SortedSet>, member: &[u8]) -> Option<Point> {
    set?.score(&ctx.rules(), member).map(Point::of_score)
}

fn parse_point(longitude: &[u8], latitude: &[u8]) -> Result<Point, CommandError> {
    let longitude = parse_f64(longitude).ok_or(CommandError::NOT_A_FLOAT)?;
    let latitude = parse_f64(latitude).ok_or(CommandError::NOT_A_FLOAT)?;
    if longitude.abs() > LONGITUDE_MAX || latitude.abs() > LATITUDE_MAX {
        let text = format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}");
        return Err(CommandError::new(text));
    }
    Ok(Point { longitude, latitude })
}

/// How many meters the unit is.
fn parse_unit(unit: &[u8]) -> Result<f64, CommandError> {
    const UNKNOWN: CommandError =
        CommandError::fixed("ERR unsupported unit provided. please use M, KM, FT, MI");
    match unit.to_ascii_lowercase().as_slice() {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(UNKNOWN),
    }
}

/// A distance with four digits behind the point.
fn reply_distance(reply: &mut Reply<'_>, distance: f64) {
    let scaled = (distance * 10_000.0).round_ties_even() as u64;
    reply.bulk(format!("{}.{:04}", scaled / 10_000, scaled % 10_000).as_bytes());
}

fn reply_point(reply: &mut Reply<'_>, point: Point) {
    reply.array(2);
    reply.double_text(&format_degrees(point.longitude));
    reply.double_text(&format_degrees(point.latitude));
}

/// Up to 17 digits behind the point, as Redis writes coordinates.
fn format_degrees(degrees: f64) -> String {
    let text = format!("{degrees:.17}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_are_written_without_needless_digits() {
        let cases = [
            (13.361389338970184, "13.36138933897018433"),
            (-0.0, "0"),
            (180.0, "180"),
            (-12.5, "-12.5"),
            (0.000003814697265625, "0.00000381469726562"),
        ];
        for (degrees, text) in cases {
            assert_eq!(format_degrees(degrees), text);
        }
    }
}
