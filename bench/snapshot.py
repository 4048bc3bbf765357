#!/usr/bin/env python3
"""What a snapshot costs a node that is full and under full write load (R9): pauses of a client, and memory.

A node (or three) is filled with 1 KB values, redis-benchmark overwrites them without end, and a client probes with PING
and SET all the while. The log grows until the node writes a snapshot of everything. The slowest probes during the
snapshot stand beside those of the same load before it, and the resident memory beside what it was before.

    bench/snapshot.py [--gb 5] [--nodes 1] [--binary target/release/quorate] [--dir FOLDER] [--json FILE] [--check]

With --check it fails if the bounds of R9 do not hold: 10 ms that a snapshot adds to the worst pause, and 1.3 times the memory.
Needs redis-benchmark, and twice the data in memory for each node and four times on disk.
"""
import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

PORT = 6451
VALUE_BYTES = 1024
PIPELINE = 1000
PAUSE_MS_MAX, MEMORY_FACTOR_MAX = 10.0, 1.3


def encode(*words):
    parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


class Client:
    """One connection."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), 30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")

    def call(self, *words):
        self.sock.sendall(encode(*words))
        return self.reply()

    def reply(self):
        line = self.file.readline()
        if line[:1] in b"$=" and line != b"$-1\r\n":
            return self.file.read(int(line[1:]) + 2)
        return line

    def info(self, section):
        lines = self.call("INFO", section).decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)


class Node:
    def __init__(self, binary, folder, number, join, settings):
        self.port = PORT + number
        argv = [binary, "server", "--listen", f"127.0.0.1:{self.port}", "--data-dir", f"{folder}/node{number}"]
        argv += [part for s in settings for part in ("--set", s)]
        argv += ["--join", f"127.0.0.1:{join}", "--cluster-secret-file", f"{folder}/node0/cluster-secret"] if join else []
        self.log = open(f"{folder}/node{number}.txt", "wb")
        self.process = subprocess.Popen(argv, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 60
        while True:
            try:
                if Client(self.port).call("SET", "up", 1).startswith(b"+OK"):
                    return
            except OSError:
                pass
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit(f"node {number} does not serve: see {self.log.name}")
            time.sleep(0.1)

    def memory(self):
        """(resident, highest resident since the start) in bytes."""
        with open(f"/proc/{self.process.pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        return tuple(int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))

    def forget_highest(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w") as refs:
            refs.write("5")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def fill(port, keys):
    """SETs in pipelines, so that redis-benchmark finds every key that it picks."""
    client, value = Client(port), os.urandom(VALUE_BYTES)
    for start in range(0, keys, PIPELINE):
        batch = range(start, min(start + PIPELINE, keys))
        client.sock.sendall(b"".join(encode("SET", f"key:{n:012}", value) for n in batch))
        for _ in batch:
            answer = client.reply()
            assert answer == b"+OK\r\n", answer


class Probe(threading.Thread):
    """Asks every millisecond and remembers (when it asked, how long the answer took in ms, command)."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.client, self.ending, self.samples = Client(port), threading.Event(), []

    def run(self):
        n = 0
        while not self.ending.is_set():
            n += 1
            words = ("PING",) if n % 2 else ("SET", "probe", n)
            begin = time.monotonic()
            self.client.call(*words)
            self.samples.append((begin, (time.monotonic() - begin) * 1000, words[0]))
            time.sleep(0.001)

    def between(self, begin, end, command):
        taken = sorted(ms for at, ms, name in self.samples if begin <= at < end and name == command)
        if not taken:
            return None
        pick = lambda q: round(taken[min(len(taken) - 1, int(q * len(taken)))], 2)  # noqa: E731
        worst = [round(ms, 2) for ms in taken[-5:][::-1]]
        return {"n": len(taken), "p50": pick(0.5), "p99": pick(0.99), "p99.9": pick(0.999), "worst": worst}


def is_writing(client):
    return client.info("persistence")["rdb_bgsave_in_progress"] == "1"


def wait_for(condition, what, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def measure(args, folder):
    keys = int(args.gb * 1e9 / VALUE_BYTES)
    # Filling writes this much log; the snapshot comes a while into the load.
    log_bytes = int(keys * (VALUE_BYTES + 40) + args.before * 1e9)
    settings = [f"snapshot-log-size={log_bytes}", "log-keep-size=64mb"]
    nodes = []
    try:
        for number in range(args.nodes):
            nodes.append(Node(args.binary, folder, number, PORT if number else None, settings))
        begin = time.monotonic()
        fill(PORT, keys)
        filled = time.monotonic() - begin
        return under_load(args, nodes, keys) | {"keys": keys, "fill_seconds": round(filled, 1)}
    finally:
        for node in nodes[::-1]:
            node.stop()


def under_load(args, nodes, keys):
    watcher, probe = Client(PORT), Probe(PORT)
    time.sleep(2)
    benchmark = ["redis-benchmark", "-p", str(PORT), "-q", "-l", "-n", "1000000", "-t", "set", "-r", str(keys)]
    load = subprocess.Popen(
        benchmark + ["-d", str(VALUE_BYTES), "-c", "20", "-P", str(args.pipeline)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(2)
        probe.start()
        begin = time.monotonic()
        resident = nodes[0].memory()[0]
        wait_for(lambda: is_writing(watcher), "a snapshot begins", 900)
        since, before = time.monotonic(), nodes[0].memory()[0]
        writes = int(watcher.info("stats")["quorate_writes"])
        nodes[0].forget_highest()
        wait_for(lambda: not is_writing(watcher), "the snapshot is written", 900)
        until, highest = time.monotonic(), nodes[0].memory()[1]
        writes = int(watcher.info("stats")["quorate_writes"]) - writes
        time.sleep(3)
    finally:
        load.kill()
        load.wait()
        probe.ending.set()
    added = lambda name: round(  # noqa: E731
        probe.between(since, until, name)["worst"][0] - probe.between(begin, since, name)["worst"][0], 2
    )
    return {
        "nodes": args.nodes,
        "load_average": os.getloadavg()[0],
        "seconds_before": round(since - begin, 1),
        "seconds_of_snapshot": round(until - since, 1),
        "writes_per_second_during": round(writes / (until - since)),
        "ping_ms": {"before": probe.between(begin, since, "PING"), "during": probe.between(since, until, "PING")},
        "set_ms": {"before": probe.between(begin, since, "SET"), "during": probe.between(since, until, "SET")},
        "added_to_the_worst_ms": {"ping": added("PING"), "set": added("SET")},
        "resident_gb": {
            "at_first": round(resident / 1e9, 2),
            "before": round(before / 1e9, 2),
            "highest": round(highest / 1e9, 2),
        },
        "memory_factor": round(highest / before, 3),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gb", type=float, default=5.0)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--pipeline", type=int, default=16)
    parser.add_argument("--before", type=float, default=2.0, help="GB written under load before the snapshot")
    parser.add_argument("--binary", default="target/release/quorate")
    parser.add_argument("--dir", help="where the data goes; removed afterwards")
    parser.add_argument("--json")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="quorate-snapshot-", dir=args.dir)
    try:
        result = measure(args, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result, indent=1))
    if args.json:
        with open(args.json, "w") as out:
            json.dump(result, out)
    worst = max(result["added_to_the_worst_ms"].values())
    if args.check and (worst > PAUSE_MS_MAX or result["memory_factor"] > MEMORY_FACTOR_MAX):
        sys.exit(f"beyond the bounds of R9: {worst} ms, {result['memory_factor']} times the memory")


if __name__ == "__main__":
    main()
