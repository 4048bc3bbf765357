"""SORT of lists, sets and sorted sets."""
from differential.sorted_sets import contents

SETUP = [word for i in range(-5, 30) for word in (
    ["SET", f"w_{i}", (i * 7919) % 31], ["HSET", f"o_{i}", "f", (i * 104729) % 17, "name", f"name-{i % 5}"])]
SETUP += [["SET", f"w_m{i}", f"text{i % 7}"] for i in range(0, 30, 2)]


def nowhere_defined(words, theirs, ours):
    """The members of a large set are in nobody's order, and those that BY finds equal are in theirs."""
    options = [w.lower() for w in words]
    if theirs.items is None or ours.items is None or len(theirs.items) != len(ours.items) or b"by" not in options:
        return False
    return b"limit" in options or sorted(i.raw for i in theirs.items) == sorted(i.raw for i in ours.items)


def stored_nowhere_defined(words, theirs, ours):
    return words[0] == b"LRANGE" and not words[1].startswith((b"l:", b"n:"))


def skiplist(words, theirs, ours):
    return words[:2] == [b"OBJECT", b"ENCODING"] and (theirs.value, ours.value) == (b"skiplist", b"listpack")


def same_numbers(words, theirs, ours):
    """Without regard to -0, which a small sorted set cannot hold."""
    return not theirs.is_error and repr(contents(theirs)).replace("-0.0", "0.0") == repr(contents(ours)).replace("-0.0", "0.0")


EXPECTED = [
    (same_numbers, "since 7.2 numbers are written with as few digits as are needed"),
    (nowhere_defined, "the order of equal weights, and of a set that is not sorted, is each server's own"),
    (stored_nowhere_defined, "the same, stored"),
    (skiplist, "Redis makes a sorted set a large one when it sorts it; ours only looks at it"),
]


def by(r):
    return r.maybe(r.case("by"), r.choice(["w_*", "w_*", "o_*->f", "o_*->name", "nosort", "*", "none_*", "w_*->f", "#", "o_*->", r.odd()]), chance=0.5)


def get(r):
    pattern = lambda: r.choice(["w_*", "#", "o_*->f", "o_*->name", "o_*", "none_*", "constant", "*", r.odd()])  # noqa: E731
    return [word for _ in range(r.choice([0, 0, 1, 2])) for word in (r.case("get"), pattern())]


def command(r):
    n = r.random()
    key = r.key(r.choice(["l", "s", "z", "n"]), 3)
    if n < 0.35:
        kind = key[:1]
        members = [b"%d" % r.randint(-5, 29) for _ in range(r.randint(1, 8))] if r.random() < 0.7 else r.members(1, 6)
        if kind == b"s":
            return ["SADD", key, *members]
        if kind == b"z":
            return ["ZADD", key, *(word for m in members for word in (r.score(), m))]
        if kind == b"n":
            return ["RPUSH", key, *(r.score() if r.random() < 0.9 else r.odd() for _ in range(4))]
        return ["RPUSH", key, *members]
    if n < 0.4:
        return ["DEL", key]
    options = [by(r), r.maybe("LIMIT", r.integer(-3, 10), r.integer(-3, 10)), get(r), r.maybe(r.choice(["ASC", "DESC", "desc"]), chance=0.5), r.maybe(r.case("alpha"), chance=0.5)]
    name = r.choice(["SORT", "SORT", "SORT_RO"])
    if r.random() < 0.2:
        # What BY leaves undefined is stored where only its number is compared.
        options.append([r.case("store"), b"by:1" if options[0] else r.key("l", 3)])
    r.shuffle(options)
    return [name, key, *(word for option in options for word in option)]
