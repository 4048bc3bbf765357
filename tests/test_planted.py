"""The program that users get cannot be asked to misbehave: the bugs that tests plant are not in it."""

from pathlib import Path

import pytest
from cluster import binary


def test_a_release_build_has_no_planted_bugs(make_cluster, monkeypatch):
    program = Path(binary())
    if program.parent.name != "release":
        pytest.skip(f"{program} is no release build")
    content = program.read_bytes()
    assert b"QUORATE_PARENT_PID" in content, "names of variables can be found in it"
    assert b"QUORATE_PLANT_BUG" not in content and b"BREAKS ITS PROMISES" not in content

    # A build for tests refuses to start with a name that is none. This one does not even look.
    monkeypatch.setenv("QUORATE_PLANT_BUG", "Nonsense")
    cluster = make_cluster().start(1)
    assert cluster.nodes[0].call("SET", "key", "value") == "OK"
