"""What the compatibility tests start: a cluster as all other tests have it, spoken to in bytes, and Redis beside it."""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import cluster as processes
from resp import Raw

LONG = bool(os.environ.get("QUORATE_LONG"))


def wait_for(what, check, limit=30):
    """Waits until `check()` is true; an assertion that fails in it counts as no."""

    def patiently():
        try:
            return check()
        except AssertionError:
            return None

    return processes.eventually(patiently, what, limit, 0.03)


class Node(processes.Node):
    """A node whose answers are seen as the bytes that they are."""

    def connect(self, timeout=20):
        return Raw(self.port, timeout)

    def call(self, *words, timeout=20):
        with self.connect(timeout) as c:
            return c.call(*words)

    def ask(self, *words, timeout=20):
        with processes.Node.connect(self, timeout) as c:
            return c.call(*words)

    @property
    def runs(self):
        return self.alive

    def signal(self, number):
        self.process.send_signal(number)

    def memory(self):
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def log_text(self):
        return self.log()


class Cluster(processes.Cluster):
    """Nodes on this machine, ready: three of them are voters, and a leader is known to all."""

    node_class = Node

    def __init__(self, nodes=3, sets=()):
        super().__init__(tempfile.mkdtemp(prefix="compat-quorate-"), sets)
        try:
            self.start(nodes)
            self.leader()
        except BaseException:
            self.stop()
            raise

    def followers(self):
        leader = self.leader()
        return [node for node in self.running if node is not leader]

    def mend(self):
        """Starts again what a test has killed."""
        for node in self.nodes:
            if not node.alive:
                node.launch()
        for node in self.nodes:
            node.wait_answers()
        self.wait_voters(min(3, len(self.nodes)))

    def stop(self):
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis:
    """A redis-server without persistence."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="compat-redis-")
        self.port = next(processes.free_ports())
        command = ["redis-server", "--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", self.folder]
        with open(Path(self.folder) / "redis.log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("redis-server", lambda: Raw(self.port).call("PING").value == b"PONG")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
