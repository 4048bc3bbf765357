"""Commands that wait for a key (R17): served once, at whatever node the client is, across failovers (issue 4)."""

import threading
import time

import pytest
from cluster import Cluster, eventually
from resp_client import ErrorReply

UNBLOCKED = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"


def waiting(node, count):
    eventually(lambda: int(node.info("clients")["blocked_clients"]) == count, f"{count} clients of {node} wait")


def waits(node, *command):
    """A connection whose command waits."""
    before = int(node.info("clients")["blocked_clients"])
    connection = node.connect(timeout=30)
    connection.send(*command)
    waiting(node, before + 1)
    return connection


def test_who_waits_anywhere_is_served_in_order(cluster):
    clients = [waits(node, "BLPOP", "queue", 0) for node in cluster.nodes]
    last = cluster.nodes[0].connect()
    assert last.call("RPUSH", "queue", "a", "b", "c", "d") == 4
    for client, element in zip(clients, (b"a", b"b", b"c")):
        assert client.receive() == [b"queue", element]
    # What stands behind the command in its pipeline is carried out behind it.
    client = cluster.nodes[1].connect()
    client.send("BLPOP", "other", 0)
    client.send("LLEN", "queue")
    client.send("RPUSH", "queue", "e")
    waiting(cluster.nodes[1], 1)
    assert last.call("LLEN", "queue") == 1
    last.call("RPUSH", "other", "x")
    assert [client.receive() for _ in range(3)] == [[b"other", b"x"], 1, 2]
    cluster.assert_digests_equal()


