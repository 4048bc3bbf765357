"""Streams and their groups. Ids are given, not made of the time, which differs between the two servers."""

# How far the clocks of two servers may be apart, in milliseconds.
APART_MS = 20_000


def stream_id(r, high=60):
    roll = r.random()
    if roll < 0.5:
        return b"%d" % r.randrange(high)
    if roll < 0.9:
        return b"%d-%d" % (r.randrange(high), r.randrange(4))
    return r.choice([b"0-0", b"$", b">", b"-", b"+", b"5-*", b"x-1", b"1-x", b"1-1-1", b"-1", b"01-01", b"18446744073709551615-18446744073709551615",
                     b"18446744073709551615", b"18446744073709551616-1", r.odd()])


def bound(r):
    return r.choice([b"-", b"+", stream_id(r), b"(" + stream_id(r)])


def fields(r):
    pairs = r.randint(1, 3)
    names = [b"f%d" % i for i in range(pairs)] if r.random() < 0.7 else r.members(pairs, pairs)
    return [word for name in names for word in (name, r.member())]


def trim(r):
    how = r.choice([["MAXLEN"], ["MAXLEN", "~"], ["MAXLEN", "="], ["MINID"], ["MINID", "~"], ["minid", "="]])
    threshold = r.integer(-1, 30) if how[0] == "MAXLEN" else stream_id(r)
    return [*how, threshold, *r.maybe("LIMIT", r.integer(-1, 300), chance=0.2)]


# The ids of one stream mostly ascend.
TOPS = {}


def add(r, key):
    top = TOPS[key] = TOPS.get(key, 0) + r.randrange(3)
    wanted = r.choice([b"%d-*" % top, b"%d" % (top + 1), b"%d-%d" % (top, r.randrange(9))]) if r.random() < 0.95 else stream_id(r)
    return ["XADD", key, *r.maybe("NOMKSTREAM", chance=0.1), *(trim(r) if r.random() < 0.05 else []), wanted, *fields(r)]


def group(r):
    return b"g%d" % r.randrange(3)


def consumer(r):
    return b"c%d" % r.randrange(4)


def streams(r, last):
    keys = [r.key("x", 4) for _ in range(r.choice([1, 1, 1, 2, 3]))]
    return ["STREAMS", *keys, *[r.choice(last) if r.random() < 0.8 else stream_id(r) for _ in keys]]


def in_group(r, key):
    n = r.random()
    if n < 0.1:
        return ["XGROUP", "CREATE", key, group(r), r.choice([b"$", b"0", stream_id(r)]), *r.maybe("MKSTREAM", chance=0.6),
                *r.maybe("ENTRIESREAD", r.integer(-1, 20), chance=0.2)]
    if n < 0.14:
        return ["XGROUP", r.choice(["CREATECONSUMER", "DELCONSUMER"]), key, group(r), consumer(r)]
    if n < 0.17:
        return ["XGROUP", "SETID", key, group(r), r.choice([b"$", b"0", stream_id(r)]), *r.maybe("ENTRIESREAD", r.integer(-2, 20), chance=0.3)]
    if n < 0.18:
        return ["XGROUP", "DESTROY", key, group(r)]
    if n < 0.45:
        return ["XREADGROUP", *r.maybe("COUNT", r.integer(0, 6), chance=0.7), "GROUP", group(r), consumer(r), *r.maybe("NOACK", chance=0.1),
                *streams(r, [b">", b">", b">", b"0"])]
    if n < 0.6:
        return ["XACK", key, group(r), *[stream_id(r) for _ in range(r.randint(1, 4))]]
    if n < 0.7:
        return ["XPENDING", key, group(r), *r.maybe(*r.maybe("IDLE", r.choice([0, 1_000_000])), bound(r), bound(r), r.integer(-1, 10),
                                                     *r.maybe(consumer(r)), chance=0.8)]
    if n < 0.85:
        return ["XCLAIM", key, group(r), consumer(r), r.choice([0, 0, 0, 1_000_000, r.integer()]), *[stream_id(r) for _ in range(r.randint(1, 4))],
                *r.maybe("IDLE", r.choice([0, 2_000_000, r.integer(-3, 0)]), chance=0.2), *r.maybe("TIME", r.choice([1, 10**15, r.integer()]), chance=0.2),
                *r.maybe("RETRYCOUNT", r.integer(-1, 9), chance=0.3), *r.maybe("FORCE"), *r.maybe("JUSTID"), *r.maybe("LASTID", stream_id(r), chance=0.1)]
    return ["XAUTOCLAIM", key, group(r), consumer(r), r.choice([0, 0, 1_000_000, r.integer()]), r.choice([b"0", b"-", bound(r)]),
            *r.maybe("COUNT", r.integer(0, 5), chance=0.5), *r.maybe("JUSTID")]


