"""A cluster of real processes on this machine, for tests.

    cluster = Cluster(tmp_path)
    cluster.start(3)            # three voters
    leader = cluster.leader()
    leader.kill()               # SIGKILL
    leader.restart()
    cluster.wait_caught_up()

Only processes that the cluster started itself get signals, by their ids.
"""

import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

from resp_client import Connection, ErrorReply, as_map

REPOSITORY = Path(__file__).resolve().parent.parent
BUS_OFFSET = 10_000
HTTP_OFFSET = 3_000
# A node that is slow on a busy machine is not a failure; one that takes this long is.
PATIENCE = 30.0


def binary():
    """The program under test: QUORATE_BINARY, or the newest kind of build of this repository."""
    given = os.environ.get("QUORATE_BINARY")
    candidates = [given] if given else [REPOSITORY / "target" / kind / "quorate" for kind in ("release", "debug")]
    for candidate in candidates:
        if Path(candidate).is_file():
            return str(candidate)
    raise FileNotFoundError(f"no program at {' or '.join(map(str, candidates))}: run `cargo build --release`")


def eventually(condition, what, timeout=PATIENCE, interval=0.02):
    """Waits until `condition()` is true and returns it. Errors of a node that is not there count as no."""
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (OSError, ErrorReply) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:.0f} s: {what}; last seen: {last!r}")
        time.sleep(interval)


