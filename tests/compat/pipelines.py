"""Random pipelines from a seed, and what their replies may differ in."""
import random

from resp import encode

# What may differ between redis-server 7.0.15 (Debian's) and Quorate, which follows 7.2; each with its reason.
# A mode is (name of the difference); `same` means byte for byte.
DIFFERENCES = {
    "same": "byte for byte",
    "near": "a time to live in ms, or a time of expiry set by a time to live: the two servers run at different moments",
    "set": "KEYS promises no order",
    "scan": "SCAN promises no order; with a COUNT above the number of keys the whole set is in one answer",
    "member": "RANDOMKEY picks at random: only whether there is a key is the same",
    "encoding": "OBJECT ENCODING of lists: 7.2 has listpack for small ones, 7.0 only quicklist",
    "hello": "HELLO tells version, id and role of the server; its shape and the protocol are the same",
    "id": "CLIENT ID is the server's own",
    "refcount": "OBJECT REFCOUNT of small integers is 2147483647 in Redis, which shares those objects",
    "idle": "OBJECT IDLETIME is the server's own clock",
}

KEYS = [b"k%d" % n for n in range(8)] + [b"{t}a", b"{t}b", b"", b"bin\r\n\x00\xff", b"long" * 20]
LISTS = [b"l%d" % n for n in range(4)]
NUMBERS = [b"0", b"1", b"-1", b"2", b"10", b"100", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808",
           b"+1", b" 1", b"01", b"1.0", b"abc", b"", b"-0", b"4294967296", b"3.5", b"1e3", b"0x10"]
FLOATS = [b"0.1", b"0.2", b"-1.5", b"3", b"1e10", b"5.0e3", b"1e-5", b"nan", b"inf", b"-inf", b"abc", b"", b" 1", b"1 ",
          b"0x1p3", b"1.7976931348623157e308", b"123456789.123456789", b"10000000000000000000000", b"-0.0", b"3.0e-20"]
VALUES = [b"", b"a", b"hello", b"10", b"-5", b"3.14", b"x" * 44, b"x" * 45, b"\x00\xff\r\n", b"12345678901234567890",
          b"ohmytext", b"mynewtext", b"v" * 1000, b"1" * 300, b"9223372036854775800"]
CONTEXT = 25  # commands shown before a difference
FUTURE = 4_000_000_000  # seconds; far enough for every test
PATTERNS = [b"*", b"k*", b"k?", b"[kl]*", b"k[^1-3]", b"{t}*", b"\\k*", b"nothing", b"", b"*1", b"l[0-9]"]