def command(r):
    key, n = r.key("x", 4), r.random()
    if n < 0.35:
        return add(r, key)
    if n < 0.42:
        return [r.choice(["XRANGE", "XREVRANGE"]), key, bound(r), bound(r), *r.maybe("COUNT", r.integer(-1, 8))]
    if n < 0.46:
        return ["XDEL", key, *[stream_id(r) for _ in range(r.randint(1, 5))]]
    if n < 0.48:
        return ["XTRIM", key, *trim(r)]
    if n < 0.5:
        # Above all that may be deleted: 7.0 would let it be below.
        top = TOPS[key] = TOPS.get(key, 0) + 61
        return ["XSETID", key, b"%d" % top, *r.maybe("ENTRIESADDED", r.integer(-1, 100)), *r.maybe("MAXDELETEDID", stream_id(r))]
    if n < 0.55:
        return ["XREAD", *r.maybe("COUNT", r.integer(-1, 5)), *streams(r, [b"0", b"$"])]
    if n < 0.9:
        return in_group(r, key)
    if n < 0.91:
        TOPS.pop(key, None)
        return ["DEL", key]
    if n < 0.92:
        return ["XLEN", key]
    return r.choice([["XINFO", "STREAM", key], ["XINFO", "GROUPS", key], ["XINFO", "CONSUMERS", key, group(r)],
                     ["XINFO", "STREAM", key, "FULL", *r.maybe("COUNT", r.integer(-1, 20))]])


def skip(words):
    """An id made of the time."""
    return words[0].lower() == b"xadd" and b"*" in words


TIMES = (b"idle", b"seen-time")
SINCE_7_2 = (b"inactive", b"active-time")


def tables(value):
    """Names and values in turn as a table, without what 7.0 does not tell, and without consumers that have nothing: 7.0
    makes no consumer for a read or a claim that got nothing."""
    if not isinstance(value, list):
        return value
    if len(value) % 2 == 0 and value and isinstance(value[0], bytes) and value[0] in (b"length", b"name"):
        table = {name: tables(item) for name, item in zip(value[::2], value[1::2]) if name not in SINCE_7_2}
        if isinstance(table.get(b"consumers"), int):
            del table[b"consumers"]
        return table
    items = [tables(item) for item in value]
    return [item for item in items if not (isinstance(item, dict) and item.get(b"pending") in (0, []) and TIMES[0] in item or
                                           isinstance(item, dict) and item.get(b"pel-count") == 0 and TIMES[1] in item)]


def alike(a, b, is_time=False):
    """Equal, apart from times."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[name], b[name], name in TIMES) for name in a)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        # A pending entry ends with when and how often it was delivered.
        pending = len(a) in (3, 4) and len(a) > 2 and all(isinstance(item, int) for item in a[-2:])
        return all(alike(x, y, pending and i == len(a) - 2) for i, (x, y) in enumerate(zip(a, b)))
    return a == b or is_time and isinstance(a, int) and isinstance(b, int) and abs(a - b) < APART_MS


def same_but_times(words, theirs, ours):
    return words[0].lower() in (b"xinfo", b"xpending") and alike(tables(theirs.value), tables(ours.value))


EXPECTED = [
    (same_but_times, "the servers are asked at different times, and 7.2 tells when a consumer was active and makes it in any case"),
    (lambda w, theirs, ours: w[0].lower() == b"xgroup" and w[1:2] and w[1].lower() == b"createconsumer" and (theirs.value, ours.value) == (1, 0),
     "since 7.2 reading and claiming make the consumer even if it gets nothing"),
    (lambda w, theirs, ours: w[0].lower() == b"xsetid" and ours.text.endswith("smaller than current max_deleted_entry_id"),
     "7.2 looks at the deleted entries first"),
    (lambda w, theirs, ours: w[0].lower() in (b"xread", b"xreadgroup") and theirs.text.startswith("ERR Unbalanced") and ours.text.startswith("ERR Unbalanced"),
     "7.2 words it otherwise"),
    (lambda w, theirs, ours: w[0].lower() in (b"xinfo", b"xgroup") and len(w) > 1 and w[1].lower() == b"help", "our own words"),
]
