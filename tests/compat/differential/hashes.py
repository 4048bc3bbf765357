"""Hashes."""

UNORDERED = {b"hgetall", b"hkeys", b"hvals"}
PAIRS = {b"hgetall"}
RANDOM = {b"hrandfield"}


def same_scan(words, theirs, ours):
    """Portions of a large hash follow the order of hashes, which is nobody's business; a whole scan is not."""
    if words[0].lower() != b"hscan" or theirs.is_error or ours.is_error:
        return False
    (cursor, found), (our_cursor, our_found) = ([item for item in reply.items] for reply in (theirs, ours))
    whole = cursor.value == our_cursor.value == b"0" and b"0" in words[2:3]
    return not whole or sorted(i.raw for i in found.items) == sorted(i.raw for i in our_found.items)


def too_many_picks(words, theirs, ours):
    return words[0].lower() == b"hrandfield" and ours.is_error and b"-" in words[2]


EXPECTED = [
    (same_scan, "the order of a large hash, and so its cursors, are each server's own"),
    (too_many_picks, "more than 2^24 picks that may repeat are refused"),
]


def pairs(r, low=1, high=5):
    return [word for _ in range(r.randint(low, high)) for word in (r.member(), value(r))]


def value(r):
    roll = r.random()
    if roll < 0.3:
        return r.score()
    return r.member()


def command(r):
    key, n = r.key("h"), r.random()
    if n < 0.25:
        high = 700 if r.random() < 0.02 else 5
        name = r.case(r.choice(["hset", "hset", "hmset"]))
        return [name, key, *(x for i in range(high) for x in (b"many%d" % i, b"v"))] if high > 5 else [name, key, *pairs(r)]
    if n < 0.3:
        return ["HSETNX", key, r.member(), value(r)]
    if n < 0.4:
        return [r.choice(["HGET", "HEXISTS", "HSTRLEN"]), key, r.member()]
    if n < 0.45:
        return ["HMGET", key, *r.members(0)]
    if n < 0.55:
        return [r.choice(["HGETALL", "HKEYS", "HVALS", "HLEN"]), key]
    if n < 0.65:
        return ["HDEL", key, *r.members(0)]
    if n < 0.75:
        return ["HINCRBY", key, r.member(), r.integer()]
    if n < 0.85:
        return ["HINCRBYFLOAT", key, r.member(), r.score()]
    if n < 0.9:
        count = r.maybe(r.integer(-5, 8), *r.maybe(r.case("withvalues"), chance=0.5), chance=0.8)
        return ["HRANDFIELD", key, *count]
    if n < 0.97:
        return ["HSCAN", key, r.choice([0, 0, 0, r.integer()]), *r.maybe("MATCH", r.choice(["*", "m*", "[0-9]", r.odd()])),
                *r.maybe("COUNT", r.integer(1, 3000))]
    return ["DEL", key]
