//! What lies within a circle or a rectangle: GEOSEARCH, and GEORADIUS, which came before it.

use super::{Outcome, geohash::Point, geometry::Shape, parse_point, parse_unit, reply_distance, reply_point};
use crate::{
    command::sorted_sets,
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    number::{parse_f64, parse_i64},
    reply::Reply,
    rules::Rules,
    types::sorted_set::{Scored, SortedSet},
};

/// One of the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Radius { may_store: bool },
    RadiusByMember { may_store: bool },
    Search,
    SearchStore,
}

impl Form {
    fn is_search(self) -> bool {
        matches!(self, Self::Search | Self::SearchStore)
    }

    /// Whether the words STORE and STOREDIST name a key.
    fn may_store(self) -> bool {
        matches!(self, Self::Radius { may_store: true } | Self::RadiusByMember { may_store: true })
    }

    /// Where the key is.
    fn source(self) -> usize {
        if self == Self::SearchStore { 2 } else { 1 }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CenterIs {
    Member,
    Point,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Any,
    Ascending,
    Descending,
}

/// What is asked for.
struct Query<'a> {
    form: Form,
    center: Option<Point>,
    shape: Option<Shape>,
    /// How the center of a GEOSEARCH was named; there may be no key to find it in.
    center_is: Option<CenterIs>,
    meters_per_unit: f64,
    with_distance: bool,
    with_hash: bool,
    with_point: bool,
    order: Order,
    /// Most places to find; 0 is any number.
    count: usize,
    /// As many as were asked for are enough, be they the nearest or not.
    any: bool,
    /// Where to store what is found.
    store: Option<&'a [u8]>,
    /// With distances for scores.
    store_distances: bool,
}

/// A place that was found.
struct Found<'a> {
    member: &'a [u8],
    score: f64,
    point: Point,
    /// In meters.
    distance: f64,
}

/// The arguments of a search, and where it looks.
struct Source<'a, 's> {
    args: &'s [&'a [u8]],
    rules: &'s Rules,
    set: Option<&'s SortedSet>,
}

impl<'a> Query<'a> {
    fn parse(form: Form, source: &Source<'a, '_>) -> Result<Self, CommandError> {
        let mut query = Self {
            form,
            center: None,
            shape: None,
            center_is: None,
            meters_per_unit: 1.0,
            with_distance: false,
            with_hash: false,
            with_point: false,
            order: Order::Any,
            count: 0,
            any: false,
            store: None,
            store_distances: false,
        };
        let args = source.args;
        let options = match form {
            Form::Radius { .. } => {
                query.center = Some(parse_point(args[2], args[3])?);
                query.parse_radius(args[4], args[5])?;
                &args[6..]
            }
            Form::RadiusByMember { .. } => {
                if source.set.is_some() {
                    query.center = source.find(args[2])?;
                    query.parse_radius(args[3], args[4])?;
                }
                &args[5..]
            }
            Form::Search => &args[2..],
            Form::SearchStore => {
                query.store = Some(args[1]);
                &args[3..]
            }
        };
        query.parse_options(options, source)?;
        query.check(args[0])?;
        Ok(query)
    }

