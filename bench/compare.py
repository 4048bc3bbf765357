#!/usr/bin/env python3
"""Quorate with three nodes beside Redis with two asynchronous replicas, in one run on one machine.

Each cell runs both servers in turn, several times, and compares medians: machines are shared and noisy, so only
ratios mean something. Needs redis-server and redis-benchmark, and a release build of quorate.

    bench/compare.py [--rounds 3] [--seconds 3] [--binary target/release/quorate] [--json FILE]
"""
import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

QUORATE_PORT, REDIS_PORT = 6401, 6501


def wait(port, what, check):
    deadline = time.time() + 30
    while time.time() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as s:
                s.settimeout(2)
                if check(s):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit(f"{what} on port {port} did not come up")


def command(s, *words):
    s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in map(str.encode, words)))
    return s.recv(65536)


class Servers:
    """The processes of one side; ended by their ids."""

    def __init__(self):
        self.processes = []

    def spawn(self, argv, log):
        self.processes.append(subprocess.Popen(argv, stdout=log, stderr=log))

    def stop(self):
        for p in self.processes:
            p.send_signal(signal.SIGTERM)
        for p in self.processes:
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


def start_quorate(binary, folder, nodes=3):
    servers = Servers()
    for n in range(1, nodes + 1):
        argv = [binary, "server", "--listen", f"127.0.0.1:{QUORATE_PORT + n - 1}", "--data-dir", f"{folder}/q{n}", "--node-id", str(n)]
        if n > 1:
            argv += ["--join", f"127.0.0.1:{QUORATE_PORT}", "--cluster-secret-file", f"{folder}/q1/cluster-secret"]
        servers.spawn(argv, open(f"{folder}/q{n}.log", "wb"))
        wait(QUORATE_PORT + n - 1, "quorate", lambda s: b"PONG" in command(s, "PING"))
    wait(QUORATE_PORT, "the third voter", lambda s: b"quorate_voters:%d" % nodes in command(s, "INFO", "replication"))
    return servers


def start_redis(folder):
    servers = Servers()
    for n in range(3):
        argv = ["redis-server", "--port", str(REDIS_PORT + n), "--save", "", "--appendonly", "no", "--dir", folder, "--daemonize", "no"]
        if n:
            argv += ["--replicaof", "127.0.0.1", str(REDIS_PORT)]
        servers.spawn(argv, open(f"{folder}/r{n}.log", "wb"))
        wait(REDIS_PORT + n, "redis", lambda s: b"PONG" in command(s, "PING"))
    wait(REDIS_PORT, "two replicas", lambda s: b"connected_slaves:2" in command(s, "INFO", "replication"))
    time.sleep(1)
    return servers


def leader_port():
    for n in range(3):
        with socket.create_connection(("127.0.0.1", QUORATE_PORT + n), 2) as s:
            if b"role:master" in command(s, "INFO", "replication"):
                return QUORATE_PORT + n
    sys.exit("no leader")


def run(port, test, clients, pipeline, requests, size):
    argv = ["redis-benchmark", "-p", str(port), "-t", test, "-c", str(clients), "-P", str(pipeline), "-n", str(requests),
            "-d", str(size), "-r", "100000", "--csv"]
    out = subprocess.run(argv, capture_output=True, text=True, timeout=300).stdout
    row = [line for line in out.splitlines() if line.upper().startswith(f'"{test.upper()}')]
    if not row:
        sys.exit(f"redis-benchmark said nothing useful: {out[:300]}")
    fields = [f.strip('"') for f in row[0].split(",")]
    return {"rps": float(fields[1]), "p50": float(fields[4]), "p99": float(fields[6])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="about how long one measurement takes")
    parser.add_argument("--size", type=int, default=64, help="bytes of a value")
    parser.add_argument("--binary", default="target/release/quorate")
    parser.add_argument("--only", help="such as set:1:50")
    parser.add_argument("--json")
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="quorate-bench-")
    cells = [(t, p, c) for t in ("set", "get") for p in (1, 16) for c in (50, 200)]
    if args.only:
        cells = [c for c in cells if ":".join(map(str, c)) in args.only.split(",")]
    rates = {1: 45_000, 16: 350_000}
    results, sides = [], []
    try:
        sides = [start_redis(folder), start_quorate(args.binary, folder)]
        leader = leader_port()
        print(f"{'test':<5}{'pipeline':>9}{'clients':>8} | {'redis/s':>9}{'p50 ms':>8}{'p99 ms':>8} | {'quorate/s':>9}{'p50 ms':>8}{'p99 ms':>8} | {'ratio':>6}")
        for test, pipeline, clients in cells:
            requests = int(rates[pipeline] * args.seconds)
            rounds = [(run(REDIS_PORT, test, clients, pipeline, requests, args.size), run(leader, test, clients, pipeline, requests, args.size))
                      for _ in range(args.rounds)]
            median = lambda side, key: statistics.median(r[side][key] for r in rounds)
            ratio = statistics.median(q["rps"] / r["rps"] for r, q in rounds)
            row = {"test": test, "pipeline": pipeline, "clients": clients, "ratio": ratio}
            for side, name in ((0, "redis"), (1, "quorate")):
                row[name] = {key: median(side, key) for key in ("rps", "p50", "p99")}
            results.append(row)
            r, q = row["redis"], row["quorate"]
            print(f"{test:<5}{pipeline:>9}{clients:>8} | {r['rps']:>9.0f}{r['p50']:>8.2f}{r['p99']:>8.2f} | {q['rps']:>9.0f}{q['p50']:>8.2f}{q['p99']:>8.2f} | {ratio:>6.2f}", flush=True)
    finally:
        for side in sides:
            side.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f, indent=2)


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    main()
