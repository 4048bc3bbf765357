"""Publish/subscribe and keyspace notifications across nodes (R18, issue 5)."""

import socket
import struct
import threading
import time
from pathlib import Path

import pytest
from cluster import eventually
from resp_client import ErrorReply, encode


def subscribed(node, *command):
    """A connection that has subscribed: one confirmation for each name."""
    connection = node.connect(timeout=30)
    connection.send(*command)
    for n, name in enumerate(command[1:], 1):
        assert connection.receive() == [command[0].lower().encode(), name.encode(), n]
    return connection


def test_messages_reach_subscribers_of_all_nodes_once_and_in_order(cluster):
    listeners = [subscribed(node, "SUBSCRIBE", "news", "other") for node in cluster.nodes]
    patterns = [subscribed(node, "PSUBSCRIBE", "n[a-e]*") for node in cluster.nodes]
    shards = [subscribed(node, "SSUBSCRIBE", "news") for node in cluster.nodes]
    for node in cluster.nodes:
        with node.connect() as publisher:
            assert publisher.call("PUBLISH", "news", f"hello from {node.number}") == 2, "one channel, one pattern, of this node"
            assert publisher.call("PUBLISH", "nobody", "x") == 0
            assert publisher.call("SPUBLISH", "news", f"shard {node.number}") == 1
    for listener, pattern, shard in zip(listeners, patterns, shards):
        heard = {tuple(listener.receive()) for _ in cluster.nodes}
        assert heard == {(b"message", b"news", f"hello from {node.number}".encode()) for node in cluster.nodes}
        heard = {tuple(pattern.receive()) for _ in cluster.nodes}
        assert heard == {(b"pmessage", b"n[a-e]*", b"news", f"hello from {node.number}".encode()) for node in cluster.nodes}
        heard = {tuple(shard.receive()) for _ in cluster.nodes}
        assert heard == {(b"smessage", b"news", f"shard {node.number}".encode()) for node in cluster.nodes}
    # Messages of one connection keep their order, a thousand of them in one pipeline.
    with cluster.nodes[1].connect() as publisher:
        publisher.pipeline([("PUBLISH", "other", n) for n in range(1000)])
    for listener in listeners:
        assert [listener.receive() for _ in range(1000)] == [[b"message", b"other", str(n).encode()] for n in range(1000)]


def test_a_message_follows_the_writes_of_its_connection(cluster):
    """Who hears of a change reads it, on the node that told, without asking the leader."""
    reader = {node: node.connect() for node in cluster.nodes}
    for connection in reader.values():
        connection.call("READONLY")
    listeners = {node: subscribed(node, "SUBSCRIBE", "changed") for node in cluster.nodes}
    with cluster.nodes[2].connect() as writer:
        for n in range(200):
            writer.send("SET", "k", n)
            writer.send("PUBLISH", "changed", n)
            assert writer.receive() == "OK"
            writer.receive()
            for node, listener in listeners.items():
                assert listener.receive()[2] == str(n).encode()
                assert int(reader[node].call("GET", "k")) >= n


def test_transactions_and_scripts_publish_when_they_are_carried_out(cluster):
    listeners = [subscribed(node, "SUBSCRIBE", "c") for node in cluster.nodes]
    with cluster.nodes[0].connect() as client:
        client.pipeline([("MULTI",), ("SET", "a", 1), ("PUBLISH", "c", "from a transaction")])
        assert client.call("EXEC") == ["OK", 0]
        assert client.call("EVAL", "return redis.call('PUBLISH', 'c', 'from a script')", 0) == 0
        client.pipeline([("MULTI",), ("PUBLISH", "c", "never")])
        client.call("DISCARD")
        with pytest.raises(ErrorReply, match="Write commands are not allowed from read-only scripts"):
            client.call("EVAL_RO", "return redis.call('PUBLISH', 'c', 'x')", 0)
        client.call("PUBLISH", "c", "end")
    for listener in listeners:
        messages = [listener.receive()[2] for _ in range(3)]
        assert messages == [b"from a transaction", b"from a script", b"end"]
    cluster.assert_digests_equal()


