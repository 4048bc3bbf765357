"""Only nodes that know the secret of the cluster are heard on the bus; strangers neither get in nor hold anybody up."""

import contextlib
import os
import shutil
import socket
import stat
import threading
import time
import urllib.request

import pytest
from cluster import BUS_OFFSET, HTTP_OFFSET, PATIENCE, eventually
from load import Load


def ends(node, timeout=PATIENCE):
    """Waits until the process ends by itself, with an error."""
    node.dies_with = node.process.wait(timeout)
    assert node.dies_with != 0
    return node.log()


def add(cluster, *args):
    """As an operator does it by hand: the harness gives no secret."""
    if cluster.nodes:
        args = ["--join", "{}:{}".format(*cluster.nodes[0].address), *args]
    return cluster.add(*args, join=False)


def secret_of(node):
    return node.folder / "cluster-secret"


@pytest.fixture
def founder(make_cluster):
    cluster = make_cluster()
    add(cluster).wait_answers()
    return cluster


def test_the_founder_makes_a_secret_and_a_copy_lets_others_in(founder, monkeypatch):
    cluster, first = founder, founder.nodes[0]
    secret = secret_of(first)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(secret.read_text().strip()) == 64
    copy = cluster.folder / "copy"
    shutil.copy(secret, copy)
    add(cluster, "--cluster-secret-file", str(copy)).wait_answers()
    with monkeypatch.context() as patch:
        patch.setenv("QUORATE_CLUSTER_SECRET_FILE", str(copy))
        add(cluster).wait_answers()
    cluster.wait_voters(3)
    # Or it lies in the new folder.
    folder = cluster.folder / "node4"
    folder.mkdir()
    shutil.copy(secret, folder / "cluster-secret")
    add(cluster).wait_answers()
    with first.connect() as connection:
        assert connection.call("SET", "k", "v") == "OK"

    # What each has in its folder is enough from now on.
    copy.unlink()
    for node in cluster.nodes:
        node.args = [arg for arg in node.args if arg not in ("--cluster-secret-file", str(copy))]
        node.kill()
    for node in cluster.nodes:
        node.launch()
    for node in cluster.nodes:
        node.wait_answers()
        assert node.call("GET", "k") == b"v"

    # It is nowhere to be seen.
    text = secret.read_text().strip()
    with first.connect() as connection:
        shown = [connection.call(*line) for line in (("INFO", "everything"), ("CONFIG", "GET", "*"), ("QUORATE", "STATUS"))]
    pages = [http(first, page) for page in ("/status", "/metrics")]
    assert text not in repr(shown) + repr(pages) + "".join(node.log() for node in cluster.nodes)


def test_who_has_no_secret_or_a_wrong_one_stops_and_says_what_to_do(founder):
    cluster = founder
    before = set(cluster.nodes[0].members())
    said = ends(add(cluster))
    assert "needs the secret of the cluster" in said and "--cluster-secret-file" in said, said
    wrong = cluster.folder / "wrong"
    wrong.write_text("not the secret of this cluster")
    node = add(cluster, "--cluster-secret-file", str(wrong))
    said = ends(node)
    assert "another cluster secret" in said and "--cluster-secret-file" in said and "not the secret" not in said, said
    assert "chmod 600" in said, said
    assert refused(cluster.nodes[0])["secret"] >= 1
    said = cluster.nodes[0].log()
    assert "does not know the secret" in said and "127.0.0.1" in said
    assert set(cluster.nodes[0].members()) == before

    # The way out that it has told.
    shutil.copy(secret_of(cluster.nodes[0]), wrong)
    node.launch()
    node.wait_answers()
    assert stat.S_IMODE(secret_of(node).stat().st_mode) == 0o600

    # A member that is given another one than it has stops as well.
    node.kill()
    wrong.write_text("not the secret of this cluster")
    node.launch()
    assert "another secret than" in ends(node)


