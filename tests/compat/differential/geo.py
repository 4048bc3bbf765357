"""Places in sorted sets."""
from differential.sorted_sets import contents


def same_numbers(words, theirs, ours):
    return not theirs.is_error and repr(contents(theirs)) == repr(contents(ours))


def nearly_same_distances(words, theirs, ours):
    """What STOREDIST has stored: the last of 53 bits is that of the platform's sine."""
    def flat(reply):
        return [reply] if reply.items is None else [leaf for item in reply.items for leaf in flat(item)]

    def same(a, b):
        a, b = contents(a), contents(b)
        return a == b or a[0] == b[0] and isinstance(a[1], float) and isinstance(b[1], float) and abs(a[1] - b[1]) <= 1e-15 * abs(a[1]) + 1e-9
    theirs, ours = flat(theirs), flat(ours)
    return words[0] == b"ZRANGE" and len(theirs) == len(ours) and all(map(same, theirs, ours))


def same_but_for_order(words, theirs, ours):
    """Since 7.2 a search begins with other cells where the shape nearly fits, so that more is found in another order."""
    name, options = words[0].lower(), [w.lower() for w in words[1:]]
    if theirs.items is None or ours.items is None or b"asc" in options or b"desc" in options or b"count" in options:
        return False
    return name.startswith(b"geo") and sorted(i.raw for i in theirs.items) == sorted(i.raw for i in ours.items)


EXPECTED = [
    (same_numbers, "since 7.2 numbers are written with as few digits as are needed"),
    (nearly_same_distances, "sine and cosine are computed alike on every machine, and not by the platform's library"),
    (same_but_for_order, "since 7.2 the size of the cells is chosen in another way"),
]

# Around these places most others are put, so that searches find some.
CENTERS = [(13.361389, 38.115556), (0, 0), (179.99, 10), (-179.99, -10), (20, 84), (-70, -84.5), (2.35, 48.85)]


def coordinates(r):
    roll = r.random()
    if roll < 0.04:
        return [r.odd(), r.odd()]
    if roll < 0.06:
        return [r.choice([180, -180, 180.1, 0]), r.choice([85.05112878, -85.05112878, 85.06, 0])]
    longitude, latitude = r.choice(CENTERS)
    spread = r.choice([0.0001, 0.01, 1, 20])
    clamp = lambda x, most: max(-most, min(most, x))  # noqa: E731
    longitude, latitude = clamp(longitude + r.gauss(0, spread), 180), clamp(latitude + r.gauss(0, spread), 85.05)
    return [repr(round(longitude, r.randint(0, 15))), repr(round(latitude, r.randint(0, 15)))]


def key(r):
    return r.key("g", 4)


def unit(r):
    return r.case(r.choice(["m", "km", "ft", "mi", "km", "km"])) if r.random() < 0.97 else r.choice(["cm", "", "kms"])


def length(r):
    roll = r.random()
    if roll < 0.05:
        return r.choice([b"-1", b"0", b"inf", b"abc", b"1e300", b"1e-300", b"-0"])
    return repr(round(10 ** r.uniform(-1, 4.5), 3))


def count(r):
    return r.maybe(r.case("count"), r.integer(0, 12), *r.maybe(r.case("any"), chance=0.2), chance=0.4)


def shuffled(r, options):
    options = [o for o in options if o]
    r.shuffle(options)
    return [word for option in options for word in option]


def details(r):
    return [r.maybe(r.case(word), chance=0.25) for word in ("withdist", "withhash", "withcoord")]


def order(r):
    return r.maybe(r.choice(["ASC", "DESC", "asc"]), chance=0.5)


def place(r):
    return r.choice([["FROMMEMBER", r.member()], ["FROMLONLAT", *coordinates(r)]])


def shape(r):
    return r.choice([["BYRADIUS", length(r), unit(r)], ["BYBOX", length(r), length(r), unit(r)]])


def search(r):
    n = r.random()
    if n < 0.5:
        return ["GEOSEARCH", key(r), *shuffled(r, [place(r), shape(r), order(r), count(r), *details(r)])]
    if n < 0.7:
        with_details = details(r) if r.random() < 0.05 else []
        return ["GEOSEARCHSTORE", r.key("g", 4), key(r), *shuffled(r, [place(r), shape(r), order(r), count(r), r.maybe("STOREDIST"), *with_details])]
    suffix = r.choice(["", "_RO"])
    store = r.maybe(r.choice(["STORE", "STOREDIST"]), r.key("g", 4), chance=0.15)
    with_details = details(r) if not store or r.random() < 0.1 else []
    options = shuffled(r, [order(r), count(r), store, *with_details])
    if n < 0.85:
        return ["GEORADIUS" + suffix, key(r), *coordinates(r), length(r), unit(r), *options]
    return ["GEORADIUSBYMEMBER" + suffix, key(r), r.member(), length(r), unit(r), *options]


def command(r):
    n = r.random()
    if n < 0.35:
        options = [r.case(r.choice(["nx", "xx", "ch"])) for _ in range(r.choice([0, 0, 0, 1, 2]))]
        places = [word for _ in range(r.choice([1, 2, 5, 20])) for word in (*coordinates(r), r.member(200))]
        return ["GEOADD", key(r), *options, *places]
    if n < 0.45:
        return [r.choice(["GEOHASH", "GEOPOS"]), key(r), *r.members(0)]
    if n < 0.55:
        return ["GEODIST", key(r), r.member(), r.member(), *r.maybe(unit(r), chance=0.7)]
    if n < 0.58:
        return ["ZADD", key(r), r.score(), r.member()]
    if n < 0.6:
        return ["DEL", key(r)]
    return search(r)
