"""Sends the commands of a family to two servers and compares."""
import importlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent.parent))

from resp import Raw  # noqa: E402

from differential.words import Words  # noqa: E402

ROOT = HERE.parent.parent.parent
# What every family finds beside its own keys.
OTHERS = [
    ["SET", "a-string", "text"], ["RPUSH", "a-list", "x", "y"], ["SADD", "a-set", "x", "1"], ["HSET", "a-hash", "f", "v"],
    ["ZADD", "a-zset", 1, "x", 2, "y"], ["XADD", "a-stream", "1-1", "f", "v"],
]
CONTENTS = {
    b"string": lambda k: ["GET", k], b"list": lambda k: ["LRANGE", k, 0, -1], b"set": lambda k: ["SMEMBERS", k],
    b"hash": lambda k: ["HGETALL", k], b"zset": lambda k: ["ZRANGE", k, 0, -1, "WITHSCORES"], b"stream": lambda k: ["XRANGE", k, "-", "+"],
}


# Differences between 7.0, which Debian has, and 7.2, whose behaviour is ours.
EXPECTED_EVERYWHERE = [
    (lambda w, theirs, ours: w[:2] == [b"OBJECT", b"ENCODING"] and (theirs.value, ours.value) == (b"quicklist", b"listpack"),
     "since 7.2 a short list is a listpack"),
    (lambda w, theirs, ours: w[:2] == [b"OBJECT", b"ENCODING"] and (theirs.value, ours.value) == (b"hashtable", b"listpack"),
     "since 7.2 a small set of other members than integers is a listpack"),
]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def connect(port, process, limit=30):
    deadline = time.monotonic() + limit
    while True:
        try:
            return Raw(port)
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class Servers:
    """A Redis, and a bare keyspace unless `port` says where a Quorate listens."""

    def __init__(self, port=None):
        self.dir = tempfile.mkdtemp(prefix="quorate-differential-")
        self.processes = []
        self.redis_port = free_port()
        redis = shutil.which("redis-server")
        assert redis, "redis-server is not installed"
        self.redis_process = self.start([redis, "--port", str(self.redis_port), "--save", "", "--appendonly", "no", "--dir", self.dir])
        self.port, self.process = port, self.redis_process
        if port is None:
            self.port = free_port()
            self.process = self.start([build_keyspace(), str(self.port)])

    def start(self, command):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=None)
        self.processes.append(process)
        return process

    def connections(self, protocol):
        pair = connect(self.redis_port, self.redis_process), connect(self.port, self.process)
        for connection in pair:
            connection.call("HELLO", protocol)
        return pair

    def stop(self):
        for process in self.processes:
            process.terminate()
            process.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)


def build_keyspace():
    """The example `serve`: QUORATE_KEYSPACE if set, else built."""
    if "QUORATE_KEYSPACE" in os.environ:
        return os.environ["QUORATE_KEYSPACE"]
    subprocess.run(["cargo", "build", "-q", "-p", "quorate-keyspace", "--example", "serve"], cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str(target / "debug" / "examples" / "serve")


def family(name):
    return importlib.import_module(f"differential.{name}")


def new_run(servers, name, seed, protocol):
    """A run of a family; a family may have a kind of its own, `RUN`."""
    module = family(name)
    return getattr(module, "RUN", Run)(servers, module, seed, protocol)


def raw(words):
    return [w if isinstance(w, bytes) else str(w).encode() for w in words]


def shape(reply):
    """A reply without its contents."""
    return (reply.kind, reply.value is None, reply.is_error and reply.text.split(" ")[0])


def unordered(reply, pairs):
    """A reply whose outermost elements (or pairs of them) are in order of their bytes."""
    if reply.items is None:
        return reply.raw
    items = [item.raw for item in reply.items]
    if pairs:
        items = [b"".join(pair) for pair in zip(items[::2], items[1::2])]
    return reply.kind, sorted(items)


class Run:
    """One comparison: the differences it found."""

    def __init__(self, servers, module, seed, protocol):
        self.module, self.words = module, Words(seed)
        self.theirs, self.ours = servers.connections(protocol)
        self.history, self.differences, self.errors, self.commands = [], [], 0, {}
        for server in (self.theirs, self.ours):
            server.call("FLUSHALL")
            for words in OTHERS + getattr(module, "SETUP", []):
                server.call(*words)

    def steps(self, count):
        for step in range(count):
            words = self.words.spoilt(raw(self.module.command(self.words)))
            if not getattr(self.module, "skip", lambda words: False)(words):
                self.step(words)
            if step % 50 == 49:
                self.compare_contents()
        self.compare_contents()

    def step(self, words):
        name = words[0].lower()
        self.history.append(words)
        theirs, ours = self.theirs.call(*words), self.ours.call(*words)
        self.errors += theirs.is_error
        self.commands[name] = self.commands.get(name, 0) + 1
        if self.same(name, theirs, ours) or self.expected(words, theirs, ours):
            if name in getattr(self.module, "RANDOM", ()) and len(words) > 1:
                self.both("DEL", words[1])
            return
        self.report(words, theirs, ours)

    def same(self, name, theirs, ours):
        if name in getattr(self.module, "RANDOM", ()) and not theirs.is_error:
            return shape(theirs) == shape(ours)
        if name in getattr(self.module, "UNORDERED", ()):
            pairs = name in getattr(self.module, "PAIRS", ())
            return unordered(theirs, pairs) == unordered(ours, pairs)
        return theirs.raw == ours.raw

    def expected(self, words, theirs, ours):
        return any(test(words, theirs, ours) for test, _ in [*EXPECTED_EVERYWHERE, *getattr(self.module, "EXPECTED", ())])

    def both(self, *words):
        self.history.append(raw(words))
        return self.theirs.call(*words), self.ours.call(*words)

    def compare_contents(self):
        """Every key: type, encoding, contents. A key that differs is deleted, so that it is reported once."""
        keys = self.theirs.call("KEYS", "*"), self.ours.call("KEYS", "*")
        theirs, ours = (sorted(reply.value) for reply in keys)
        if theirs != ours:
            self.report(["KEYS", "*"], *keys)
        for key in theirs:
            kind = self.theirs.call("TYPE", key).value
            looks = [["TYPE", key], ["OBJECT", "ENCODING", key]]
            looks += [CONTENTS[kind](key)] if kind in CONTENTS else []
            for look in looks:
                a, b = self.theirs.call(*look), self.ours.call(*look)
                same = unordered(a, kind == b"hash") == unordered(b, kind == b"hash") if kind in (b"set", b"hash") else a.raw == b.raw
                if not same and not self.expected(raw(look), a, b):
                    self.report(look, a, b)
                    self.both("DEL", key)
                    break

    def report(self, words, theirs, ours):
        words = raw(words)
        keys = set(words[1:])
        story = [w for w in self.history[-400:] if keys & set(w[1:3])][-12:]
        self.differences.append((words, theirs, ours, story))

    def close(self):
        self.theirs.close()
        self.ours.close()


def describe(difference):
    words, theirs, ours, story = difference
    show = lambda words: " ".join(repr(w)[2:-1] or "''" for w in words)  # noqa: E731
    before = "".join(f"\n    {show(w)}" for w in story)
    return f"{show(words)}\n  redis   {theirs}\n  quorate {ours}\n  after{before}"