def test_a_subscriber_of_resp2_may_only_listen(cluster):
    node = cluster.nodes[0]
    listener = subscribed(node, "SUBSCRIBE", "a", "b")
    assert [listener.call("PING"), listener.call("PING", "x")] == [[b"pong", b""], [b"pong", b"x"]]
    with pytest.raises(ErrorReply, match="Can't execute 'get': only"):
        listener.call("GET", "k")
    assert node.call("PUBSUB", "CHANNELS") == [b"a", b"b"]
    assert node.call("PUBSUB", "CHANNELS", "b*") == [b"b"]
    assert node.call("PUBSUB", "NUMSUB", "a", "none") == [b"a", 1, b"none", 0]
    assert node.call("PUBSUB", "NUMPAT") == 0
    listener.send("PSUBSCRIBE", "x*")
    assert listener.receive() == [b"psubscribe", b"x*", 3]
    assert node.call("PUBSUB", "NUMPAT") == 1
    listener.send("UNSUBSCRIBE")
    assert sorted(listener.receive() for _ in range(2)) == [[b"unsubscribe", b"a", 2], [b"unsubscribe", b"b", 1]]
    listener.send("UNSUBSCRIBE")
    assert listener.receive() == [b"unsubscribe", None, 1]
    listener.send("PUNSUBSCRIBE", "x*")
    assert listener.receive() == [b"punsubscribe", b"x*", 0]
    assert listener.call("SET", "k", "v") == "OK", "it is a client as any other again"
    listener.send("SUBSCRIBE", "a")
    listener.receive()
    assert listener.call("RESET") == "RESET"
    assert listener.call("GET", "k") == b"v"
    gone = subscribed(node, "SUBSCRIBE", "a")
    gone.close()
    eventually(lambda: node.call("PUBSUB", "CHANNELS") == [], "who is gone listens no more")


def test_a_subscriber_of_resp3_goes_on_with_commands(cluster):
    redis = pytest.importorskip("redis")
    node = cluster.nodes[1]
    client = redis.Redis(host=node.host, port=node.port, protocol=3)
    pubsub = client.pubsub()
    pubsub.subscribe("c")
    pubsub.psubscribe("p*")
    for expected in ("subscribe", "psubscribe"):
        assert pubsub.get_message(timeout=10)["type"] == expected
    other = redis.Redis(host=cluster.nodes[2].host, port=cluster.nodes[2].port, protocol=3)
    other.publish("c", "one")
    other.publish("pool", "two")
    heard = [pubsub.get_message(timeout=10) for _ in range(2)]
    assert [(m["type"], m["channel"], m["data"]) for m in heard] == [("message", b"c", b"one"), ("pmessage", b"pool", b"two")]
    with node.connect() as raw:
        raw.sock.sendall(b"HELLO 3\r\nSUBSCRIBE c\r\nSET x 1\r\nPUBLISH c m\r\nGET x\r\n")
        seen = b""
        while not seen.endswith(b"$1\r\n1\r\n"):
            seen += raw.sock.recv(4096)
    assert b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n+OK\r\n" in seen
    assert b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n" in seen


def test_what_happens_to_keys_is_told_on_every_node(cluster):
    cluster.nodes[0].call("CONFIG", "SET", "notify-keyspace-events", "KEA")
    for node in cluster.nodes:
        eventually(lambda: node.call("CONFIG", "GET", "notify-keyspace-events")[1] == b"AKE", f"{node} has the setting")
    listeners = [subscribed(node, "PSUBSCRIBE", "__key*__:*") for node in cluster.nodes]
    with cluster.nodes[0].connect() as client:
        client.call("SET", "k", "v")
        client.call("SET", "soon", "v", "PX", 50)
        client.call("DEL", "k")
    expected = [
        ("__keyspace@0__:k", "set"),
        ("__keyevent@0__:set", "k"),
        ("__keyspace@0__:soon", "set"),
        ("__keyevent@0__:set", "soon"),
        ("__keyspace@0__:soon", "expire"),
        ("__keyevent@0__:expire", "soon"),
        ("__keyspace@0__:k", "del"),
        ("__keyevent@0__:del", "k"),
        ("__keyspace@0__:soon", "expired"),
        ("__keyevent@0__:expired", "soon"),
    ]
    for listener in listeners:
        heard = [tuple(part.decode() for part in listener.receive()[2:]) for _ in expected]
        assert sorted(heard) == sorted(expected)
        assert [h for h in heard if h[1] != "expired" and ":expired" not in h[0]] == expected[:8]


