//! Places on the earth, kept in sorted sets.

use super::{BASE, arg, block, categories, flags, key, key_flags, one_of, range, token};
use crate::command::{Argument, Begin, Command, Find, Group, Handler, KeySpec, geo};

const UNIT: Argument =
    one_of("unit", &[token("m", "M"), token("km", "KM"), token("ft", "FT"), token("mi", "MI")]);
const ORDER: Argument = one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional();
const COUNT: Argument =
    block("count-block", &[arg("count", "integer").behind("COUNT"), token("any", "ANY").optional()])
        .optional();
const STORE: Argument =
    one_of("store", &[key("storekey", 1).behind("STORE"), key("storedistkey", 2).behind("STOREDIST")])
        .optional();
const FROM: Argument = one_of(
    "from",
    &[
        arg("member", "string").behind("FROMMEMBER"),
        block("fromlonlat", &[arg("longitude", "double"), arg("latitude", "double")]).behind("FROMLONLAT"),
    ],
);
const BY: Argument = one_of(
    "by",
    &[
        block("circle", &[arg("radius", "double").behind("BYRADIUS"), UNIT]),
        block("box", &[arg("width", "double").behind("BYBOX"), arg("height", "double"), UNIT]),
    ],
);

/// A key that is written, behind a word that is looked for from a position on.
const fn stored_behind(word: &'static str, from: usize) -> KeySpec {
    KeySpec {
        flags: key_flags!(OW UPDATE),
        begin: Begin::Keyword(word, from),
        find: Find::Range { last: 0, step: 1 },
    }
}

