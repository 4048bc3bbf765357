"""Applications, written with the libraries that people use, before and while the leader is killed.

An application is a program of its own, in python/, node/ or rust/. It is told the ports of the cluster in its last argument,
works for a while, and prints `calm`. From then on it goes on working until it reads `killed`, then for a while longer,
checks what it finds, prints figures as one line of JSON, and ends with 0. So the kill falls into its work, whatever the
speed of the machine.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from cluster import REPOSITORY, Cluster

HERE = Path(__file__).parent
# An application that takes longer hangs.
LIMIT_S = 120


class Stage:
    """Three nodes, one of which is about to die."""

    def __init__(self, cluster, folder):
        self.cluster, self.folder = cluster, folder
        self.leader = cluster.leader()
        self.survivors = cluster.others(self.leader)

    def ports(self):
        """What an application is told: all ports, the leader's first, and those of the nodes that survive."""
        survivors = [node.port for node in self.survivors]
        return json.dumps({"nodes": [self.leader.port, *survivors], "survivors": survivors})

    def kill(self):
        """SIGKILL to the leader; returns when another one leads."""
        self.leader.kill()
        self.cluster.leader(not_=self.leader)

    def perform(self, *argv):
        """Runs an application, kills the leader in its middle, and returns its figures."""
        errors = self.folder / "errors.txt"
        since = time.monotonic()
        with errors.open("wb") as stderr:
            app = subprocess.Popen(
                [*map(str, argv), self.ports()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, cwd=HERE,
                env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
            )
            # With the workers and servers that it has started.
            end = partial(os.killpg, app.pid, signal.SIGKILL)
            hangs = threading.Timer(LIMIT_S, end)
            hangs.start()
            said = []
            try:
                said.append(app.stdout.readline().decode())
                if said[0] == "calm\n":
                    self.kill()
                    app.stdin.write(b"killed\n")
                    app.stdin.flush()
                said += app.stdout.read().decode().splitlines()
                code = app.wait()
            finally:
                hangs.cancel()
                with suppress(ProcessLookupError):
                    end()
                app.wait()
        assert code == 0, f"{argv} ended with {code}: {said}\n{errors.read_text()[-6000:]}"
        assert said[0] == "calm\n", said
        return {**json.loads(said[-1]), "seconds": round(time.monotonic() - since, 1)}


@pytest.fixture(scope="session")
def shared(request, tmp_path_factory):
    """One cluster for all applications."""
    cluster = Cluster(tmp_path_factory.mktemp("clients"))
    try:
        yield cluster.start(3)
    finally:
        cluster.close()
    if not request.session.testsfailed:
        shutil.rmtree(cluster.folder)


@pytest.fixture
def stage(shared, show_logs_of, tmp_path):
    """The cluster, empty. After a test that has passed, all nodes are there again, and agree."""
    shared.nodes[0].call("FLUSHALL")
    show_logs_of(shared)
    stage = Stage(shared, tmp_path)
    yield stage
    for node in shared.nodes:
        if not node.alive:
            node.restart()
    shared.wait_voters(3)
    shared.wait_caught_up()
    shared.assert_digests_equal()
    complaints = shared.complaints()
    assert not complaints, "\n".join(complaints)


@pytest.fixture(scope="session")
def node_packages():
    """The folder with the JavaScript programs, and their packages installed."""
    lock, installed = HERE / "package-lock.json", HERE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=HERE, check=True, timeout=300)
    return HERE / "node"


@pytest.fixture
def python():
    """Runs a Python program with the packages of the tests."""
    return lambda name: [sys.executable, HERE / "python" / name]


@pytest.fixture(scope="session")
def rust_program():
    """The program in rust/, built."""
    folder = REPOSITORY / "target" / "clients"
    command = ["cargo", "build", "--quiet", "--locked", "--manifest-path", HERE / "rust" / "Cargo.toml", "--target-dir", folder]
    subprocess.run(command, check=True, timeout=600)
    return folder / "debug" / "quorate-clients"