    fn parse_options(&mut self, options: &[&'a [u8]], source: &Source<'a, '_>) -> Outcome {
        let mut rest = options;
        while let [option, after @ ..] = rest {
            let taken = self.parse_option(&option.to_ascii_lowercase(), after, source)?;
            rest = &after[taken..];
        }
        Ok(())
    }

    /// Reads one option, and tells how many arguments belong to it.
    fn parse_option(
        &mut self,
        option: &[u8],
        after: &[&'a [u8]],
        source: &Source<'a, '_>,
    ) -> Result<usize, CommandError> {
        const COUNT: CommandError = CommandError::fixed("ERR COUNT must be > 0");
        match (option, after) {
            (b"withdist", _) => self.with_distance = true,
            (b"withhash", _) => self.with_hash = true,
            (b"withcoord", _) => self.with_point = true,
            (b"any", _) => self.any = true,
            (b"asc", _) => self.order = Order::Ascending,
            (b"desc", _) => self.order = Order::Descending,
            (b"count", [count, ..]) => {
                let count = parse_i64(count).ok_or(CommandError::NOT_AN_INTEGER)?;
                self.count = usize::try_from(count).ok().filter(|&count| count > 0).ok_or(COUNT)?;
                return Ok(1);
            }
            (b"store" | b"storedist", [key, ..]) if self.form.may_store() => {
                self.store = Some(key);
                self.store_distances = option == b"storedist";
                return Ok(1);
            }
            (b"storedist", _) if self.form == Form::SearchStore => self.store_distances = true,
            _ if self.form.is_search() => return self.parse_place(option, after, source),
            _ => return Err(CommandError::SYNTAX),
        }
        Ok(0)
    }

    /// Reads where a GEOSEARCH looks, and how far.
    fn parse_place(
        &mut self,
        option: &[u8],
        after: &[&'a [u8]],
        source: &Source<'a, '_>,
    ) -> Result<usize, CommandError> {
        let is_point = self.center_is == Some(CenterIs::Point);
        let is_member = self.center_is == Some(CenterIs::Member);
        match (option, after) {
            (b"frommember", [member, ..]) if !is_point => {
                self.center_is = Some(CenterIs::Member);
                self.center = source.find(member)?;
                Ok(1)
            }
            (b"fromlonlat", [longitude, latitude, ..]) if !is_member => {
                self.center_is = Some(CenterIs::Point);
                self.center = Some(parse_point(longitude, latitude)?);
                Ok(2)
            }
            (b"byradius", [radius, unit, ..]) if !matches!(self.shape, Some(Shape::Rectangle { .. })) => {
                self.parse_radius(radius, unit)?;
                Ok(2)
            }
            (b"bybox", [width, height, unit, ..]) if !matches!(self.shape, Some(Shape::Circle { .. })) => {
                self.parse_box(width, height, unit)?;
                Ok(3)
            }
            _ => Err(CommandError::SYNTAX),
        }
    }

    fn parse_radius(&mut self, radius: &[u8], unit: &[u8]) -> Outcome {
        const NOT_NUMERIC: CommandError = CommandError::fixed("ERR need numeric radius");
        const NEGATIVE: CommandError = CommandError::fixed("ERR radius cannot be negative");
        let radius = parse_f64(radius).ok_or(NOT_NUMERIC)?;
        if radius < 0.0 {
            return Err(NEGATIVE);
        }
        self.meters_per_unit = parse_unit(unit)?;
        self.shape = Some(Shape::Circle { radius: radius * self.meters_per_unit });
        Ok(())
    }

    fn parse_box(&mut self, width: &[u8], height: &[u8], unit: &[u8]) -> Outcome {
        const NOT_NUMERIC_WIDTH: CommandError = CommandError::fixed("ERR need numeric width");
        const NOT_NUMERIC_HEIGHT: CommandError = CommandError::fixed("ERR need numeric height");
        const NEGATIVE: CommandError = CommandError::fixed("ERR height or width cannot be negative");
        let width = parse_f64(width).ok_or(NOT_NUMERIC_WIDTH)?;
        let height = parse_f64(height).ok_or(NOT_NUMERIC_HEIGHT)?;
        if width < 0.0 || height < 0.0 {
            return Err(NEGATIVE);
        }
        let unit = parse_unit(unit)?;
        self.meters_per_unit = unit;
        self.shape = Some(Shape::Rectangle { width: width * unit, height: height * unit });
        Ok(())
    }

    /// Judges the options together; `name` is the command's as it was sent.
    fn check(&self, name: &[u8]) -> Outcome {
        const ANY_WITHOUT_COUNT: CommandError =
            CommandError::fixed("ERR the ANY argument requires COUNT argument");
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_point) {
            let what =
                if self.form == Form::SearchStore { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(CommandError::new(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let name = String::from_utf8_lossy(name);
        if self.form.is_search() && self.center_is.is_none() {
            return Err(CommandError::new(format!(
                "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}"
            )));
        }
        if self.form.is_search() && self.shape.is_none() {
            return Err(CommandError::new(format!(
                "ERR exactly one of BYRADIUS and BYBOX can be specified for {name}"
            )));
        }
        if self.any && self.count == 0 { Err(ANY_WITHOUT_COUNT) } else { Ok(()) }
    }

    /// What lies within, as many and in the order as asked for.
    fn run<'s>(&self, set: &'s SortedSet) -> Vec<Found<'s>> {
        let (Some(center), Some(shape)) = (self.center, self.shape) else { return Vec::new() };
        let enough = if self.any { self.count } else { usize::MAX };
        let mut all = Vec::new();
        for cell in shape.cells(center) {
            let (first, end) = cell.scores();
            let begin = set.position(|_, score| score < first);
            let end = set.position(|_, score| score < end);
            let found = set.range(begin..end, false).filter_map(|(member, score)| {
                let point = Point::of_score(score);
                let distance = shape.distance_within(center, point)?;
                Some(Found { member, score, point, distance })
            });
            all.extend(found.take(enough - all.len()));
        }
        let order = match self.order {
            // The nearest, if only some are wanted.
            Order::Any if self.count > 0 && !self.any => Order::Ascending,
            order => order,
        };
        match order {
            Order::Any => {}
            Order::Ascending => all.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
            Order::Descending => all.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
        }
        if self.count > 0 {
            all.truncate(self.count);
        }
        all
    }

    fn reply(&self, reply: &mut Reply<'_>, found: &[Found<'_>]) {
        let details = [self.with_distance, self.with_hash, self.with_point];
        let details = details.into_iter().filter(|&wanted| wanted).count();
        reply.array(found.len());
        for place in found {
            if details > 0 {
                reply.array(1 + details);
            }
            reply.bulk(place.member);
            if self.with_distance {
                reply_distance(reply, place.distance / self.meters_per_unit);
            }
            if self.with_hash {
                reply.int(place.score as i64);
            }
            if self.with_point {
                reply_point(reply, place.point);
            }
        }
    }

    fn scored(&self, found: &[Found<'_>]) -> Vec<Scored> {
        let score = |place: &Found<'_>| {
            if self.store_distances { place.distance / self.meters_per_unit } else { place.score }
        };
        found.iter().map(|place| Scored::from((place.member, score(place)))).collect()
    }
}

impl Source<'_, '_> {
    /// The place of a member. Without a key there is none, and that is no error.
    fn find(&self, member: &[u8]) -> Result<Option<Point>, CommandError> {
        const NO_MEMBER: CommandError = CommandError::fixed("ERR could not decode requested zset member");
        let Some(set) = self.set else { return Ok(None) };
        let score = set.score(self.rules, member).ok_or(NO_MEMBER)?;
        Ok(Some(Point::of_score(score)))
    }
}

fn read(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>, form: Form) -> Outcome {
    let set = ctx.get_sorted_set(ctx.arg(form.source()))?;
    let query = Query::parse(form, &Source { args: ctx.args, rules: &ctx.rules(), set })?;
    query.reply(reply, &set.map_or_else(Vec::new, |set| query.run(set)));
    Ok(())
}

fn write(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>, form: Form) -> Outcome {
    let set = ctx.get_sorted_set(ctx.arg(form.source()))?;
    let query = Query::parse(form, &Source { args: ctx.args, rules: &ctx.rules(), set })?;
    let found = set.map_or_else(Vec::new, |set| query.run(set));
    match query.store {
        None => query.reply(reply, &found),
        Some(key) => {
            let all = query.scored(&found);
            let event = if form.is_search() { "geosearchstore" } else { "georadiusstore" };
            sorted_sets::store(ctx, reply, event, key, all);
        }
    }
    Ok(())
}

/// `GEOSEARCH key FROMMEMBER member | FROMLONLAT longitude latitude BYRADIUS radius unit | BYBOX width height unit
/// [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]`
pub(in crate::command) fn geosearch(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    read(ctx, reply, Form::Search)
}

/// `GEOSEARCHSTORE destination source ... [STOREDIST]`, else as GEOSEARCH.
pub(in crate::command) fn geosearchstore(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    write(ctx, reply, Form::SearchStore)
}

/// `GEORADIUS key longitude latitude radius unit [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]
/// [STORE key | STOREDIST key]`
pub(in crate::command) fn georadius(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    write(ctx, reply, Form::Radius { may_store: true })
}

/// GEORADIUS without STORE and STOREDIST.
pub(in crate::command) fn georadius_ro(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    read(ctx, reply, Form::Radius { may_store: false })
}

/// `GEORADIUSBYMEMBER key member radius unit ...`, else as GEORADIUS.
pub(in crate::command) fn georadiusbymember(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    write(ctx, reply, Form::RadiusByMember { may_store: true })
}

/// GEORADIUSBYMEMBER without STORE and STOREDIST.
pub(in crate::command) fn georadiusbymember_ro(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    read(ctx, reply, Form::RadiusByMember { may_store: false })
}
