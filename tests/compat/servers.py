"""Servers that a test starts: a cluster of Quorate nodes, and Redis beside it. Ended by their process ids."""
import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from resp import Raw

ROOT = pathlib.Path(__file__).resolve().parents[2]
LONG = bool(os.environ.get("QUORATE_LONG"))
PORTS = range(23000, 31000, 10)


def binary():
    """The server under test: QUORATE_BIN, or what cargo built last."""
    if given := os.environ.get("QUORATE_BIN"):
        return given
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [p for p in (target / "release/quorate", target / "debug/quorate") if p.exists()]
    assert built, f"no quorate in {target}: run cargo build first, or set QUORATE_BIN"
    return str(max(built, key=lambda p: p.stat().st_mtime))


def _dies_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _is_free(port):
    for p in (port, port + 10_000, port + 3_000):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", p))
            except OSError:
                return False
    return True


def free_ports(count):
    """`count` client ports in a row whose bus and HTTP ports are free as well."""
    first = (os.getpid() * 7) % len(PORTS)
    for at in range(len(PORTS)):
        base = PORTS[(first + at) % len(PORTS)]
        if all(_is_free(base + n) for n in range(count)):
            return list(range(base, base + count))
    raise RuntimeError("no free ports")


def wait_for(what, check, limit=30):
    """Waits until `check()` is true; its last error otherwise."""
    deadline, error = time.monotonic() + limit, None
    while time.monotonic() < deadline:
        try:
            if result := check():
                return result
        except (OSError, AssertionError) as e:
            error = e
        time.sleep(0.03)
    raise AssertionError(f"{what}: not within {limit} s ({error})")


class Process:
    def __init__(self, argv, log):
        self.argv, self.log, self.popen = argv, log, None

    def start(self):
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          preexec_fn=_dies_with_parent)

    @property
    def runs(self):
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        if self.popen:
            self.popen.kill()
            self.popen.wait()

    def stop(self, limit=15):
        if self.runs:
            self.popen.terminate()
            try:
                self.popen.wait(limit)
            except subprocess.TimeoutExpired:
                self.kill()

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.popen.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()


class Redis(Process):
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="compat-redis-")
        [self.port] = free_ports(1)
        program = shutil.which("redis-server")
        super().__init__([program, "--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", self.dir],
                         os.path.join(self.dir, "redis.log"))
        self.start()
        wait_for("redis-server", lambda: Raw(self.port).call("PING").value == b"PONG")

    def stop(self, limit=15):
        super().stop(limit)
        shutil.rmtree(self.dir, ignore_errors=True)


class Node(Process):
    def __init__(self, number, port, directory, join, sets):
        self.number, self.port = number, port
        argv = [binary(), "server", "--listen", f"127.0.0.1:{port}", "--data-dir", f"{directory}/node-{number}",
                "--node-id", str(number)]
        if join:
            argv += ["--join", f"127.0.0.1:{join}"]
        for pair in sets:
            argv += ["--set", pair]
        super().__init__(argv, f"{directory}/node-{number}.log")

    def connect(self, timeout=20):
        return Raw(self.port, timeout)

    def call(self, *words):
        with self.connect() as c:
            return c.call(*words)

    def status(self):
        r = self.call("QUORATE", "STATUS").value
        return dict(zip(r[::2], r[1::2]))


class Cluster:
    """Nodes on this machine, ready: three of them are voters, and a leader is known to all."""

    def __init__(self, nodes=3, sets=()):
        self.dir = tempfile.mkdtemp(prefix="compat-quorate-")
        ports = free_ports(nodes)
        self.nodes = [Node(n, p, self.dir, ports[0] if n > 1 else None, sets)
                      for n, p in enumerate(ports, 1)]
        try:
            for node in self.nodes:
                node.start()
                wait_for(f"node {node.number}", lambda node=node: node.call("PING").value == b"PONG")
            wait_for("the cluster", self.is_whole)
        except BaseException:
            self.stop()
            raise

    def is_whole(self):
        seen = [n.status() for n in self.nodes]
        voters = min(3, len(self.nodes)) if len(self.nodes) != 2 else 1
        return all(s[b"voters"] == voters for s in seen) and len({s[b"leader"] for s in seen}) == 1 \
            and seen[0][b"leader"] is not None

    def leader(self):
        def found():
            for n in self.nodes:
                if n.runs:
                    s = n.status()
                    if s[b"leader"] == n.number:
                        return n
            return None
        return wait_for("a leader", found)

    def followers(self):
        leader = self.leader()
        return [n for n in self.nodes if n is not leader and n.runs]

    def mend(self):
        """Starts again what a test has killed."""
        for n in self.nodes:
            if not n.runs:
                n.start()
        for n in self.nodes:
            wait_for(f"node {n.number}", lambda n=n: n.call("PING").value == b"PONG")
        wait_for("the cluster", self.is_whole)

    def stop(self):
        for n in self.nodes:
            if n.runs:
                n.popen.terminate()
        for n in self.nodes:
            n.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
