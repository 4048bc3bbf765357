"""Sets."""

UNORDERED = {b"smembers", b"sinter", b"sunion", b"sdiff"}
RANDOM = {b"spop", b"srandmember"}


def same_scan(words, theirs, ours):
    """Portions of a large set follow the order of hashes, which is nobody's business; a whole scan is not."""
    if words[0].lower() != b"sscan" or theirs.is_error or ours.is_error:
        return False
    (cursor, found), (our_cursor, our_found) = ([item for item in reply.items] for reply in (theirs, ours))
    whole = cursor.value == our_cursor.value == b"0" and b"0" in words[2:3]
    return not whole or sorted(i.raw for i in found.items) == sorted(i.raw for i in our_found.items)


def too_many_picks(words, theirs, ours):
    return words[0].lower() == b"srandmember" and ours.is_error and b"-" in words[2]


EXPECTED = [
    (same_scan, "the order of a large set, and so its cursors, are each server's own; 7.0 has no small sets of strings"),
    (too_many_picks, "more than 2^24 picks that may repeat are refused"),
]


def keys(r, low=1, high=4):
    return [r.key("s") for _ in range(r.randint(low, high))]


def command(r):
    key, n = r.key("s"), r.random()
    if n < 0.25:
        if r.random() < 0.03:
            return ["SADD", key, *range(r.randint(100, 600))]
        return [r.case("sadd"), key, *r.members(0)]
    if n < 0.35:
        return ["SREM", key, *r.members(0)]
    if n < 0.42:
        return ["SMOVE", key, r.key("s"), r.member()]
    if n < 0.5:
        return [r.choice(["SISMEMBER", "SMISMEMBER", "SMISMEMBER"]), key, *r.members(1, 3)]
    if n < 0.56:
        return [r.choice(["SMEMBERS", "SCARD"]), key]
    if n < 0.66:
        return [r.choice(["SINTER", "SUNION", "SDIFF"]), *keys(r)]
    if n < 0.76:
        return [r.choice(["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"]), key, *keys(r)]
    if n < 0.83:
        names = keys(r)
        count = len(names) if r.random() < 0.9 else r.integer(-1, 6)
        return ["SINTERCARD", count, *names, *r.maybe(r.case("limit"), r.integer(-1, 4))]
    if n < 0.9:
        return [r.choice(["SPOP", "SRANDMEMBER"]), key, *r.maybe(r.integer(-5, 12), chance=0.7)]
    if n < 0.97:
        return ["SSCAN", key, r.choice([0, 0, 0, r.integer()]), *r.maybe("MATCH", r.choice(["*", "m*", "[0-9]", r.odd()])),
                *r.maybe("COUNT", r.integer(1, 3000))]
    return ["DEL", key]
