"""Bits of strings."""


def missing_or_wrong(words, theirs, ours):
    """BITCOUNT and BITPOS look up the key first in 7.0."""
    return words[0].lower() in (b"bitcount", b"bitpos") and ours.is_error and not ours.raw.startswith(b"-WRONG")


def unchanged(words, theirs, ours):
    """Redis makes room for a change, and then does not change anything."""
    return words[:2] == [b"OBJECT", b"ENCODING"] and theirs.value == b"raw" and ours.value in (b"int", b"embstr")


EXPECTED = [
    (missing_or_wrong, "since 7.2 the arguments are judged before the key is looked up"),
    (unchanged, "a command that changes no bit leaves the encoding alone"),
]


def offset(r):
    return r.choice([b"", b"#"]) + r.integer(0, 100) if r.random() < 0.9 else b"%d" % r.randint(0, 5000)


def kind(r):
    roll = r.random()
    if roll < 0.5:
        return b"%c%d" % (r.choice(b"ui"), r.choice([1, 2, 3, 5, 8, 8, 16, 32, 63]))
    return b"%c%d" % (r.choice(b"ui"), r.randint(1, 63)) if roll < 0.95 else r.choice([b"i64", b"u64", b"i0", b"x8", b"i", r.odd()])


def number(r):
    roll = r.random()
    if roll < 0.6:
        return r.integer(-300, 300)
    return b"%d" % r.choice([2 ** 63 - 1, -2 ** 63, 2 ** 31, -2 ** 31 - 1, 2 ** 62, r.randint(-2 ** 63, 2 ** 63 - 1)])


def steps(r):
    words = []
    for _ in range(r.randint(0, 4)):
        roll = r.random()
        if roll < 0.3:
            words += [r.case("get"), kind(r), offset(r)]
        elif roll < 0.55:
            words += [r.case("set"), kind(r), offset(r), number(r)]
        elif roll < 0.8:
            words += [r.case("incrby"), kind(r), offset(r), number(r)]
        else:
            words += [r.case("overflow"), r.choice(["wrap", "SAT", "fail", "FAIL", "none"] if r.random() < 0.1 else ["wrap", "SAT", "fail"])]
    return words


def command(r):
    key, n = r.key("b"), r.random()
    if n < 0.2:
        return ["SETBIT", key, r.integer(0, 200), r.choice([0, 1, 1, 1, r.integer(0, 2)])]
    if n < 0.28:
        return ["GETBIT", key, r.integer(0, 250)]
    if n < 0.42:
        unit = r.maybe(r.choice(["byte", "BIT", r.odd()] if r.random() < 0.2 else ["byte", "BIT"]), chance=0.6)
        return ["BITCOUNT", key, *r.maybe(r.integer(-40, 100), r.integer(-40, 100), *unit, chance=0.8)]
    if n < 0.58:
        unit = r.maybe(r.choice(["byte", "BIT"]), chance=0.6)
        end = r.maybe(r.integer(-40, 100), *unit, chance=0.7)
        return ["BITPOS", key, r.choice([0, 1, 1, r.integer(0, 3)]), *r.maybe(r.integer(-40, 60), *end, chance=0.8)]
    if n < 0.7:
        return ["BITOP", r.case(r.choice(["and", "or", "xor", "not"])), key, *(r.key("b") for _ in range(r.randint(1, 4)))]
    if n < 0.88:
        return [r.choice(["BITFIELD", "BITFIELD", "BITFIELD_RO"]), key, *steps(r)]
    if n < 0.93:
        return ["SET", key, r.choice([r.member(), bytes(r.randrange(256) for _ in range(r.randint(0, 60))), b"\xff" * r.randint(0, 40)])]
    if n < 0.97:
        return [r.choice(["GET", "STRLEN"]), key]
    return ["DEL", key]
