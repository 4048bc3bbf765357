"""A disk is a member, not a number (R5): a folder that was emptied, or put back from an older copy, is not trusted."""

import shutil
import time

import pytest
from cluster import PATIENCE, eventually
from load import Load


@pytest.fixture
def loaded(cluster):
    with Load(cluster.nodes, clients=9) as load:
        time.sleep(0.5)
        yield cluster, load
        load.stop()


def follower_of(cluster):
    """A follower other than the founder, through which nodes join."""
    leader = cluster.leader()
    return next(node for node in cluster.nodes[1:] if node is not leader)


def ends(node, timeout=PATIENCE):
    """Waits until the process ends by itself; its exit code."""
    code = node.process.wait(timeout)
    node.dies_with = code
    return code


def check_continues(cluster, load, nodes):
    since = time.monotonic()
    eventually(lambda: load.flowing(nodes, since), "the others go on")


def rejoin(cluster, node):
    """What the messages tell the operator: remove the member, empty the folder, join."""
    survivors = cluster.others(node)
    survivors[0].call("QUORATE", "NODE", "REMOVE", node.number)
    eventually(lambda: node.number not in survivors[0].roles(), "it is no longer a member")
    if node.alive:
        node.kill()
    shutil.rmtree(node.folder)
    node.args = [arg for arg in node.args if arg not in ("--node-id", str(node.number))]
    node.launch()
    node.wait_answers()
    node.number = node.status()["id"]
    cluster.wait_voters(3)


def check_all(cluster, load):
    cluster.wait_caught_up()
    load.stop()
    for node in cluster.nodes:
        load.assert_kept(node)
    cluster.wait_caught_up()
    cluster.assert_digests_equal()


def test_a_node_whose_folder_was_emptied_is_refused(loaded):
    cluster, load = loaded
    node = follower_of(cluster)
    survivors = cluster.others(node)
    since = time.monotonic()
    node.kill()
    shutil.rmtree(node.folder)
    before = len(node.log())
    node.args += ["--node-id", str(node.number)]
    node.launch()
    assert ends(node) != 0, "it was let in under the number of a member with another folder"
    said = node.log()[before:]
    assert f"QUORATE NODE REMOVE {node.number}" in said, said[-1500:]
    check_continues(cluster, load, survivors)
    assert cluster.leader().roles()[node.number] == "follower", "it is still the member that it was"
    rejoin(cluster, node)
    assert not load.errors(survivors, since)
    check_all(cluster, load)


def test_a_node_whose_folder_was_replaced_by_an_older_copy_is_made_safe(loaded, tmp_path):
    cluster, load = loaded
    node = follower_of(cluster)
    survivors = cluster.others(node)
    since = time.monotonic()
    node.kill()
    copy = tmp_path / "older copy"
    shutil.copytree(node.folder, copy)
    node.restart()
    cluster.wait_caught_up()
    time.sleep(0.5)  # it acknowledges writes that the copy does not have
    node.kill()
    shutil.rmtree(node.folder)
    shutil.copytree(copy, node.folder)
    before = len(node.log())
    node.launch()
    eventually(lambda: "older copy" in node.log()[before:], "it says that its folder is an older copy")
    assert f"QUORATE NODE REMOVE {node.number}" in node.log()[before:]
    if not node.alive:
        node.dies_with = node.process.returncode
    check_continues(cluster, load, survivors)
    assert not load.errors(survivors, since)

    # With only one intact member beside it there is no majority that may acknowledge.
    lost = next(n for n in survivors if n is not cluster.nodes[0])
    lost.kill()
    time.sleep(0.5)
    since = time.monotonic()
    time.sleep(2)
    assert not any(w.acked and w.acked[-1][0] > since for w in load.writers), (
        "acknowledged with the help of an older copy"
    )
    lost.restart()
    check_continues(cluster, load, survivors)
    rejoin(cluster, node)
    check_all(cluster, load)


def test_a_folder_of_another_number_is_refused(cluster):
    node = follower_of(cluster)
    node.kill()
    node.args += ["--node-id", "9"]
    before = len(node.log())
    node.launch()
    assert ends(node) != 0
    assert "--node-id" in node.log()[before:]
    node.args = node.args[:-2]
    node.restart()
    cluster.wait_voters(3)