class Node:
    """One process of the cluster and its data folder."""

    def __init__(self, number, host, port, folder, args, namespace=None):
        self.number = number  # which one the test started, from 1; its id in the cluster unless the test says otherwise
        self.host, self.port = host, port
        self.folder = Path(folder)
        self.log_path = self.folder.with_suffix(".txt")
        self.args = list(args)
        self.namespace = namespace
        self.process = None
        self.dies_with = None  # exit code that the test expects; None: must not end by itself
        self.stopped = False

    def __repr__(self):
        return f"node {self.number} ({self.host}:{self.port})"

    @property
    def address(self):
        return (self.host, self.port)

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    # Process.

    def launch(self):
        assert not self.alive, f"{self} runs already"
        command = [
            binary(),
            "server",
            "--listen",
            f"{self.host}:{self.port}",
            "--data-dir",
            str(self.folder),
            *self.args,
        ]
        if self.namespace:
            command = ["ip", "netns", "exec", self.namespace, *command]
        self.dies_with, self.stopped = None, False
        with self.log_path.open("ab") as log:
            log.write(f"--- {' '.join(command)}\n".encode())
            log.flush()
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, "RUST_BACKTRACE": "1"}
            )
        return self

    def kill(self):
        """SIGKILL."""
        self.begin_kill()
        self.process.wait(10)

    def begin_kill(self):
        """SIGKILL, without waiting for the end."""
        self.dies_with = -signal.SIGKILL
        self.process.kill()

    def terminate(self, timeout=PATIENCE):
        """SIGTERM; returns when the process has ended, which must be clean."""
        self.begin_terminate()
        self.finish_terminate(timeout)

    def begin_terminate(self):
        """SIGTERM, without waiting for the end."""
        self.dies_with = 0
        self.process.terminate()

    def finish_terminate(self, timeout=PATIENCE):
        code = self.process.wait(timeout)
        assert code == 0, f"{self} ended with {code} after SIGTERM"

    def stop(self):
        """SIGSTOP. It stands still when this returns: what is sent now, it does not read."""
        self.process.send_signal(signal.SIGSTOP)
        self.stopped = True
        eventually(self.stands_still, f"{self} stands still")

    def stands_still(self):
        try:
            stats = [(task / "stat").read_text() for task in Path(f"/proc/{self.process.pid}/task").iterdir()]
        except FileNotFoundError:
            return False
        return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

    def cont(self):
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)
        self.stopped = False

    def restart(self):
        """Starts again on the same folder and waits until it answers."""
        self.launch()
        self.wait_answers()
        return self

    def died(self):
        """What is wrong with how the process ended, if it has and something is."""
        if self.process is None or self.process.poll() is None:
            return None
        code = self.process.returncode
        return None if code == self.dies_with else f"{self} ended by itself with exit code {code}"

    def story(self):
        """The log without what the consensus engine says about connections that fail."""
        return "\n".join(line for line in self.log().splitlines() if " WARN openraft::" not in line)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # Questions.

    def open_socket(self, timeout=10.0):
        if self.namespace:
            from network import socket_in

            return socket_in(self.namespace, self.address, timeout)
        return socket.create_connection(self.address, timeout=timeout)

    def connect(self, timeout=10.0):
        return Connection(self.address, timeout, self.open_socket(timeout))

    def call(self, *args, timeout=10.0):
        """One command on a connection of its own."""
        return self.ask(*args, timeout=timeout)

    def ask(self, *args, timeout=10.0):
        """The same, for the questions below, whatever `call` answers with."""
        with self.connect(timeout) as connection:
            return connection.call(*args)

    def status(self):
        return as_map(self.ask("QUORATE", "STATUS", timeout=3))

    def info(self, section):
        lines = self.ask("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def members(self):
        """QUORATE NODE LIST as this node sees it, by id."""
        rows = [as_map(row) for row in self.ask("QUORATE", "NODE", "LIST", timeout=5)]
        return {row["id"]: row for row in rows}

    def roles(self):
        return {id: row["role"] for id, row in self.members().items()}

    def digest(self):
        """(index, digest)"""
        index, digest = self.ask("QUORATE", "DIGEST")
        return index, digest.decode()

    def full_digest(self):
        """(index, digest of all contents)"""
        index, digest = self.ask("QUORATE", "DIGEST", "FULL", timeout=60)
        return index, digest.decode()

    def wait_answers(self, timeout=PATIENCE):
        """Until it serves clients. Needs a majority."""

        def answers():
            why = self.died()
            assert why is None, f"{why}\n{self.log()[-2000:]}"
            self.ask("EXISTS", "x", timeout=3)  # LOADING until it has caught up
            return self.status()["leader"]

        eventually(answers, f"{self} serves clients", timeout)


class Cluster:
    """See the module."""

    node_class = Node

    def __init__(self, folder, settings=()):
        self.folder = Path(folder)
        self.settings = list(settings)
        self.nodes = []
        self.ports = free_ports()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for node in self.nodes:
            if node.alive:
                node.begin_kill()
                node.cont()
        for node in self.nodes:
            if node.process:
                node.process.wait(10)

    # Building.

    def add(self, *args, join=True, host="127.0.0.1", namespace=None, settings=()):
        """Launches one more node. The first one founds the cluster."""
        number = len(self.nodes) + 1
        options = [part for setting in [*self.settings, *settings] for part in ("--set", setting)]
        if join:
            options += ["--cluster-secret-file", str(self.secret_file())]
        if self.nodes and join:
            options += ["--join", f"{self.nodes[0].host}:{self.nodes[0].port}"]
        node = self.node_class(number, host, next(self.ports), self.folder / f"node{number}", [*options, *args], namespace)
        self.nodes.append(node)
        return node.launch()

    def secret_file(self):
        """What every node of this cluster is given. (test_bus_secret.py does as an operator would: it copies that of the first.)"""
        path = self.folder / "cluster-secret"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text("a secret of tests, no other\n")
        return path

    def start(self, count=3):
        """Launches nodes until there are `count`, and waits until all serve and as many as can vote."""
        while len(self.nodes) < count:
            self.add()
            self.nodes[-1].wait_answers()
        self.wait_voters(3 if count >= 3 else 1)
        return self

    # Who is who.

    @property
    def running(self):
        return [node for node in self.nodes if node.alive and not node.stopped]

    def node(self, id):
        """The node that has this id in the cluster."""
        return next(node for node in self.nodes if node.number == id)

    def others(self, *nodes):
        return [node for node in self.nodes if node not in nodes]

    def leader(self, among=None, not_=None, timeout=PATIENCE):
        """The node that all running ones call leader."""

        def agreed():
            leaders = {node.status()["leader"] for node in among or self.running}
            if len(leaders) == 1 and None not in leaders:
                leader = self.node(leaders.pop())
                return leader if leader is not not_ and leader in (among or self.running) else None

        return eventually(agreed, f"one leader{f' other than {not_}' if not_ else ''}", timeout)

    def terms(self):
        return {node.number: node.status()["term"] for node in self.running}

    # Waiting.

    def wait_voters(self, count, timeout=PATIENCE):
        """Until every running node sees a leader and this many voters, all reachable."""

        def there():
            for node in self.running:
                rows = node.members().values()
                voters = [row for row in rows if row["role"] in ("leader", "follower")]
                leads = [row for row in rows if row["role"] == "leader"]
                if len(voters) != count or len(leads) != 1 or not all(row["reachable"] for row in voters):
                    return None
            return True

        eventually(there, f"{count} voters", timeout)

    def wait_caught_up(self, timeout=60.0):
        """Until every running node has applied what the leader had committed when this was called."""
        target = self.leader().status()["committed"]
        eventually(
            lambda: all(node.status()["applied"] >= target for node in self.running),
            f"all applied entry {target}",
            timeout,
        )

    def assert_digests_equal(self, timeout=PATIENCE):
        """Digests of all running nodes agree at every index at which two were seen, and at one index all were."""
        seen = {}

        def agreed():
            now = []
            for node in self.running:
                index, digest = node.digest()
                other, known = seen.setdefault(index, (node, digest))
                assert known == digest, f"{node} and {other} differ at entry {index}: {digest}, {known}"
                now.append(index)
            return len(set(now)) == 1

        eventually(agreed, "all nodes at one index", timeout)

    def complaints(self):
        """What no test may leave behind: nodes that ended by themselves, panics."""
        found = [node.died() for node in self.nodes]
        for node in self.nodes:
            _, panic, what = node.log().partition("panicked at")
            if panic:
                found.append(f"{node} panicked at{what[:3000]}")
        return [text for text in found if text]


def free_ports():
    """Client ports whose bus and HTTP ports are free as well. All lie below the ports that the system gives away, and beside those
    that `quorate torture` takes. Of tests that run at once, each process has its own: a node that is killed comes back to its.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    candidates = list(range(7_100 + worker, 7_990, workers))
    random.shuffle(candidates)
    for port in candidates:
        if all(is_free(p) for p in (port, port + HTTP_OFFSET, port + BUS_OFFSET)):
            yield port
    raise AssertionError("no free ports")


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
