"""A majority is gone for good (R8): `quorate recover` looks at what is left, and makes a new cluster of it."""

import json
import shutil
import subprocess
import time

import pytest
from cluster import PATIENCE, binary, eventually
from resp_client import ErrorReply

ENTRIES = 120


def recover(node, *args):
    """Runs `quorate recover` on the folder of a node; what it printed, and its exit code."""
    command = [binary(), "recover", "--data-dir", str(node.folder), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout, done.stderr, done.returncode


def facts(node):
    out, err, code = recover(node, "--json")
    assert code == 0, err
    return json.loads(out)


def image(folder):
    """The content of all files but the lock, which names the process that had it last."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "LOCK")
    return {path: path.read_bytes() for path in files}


def has_entries(node):
    return node.call("EXISTS", *(f"k:{n}" for n in range(ENTRIES))) == ENTRIES


@pytest.fixture
def stopped(cluster):
    """Three voters with the same data, all killed."""
    with cluster.leader().connect() as connection:
        for n in range(ENTRIES):
            assert connection.call("SET", f"k:{n}", "v" * 300) == "OK"
    cluster.wait_caught_up()
    for node in cluster.nodes:
        node.kill()
    return cluster


def damage_in_use(node):
    """Turns one bit around in the middle of what the newest used segment holds; the file and the place."""
    for path in sorted((node.folder / "log").glob("*.log"), reverse=True):
        content = bytearray(path.read_bytes())
        end = len(content.rstrip(b"\0"))
        if end > 10_000:
            content[end // 2] ^= 0x10
            path.write_bytes(content)
            return path
    raise AssertionError("no segment has entries")


def test_a_look_says_what_is_there_and_changes_nothing(stopped):
    before = {node: image(node.folder) for node in stopped.nodes}
    for node in stopped.nodes:
        found = facts(node)
        assert found["node"] == node.number and found["sure"] and not found["clean"]
        assert found["voters"] == [[1, 2, 3]] and found["damage"] is None and found["new_cluster"] is None
        assert found["last"]["index"] >= ENTRIES
        out, err, code = recover(node)
        assert code == 0, err
        for word in (str(found["last"]["index"]), "Bring the other voters back first", "--accept-loss", found["cluster"]):
            assert word in out, out
    assert len({facts(node)["cluster"] for node in stopped.nodes}) == 1
    for node, content in before.items():
        assert image(node.folder) == content
    # The way that it recommends: all come back, nothing is lost.
    for node in stopped.nodes:
        node.launch()
    for node in stopped.nodes:
        node.wait_answers()
        assert has_entries(node)


def test_it_is_refused_where_it_would_do_harm_or_make_no_sense(cluster, tmp_path):
    node = cluster.nodes[0]
    _, err, code = recover(node, "--accept-loss", "--yes")
    assert code != 0 and "in use" in err, err
    node.terminate()
    before = image(node.folder)
    _, err, code = recover(node, "--accept-loss")
    assert code != 0 and "--node-id 1" in err, err
    _, err, code = recover(node, "--accept-loss", "--node-id", "2")
    assert code != 0 and "node 1" in err, err
    assert image(node.folder) == before
    node.restart()
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (empty, tmp_path / "nowhere"):
        done = subprocess.run([binary(), "recover", "--data-dir", str(folder)], capture_output=True, text=True)
        assert done.returncode != 0 and "not the data folder" in done.stderr, done.stderr


def test_one_folder_of_three_becomes_a_cluster_that_others_join(stopped):
    survivor, old, lost = stopped.nodes
    # One folder is gone for good. The other turns up again when the new cluster serves.
    shutil.rmtree(lost.folder)
    cluster_before = facts(survivor)["cluster"]
    out, err, code = recover(survivor, "--accept-loss", "--node-id", "1", "--json")
    assert code == 0, err
    new = json.loads(out)["new_cluster"]
    assert new["cluster"] != cluster_before
    # Again, as after an interruption.
    _, err, code = recover(survivor, "--accept-loss", "--yes")
    assert code == 0, err
    found = facts(survivor)
    assert found["voters"] == [[1]] and [member["id"] for member in found["members"]] == [1]
    assert found["last"]["term"] > new["last"]["term"] and found["sure"]

    survivor.restart()
    assert survivor.roles() == {1: "leader"} and has_entries(survivor)
    assert survivor.call("SET", "after", "1") == "OK"

    old.launch()
    refusal = "another cluster"
    eventually(lambda: refusal in survivor.log() and refusal in old.log(), "the old member is refused")
    time.sleep(1)
    assert set(survivor.roles()) == {1} and survivor.call("GET", "after") == b"1"
    with pytest.raises(ErrorReply, match="LOADING"):
        old.call("GET", "after")
    old.kill()
    shutil.rmtree(old.folder)
    stopped.nodes.remove(old)
    stopped.nodes.remove(lost)

    for _ in range(2):
        node = stopped.add()
        # Numbers that were in use in the old cluster are not given again.
        node.wait_answers()
        node.number = node.status()["id"]
        assert node.number > 3
    stopped.wait_voters(3)
    stopped.wait_caught_up()
    for node in stopped.nodes:
        assert has_entries(node) and node.call("GET", "after") == b"1"
    stopped.assert_digests_equal()
    # And it is a cluster like any other.
    leader = stopped.leader()
    leader.kill()
    assert stopped.leader(among=stopped.others(leader)).call("SET", "after", "2") == "OK"


def test_a_damaged_log_is_reported_and_cut_only_if_asked(stopped):
    node = stopped.nodes[1]
    whole = facts(node)["last"]["index"]
    path = damage_in_use(node)
    found = facts(node)
    assert not found["sure"] and found["damage"]["file"] == str(path) and found["damage"]["offset"] > 0
    assert found["last"]["index"] < whole
    out, _, _ = recover(node)
    assert "QUORATE NODE REMOVE 2" in out and str(path) in out and "--join" in out, out
    out, err, code = recover(node, "--accept-loss", "--yes")
    assert code == 0 and f"cut at {path}" in out, (out, err)
    assert facts(node)["damage"] is None
    node.restart()
    kept = node.call("EXISTS", *(f"k:{n}" for n in range(ENTRIES)))
    assert 0 < kept < ENTRIES
    assert all(node.call("EXISTS", f"k:{n}") == (1 if n < kept else 0) for n in range(ENTRIES)), "a prefix is kept"