class Generator:
    """Commands and how each reply is compared, as lists of equal length."""

    def __init__(self, seed, transactions=True):
        self.r = random.Random(seed)
        self.transactions = transactions
        # Quorate aborts an EXEC when its database was flushed or swapped after WATCH, also if the watched key was
        # missing all the time (Redis then executes): safe, and rarer than the tombstones of a flush would be dear.
        # test_transactions.py looks at both; here no watch is under way when databases are flushed or swapped.
        self.watching = self.in_multi = False
        # Keys whose expiry was set by a time to live answer differently in ms on the two servers.
        self.families = [
            (30, self.string), (8, self.counter), (10, self.key), (12, self.expiry), (12, self.list),
            (4, self.database), (3, self.iteration), (4, self.connection), (5, self.wrong),
        ]
        if transactions:
            self.families.append((10, self.transaction))

    def pick(self, options):
        return self.r.choice(options)

    def key_(self):
        return self.pick(LISTS) if self.r.random() < 0.15 else self.pick(KEYS)

    def number(self):
        if self.r.random() < 0.6:
            return str(self.r.randint(-20, 50)).encode()
        return self.pick(NUMBERS)

    def value(self):
        return self.number() if self.r.random() < 0.4 else self.pick(VALUES)

    def case(self, word):
        return self.pick([word, word.lower(), word.title()]).encode()

    def expiry_option(self, past=True):
        which = self.r.random()
        if which < 0.2:
            return [self.case("KEEPTTL")]
        name = self.pick(["EX", "PX", "EXAT", "PXAT"])
        value = {"EX": 10_000, "PX": 10_000_000, "EXAT": FUTURE, "PXAT": FUTURE * 1000}[name] + self.r.randint(0, 999)
        if self.r.random() < 0.15:
            value = self.pick([b"0", b"-1", b"abc", b"9223372036854775807", b"1.5"])
        # SET with a time in the past leaves a key in Redis that DBSIZE counts until it is looked at.
        if past and self.r.random() < 0.05 and name in ("EXAT", "PXAT"):
            value = 1
        return [self.case(name), value]

    def string(self):
        k = self.key_
        name = self.pick(["SET"] * 6 + ["GET"] * 6 + ["APPEND", "STRLEN", "SETRANGE", "GETRANGE", "SUBSTR", "GETSET",
                         "GETDEL", "GETEX", "SETNX", "SETEX", "PSETEX", "MSET", "MSETNX", "MGET", "LCS"])
        if name == "SET":
            options = []
            for _ in range(self.pick([0, 0, 0, 1, 1, 2, 3])):
                options += self.pick([[self.case("NX")], [self.case("XX")], [self.case("GET")], self.expiry_option(past=False)])
            if self.r.random() < 0.03:
                options.append(b"bogus")
            return ["SET", k(), self.value(), *options]
        if name == "GETEX":
            options = self.pick([[], [self.case("PERSIST")], self.expiry_option(), self.expiry_option() + [b"PERSIST"]])
            return ["GETEX", k(), *options]
        if name in ("GET", "STRLEN", "GETDEL"):
            return [self.case(name), k()]
        if name in ("APPEND", "SETNX", "GETSET"):
            return [name, k(), self.value()]
        if name == "SETRANGE":
            at = self.pick([0, 1, 5, 50, -1, 536870912, 4611686018427387904, "abc"])
            return ["SETRANGE", k(), at, self.pick(VALUES)]
        if name in ("GETRANGE", "SUBSTR"):
            return [name, k(), self.number(), self.number()]
        if name in ("SETEX", "PSETEX"):
            base = 10_000 if name == "SETEX" else 10_000_000
            return [name, k(), self.pick([base, base + 1, 0, -1, "abc", 9223372036854775807]), self.value()]
        if name in ("MSET", "MSETNX"):
            words = [w for _ in range(self.r.randint(1, 4)) for w in (k(), self.value())]
            return [name, *words] if self.r.random() < 0.95 else [name, *words, k()]
        if name == "MGET":
            return ["MGET", *[k() for _ in range(self.r.randint(1, 6))]]
        options = []
        for _ in range(self.pick([0, 0, 1, 2, 3])):
            options += self.pick([["LEN"], ["IDX"], ["WITHMATCHLEN"], ["MINMATCHLEN", self.pick([0, 1, 2, 4, -1, "x"])]])
        return ["LCS", k(), k(), *options]

    def counter(self):
        k = self.pick([b"n0", b"n1", b"n2", self.key_()])
        name = self.pick(["INCR", "DECR", "INCRBY", "DECRBY", "INCRBYFLOAT", "SET"])
        if name in ("INCR", "DECR"):
            return [name, k]
        if name == "INCRBYFLOAT":
            return [name, k, self.pick(FLOATS)]
        return [name, k, self.number()]

    def key(self):
        k = self.key_
        name = self.pick(["DEL", "UNLINK", "EXISTS", "TYPE", "TOUCH", "RENAME", "RENAMENX", "COPY", "PERSIST", "OBJECT",
                          "DBSIZE", "RANDOMKEY"])
        if name in ("DEL", "UNLINK", "EXISTS", "TOUCH"):
            return [name, *[k() for _ in range(self.r.randint(1, 4))]]
        if name in ("TYPE", "PERSIST"):
            return [name, k()]
        if name in ("RENAME", "RENAMENX"):
            return [name, k(), k()]
        if name == "COPY":
            options = self.pick([[], ["REPLACE"], ["DB", self.pick([0, 1, 15, 16, -1, "x"])], ["DB", 1, "REPLACE"], ["bogus"]])
            return ["COPY", k(), k(), *options]
        if name == "OBJECT":
            sub, mode = self.pick([("ENCODING", "encoding"), ("REFCOUNT", "refcount"), ("FREQ", "same"), ("IDLETIME", "idle")])
            return (["OBJECT", sub, k()], mode)
        if name == "RANDOMKEY":
            return (["RANDOMKEY"], "member")
        return [name]

    def expiry(self):
        k = self.key_()
        name = self.pick(["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT", "TTL", "TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"])
        if name == "TTL":
            return (["TTL", k], "near")
        if name in ("PTTL", "EXPIRETIME", "PEXPIRETIME"):
            return ([name, k], "near")
        base = {"EXPIRE": 10_000, "PEXPIRE": 10_000_000, "EXPIREAT": FUTURE, "PEXPIREAT": FUTURE * 1000}[name]
        when = self.pick([base, base * 2, base // 2 if base < FUTURE else base + 5, base, base, 0, -1, 1 if "AT" in name else base, "abc",
                          9223372036854775807, -9223372036854775808])
        options = [self.case(self.pick(["NX", "XX", "GT", "LT"])) for _ in range(self.pick([0, 0, 0, 1, 1, 2]))]
        if self.r.random() < 0.04:
            options.append(b"bogus")
        return [name, k, when, *options]

    def list(self):
        k = self.pick(LISTS) if self.r.random() < 0.85 else self.key_()
        name = self.pick(["LPUSH", "RPUSH", "RPUSH", "LPUSHX", "RPUSHX", "LPOP", "RPOP", "LLEN", "LRANGE", "LRANGE"])
        if "PUSH" in name:
            return [name, k, *[self.value() for _ in range(self.r.randint(1, 6))]]
        if "POP" in name:
            return [name, k, *self.pick([[], [], [1], [2], [100], [0], [-1], ["abc"]])]
        if name == "LLEN":
            return [name, k]
        return [name, k, self.number(), self.number()]

    def database(self):
        if self.watching:
            return ["DBSIZE"]
        return self.pick([
            ["SELECT", self.pick([0, 0, 0, 1, 2, 15])], ["SELECT", self.pick([16, -1, "abc", "", 99999999999999999999])],
            ["MOVE", self.key_(), self.pick([0, 1, 2, 15, 16, -1, "abc"])],
            ["SWAPDB", self.pick([0, 1, 2, 16, "a"]), self.pick([0, 1, 2, -1, "b"])],
            self.pick([["FLUSHALL"], ["FLUSHALL", "ASYNC"], ["FLUSHALL", "sync"], ["FLUSHALL", "bogus"], ["FLUSHALL", "ASYNC", "x"]]),
            self.pick([["FLUSHDB"], ["FLUSHDB", "SYNC"], ["FLUSHDB", "bogus"]]), ["DBSIZE"],
        ])

    def iteration(self):
        if self.r.random() < 0.5:
            return (["KEYS", self.pick(PATTERNS)], "set")
        options = ["COUNT", 100_000]
        if self.r.random() < 0.5:
            options += ["MATCH", self.pick(PATTERNS)]
        if self.r.random() < 0.4:
            options += ["TYPE", self.pick(["string", "list", "STRING", "zset", "bogus"])]
        if self.r.random() < 0.15:
            options = self.pick([["COUNT", 0], ["COUNT", "abc"], ["COUNT"], ["bogus"], ["MATCH"], ["COUNT", -1]])
        return (["SCAN", self.pick([0, 0, 0, 0, "abc", " 1", "1x"]) if self.r.random() < 0.2 else 0, *options], "scan")

    def connection(self):
        return self.pick([
            ["PING"], ["ping", self.value()], ["ECHO", self.value()], ["PING", "a", "b"], ["echo"],
            (["HELLO", self.pick([2, 3, 3])], "hello"), ["HELLO", self.pick([1, 4, "abc", ""])], ["HELLO", 3, "bogus"],
            (["CLIENT", "ID"], "id"), ["CLIENT", "SETNAME", self.pick(["", "me", "a b", "n\n"])], ["CLIENT", "GETNAME"],
            ["UNWATCH"], ["COMMAND", "GETKEYS", "MSET", "a", 1, "b", 2], ["COMMAND", "GETKEYS", "SET", "a", 1, "EX", 5],
            ["CLIENT", "NO-EVICT", self.pick(["on", "off", "x"])], ["CLIENT", "REPLY", "bogus"], ["CLIENT", "REPLY", "ON"],
        ])

    def wrong(self):
        return self.pick([
            ["GET"], ["SET", self.key_()], ["get", "a", "b"], ["NOSUCH"], ["nosuch", "a", "b", "c" * 200, "d"], ["EXPIRE", "a"],
            ["CLIENT"], ["OBJECT"], ["OBJECT", "bogus", "a"], ["OBJECT", "ENCODING"], ["CLIENT", "bogus"], ["LPUSH", "l0"],
            ["GETRANGE", "a"], ["MSET"], ["MSET", "a"], ["SELECT"], ["LCS", "a"], ["", "x"], ["n\r\nx", "a\r\nb"], ["\x01\xff"],
            ["COMMAND", "bogus"], ["CONFIG"], ["CONFIG", "bogus", "x"], ["INCR"], ["x" * 200], ["SCAN"], ["KEYS"],
        ])

    def transaction(self):
        made = self.pick([["MULTI"], ["MULTI"], ["MULTI"], ["EXEC"], ["EXEC"], ["EXEC"], ["EXEC"], ["DISCARD"],
                          ["WATCH", self.key_()], ["WATCH", self.key_(), self.key_()], ["WATCH"], ["UNWATCH"],
                          ["MULTI", "x"], ["EXEC", "x"], ["DISCARD", "x"], ["RESET"] if self.r.random() < 0.2 else ["EXEC"]])
        match made:
            case ["MULTI"]:
                self.in_multi = True
            case ["WATCH", _, *_] if not self.in_multi:
                self.watching = True
            case ["EXEC" | "DISCARD"] if self.in_multi:
                self.in_multi = self.watching = False
            case ["EXEC", _] | ["RESET"]:
                self.in_multi = self.watching = False
            case ["UNWATCH"] if not self.in_multi:
                self.watching = False
        return made

    def pipeline(self, count):
        commands = []
        weights = [w for w, _ in self.families]
        makers = [m for _, m in self.families]
        for maker in self.r.choices(makers, weights, k=count):
            made = maker()
            commands.append(made if isinstance(made, tuple) else (made, "same"))
        return commands