def test_messages_go_on_when_the_leader_is_killed(cluster):
    leader = cluster.leader()
    followers = [node for node in cluster.nodes if node is not leader]
    listener = subscribed(followers[0], "SUBSCRIBE", "c")
    leader.kill()
    with followers[1].connect() as publisher:
        publisher.call("PUBLISH", "c", "without the leader")
        publisher.call("PUBLISH", "c", "again")
    assert [listener.receive()[2] for _ in range(2)] == [b"without the leader", b"again"], "no message needs a leader"
    leader.restart()
    back = subscribed(leader, "SUBSCRIBE", "c")
    eventually(lambda: reaches(followers[1], back), "the node that came back hears of messages")


def reaches(node, listener):
    node.call("PUBLISH", "c", "ping")
    listener.sock.settimeout(0.2)
    try:
        return listener.receive()
    except (TimeoutError, socket.timeout):
        return None


def test_a_subscriber_that_does_not_read_is_closed_and_harms_nobody(cluster):
    node = cluster.nodes[0]
    node.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 4mb 1mb 1")
    slow = subscribed(node, "SUBSCRIBE", "flood")
    quick = subscribed(node, "SUBSCRIBE", "flood")
    count, message = 300, "x" * 100_000
    heard = []
    reader = threading.Thread(target=lambda: heard.extend(quick.receive() for _ in range(count)))
    reader.start()
    with node.connect() as publisher:
        for n in range(count):
            publisher.call("PUBLISH", "flood", message)
            if n % 20 == 0:
                time.sleep(0.05)
    reader.join(30)
    assert len(heard) == count
    with pytest.raises((OSError, AssertionError)):
        for _ in range(count):
            slow.receive()
    eventually(lambda: node.call("PUBSUB", "NUMSUB", "flood") == [b"flood", 1], "only the quick one is left")


def test_a_script_that_publishes_without_end_takes_bounded_memory(cluster):
    node = cluster.nodes[0]
    with node.connect(timeout=60) as listener, cluster.nodes[1].connect(timeout=120) as client:
        assert listener.call("SUBSCRIBE", "unrelated") == [b"subscribe", b"unrelated", 1]
        script = "local s = string.rep('x', 1048576) for i = 1, 1000 do redis.call('PUBLISH', 'c', s) end return 1"
        assert client.call("EVAL", script, 0) == 1
        peak = next(line for line in Path(f"/proc/{node.process.pid}/status").read_text().splitlines() if "VmHWM" in line)
        assert int(peak.split()[1]) < 512 << 10, peak
        eventually(lambda: int(node.info("stats")["quorate_messages_dropped_of_entries"]) > 900, "they are counted")
        assert client.call("PUBLISH", "unrelated", "end") >= 0
        assert listener.receive() == [b"message", b"unrelated", b"end"]


def test_subscribing_is_all_or_nothing(cluster):
    with cluster.nodes[0].connect() as client:
        with pytest.raises(ErrorReply, match="a pattern may have"):
            client.call("PSUBSCRIBE", "a*", "x" * 17000)
        assert client.call("SET", "k", "v") == "OK"
        assert client.call("PUBSUB", "NUMPAT") == 0


def told(connection, count):
    """So many confirmations, as (what, name, count)."""
    return [tuple(connection.receive()) for _ in range(count)]


def test_many_names_begin_and_end_in_steps(cluster):
    node, names = cluster.nodes[0], sorted(f"channel:{n:05}" for n in range(5000))
    with node.connect(timeout=60) as listener:
        # Some of them twice.
        listener.send("SUBSCRIBE", *names, *names[:1000])
        counts = [*range(1, 5001), *[5000] * 1000]
        assert told(listener, 6000) == [
            (b"subscribe", name.encode(), count) for name, count in zip([*names, *names[:1000]], counts, strict=True)
        ]
        listener.send("UNSUBSCRIBE", *names[:2000])
        assert [count for *_, count in told(listener, 2000)] == list(range(4999, 2999, -1))
        assert node.call("PUBLISH", names[0], "x") == 0 and node.call("PUBLISH", names[-1], "m") == 1
        assert listener.receive() == [b"message", names[-1].encode(), b"m"]
        listener.send("UNSUBSCRIBE")
        assert told(listener, 3000) == [
            (b"unsubscribe", name.encode(), 2999 - n) for n, name in enumerate(names[2000:])
        ]
        listener.send("UNSUBSCRIBE")
        assert listener.receive() == [b"unsubscribe", None, 0]
        # One of each kind beside many: RESET ends them all, and what is asked for next begins.
        for command in ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"):
            listener.send(command, *names[:1500])
            told(listener, 1500)
        assert listener.call("RESET") == "RESET"
        assert listener.call("SET", "k", "v") == "OK"
        assert node.call("PUBSUB", "NUMPAT") == 0 and node.call("PUBSUB", "CHANNELS") == node.call("PUBSUB", "SHARDCHANNELS") == []
        listener.send("SUBSCRIBE", names[0])
        assert listener.receive() == [b"subscribe", names[0].encode(), 1]
        assert node.call("PUBLISH", names[0], "again") == 1
        assert listener.receive() == [b"message", names[0].encode(), b"again"]


