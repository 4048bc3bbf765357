"""Lists. Commands that wait have tests of their own (tests/test_blocking.py): here Redis would wait, too."""



def least_number(words, theirs, ours):
    return b"-9223372036854775808" in words and ours.is_error and b"-9223372036854775807" in ours.raw


EXPECTED = [(least_number, "7.2 refuses the number that has no opposite for LREM's count and LPOS's rank; 7.0 takes it")]

ENDS = ["LEFT", "RIGHT", "left", "Right"]


def end(r):
    return r.choice(ENDS) if r.random() < 0.97 else r.odd()


def command(r):
    key, n = r.key("l"), r.random()
    if n < 0.2:
        if r.random() < 0.03:
            return ["RPUSH", key, *(b"%d" % r.randrange(40) for _ in range(r.randint(100, 800)))]
        return [r.choice(["RPUSH", "LPUSH", "rpushx", "lpushx"]), key, *r.members(0, 5)]
    if n < 0.3:
        return [r.choice(["LPOP", "RPOP"]), key, *r.maybe(r.integer(-1, 5), chance=0.5)]
    if n < 0.4:
        return ["LRANGE", key, r.integer(), r.integer()]
    if n < 0.46:
        return [r.choice(["LLEN", "TYPE"]), key]
    if n < 0.52:
        return ["LINDEX", key, r.integer()]
    if n < 0.58:
        return ["LSET", key, r.integer(), r.member()]
    if n < 0.65:
        return ["LINSERT", key, r.choice(["BEFORE", "AFTER", "before", r.odd()]), r.member(), r.member()]
    if n < 0.7:
        return ["LREM", key, r.integer(-3, 3), r.member()]
    if n < 0.74:
        return ["LTRIM", key, r.integer(-8, 8), r.integer(-8, 8)]
    if n < 0.82:
        return ["LPOS", key, r.member(), *r.maybe(r.case("rank"), r.integer(-3, 3)),
                *r.maybe(r.case("count"), r.integer(-1, 4)), *r.maybe(r.case("maxlen"), r.integer(-1, 20))]
    if n < 0.88:
        return ["LMOVE", key, r.key("l"), end(r), end(r)]
    if n < 0.91:
        return ["RPOPLPUSH", key, r.key("l")]
    if n < 0.97:
        keys = [r.key("l") for _ in range(r.randint(1, 4))]
        count = len(keys) if r.random() < 0.93 else r.integer(-1, 6)
        return ["LMPOP", count, *keys, end(r), *r.maybe(r.case("count"), r.integer(-1, 4))]
    return ["DEL", key]