def wire(commands):
    return b"".join(encode(*words) for words, _ in commands)


def _near(a, b):
    # TTL in s and ms, EXPIRETIME in s and ms: within 5 s, and codes below 0 exactly.
    if a.kind != b":" or b.kind != b":" or min(a.value, b.value) < 0:
        return a.raw == b.raw
    scale = 1000 if max(a.value, b.value) >= 1_000_000 and a.value not in range(FUTURE // 10, FUTURE * 10) else 1
    return abs(a.value - b.value) <= 5 * scale


def same(mode, a, b):
    """Whether two replies are equal as far as they must be."""
    if a.raw == b.raw:
        return True
    if a.is_error or b.is_error or a.raw == b"+QUEUED\r\n" or mode == "same":
        return False
    if mode == "near":
        return _near(a, b)
    if mode == "set":
        return a.kind == b.kind and sorted(i.raw for i in a.items) == sorted(i.raw for i in b.items)
    if mode == "scan":
        if a.items is None or b.items is None or a.items[0].raw != b.items[0].raw:
            return False
        return same("set", a.items[1], b.items[1])
    if mode == "member":
        return a.kind == b.kind and (a.value is None) == (b.value is None)
    if mode == "encoding":
        return {a.value, b.value} == {b"quicklist", b"listpack"}
    if mode == "hello":
        hidden = {b"version", b"id", b"role"}
        return a.kind == b.kind and _pairs(a, hidden) == _pairs(b, hidden)
    if mode in ("id", "refcount", "idle"):
        return a.kind == b.kind == b":"
    raise AssertionError(mode)


def _pairs(reply, hidden):
    return [(k.raw, v.raw if k.value not in hidden else None) for k, v in zip(reply.items[::2], reply.items[1::2])]


def compare(commands, expected, actual):
    """The first difference, as a text; None if there is none. Replies of EXEC are compared command by command."""
    queued = None
    for at, ((words, mode), a, b) in enumerate(zip(commands, expected, actual)):
        name = words[0] if isinstance(words[0], str) else words[0].decode("latin-1")
        name = name.upper()
        equal = None
        if a.raw == b"+QUEUED\r\n" and queued is not None:
            queued.append((words, mode))
        elif name == "EXEC" and queued is not None and a.items is not None and b.items is not None:
            equal = len(a.items) == len(b.items) == len(queued) and all(
                same(m, x, y) for (_, m), x, y in zip(queued, a.items, b.items))
        if name == "MULTI" and a.raw == b"+OK\r\n":
            queued = []
        elif name in ("EXEC", "DISCARD", "RESET") and not (a.is_error and b"without MULTI" in a.raw):
            detail = queued
            queued = None if not (a.is_error and name == "DISCARD") else queued
        else:
            detail = None
        if equal is None:
            equal = same(mode, a, b)
        if not equal:
            lines = [f"command {at} {words!r} [{mode}]", f"  redis:   {a}", f"  quorate: {b}"]
            if a.items and b.items and detail:
                for (w, m), x, y in zip(detail, a.items, b.items):
                    if not same(m, x, y):
                        lines.append(f"    {w!r} [{m}]: redis {x} quorate {y}")
            lines += ["  before it:"] + [f"    {w!r} -> {r}" for (w, _), r in
                                         list(zip(commands, expected))[max(0, at - CONTEXT):at]]
            return "\n".join(lines)
    return None


def dump(connection):
    """Everything that a server holds, in a form that is equal if the contents are."""
    # A connection may stand anywhere in RESP2 or 3, within MULTI or in another database.
    connection.call("RESET")
    contents = {}
    for db in range(16):
        connection.call("SELECT", db)
        keys, cursor = set(), b"0"
        while True:
            cursor, found = connection.call("SCAN", cursor, "COUNT", 3).value
            keys |= set(found)
            if cursor == b"0":
                break
        assert keys == set(connection.call("KEYS", "*").value), "SCAN misses keys that were there all the time"
        assert connection.call("DBSIZE").value == len(keys)
        for key in keys:
            kind = connection.call("TYPE", key).value
            value = connection.call("GET", key) if kind == b"string" else connection.call("LRANGE", key, 0, -1)
            ttl = connection.call("PEXPIRETIME", key).value
            contents[db, key] = (kind, value.raw, ttl if ttl < 0 else round(ttl / 20_000))
    return contents


def same_contents(a, b):
    """The difference of two dumps, as a text; times of expiry within 40 s."""
    lines = []
    for key in sorted(a.keys() | b.keys()):
        x, y = a.get(key), b.get(key)
        if x is None or y is None or x[:2] != y[:2] or (x[2] < 0) != (y[2] < 0) or abs(x[2] - y[2]) > 2:
            lines.append(f"{key}: redis {x} quorate {y}")
    return "\n".join(lines[:10])
