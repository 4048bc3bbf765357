"""Sorted sets."""

RANDOM = {b"zrandmember"}
LEX = {b"zrangebylex", b"zrevrangebylex", b"zlexcount", b"zremrangebylex"}
SETUP = [["SADD", "set:1", "1", "2", "m1", "m2", "m3"], ["SADD", "set:2", *range(20)], ["SADD", "set:3", "m1", "x" * 100]]


def number(data):
    try:
        return float(data)
    except ValueError:
        return data


def contents(reply):
    """A reply in which numbers count by their value."""
    if reply.items is not None:
        return reply.kind, [contents(item) for item in reply.items]
    if reply.kind in (b"$", b","):
        return reply.kind, number(reply.value) if isinstance(reply.value, bytes) else reply.value
    return reply.raw


def same_numbers(words, theirs, ours):
    return not theirs.is_error and repr(contents(theirs)) == repr(contents(ours))


def same_scan(words, theirs, ours):
    """Portions of a large set follow the order of hashes, which is nobody's business; a whole scan is not."""
    if words[0].lower() != b"zscan" or theirs.is_error or ours.is_error:
        return False
    (cursor, found), (our_cursor, our_found) = ([item for item in reply.items] for reply in (theirs, ours))
    whole = cursor.value == our_cursor.value == b"0" and b"0" in words[2:3]
    pairs = [sorted(zip((i.value for i in f.items[::2]), (number(i.value) for i in f.items[1::2]))) for f in (found, our_found)]
    return not whole or pairs[0] == pairs[1]


def with_score(words, theirs, ours):
    return words[0].lower() in (b"zrank", b"zrevrank") and theirs.is_error and len(words) > 3


def too_many_picks(words, theirs, ours):
    return words[0].lower() == b"zrandmember" and ours.is_error and b"-" in words[2]


def shuffled_by_score(words, theirs, ours):
    """Where members of different scores are asked for by name, a large set of Redis answers by chance."""
    lex = words[0].lower() in LEX or b"bylex" in [w.lower() for w in words]
    return lex and words[0].lower() != b"zrangestore" and not words[1].startswith(b"lex:") and not ours.is_error


EXPECTED = [
    (same_numbers, "since 7.2 numbers are written with as few digits as are needed"),
    (same_scan, "the order of a large sorted set's hashes, and so its cursors, are each server's own"),
    (with_score, "ZRANK and ZREVRANK have WITHSCORE since 7.2"),
    (too_many_picks, "more than 2^24 picks that may repeat are refused"),
    (shuffled_by_score, "Redis promises nothing for lexicographic ranges of different scores; ours is that of its small sets"),
]


def member(r):
    return r.member()


def short(r):
    return r.member()[:60]


def zadd_options(r):
    if r.random() < 0.5:
        return []
    return [r.case(r.choice(["nx", "xx", "gt", "lt", "ch", "incr", "ch", "xx"])) for _ in range(r.randint(1, 2))]


def add(r):
    n = r.random()
    if n < 0.02:
        words = [w for i in range(r.choice([127, 128, 129, 300])) for w in (i % 17, b"many%d" % i)]
        return ["ZADD", r.key("z"), *words]
    if n < 0.3:
        return ["ZADD", r.key("lex"), *(w for _ in range(r.randint(1, 6)) for w in (0, short(r) if r.random() < 0.99 else member(r)))]
    if n < 0.5:
        return ["ZADD", r.key("s"), *zadd_options(r), *(w for _ in range(r.randint(1, 4)) for w in (r.score(), short(r)))]
    if n < 0.6:
        return ["ZINCRBY", r.key("z"), r.score(), member(r)]
    return ["ZADD", r.key("z"), *zadd_options(r), *(w for _ in range(r.choice([1, 1, 1, 2, 5])) for w in (r.score(), member(r)))]


def score_bound(r):
    bound = r.score()
    return r.choice([b"", b"", b"("]) + bound if r.random() < 0.8 else r.choice([b"-inf", b"+inf", b"(inf", b"(", b"((1", b" 1"])


def lex_bound(r):
    return r.choice([b"[", b"("]) + short(r) if r.random() < 0.7 else r.choice([b"-", b"+", b"-", b"+", b"-x", b"", b"m1"])


def any_key(r):
    return r.key(r.choice(["z", "z", "s", "lex"]))


def lex_key(r):
    return r.key(r.choice(["lex", "lex", "lex", "s", "z"]))


def limit(r):
    return r.maybe(r.case("limit"), r.integer(-2, 5), r.integer(-2, 6))


def scores(r):
    return r.maybe(r.case("withscores"))


def shuffled(r, *options):
    options = [o for o in options if o]
    r.shuffle(options)
    return [word for option in options for word in option]


