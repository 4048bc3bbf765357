"""Keyspace notifications: what subscribers of a real Redis and of Quorate are told of the same random commands, compared per command and in order.

    python tests/compat/differential/run.py events --steps 20000 --seed 7 [--port PORT-OF-A-QUORATE]

The commands are those of the families, and here those on keys and strings. No deadline comes while the test runs: when Redis
notices it depends on the time. `new` is told, too; `keymiss` is not (reads are not in Quorate's log)."""
import types

from differential.driver import Run, connect, family, raw

PATTERN = "__key*@*__:*"
CLASSES = "KEAn"
# The key of a command that is sent after each one: its events end those of the command.
MARK = "mark"
FAMILIES = ["bitmaps", "geo", "hashes", "hyperloglog", "lists", "sets", "sort", "sorted_sets", "streams"]
# When a group gets a consumer differs between 7.0, which Debian has, and 7.2: there it does by any read or claim.
NOT_COMPARED = (b"xgroup-createconsumer", b"xgroup-delconsumer")
# Commands with such a word may have given a key a deadline that is past.
PAST = {b"PXAT", b"EXAT"}


def any_key(r):
    """A key of any family, or of ours."""
    return r.key(r.choice(["e", "e", "e", "l", "s", "h", "z", "x", "b"]))


def lifetime(r):
    """Options of SET and GETEX. A time that is past, or far away."""
    return r.choice([[], [], ["EX", 100000], ["PX", b"100000000"], ["EXAT", b"9999999999"], ["PXAT", b"9999999999999"], ["PXAT", 1], ["EXAT", 5]])


def strings(r):
    key, n = r.key("e"), r.random()
    if n < 0.3:
        return ["SET", key, r.member(), *r.maybe(r.choice(["NX", "XX", "GET"])), *(lifetime(r) or r.maybe("KEEPTTL"))]
    if n < 0.4:
        return ["GETEX", key, *(lifetime(r) or r.maybe("PERSIST"))]
    if n < 0.5:
        return [r.choice(["SETEX", "PSETEX"]), key, b"100000000", r.member()]
    if n < 0.6:
        return [r.choice(["SETNX", "GETSET", "APPEND"]), key, r.member()]
    if n < 0.7:
        return [r.choice(["MSET", "MSETNX"]), *(word for _ in range(r.randint(1, 3)) for word in (r.key("e"), r.member()))]
    if n < 0.75:
        return ["SETRANGE", key, r.randrange(9), r.choice([b"", b"x", b"yz"])]
    if n < 0.9:
        return [r.choice(["INCR", "DECR"]), key] if r.random() < 0.5 else [r.choice(["INCRBY", "DECRBY", "INCRBYFLOAT"]), key, r.integer()]
    return [r.choice(["GETDEL", "GET", "STRLEN"]), key]


def keys(r):
    key, n = any_key(r), r.random()
    if n < 0.15:
        return [r.choice(["DEL", "UNLINK"]), key, *(any_key(r) for _ in range(r.randrange(3)))]
    if n < 0.35:
        name, later = r.choice([("EXPIRE", b"100000"), ("PEXPIRE", b"100000000"), ("EXPIREAT", b"9999999999"), ("PEXPIREAT", b"9999999999999")])
        return [name, key, r.choice([later, later, later, -1, 0]), *r.maybe(r.choice(["NX", "XX", "GT", "LT"]))]
    if n < 0.5:
        return ["PERSIST", key]
    if n < 0.65:
        return [r.choice(["RENAME", "RENAME", "RENAMENX"]), key, any_key(r)]
    if n < 0.8:
        return ["COPY", key, any_key(r), *r.maybe("REPLACE"), *r.maybe("DB", r.randrange(3))]
    if n < 0.9:
        return ["MOVE", key, r.randrange(1, 4)]
    if n < 0.95:
        return ["EVAL", "redis.call('set', KEYS[1], ARGV[1]); redis.call('rpush', KEYS[2], ARGV[1]); return redis.call('del', KEYS[1])", 2,
                r.key("e"), r.key("l"), r.member()]
    return [r.choice(["TYPE", "EXISTS", "TOUCH"]), key]


def command(r):
    return (strings if r.random() < 0.6 else keys)(r)


class Events(Run):
    """As `Run`, with a subscriber on each side."""

    def __init__(self, servers, module, seed, protocol):
        self.families = [family(name) for name in FAMILIES]
        self.redis, self.told = (servers.redis_port, servers.redis_process), 0
        setup = [words for other in self.families for words in getattr(other, "SETUP", [])]
        super().__init__(servers, types.SimpleNamespace(SETUP=setup), seed, protocol)
        self.module = self.everything()
        self.subscribers = connect(servers.redis_port, servers.redis_process), connect(servers.port, servers.process)
        for server, subscriber in zip((self.theirs, self.ours), self.subscribers):
            server.call("CONFIG", "SET", "notify-keyspace-events", CLASSES)
            subscriber.call("PSUBSCRIBE", PATTERN)
        self.compare_events([b"CONFIG"])

    def everything(self):
        """What the families say of their commands, together."""
        of = lambda name: [item for other in self.families for item in getattr(other, name, ())]  # noqa: E731
        return types.SimpleNamespace(EXPECTED=of("EXPECTED"), UNORDERED=set(of("UNORDERED")), PAIRS=set(of("PAIRS")), RANDOM=set(of("RANDOM")))

    def steps(self, count):
        for step in range(count):
            if self.words.random() < 0.4:
                self.step(raw(command(self.words)))
            else:
                other = self.words.choice(self.families)
                words = self.words.spoilt(raw(other.command(self.words)))
                # PFDEBUG tells nothing, and Redis decodes corrupted values as far as it gets.
                if words[0].lower() != b"pfdebug" and not getattr(other, "skip", lambda words: False)(words):
                    self.step(words)
            if step % 50 == 49:
                self.compare_contents()
                self.compare_events([b"contents"])
        assert self.told > count / 4, "most commands change something"

    def step(self, words):
        if words[0].lower().startswith(b"sort"):
            # Redis would take an errno that an earlier command has left (ids of streams do) for one of the sort's own.
            with connect(*self.redis) as connection:
                connection.call("PING")
        super().step(words)
        if PAST & set(words):
            # Redis looks, and finds that it is gone.
            self.both("EXISTS", words[1])
        self.compare_events(words)

    def compare_events(self, words):
        self.theirs.call("SET", MARK, "")
        self.ours.call("SET", MARK, "")
        theirs, ours = (self.events(subscriber) for subscriber in self.subscribers)
        self.told += len(theirs)
        if theirs != ours:
            self.report(words, theirs, ours)

    def events(self, subscriber):
        """What has arrived up to the mark: channels and messages."""
        found = []
        while True:
            _, _, channel, message = subscriber.read().value
            kind, _, what = channel.partition(b":")
            key, event = (what, message) if kind.startswith(b"__keyspace") else (message, what)
            if key != MARK.encode():
                if event not in NOT_COMPARED:
                    found.append((channel.decode("latin-1"), message.decode("latin-1")))
            elif (kind, event) == (b"__keyevent@0__", b"set"):
                return found

    def close(self):
        super().close()
        for subscriber in self.subscribers:
            subscriber.close()


RUN = Events
