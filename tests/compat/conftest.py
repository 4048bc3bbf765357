"""What the compatibility tests share: one cluster of three nodes, and one Redis.

    tests/install-tools
    cargo build -p quorate && .venv/bin/pytest tests/compat            # QUORATE_LONG=1 for the long version
"""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from servers import Cluster, Redis  # noqa: E402


@pytest.fixture(scope="session")
def cluster():
    c = Cluster(3)
    yield c
    c.stop()


@pytest.fixture(scope="session")
def redis():
    r = Redis()
    yield r
    r.stop()


@pytest.fixture(autouse=True)
def nobody_crashed(request):
    """Whatever a test does, no node may die of it, nor may a task within it."""
    yield
    if "cluster" in request.fixturenames:
        c = request.getfixturevalue("cluster")
        for n in c.nodes:
            assert n.runs, f"node {n.number} ended:\n{n.log_text()[-2000:]}"
            assert "panicked" not in n.log_text(), f"node {n.number}:\n{n.log_text()[-3000:]}"