def test_sorted_sets_and_streams_are_waited_for(cluster):
    one, two = cluster.nodes[:2]
    lowest = waits(one, "BZPOPMIN", "z", 0)
    two.call("ZADD", "z", 3, "c", 1, "a")
    assert lowest.receive() == [b"z", b"a", b"1"]
    two.call("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    reader = waits(one, "XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    member = waits(one, "XREADGROUP", "GROUP", "g", "me", "BLOCK", 0, "STREAMS", "s", ">")
    late = waits(one, "XREAD", "BLOCK", 200, "STREAMS", "s", "9-0")
    assert late.receive() is None
    two.call("XADD", "s", "1-0", "f", "v")
    entry = [[b"s", [[b"1-0", [b"f", b"v"]]]]]
    assert (reader.receive(), member.receive()) == (entry, entry)
    assert one.call("XREAD", "STREAMS", "s", "0") == entry
    member.send("XREADGROUP", "GROUP", "g", "me", "BLOCK", 0, "STREAMS", "s", ">")
    waiting(one, 1)
    two.call("DEL", "s")
    assert member.receive().code == "NOGROUP"
    cluster.assert_digests_equal()


def test_what_does_not_ask_to_wait_holds_nothing_up(cluster):
    """XREADGROUP without BLOCK: a pipeline of them shares entries of the log, in its order."""
    node = cluster.nodes[1]
    with node.connect(timeout=30) as client:
        client.call("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
        client.pipeline([("XADD", "s", f"{n}-1", "f", n) for n in range(1, 401)])
        before = int(node.info("stats")["quorate_entries_applied"])
        replies = client.pipeline([("XREADGROUP", "GROUP", "g", "me", "COUNT", 1, "STREAMS", "s", ">")] * 400)
        entries = int(node.info("stats")["quorate_entries_applied"]) - before
    assert [reply[0][1][0][0] for reply in replies] == [f"{n}-1".encode() for n in range(1, 401)]
    assert entries < 200, f"{entries} entries for 400 commands"


def test_waiting_ends(cluster):
    first, second = cluster.nodes[:2]
    with first.connect() as client:
        began = time.monotonic()
        assert client.call("BLPOP", "none", "0.2") is None
        assert 0.2 <= time.monotonic() - began < 5
        assert client.call("BLMOVE", "none", "x", "LEFT", "LEFT", "0.05") is None
        id = client.call("CLIENT", "ID")
        for reason, answer in ((), None), (("TIMEOUT",), None), (("ERROR",), "UNBLOCKED client unblocked via CLIENT UNBLOCK"):
            client.send("BRPOP", "none", 0)
            waiting(first, 1)
            assert b" flags=b " in first.call("CLIENT", "LIST")
            assert first.call("CLIENT", "UNBLOCK", id, *reason) == 1
            assert str(client.receive()) == str(answer)
            assert first.call("CLIENT", "UNBLOCK", id) == 0
        assert client.call("PING") == "PONG"
    # Who goes away takes nothing.
    for end in "close", "kill":
        client = waits(second, "BLPOP", "left", 0)
        if end == "kill":
            second.call("CLIENT", "KILL", "ID", client_id(second, b"blpop"))
        client.close()
        waiting(second, 0)
        eventually(lambda: second.info("clients")["total_blocking_keys"] == "0", "the state knows it")
        assert first.call("RPUSH", "left", "x") == 1
        assert first.call("LPOP", "left") == b"x"


def client_id(node, command):
    lines = node.call("CLIENT", "LIST").splitlines()
    fields = [dict(field.split(b"=", 1) for field in line.split(b" ")) for line in lines]
    return next(field[b"id"] for field in fields if field[b"cmd"] == command)


def test_a_node_that_stops_tells_its_clients(cluster):
    node = cluster.others(cluster.leader())[0]
    client = waits(node, "BLPOP", "queue", 0)
    node.terminate()
    assert str(client.receive()) == UNBLOCKED
    other = cluster.running[0]
    assert other.call("RPUSH", "queue", "x") == 1
    assert other.call("LPOP", "queue") == b"x"
    node.restart()


def test_waiting_survives_the_leader_and_ends_with_a_node_that_is_gone(cluster):
    leader = cluster.leader()
    one, other = cluster.others(leader)
    lost = waits(leader, "BLPOP", "queue", 0)
    kept = waits(one, "BLPOP", "queue", 0)
    timed = waits(other, "BLPOP", "nothing", 1)
    leader.kill()
    lost.close()
    assert timed.receive() is None
    # Nobody but the leader ends what clients of a dead node wait for.
    eventually(lambda: has_dropped_waiters(cluster), "the dead node's clients are dropped", 60)
    assert one.call("RPUSH", "queue", "x") == 1
    assert kept.receive() == [b"queue", b"x"]
    leader.restart()
    cluster.wait_caught_up()
    cluster.assert_digests_equal()


def has_dropped_waiters(cluster):
    return any("its clients do not wait for keys any more" in node.log() for node in cluster.running)


def test_a_restart_ends_what_its_clients_waited_for(cluster):
    node = cluster.others(cluster.leader())[0]
    waits(node, "BLPOP", "queue", 0)
    node.kill()
    node.restart()
    eventually(lambda: node.info("clients")["total_blocking_keys"] == "0", "its earlier start's clients are dropped", 5)
    assert node.call("RPUSH", "queue", "x") == 1
    assert node.call("LPOP", "queue") == b"x"


class Popper(threading.Thread):
    """Takes elements by commands that wait, until it is told to stop. Errors are kept."""

    def __init__(self, node, number):
        super().__init__(daemon=True)
        self.node, self.number = node, number
        self.taken, self.unknown, self.stopped = [], 0, False
        self.asks = False
        self.start()

    def run(self):
        while not self.stopped:
            try:
                with self.node.connect(timeout=40) as connection:
                    self.pop(connection)
            except OSError:
                # What it waited for, if it was served, is lost with the connection.
                self.unknown += self.asks
                self.asks = False
                time.sleep(0.05)

    def pop(self, connection):
        commands = [("BLPOP", "q1", "q2", "1"), ("BRPOP", "q2", "0.05"), ("BLMPOP", "1", "2", "q2", "q1", "LEFT", "COUNT", "2")]
        while not self.stopped:
            command = commands[self.number % 3]
            self.asks = True
            reply = ask(connection, command)
            self.asks = False
            if isinstance(reply, ErrorReply):
                self.unknown += reply.code == "UNKNOWN"
                assert reply.code in ("UNKNOWN", "UNBLOCKED", "NOQUORUM", "LOADING"), reply
                time.sleep(0.05)
            elif reply is not None:
                found = reply[1]
                self.taken += found if isinstance(found, list) else [found]


def ask(connection, command):
    connection.send(*command)
    return connection.receive()


def test_each_element_is_taken_once_while_leaders_are_killed(cluster, figures, long):
    poppers = [Popper(node, n) for n, node in enumerate(cluster.nodes * 4)]
    pushed, unsure = [], []
    stop = threading.Event()

    def push():
        n = 0
        while not stop.is_set():
            try:
                node = cluster.running[n % len(cluster.running)]
                with node.connect() as connection:
                    for _ in range(50):
                        n += 1
                        elements = [b"%d.%d" % (n, i) for i in range(n % 3 + 1)]
                        reply = ask(connection, ("RPUSH", f"q{n % 2 + 1}", *elements))
                        (unsure if isinstance(reply, ErrorReply) else pushed).extend(elements)
            except OSError:
                unsure.extend(elements)
            time.sleep(0.001)

    pusher = threading.Thread(target=push, daemon=True)
    pusher.start()
    for _ in range(8 if long else 3):
        time.sleep(1.5)
        leader = cluster.leader()
        leader.kill()
        time.sleep(1)
        leader.restart()
    cluster.wait_caught_up()
    time.sleep(1)
    stop.set()
    pusher.join(20)
    for popper in poppers:
        popper.stopped = True
    for popper in poppers:
        popper.join(40)
    node = cluster.leader()
    taken = [element for popper in poppers for element in popper.taken]
    left = [element for key in ("q1", "q2") for element in node.call("LRANGE", key, 0, -1)]
    unknown = sum(popper.unknown for popper in poppers)
    figures(pushed=len(pushed), taken=len(taken), left=len(left), unknown=unknown, unsure_pushes=len(unsure))
    assert len(set(taken + left)) == len(taken) + len(left), "an element was taken twice"
    assert set(taken + left) <= set(pushed + unsure)
    missing = set(pushed) - set(taken) - set(left)
    # Each reply that was lost or marked UNKNOWN may have held up to two elements.
    assert len(missing) <= 2 * unknown, f"{len(missing)} elements are gone, {unknown} replies are unknown"
    assert len(taken) > 500
    cluster.assert_digests_equal()


def test_a_cluster_of_one_that_is_restarted(tmp_path):
    with Cluster(tmp_path) as cluster:
        node = cluster.start(1).nodes[0]
        client = waits(node, "BLPOP", "queue", 0)
        node.call("BLPOP", "queue", "0.01")
        client.close()
        node.kill()
        node.restart()
        assert node.call("RPUSH", "queue", "x") == 1
        assert node.call("LPOP", "queue") == b"x"


@pytest.mark.parametrize("victim", ["leader", "follower"])
def test_who_waited_at_a_node_that_has_ended_takes_nothing(cluster, victim):
    """The machine of a killed process says so at once: nothing need be waited for."""
    leader = cluster.leader()
    victim = leader if victim == "leader" else cluster.others(leader)[0]
    other = cluster.others(victim)[0]
    connections = [waits(victim, "BLPOP", "abandoned", 0) for _ in range(3)]
    assert len(connections) == 3
    victim.kill()
    cluster.leader(not_=victim)

    def is_kept():
        other.call("DEL", "abandoned")
        other.call("RPUSH", "abandoned", "element")
        return other.call("LLEN", "abandoned") == 1

    # Each of them may have taken one until the leader knew. The patience with a node that is silent is 10 s.
    eventually(is_kept, "an element stays", timeout=8, interval=0.2)
