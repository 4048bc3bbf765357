"""What a node that has just started shows to clients: nothing that is older than what it knew."""

import time

import pytest
from cluster import eventually
from resp_client import ErrorReply


@pytest.fixture
def alone(cluster):
    """One node of three, restarted after all died: it cannot find out what is committed. The password is `pw`."""
    with cluster.nodes[0].connect() as connection:
        assert connection.call("SET", "secret", "v") == "OK"
        assert connection.call("CONFIG", "SET", "requirepass", "pw") == "OK"
        assert connection.call("AUTH", "pw") == "OK"
    for node in cluster.nodes:
        node.begin_kill()
    for node in cluster.nodes:
        node.process.wait(10)
    node = cluster.nodes[1]
    node.launch()
    eventually(lambda: node.connect(timeout=1), "it takes connections")
    return node


def wake_the_others(cluster, alone):
    for node in cluster.others(alone):
        node.launch()

    def serves():
        with alone.connect() as connection:
            connection.call("AUTH", "pw")
            return connection.call("GET", "secret") == b"v"

    eventually(serves, "the data is there for those who know the password")


def test_a_restarted_node_asks_for_the_password_from_its_first_moment(cluster, alone):
    replies = []
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        for command in (("CONFIG", "GET", "requirepass"), ("READONLY",), ("CLIENT", "LIST"), ("DBSIZE",)):
            try:
                with alone.connect(timeout=0.5) as connection:
                    connection.send(*command)
                    replies.append(connection.receive())
            except TimeoutError:
                replies.append(ErrorReply("no answer"))
        time.sleep(0.02)
    let_in = [reply for reply in replies if not isinstance(reply, ErrorReply)]
    assert not let_in, f"answers without a password: {let_in[:8]}"
    wake_the_others(cluster, alone)


def test_being_early_lets_nobody_in_without_the_password(cluster, alone):
    early = alone.connect()
    early.send("DBSIZE")
    assert isinstance(early.receive(), ErrorReply)
    wake_the_others(cluster, alone)
    early.send("GET", "secret")
    answer = early.receive()
    assert isinstance(answer, ErrorReply) and answer.code == "NOAUTH", f"{answer}: let in by being early"


def test_a_node_that_does_not_know_the_password_yet_does_not_say_that_there_is_none(cluster, alone):
    with alone.connect() as connection:
        connection.send("AUTH", "pw")
        answer = connection.receive()
    assert isinstance(answer, ErrorReply) and "without any password" not in str(answer), answer
    wake_the_others(cluster, alone)


def test_a_restarted_node_never_answers_readonly_reads_from_before_its_restart(cluster):
    """What a READONLY connection sees may be old; that a node forgets what it showed before is something else."""
    node = cluster.others(cluster.leader())[0]
    cluster.leader().call("SET", "k", "v")
    for _ in range(3):
        eventually(lambda: readonly_get(node) == b"v", "the follower has the key")
        node.kill()
        node.launch()
        seen = []
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline and b"v" not in seen:
            try:
                seen.append(readonly_get(node))
            except ErrorReply as error:
                seen.append(error.code)
            except OSError:
                pass
        assert None not in seen, f"the restarted node does not know what it showed before: {seen}"
        assert b"v" in seen, seen
        node.wait_answers()


def readonly_get(node):
    with node.connect(timeout=2) as connection:
        assert connection.call("READONLY") == "OK"
        return connection.call("GET", "k")


def test_the_log_of_a_node_stays_short_while_another_is_down(cluster):
    leader = cluster.leader()
    away = cluster.others(leader)[0]
    away.kill()
    before = leader.log_path.stat().st_size
    with leader.connect() as connection:
        until = time.monotonic() + 3
        while time.monotonic() < until:
            connection.call("INCR", "n")
    grown = leader.log_path.stat().st_size - before
    assert grown < 200_000, f"{grown} bytes of messages in 3 s"