pub(super) static GEO: &[Command] = &[
    Command {
        name: "geoadd",
        arity: -5,
        flags: flags!(WRITE DENYOOM),
        keys: &[range(1, 0, 1, key_flags!(RW UPDATE))],
        categories: categories!(GEO),
        since: "3.2.0",
        complexity: "O(log(N)) for each member",
        summary: "Adds places to a sorted set, or changes where they are.",
        group: Group::Geo,
        arguments: &[
            key("key", 0),
            one_of("condition", &[token("nx", "NX"), token("xx", "XX")]).optional(),
            token("change", "CH").optional(),
            block("data", &[arg("longitude", "double"), arg("latitude", "double"), arg("member", "string")])
                .multiple(),
        ],
        handler: Handler::Write(geo::geoadd),
        ..BASE
    },
    Command {
        name: "geodist",
        arity: -4,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(GEO),
        since: "3.2.0",
        complexity: "O(log(N))",
        summary: "Tells the distance of two places.",
        group: Group::Geo,
        arguments: &[key("key", 0), arg("member1", "string"), arg("member2", "string"), UNIT.optional()],
        handler: Handler::Read(geo::geodist),
        ..BASE
    },
    Command {
        name: "geohash",
        arity: -2,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(GEO),
        since: "3.2.0",
        complexity: "O(log(N)) for each member asked for",
        summary: "Returns the geohashes of places.",
        group: Group::Geo,
        arguments: &[key("key", 0), arg("member", "string").optional().multiple()],
        handler: Handler::Read(geo::geohash),
        ..BASE
    },
    Command {
        name: "geopos",
        arity: -2,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(GEO),
        since: "3.2.0",
        complexity: "O(log(N)) for each member asked for",
        summary: "Returns the coordinates of places.",
        group: Group::Geo,
        arguments: &[key("key", 0), arg("member", "string").optional().multiple()],
        handler: Handler::Read(geo::geopos),
        ..BASE
    },
    Command {
        name: "georadius",
        arity: -6,
        flags: flags!(WRITE DENYOOM MOVABLEKEYS),
        keys: &[
            range(1, 0, 1, key_flags!(RO ACCESS)),
            stored_behind("STORE", 6),
            stored_behind("STOREDIST", 6),
        ],
        categories: categories!(GEO),
        since: "3.2.0",
        complexity: "O(N+M*log(M)) for N members in the cells around the shape, M of which lie within",
        summary: "Returns or stores the places within a distance from a point.",
        group: Group::Geo,
        arguments: &[
            key("key", 0),
            arg("longitude", "double"),
            arg("latitude", "double"),
            arg("radius", "double"),
            UNIT,
            token("withcoord", "WITHCOORD").optional(),
            token("withdist", "WITHDIST").optional(),
            token("withhash", "WITHHASH").optional(),
            COUNT,
            ORDER,
            STORE,
        ],
        handler: Handler::Write(geo::georadius),
        ..BASE
    },
    Command {
        name: "georadius_ro",
        arity: -6,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(GEO),
        since: "3.2.10",
        complexity: "O(N+M*log(M)) for N members in the cells around the shape, M of which lie within",
        summary: "Returns the places within a distance from a point.",
        group: Group::Geo,
        arguments: &[
            key("key", 0),
            arg("longitude", "double"),
            arg("latitude", "double"),
            arg("radius", "double"),
            UNIT,
            token("withcoord", "WITHCOORD").optional(),
            token("withdist", "WITHDIST").optional(),
            token("withhash", "WITHHASH").optional(),
            COUNT,
            ORDER,
        ],
        handler: Handler::Read(geo::georadius_ro),
        ..BASE
    },
    Command {
        name: "georadiusbymember",
        arity: -5,
        flags: flags!(WRITE DENYOOM MOVABLEKEYS),
        keys: &[
            range(1, 0, 1, key_flags!(RO ACCESS)),
            stored_behind("STORE", 5),
            stored_behind("STOREDIST", 5),
        ],
        categories: categories!(GEO),
        since: "3.2.0",
        complexity: "O(N+M*log(M)) for N members in the cells around the shape, M of which lie within",
        summary: "Returns or stores the places within a distance from a member.",
        group: Group::Geo,
        arguments: &[
            key("key", 0),
            arg("member", "string"),
            arg("radius", "double"),
            UNIT,
            token("withcoord", "WITHCOORD").optional(),
            token("withdist", "WITHDIST").optional(),
            token("withhash", "WITHHASH").optional(),
            COUNT,
            ORDER,
            STORE,
        ],
        handler: Handler::Write(geo::georadiusbymember),
        ..BASE
    },
    Command {
        name: "georadiusbymember_ro",
        arity: -5,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(GEO),
        since: "3.2.10",
        complexity: "O(N+M*log(M)) for N members in the cells around the shape, M of which lie within",
        summary: "Returns the places within a distance from a member.",
        group: Group::Geo,
        arguments: &[
            key("key", 0),
            arg("member", "string"),
            arg("radius", "double"),
            UNIT,
            token("withcoord", "WITHCOORD").optional(),
            token("withdist", "WITHDIST").optional(),
            token("withhash", "WITHHASH").optional(),
            COUNT,
            ORDER,
        ],
        handler: Handler::Read(geo::georadiusbymember_ro),
        ..BASE
    },
    Command {
        name: "geosearch",
        arity: -7,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(GEO),
        since: "6.2.0",
        complexity: "O(N+M*log(M)) for N members in the cells around the shape, M of which lie within",
        summary: "Returns the places within a circle or a rectangle.",
        group: Group::Geo,
        arguments: &[
            key("key", 0),
            FROM,
            BY,
            ORDER,
            COUNT,
            token("withcoord", "WITHCOORD").optional(),
            token("withdist", "WITHDIST").optional(),
            token("withhash", "WITHHASH").optional(),
        ],
        handler: Handler::Read(geo::geosearch),
        ..BASE
    },
    Command {
        name: "geosearchstore",
        arity: -8,
        flags: flags!(WRITE DENYOOM),
        keys: &[range(1, 0, 1, key_flags!(OW UPDATE)), range(2, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(GEO),
        since: "6.2.0",
        complexity: "O(N+M*log(M)) for N members in the cells around the shape, M of which lie within",
        summary: "Stores the places within a circle or a rectangle.",
        group: Group::Geo,
        arguments: &[
            key("destination", 0),
            key("source", 1),
            FROM,
            BY,
            ORDER,
            COUNT,
            token("storedist", "STOREDIST").optional(),
        ],
        handler: Handler::Write(geo::geosearchstore),
        ..BASE
    },
];