def test_a_member_whose_secret_was_lost_gets_it_from_another(cluster):
    node = next(node for node in cluster.nodes if node is not cluster.leader())
    node.terminate()
    secret_of(node).unlink()
    with_secret, node.args = node.args, [arg for arg in node.args if "secret" not in arg]
    node.launch()
    said = ends(node)
    assert "is missing" in said and "--cluster-secret-file" in said, said
    # One that runs with a wrong secret gets nowhere, and the others go on.
    wrong = cluster.folder / "wrong"
    wrong.write_text("not the secret of this cluster")
    node.args += ["--cluster-secret-file", str(wrong)]
    terms = cluster.terms()
    node.launch()
    eventually(lambda: "another cluster secret" in node.log(), "it says so")
    time.sleep(1)
    assert {id: term for id, term in cluster.terms().items() if id in terms and id != node.number} == terms
    node.kill()
    secret_of(node).unlink()
    node.args = with_secret
    node.restart()
    cluster.wait_voters(3)


def http(node, page):
    with urllib.request.urlopen(f"http://127.0.0.1:{node.port + HTTP_OFFSET}{page}", timeout=10) as response:
        return response.read().decode()


def refused(node):
    """How many callers its bus has sent away, by the reason."""
    lines = [line for line in http(node, "/metrics").splitlines() if line.startswith("quorate_bus_callers_refused_total")]
    return {line.split('"')[1]: int(line.split()[-1]) for line in lines}


def knock(node, bytes=b""):
    stranger = socket.create_connection(("127.0.0.1", node.port + BUS_OFFSET), timeout=10)
    if bytes:
        with contextlib.suppress(OSError):
            stranger.sendall(bytes)
    return stranger


def is_closed(stranger):
    """Whether the node ends the connection. What it says before does not matter."""
    with contextlib.suppress(ConnectionError):
        while stranger.recv(1 << 16):
            pass
    return True


GARBAGE = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    bytes(64),
    b"\xff" * 4096,
    # A frame that says that it is long, and one whose message is in several.
    b"\xff\xff\xff\xff\x00\x00\x00\x00" + b"x" * 100_000,
    b"\x00\x10\x00\x00\x00\x00\x00\x00" + b"x" * 5_000,
]


def test_strangers_are_sent_away_whatever_they_send(cluster):
    for node in cluster.nodes:
        for bytes in GARBAGE:
            with knock(node, bytes) as stranger:
                assert is_closed(stranger)
        with knock(node) as silent, knock(node, b"\x01") as slow:
            assert is_closed(silent) and is_closed(slow)
        counts = refused(node)
        # Zeros may be a frame with a length of 0; who closes early is not counted.
        assert counts["malformed"] >= 4 and counts["slow"] >= 2, counts
        assert node.log().count("sent a caller of the bus away") <= 6, "not a line for each"


def test_a_flood_of_strangers_holds_no_write_up(cluster):
    stop = threading.Event()

    def flood(node):
        held = []
        number = 0
        while not stop.is_set():
            with contextlib.suppress(OSError):
                held.append(knock(node, GARBAGE[number % len(GARBAGE)] if number % 3 == 0 else b""))
            number += 1
            # Three hundred at a time from here: the door holds fewer.
            while len(held) > 300:
                held.pop(0).close()
            time.sleep(0.002)
        for stranger in held:
            stranger.close()

    with Load(cluster.nodes, clients=6) as load:
        time.sleep(0.5)
        terms = cluster.terms()
        threads = [threading.Thread(target=flood, args=(node,)) for node in cluster.nodes]
        for thread in threads:
            thread.start()
        since = time.monotonic()
        try:
            time.sleep(4)
            eventually(lambda: load.flowing(cluster.nodes, time.monotonic() - 1), "writes go on through every node")
            # A node that is started anew gets in through the crowd.
            node = next(node for node in cluster.nodes if node is not cluster.leader())
            node.terminate()
            node.restart()
            cluster.wait_voters(3)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert sum(sum(refused(node).values()) for node in cluster.nodes) > 100
        survivors = [other for other in cluster.nodes if other is not node]
        assert not load.errors(survivors, since)
        load.stop()
    cluster.wait_caught_up()
    for node in cluster.nodes:
        load.assert_kept(node)
        files = len(os.listdir(f"/proc/{node.process.pid}/fd"))
        assert files < 300, f"{files} open files once the strangers are gone"
    assert terms
