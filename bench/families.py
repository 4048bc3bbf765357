#!/usr/bin/env python3
"""Commands per second of each family: one node of Quorate in `everysec` beside one Redis in `everysec`, in the same run.

Each row alternates between the two servers several times and compares medians, as machines are shared and noisy: only
ratios mean something. Neither rewrites its log nor writes a snapshot meanwhile, which would fall on whoever is measured
then. At the end stands the geometric mean of each family. The processor's time that a server takes for a command, in microseconds, suffers least from
others; Redis has one thread and Quorate several, so that it says what a command costs, not how many there can be.
`--growth` shows instead how the work on one collection grows with its members, in microseconds
of one command, many of them per round trip.

    bench/families.py [--rounds 5] [--seconds 1] [--only NAME,...] [--pipeline 1,16] [--binary target/release/quorate] [--json FILE]
    bench/families.py --growth [--sizes 1000,10000,100000,1000000]

Needs redis-server and redis-benchmark, and a release build of quorate.
"""
import argparse
import asyncio
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PORT = {"quorate": 6403, "redis": 6503}
KEYS = 100_000
R = "__rand_int__"
SCRIPT = "return redis.call('incr', KEYS[1])"
LONG = "x" * 40

# family, name, command; what stands before `<-` in a name is not there before the row begins.
ROWS = [
    ("strings", "SET", ["SET", f"s:{R}", "x" * 20]),
    ("strings", "GET", ["GET", f"s:{R}"]),
    ("strings", "INCR", ["INCR", f"i:{R}"]),
    ("strings", "APPEND", ["APPEND", f"app:{R}", "abc"]),
    ("strings", "MGET 10", ["MGET"] + [f"s:{R}"] * 10),
    ("strings", "MSET 10", ["MSET"] + [f"s:{R}", "value"] * 10),
    ("lists", "LPUSH", ["LPUSH", f"l:{R}", "element"]),
    ("lists", "RPOP", ["RPOP", f"l:{R}"]),
    ("lists", "LPUSH one list", ["LPUSH", "list", "element"]),
    ("lists", "RPOP one list", ["RPOP", "list"]),
    ("lists", "LRANGE 100", ["LRANGE", "list100", "0", "99"]),
    ("lists", "LMOVE", ["LMOVE", "list100", "list100", "LEFT", "RIGHT"]),
    ("sets", "SADD", ["SADD", f"set:{R}", R]),
    ("sets", "SADD one set", ["SADD", "set", f"member:{R}"]),
    ("sets", "SISMEMBER one set", ["SISMEMBER", "set", f"member:{R}"]),
    ("sets", "SREM one set", ["SREM", "set", f"member:{R}"]),
    ("sets", "SRANDMEMBER", ["SRANDMEMBER", "set1000"]),
    ("sets", "SINTER 100", ["SINTER", "set100", "set1000"]),
    ("sets", "SMEMBERS 100", ["SMEMBERS", "set100"]),
    ("hashes", "HSET", ["HSET", f"h:{R}", "name", "value", "age", "42"]),
    ("hashes", "HGET", ["HGET", f"h:{R}", "age"]),
    ("hashes", "HINCRBY", ["HINCRBY", f"h:{R}", "age", "1"]),
    ("hashes", "HSET one hash", ["HSET", "hash", f"field:{R}", "value"]),
    ("hashes", "HGET one hash", ["HGET", "hash", f"field:{R}"]),
    ("hashes", "HGETALL 100", ["HGETALL", "hash100"]),
    ("sorted sets", "ZADD", ["ZADD", f"z:{R}", "1", R]),
    ("sorted sets", "ZADD one set", ["ZADD", "zset", R, f"member:{R}"]),
    ("sorted sets", "ZINCRBY one set", ["ZINCRBY", "zset", "1", f"member:{R}"]),
    ("sorted sets", "ZSCORE one set", ["ZSCORE", "zset", f"member:{R}"]),
    ("sorted sets", "ZRANK one set", ["ZRANK", "zset", f"member:{R}"]),
    ("sorted sets", "ZRANGE 100", ["ZRANGE", "zset", "0", "99"]),
    ("sorted sets", "ZRANGE by score", ["ZRANGE", "zset", R, "+inf", "BYSCORE", "LIMIT", "0", "10"]),
    ("sorted sets", "ZPOPMIN one set", ["ZPOPMIN", "zset"]),
    ("streams", "XADD", ["XADD", "stream", "*", "field", "value"]),
    ("streams", "XADD MAXLEN ~", ["XADD", "stream2", "MAXLEN", "~", "1000", "*", "field", "value"]),
    ("streams", "XRANGE 10", ["XRANGE", "stream", "-", "+", "COUNT", "10"]),
    ("streams", "XREADGROUP", ["XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "stream", ">"]),
    ("bitmaps", "SETBIT", ["SETBIT", f"b:{R}", "77", "1"]),
    ("bitmaps", "GETBIT", ["GETBIT", "bits", "777"]),
    ("bitmaps", "BITCOUNT 12 KB", ["BITCOUNT", "bits"]),
    ("bitmaps", "BITFIELD", ["BITFIELD", f"b:{R}", "INCRBY", "u8", "0", "1"]),
    ("HyperLogLog", "PFADD", ["PFADD", f"hll:{R}", R]),
    ("HyperLogLog", "PFADD one", ["PFADD", "hll", f"element:{R}"]),
    ("HyperLogLog", "PFCOUNT one", ["PFCOUNT", "hll"]),
    ("HyperLogLog", "PFCOUNT two", ["PFCOUNT", "hll", "hll2"]),
    ("geo", "GEOADD", ["GEOADD", "geo", "13.361", "38.115", f"place:{R}"]),
    ("geo", "GEOPOS", ["GEOPOS", "places", "place:17"]),
    ("geo", "GEOSEARCH", ["GEOSEARCH", "places", "FROMLONLAT", "15", "37", "BYRADIUS", "50", "km"]),
    ("scripts", "EVAL", ["EVAL", SCRIPT, "1", f"i:{R}"]),
    ("scripts", "EVAL_RO", ["EVAL_RO", "return redis.call('get', KEYS[1])", "1", f"s:{R}"]),
    ("expiry", "SET EX", ["SET", f"e:{R}", "value", "EX", "100"]),
    ("expiry", "EXPIRE", ["EXPIRE", f"s:{R}", "1000"]),
    ("expiry", "TTL", ["TTL", f"s:{R}"]),
    ("keys", "DEL", ["DEL", f"s:{R}"]),
    ("keys", "EXISTS", ["EXISTS", f"s:{R}"]),
    ("keys", "SORT 100", ["SORT", "list100", "ALPHA", "LIMIT", "0", "10"]),
]


def pack(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class Client:
    """A connection that reads whole replies."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.settimeout(60)
        self.file = self.socket.makefile("rb")

    def reply(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind in b"*~%":
            return [self.reply() for _ in range(int(rest) * (2 if kind == b"%" else 1))]
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2] if int(rest) >= 0 else None
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return rest

    def __call__(self, *words):
        self.socket.sendall(pack(*words))
        return self.reply()

    def many(self, commands):
        commands = list(commands)
        for begin in range(0, len(commands), 1000):
            part = commands[begin:begin + 1000]
            self.socket.sendall(b"".join(pack(*words) for words in part))
            for _ in part:
                self.reply()


class Server:
    """A process of one kind; ended by its id."""

    def __init__(self, kind, binary, folder):
        self.kind, self.port = kind, PORT[kind]
        if kind == "redis":
            os.mkdir(f"{folder}/redis")
            argv = ["redis-server", "--port", str(self.port), "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
                    "--auto-aof-rewrite-percentage", "0", "--dir", f"{folder}/redis"]
        else:
            argv = [binary, "server", "--listen", f"127.0.0.1:{self.port}", "--data-dir", f"{folder}/quorate", "--set", "appendfsync=everysec",
                    "--set", "snapshot-log-size=64gb"]
        log = open(f"{folder}/{kind}.log", "wb")
        self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        deadline = time.time() + 30
        while True:
            try:
                self.client = Client(self.port)
                if self.client("SET", "warm", "up") == b"OK":
                    return
            except (OSError, RuntimeError, ValueError):
                pass
            if time.time() > deadline:
                self.stop()
                sys.exit(f"{kind} did not come up")
            time.sleep(0.05)

    def fill(self):
        """What the rows read."""
        numbers = range(KEYS)
        self.client.many(("SET", f"s:{n:012}", "x" * 20) for n in numbers)
        self.client.many(("HSET", f"h:{n:012}", "name", "value", "age", n % 90) for n in numbers)
        self.client.many(("RPUSH", f"l:{n:012}", "element") for n in numbers)
        self.client.many(("RPUSH", "list", "element") for n in numbers)
        self.client.many(("SADD", "set", f"member:{n:012}") for n in numbers)
        self.client.many(("HSET", "hash", f"field:{n:012}", "value") for n in numbers)
        self.client.many(("ZADD", "zset", n, f"member:{n:012}") for n in numbers)
        self.client.many(("XADD", "stream", "*", "field", "value") for n in numbers)
        self.client("XGROUP", "CREATE", "stream", "g", "0")
        for n in range(100):
            self.client("RPUSH", "list100", f"element-{n}")
            self.client("SADD", "set100", f"member-{n}")
            self.client("HSET", "hash100", f"field-{n}", f"value-{n}")
        self.client.many(("SADD", "set1000", f"member-{n}") for n in range(1000))
        self.client.many(("PFADD", hll, f"element:{n}") for n in range(10_000) for hll in ("hll", "hll2"))
        self.client("SETBIT", "bits", KEYS - 1, 1)
        self.client.many(("GEOADD", "places", 10 + n % 100 / 10, 35 + n // 100 / 10, f"place:{n}") for n in range(10_000))

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.kill()
        self.process.wait()


def rate(port, words, clients, pipeline, requests):
    argv = ["redis-benchmark", "-p", str(port), "-c", str(clients), "-P", str(pipeline), "-n", str(requests), "-r", str(KEYS), "--csv"]
    done = subprocess.run(argv + words, capture_output=True, text=True, timeout=300)
    rows = [line for line in done.stdout.splitlines() if line.startswith('"') and not line.startswith('"test"')]
    if not rows:
        sys.exit(f"redis-benchmark said nothing useful for {words}: {done.stdout[:300]} {done.stderr[:300]}")
    return float(rows[-1].rsplit('","', 7)[1].strip('"'))


class AsyncClient:
    """A connection of a client with many: threads would measure how Python hands its lock on."""

    @classmethod
    async def connect(cls, port):
        client = cls()
        client.reader, client.writer = await asyncio.open_connection("127.0.0.1", port)
        return client

    async def reply(self):
        line = await self.reader.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"*":
            return [await self.reply() for _ in range(int(rest))]
        if kind == b"$":
            return (await self.reader.readexactly(int(rest) + 2))[:-2] if int(rest) >= 0 else None
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return rest

    async def __call__(self, *words):
        self.writer.write(pack(*words))
        return await self.reply()


def blocking_rate(port, pairs, seconds):
    """Elements per second that pass through lists, each with a client that pushes and one that waits for it."""
    counts = [0] * pairs

    async def pop(n, client, stop):
        while await client("BLPOP", f"queue:{n}", 1):
            counts[n] += 1
            await client("RPUSH", f"back:{n}", "done")
            if time.time() > stop:
                return

    async def push(n, client, stop):
        while time.time() < stop:
            await client("RPUSH", f"queue:{n}", "job")
            await client("BLPOP", f"back:{n}", 1)

    async def run():
        clients = [(f, n, await AsyncClient.connect(port)) for n in range(pairs) for f in (pop, push)]
        stop = time.time() + seconds
        await asyncio.gather(*(f(n, client, stop) for f, n, client in clients))

    asyncio.run(run())
    return sum(counts) / seconds


def compare(name, family, pipeline, servers, measure, requests, rounds, results):
    """Alternates between the servers; `measure(kind)` is a rate, of so many requests."""
    rates, cpu = {kind: [] for kind in servers}, {kind: [] for kind in servers}
    for _ in range(rounds):
        for kind, server in servers.items():
            before = server.cpu_seconds()
            rates[kind].append(measure(kind))
            cpu[kind].append((server.cpu_seconds() - before) / requests(rates[kind][-1]) * 1e6)
    redis, quorate = (statistics.median(rates[kind]) for kind in ("redis", "quorate"))
    ratio = statistics.median(q / r for r, q in zip(rates["redis"], rates["quorate"]))
    costs = {kind: statistics.median(values) for kind, values in cpu.items()}
    results.append({"family": family, "row": name, "pipeline": pipeline, "redis": redis, "quorate": quorate, "ratio": ratio,
                    "cpu_us": costs})
    print(f"{family:<13}{name:<22}{pipeline:>4}{redis:>11.0f}{quorate:>11.0f}{ratio:>7.2f}"
          f"{costs['redis']:>10.2f}{costs['quorate']:>9.2f}", flush=True)


def families(args, servers, results):
    for server in servers.values():
        server.fill()
    print(f"{'family':<13}{'command':<22}{'-P':>4}{'redis/s':>11}{'quorate/s':>11}{'ratio':>7}{'redis us':>10}{'quorate':>9}")
    for family, name, words in ROWS:
        if args.only and not any(part in (family, name) for part in args.only.split(",")):
            continue
        for pipeline in args.pipeline:
            # A first run of each tells how many requests take about as long as wanted, and warms up.
            first = rate(PORT["redis"], words, 50, pipeline, 3000)
            requests = int(min(max(first * args.seconds, 3000), 3_000_000))
            rate(PORT["quorate"], words, 50, pipeline, 3000)
            measure = lambda kind: rate(PORT[kind], words, 50, pipeline, requests)
            compare(name, family, pipeline, servers, measure, lambda _: requests, args.rounds, results)
    if not args.only or "blocking" in args.only.split(","):
        measure = lambda kind: blocking_rate(PORT[kind], 10, args.seconds)
        compare("BLPOP pairs", "blocking", 1, servers, measure, lambda rate: rate * args.seconds, args.rounds, results)


def summary(results):
    """The geometric mean of the ratios of each family."""
    pipelines = sorted({row["pipeline"] for row in results})
    print(f"\n{'family':<13}" + "".join(f"{f'-P {pipeline}':>8}" for pipeline in pipelines))
    for family in dict.fromkeys(row["family"] for row in results):
        ratios = lambda pipeline: [row["ratio"] for row in results if (row["family"], row["pipeline"]) == (family, pipeline)]
        means = (statistics.geometric_mean(ratios(pipeline)) if ratios(pipeline) else None for pipeline in pipelines)
        print(f"{family:<13}" + "".join("        " if mean is None else f"{mean:>8.2f}" for mean in means))


# name, how to add member number n, and commands about one of them.
GROWTH = [
    ("list", lambda n: ("RPUSH", "c", f"element-{n:08}"), {
        "LINDEX": lambda n, size: ("LINDEX", "c", n),
        "LSET": lambda n, size: ("LSET", "c", n, f"element-{n:08}"),
        "LPUSH": lambda n, size: ("LPUSH", "c", "x"),
        "RPOP": lambda n, size: ("RPOP", "c")}),
    ("set", lambda n: ("SADD", "c", f"member-{n:08}"), {
        "SISMEMBER": lambda n, size: ("SISMEMBER", "c", f"member-{n:08}"),
        "SADD": lambda n, size: ("SADD", "c", f"other-{n:08}"),
        "SRANDMEMBER": lambda n, size: ("SRANDMEMBER", "c"),
        "SPOP": lambda n, size: ("SPOP", "c")}),
    ("hash", lambda n: ("HSET", "c", f"field-{n:08}", "value"), {
        "HGET": lambda n, size: ("HGET", "c", f"field-{n:08}"),
        "HSET": lambda n, size: ("HSET", "c", f"field-{n:08}", "other"),
        "HDEL": lambda n, size: ("HDEL", "c", f"field-{n:08}"),
        "HSCAN": lambda n, size: ("HSCAN", "c", 0)}),
    ("sorted set", lambda n: ("ZADD", "c", n * 7919 % 1_000_003, f"member-{n:08}"), {
        "ZSCORE": lambda n, size: ("ZSCORE", "c", f"member-{n:08}"),
        "ZRANK": lambda n, size: ("ZRANK", "c", f"member-{n:08}"),
        "ZADD": lambda n, size: ("ZADD", "c", n % 1_000_003, f"member-{n:08}"),
        "ZRANGE": lambda n, size: ("ZRANGE", "c", n, n + 9),
        "ZPOPMIN": lambda n, size: ("ZPOPMIN", "c")}),
    ("stream", lambda n: ("XADD", "c", f"{n + 1}-1", "field", "value"), {
        "XADD": lambda n, size: ("XADD", "c", "*", "field", "value"),
        "XRANGE": lambda n, size: ("XRANGE", "c", f"{n + 1}-0", "+", "COUNT", 1),
        "XDEL": lambda n, size: ("XDEL", "c", f"{n + 1}-1")}),
    ("geo", lambda n: ("GEOADD", "c", n * 7919 % 3600 / 10 - 180, n * 104729 % 1700 / 10 - 85, f"place-{n:08}"), {
        "GEOSEARCH 10": lambda n, size: ("GEOSEARCH", "c", "FROMLONLAT", n % 360 - 180, n % 170 - 85, "BYRADIUS", 500, "km", "COUNT", 10, "ANY")}),
]
GROWTH_COMMANDS = 3000


def growth(args, servers, results):
    choose = random.Random(1)
    print(f"microseconds of one command, redis / quorate; {'members:':<8}" + "".join(f"{size:>18,}" for size in args.sizes))
    for kind, add, commands in GROWTH:
        if args.only and kind not in args.only.split(","):
            continue
        table = {name: [] for name in commands}
        for size in args.sizes:
            for server in servers.values():
                server.client("FLUSHALL")
                server.client.many(map(add, range(size)))
            for name, command in commands.items():
                picks = [choose.randrange(size) for _ in range(GROWTH_COMMANDS)]
                count = min(GROWTH_COMMANDS, size // 5)
                sent = b"".join(pack(*command(n, size)) for n in picks[:count])
                row = {"kind": kind, "command": name, "members": size}
                for server in servers.values():
                    begin = time.perf_counter()
                    sender = threading.Thread(target=server.client.socket.sendall, args=(sent,))
                    sender.start()
                    for _ in range(count):
                        server.client.reply()
                    sender.join()
                    row[server.kind] = (time.perf_counter() - begin) / count * 1e6
                results.append(row)
                table[name].append(f"{row['redis']:>8.1f} /{row['quorate']:>8.1f}")
        for name, cells in table.items():
            print(f"{kind:<12}{name:<43}" + "".join(cells), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="about how long one measurement takes")
    parser.add_argument("--only", help="families or commands, separated by commas")
    parser.add_argument("--pipeline", type=lambda text: [int(n) for n in text.split(",")], default=[1, 16])
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--sizes", type=lambda text: [int(n) for n in text.split(",")], default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--binary", default="target/release/quorate")
    parser.add_argument("--json")
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="quorate-families-")
    servers, results = {}, []
    try:
        for kind in ("redis", "quorate"):
            servers[kind] = Server(kind, args.binary, folder)
        (growth if args.growth else families)(args, servers, results)
        if not args.growth:
            summary(results)
    finally:
        for server in servers.values():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f, indent=2)


if __name__ == "__main__":
    main()
