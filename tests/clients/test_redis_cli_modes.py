"""redis-cli in all the ways in which operators use it, connected to a node that survives, while the leader is killed."""

import re
import subprocess
import threading

import pytest

KEYS = 3000


class Cli:
    """One redis-cli, which is killed at the latest when the test ends."""

    def __init__(self, port, *words):
        self.words = words
        self.process = subprocess.Popen(
            ["redis-cli", "-p", str(port), *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.hangs = threading.Timer(60, self.process.kill)
        self.hangs.start()

    def line(self):
        return self.process.stdout.readline().decode()

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def finish(self):
        """What it has printed since, when it has ended by itself, and well."""
        self.process.stdin.close()
        said = self.process.stdout.read().decode()
        code = self.process.wait()
        assert code == 0, (self.words, code, said[-2000:])
        return said

    def end(self):
        self.hangs.cancel()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def cli(stage):
    """Starts redis-cli, connected to the survivor of this number."""
    started = []

    def start(which, *words):
        started.append(Cli(stage.survivors[which].port, *words))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def full(stage):
    """The cluster with some keys, one of them larger than the others."""
    with stage.survivors[0].connect() as c:
        c.call("MSET", *[word for n in range(KEYS - 2) for word in (f"key:{n}", "x" * (n % 100))])
        c.call("RPUSH", "long", *range(500))
        c.call("HSET", "wide", *[word for n in range(300) for word in (f"field{n}", "v" * 90)])
    return stage


def set_commands(numbers):
    return b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$1\r\nx\r\n" % (len(key), key) for key in (b"piped:%d" % n for n in numbers))


def test_redis_cli_in_a_failover(full, cli):
    """Nothing that redis-cli does over a long time breaks or loses anything: it is a pause for it as well."""
    counts = cli(0, "-r", 40, "-i", 0.05, "INCR", "counted")
    pipe = cli(1, "-n", 1, "--pipe")
    stat = cli(0, "--stat", "-i", 0.1)
    latency = cli(1, "--raw", "--latency", "-i", 2)
    scan = cli(0, "--scan", "--pattern", "key:*", "-i", 0.005)
    # They sleep, --scan after each ten keys and these after each hundred, so that each takes a second and a half.
    big, memory = cli(1, "--bigkeys", "-i", 0.05), cli(0, "--memkeys", "-i", 0.05)
    pipe.send(set_commands(range(10_000)))
    assert counts.line() == "1\n"
    assert all(any("so far" in one.line() for _ in range(20)) for one in (big, memory))
    assert "keys" in [stat.line() for _ in range(3)][1]

    full.kill()
    pipe.send(set_commands(range(10_000, 20_000)))

    assert "errors: 0, replies: 20000" in pipe.finish()
    assert counts.finish().split() == [str(n) for n in range(2, 41)], "an INCR was lost or doubled"
    assert set(scan.finish().split()) == {f"key:{n}" for n in range(KEYS - 2)}
    said = big.finish()
    assert re.search(r'Biggest +list found .*long.* has 500 items', said), said
    assert re.search(r'Biggest +hash found .*wide.* has 300 fields', said), said
    said = memory.finish()
    assert re.search(r'Biggest +hash found .*wide.* has \d{5} bytes', said), said
    for _ in range(30):
        assert re.match(r"^(\d+ +[\d.]+[BKMG] |-+ )", line := stat.line()) or "keys" in line, line
    low, high, _, asked = map(float, latency.finish().split())
    assert low <= high and asked > 0
    with full.survivors[1].connect() as c:
        c.call("SELECT", 1)
        assert c.call("EXISTS", *[f"piped:{n}" for n in range(20_000)]) == 20_000, "an acknowledged SET was lost"


def test_redis_cli_finds_hot_keys(full, cli):
    with full.survivors[0].connect() as c:
        c.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        try:
            for _ in range(300):
                c.call("GET", "key:1234")
            said = cli(0, "--hotkeys").finish()
        finally:
            c.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert re.search(r"hot key found with counter: \d+\s+keyname: .*key:1234", said), said