def test_what_ended_makes_room_again(cluster):
    """Eight times 80 MB, where there is room for 256."""
    node, names = cluster.nodes[0], [f"channel:{n:04}".ljust(40_000, "x") for n in range(2000)]
    with node.connect(timeout=60) as listener:
        for n in range(8):
            listener.send("SUBSCRIBE", *names, *names[:10])
            assert told(listener, 2010)[-1][2] == 2000
            if n % 2:
                assert listener.call("RESET") == "RESET"
            else:
                listener.send("UNSUBSCRIBE")
                assert told(listener, 2000)[-1][2] == 0
        with pytest.raises(ErrorReply, match="256 MB"):
            listener.call("SUBSCRIBE", *names, *[f"other:{n}".ljust(40_000, "x") for n in range(5000)])
        assert listener.call("PING") == "PONG" and node.call("PUBSUB", "CHANNELS") == []


def test_who_does_not_read_what_it_is_told_goes_on_later(cluster):
    """The confirmations of one UNSUBSCRIBE are made as they are read, not all at once."""
    node, names = cluster.nodes[0], [f"channel:{n:05}".ljust(4000, "x") for n in range(30_000)]
    with node.connect(timeout=60) as listener:
        for start in range(0, len(names), 500):
            listener.send("SUBSCRIBE", *names[start : start + 500])
            told(listener, 500)
        listeners = lambda name: node.call("PUBSUB", "NUMSUB", name, timeout=60)[1]  # noqa: E731
        listener.send("UNSUBSCRIBE")
        eventually(lambda: listeners(names[0]) == 0, "it has begun")
        time.sleep(0.5)
        assert listeners(names[-1]) == 1, "nobody has read the first 100 MB"
        assert [count for *_, count in told(listener, len(names))] == list(range(len(names) - 1, -1, -1))
        assert listeners(names[-1]) == 0
        assert listener.call("PING") == "PONG"


def test_a_right_that_goes_while_a_client_subscribes_to_many(cluster):
    """It ends up listening to nothing, at whatever moment of the command the right went."""
    node, names = cluster.nodes[0], [f"channel:{n:05}" for n in range(20_000)]
    for n in range(6):
        node.call("ACL", "SETUSER", "listener", "on", ">secret", "+@all", "~*", "allchannels")
        with node.connect(timeout=60) as listener:
            listener.call("AUTH", "listener", "secret")
            listener.send("SUBSCRIBE", *names)
            time.sleep(0.01 * n)
            node.call("ACL", "SETUSER", "listener", "resetchannels")
            try:
                while not isinstance(listener.receive(), ErrorReply):
                    pass
            except (OSError, EOFError, ErrorReply):
                pass
            eventually(lambda: node.call("PUBSUB", "CHANNELS") == [], "nobody listens to anything")
    node.call("ACL", "DELUSER", "listener")


def test_a_client_that_goes_before_its_transaction_leaves_nothing(cluster):
    node = cluster.nodes[0]
    for _ in range(30):
        with socket.create_connection(node.address) as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.sendall(b"".join(encode(*step) for step in [("MULTI",), ("SUBSCRIBE", "ghost"), ("SET", "k", "v"), ("EXEC",)]))
    node.call("SET", "k", "later")
    eventually(lambda: node.call("PUBSUB", "NUMSUB", "ghost") == [b"ghost", 0], "nobody listens")
    assert node.call("PUBLISH", "ghost", "x") == 0