def span(r):
    """The two ends and the options of a ZRANGE, and a key that suits them."""
    n = r.random()
    if n < 0.35:
        return any_key(r), [r.integer(), r.integer(), *shuffled(r, r.maybe("REV"), r.maybe("LIMIT", "0", "-1", chance=0.1))]
    if n < 0.7:
        return any_key(r), [score_bound(r), score_bound(r), *shuffled(r, ["BYSCORE"], r.maybe("REV"), limit(r))]
    return lex_key(r), [lex_bound(r), lex_bound(r), *shuffled(r, ["BYLEX"], r.maybe("REV"), limit(r))]


def read_range(r):
    n = r.random()
    if n < 0.5:
        key, options = span(r)
        return [r.case("zrange"), key, *options, *scores(r)]
    if n < 0.6:
        return ["ZREVRANGE", any_key(r), r.integer(), r.integer(), *scores(r)]
    if n < 0.75:
        return [r.choice(["ZRANGEBYSCORE", "ZREVRANGEBYSCORE"]), any_key(r), score_bound(r), score_bound(r), *shuffled(r, scores(r), limit(r))]
    if n < 0.85:
        return [r.choice(["ZRANGEBYLEX", "ZREVRANGEBYLEX"]), lex_key(r), lex_bound(r), lex_bound(r), *limit(r)]
    if n < 0.93:
        return ["ZCOUNT", any_key(r), score_bound(r), score_bound(r)]
    return ["ZLEXCOUNT", lex_key(r), lex_bound(r), lex_bound(r)]


def inputs(r):
    keys = [r.key(r.choice(["z", "s", "lex", "set", "lex"])) for _ in range(r.randint(1, 4))]
    return [r.integer(1, 4) if r.random() < 0.03 else len(keys), *keys], len(keys)


def combine(r):
    keys, count = inputs(r)
    weights = r.maybe(r.case("weights"), *(r.score() for _ in range(count)))
    aggregate = r.maybe(r.case("aggregate"), r.case(r.choice(["sum", "min", "max", "max", "avg"])))
    n = r.random()
    if n < 0.35:
        return [r.choice(["ZUNION", "ZINTER"]), *keys, *shuffled(r, weights, aggregate, scores(r))]
    if n < 0.65:
        return [r.choice(["ZUNIONSTORE", "ZINTERSTORE"]), r.key("z"), *keys, *shuffled(r, weights, aggregate)]
    if n < 0.8:
        return ["ZDIFF", *keys, *scores(r)]
    if n < 0.9:
        return ["ZDIFFSTORE", r.key("z"), *keys]
    return ["ZINTERCARD", *keys, *r.maybe(r.case("limit"), r.integer(-1, 5), chance=0.6)]


def remove(r):
    n = r.random()
    if n < 0.3:
        return ["ZREM", any_key(r), *r.members(1, 5)]
    if n < 0.4:
        return ["ZREMRANGEBYRANK", any_key(r), r.integer(), r.integer()]
    if n < 0.5:
        return ["ZREMRANGEBYSCORE", any_key(r), score_bound(r), score_bound(r)]
    if n < 0.6:
        return ["ZREMRANGEBYLEX", r.key("lex"), lex_bound(r), lex_bound(r)]
    if n < 0.8:
        return [r.choice(["ZPOPMIN", "ZPOPMAX"]), any_key(r), *r.maybe(r.integer(-1, 4), chance=0.5)]
    if n < 0.95:
        keys, _ = inputs(r)
        return ["ZMPOP", *(k for k in keys), r.case(r.choice(["min", "max"])), *r.maybe(r.case("count"), r.integer(0, 5))]
    return ["DEL", any_key(r)]


def command(r):
    n = r.random()
    if n < 0.35:
        return add(r)
    if n < 0.6:
        return read_range(r)
    if n < 0.7:
        return combine(r)
    if n < 0.8:
        return remove(r)
    if n < 0.83:
        key, options = span(r)
        if b"BYLEX" in options or "BYLEX" in options:
            key = r.key("lex")
        return ["ZRANGESTORE", r.key("z"), key, *options]
    if n < 0.87:
        return ["ZRANDMEMBER", any_key(r), *r.maybe(r.integer(-6, 200), *r.maybe(r.case("withscores")), chance=0.8)]
    if n < 0.91:
        return ["ZSCAN", any_key(r), r.choice([0, 0, 0, r.integer()]), *r.maybe("MATCH", r.choice(["*", "m*", "[0-9]", r.odd()])), *r.maybe("COUNT", r.integer(1, 3000))]
    if n < 0.94:
        return [r.choice(["ZRANK", "ZREVRANK"]), any_key(r), member(r), *r.maybe("WITHSCORE", chance=0.1)]
    if n < 0.97:
        return ["ZMSCORE", any_key(r), *r.members(0)]
    return r.choice([["ZSCORE", any_key(r), member(r)], ["ZCARD", any_key(r)]])
