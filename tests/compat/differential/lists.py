"""Lists."""


def command(r):
    key, n = r.key("l"), r.random()
    if n < 0.3:
        return [r.choice(["RPUSH", "LPUSH", "rpushx", "lpushx"]), key, *r.members(0, 5)]
    if n < 0.5:
        return [r.choice(["LPOP", "RPOP"]), key, *r.maybe(r.integer(-1, 5), chance=0.5)]
    if n < 0.8:
        return ["LRANGE", key, r.integer(), r.integer()]
    if n < 0.9:
        return ["LLEN", key]
    return ["DEL", key]
