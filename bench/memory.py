#!/usr/bin/env python3
"""Bytes of memory per key (and per member of large collections), Quorate beside Redis.

Each row starts a fresh server of each kind and loads the same commands into both, several times, each time under another
prefix. What the later loads add is what a key costs; what a server takes once (buffers, the end of its log) is in the
first. Both double their keys a whole number of times in between, as tables grow by doubling. Redis is measured by its own `used_memory`, which leaves out what its allocator wastes;
Quorate by the resident memory of its process, which leaves out nothing. So the ratio is rather too high than too low.

    bench/memory.py [--keys 1000000] [--members 1000000] [--loads 2] [--only NAME,...] [--binary target/release/quorate] [--json FILE]
"""
import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

PORT = {"quorate": 6402, "redis": 6502}
BATCH = 2000


def pack(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


def key(prefix, n):
    return f"{prefix}:{n:010}"


# One small key each: what stands for key number n under a prefix.
SMALL = {
    "string of 3 bytes": lambda p, n: pack("SET", key(p, n), "abc"),
    "string of 20 bytes": lambda p, n: pack("SET", key(p, n), f"value-{n:014}"),
    "string of 64 bytes": lambda p, n: pack("SET", key(p, n), f"value-{n:058}"),
    "integer": lambda p, n: pack("SET", key(p, n), 1_000_000 + n),
    "string with a deadline": lambda p, n: pack("SET", key(p, n), "abc", "EX", 100_000 + n),
    "list of 3": lambda p, n: pack("RPUSH", key(p, n), "one", "two", f"three-{n}"),
    "set of 3 integers": lambda p, n: pack("SADD", key(p, n), 1, 2, n),
    "set of 3 strings": lambda p, n: pack("SADD", key(p, n), "one", "two", f"three-{n}"),
    "hash of 3 fields": lambda p, n: pack("HSET", key(p, n), "name", f"user-{n}", "age", n % 100, "city", "Paris"),
    "sorted set of 3": lambda p, n: pack("ZADD", key(p, n), 1, "one", 2, "two", n, f"three-{n}"),
    "stream of 3 entries": lambda p, n: b"".join(pack("XADD", key(p, n), f"{i}-1", "field", f"value-{n}") for i in (1, 2, 3)),
    "HyperLogLog of 3": lambda p, n: pack("PFADD", key(p, n), "one", "two", f"three-{n}"),
    "geo of 3": lambda p, n: pack("GEOADD", key(p, n), 2.35, 48.85, "Paris", 13.4, 52.5, "Berlin", 4.9, 52.4, f"city-{n}"),
    "bitmap of 16 bytes": lambda p, n: pack("SETBIT", key(p, n), 127, 1),
}

# One member each of one large collection per prefix.
LARGE = {
    "list, elements of 8": lambda p, n: pack("RPUSH", p, f"{n:08}"),
    "list, elements of 36": lambda p, n: pack("RPUSH", p, f"element-{n:028}"),
    "set of integers": lambda p, n: pack("SADD", p, 7 * n),
    "set, members of 12": lambda p, n: pack("SADD", p, f"m-{n:010}"),
    "set, members of 36": lambda p, n: pack("SADD", p, f"member-{n:029}"),
    "hash, fields of 10, values of 8": lambda p, n: pack("HSET", p, f"f-{n:08}", f"{n:08}"),
    "hash, fields of 16, values of 24": lambda p, n: pack("HSET", p, f"field-{n:010}", f"value-{n:018}"),
    "sorted set, members of 12": lambda p, n: pack("ZADD", p, n, f"m-{n:010}"),
    "sorted set, members of 36": lambda p, n: pack("ZADD", p, n * 7919 % 1_000_003, f"member-{n:029}"),
    "stream, one field": lambda p, n: pack("XADD", p, f"{n + 1}-1", "field", f"value-{n:010}"),
}


class Server:
    """A process of one kind with its memory; ended by its id."""

    def __init__(self, kind, binary, folder):
        self.kind, port = kind, PORT[kind]
        if kind == "redis":
            argv = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", folder]
        else:
            argv = [binary, "server", "--listen", f"127.0.0.1:{port}", "--data-dir", f"{folder}/data", "--set", "appendfsync=everysec"]
        log = open(f"{folder}/{kind}.log", "wb")
        self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        self.socket = self.connect(port)

    def connect(self, port):
        deadline = time.time() + 30
        while time.time() < deadline:
            try:
                s = socket.create_connection(("127.0.0.1", port), 2)
                s.settimeout(60)
                s.sendall(pack("SET", "warm", "up"))
                if s.recv(100).startswith(b"+OK"):
                    return s
            except OSError:
                pass
            time.sleep(0.05)
        self.stop()
        sys.exit(f"{self.kind} did not come up")

    def load(self, batches):
        for batch, replies in batches:
            self.socket.sendall(batch)
            self.read(replies)

    def read(self, replies):
        """Takes in so many replies, none of which is an aggregate; a bulk string is two lines."""
        rest, seen = b"", 0
        while seen < replies:
            data = rest + self.socket.recv(1 << 20)
            *lines, rest = data.split(b"\r\n")
            for line in lines:
                if line.startswith(b"-"):
                    sys.exit(f"{self.kind}: {line.decode()}")
                seen += line.startswith((b":", b"+", b"$"))
        # The second line of a last bulk string may be still to come.
        self.socket.sendall(pack("PING"))
        data = b""
        while not data.endswith(b"+PONG\r\n"):
            data += self.socket.recv(1000)

    def memory(self):
        """When it does not change any more."""
        last, still = None, 0
        for _ in range(100):
            now = self.memory_now()
            still = still + 1 if last is not None and abs(now - last) < 100_000 else 0
            if still == 4:
                break
            last = now
            time.sleep(0.25)
        return now

    def memory_now(self):
        if self.kind == "quorate":
            with open(f"/proc/{self.process.pid}/statm") as f:
                return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.socket.sendall(pack("INFO", "memory"))
        data = b""
        while b"used_memory:" not in data or not data.endswith(b"\r\n"):
            data += self.socket.recv(65536)
        return int(data.split(b"used_memory:")[1].split(b"\r\n")[0])

    def stop(self):
        self.process.kill()
        self.process.wait()


def batches(command, prefix, count):
    for begin in range(0, count, BATCH):
        commands = [command(prefix, n) for n in range(begin, min(begin + BATCH, count))]
        batch = b"".join(commands)
        yield batch, batch.count(b"\r\n*") + 1


def measure(kind, binary, command, count, loads):
    folder = tempfile.mkdtemp(prefix="quorate-memory-")
    server = Server(kind, binary, folder)
    try:
        server.load(batches(command, "a", count))
        before = server.memory()
        for n in range(1, loads):
            server.load(batches(command, f"{n}", count))
        return (server.memory() - before) / (count * (loads - 1))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--loads", type=int, default=2, help="a power of two; more of them tell more exactly")
    parser.add_argument("--only", help="rows whose names begin so, separated by commas")
    parser.add_argument("--binary", default="target/release/quorate")
    parser.add_argument("--json")
    args = parser.parse_args()
    rows = [("keys", name, command, args.keys) for name, command in SMALL.items()]
    rows += [("members", name, command, args.members) for name, command in LARGE.items()]
    if args.only:
        wanted = tuple(args.only.split(","))
        rows = [row for row in rows if row[1].startswith(wanted)]
    results, title = [], None
    for per, name, command, count in rows:
        if per != title:
            title = per
            heading = "small keys, bytes each" if per == "keys" else "one large collection, bytes per member"
            print(f"{heading:<40}{'redis':>9}{'quorate':>9}{'ratio':>7}")
        redis, quorate = (measure(kind, args.binary, command, count, args.loads) for kind in ("redis", "quorate"))
        results.append({"row": name, "per": per, "count": count, "redis": redis, "quorate": quorate, "ratio": quorate / redis})
        print(f"{name:<40}{redis:>9.1f}{quorate:>9.1f}{quorate / redis:>7.2f}", flush=True)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f, indent=2)


if __name__ == "__main__":
    main()
