"""Keyspace notifications: every node tells its own subscribers the same, in the same order, whoever has written where."""

import pytest
from cluster import eventually
from resp_client import ErrorReply

PATTERN = "__key*@*__:*"


def told(subscriber, last):
    """What arrives up to an event of the key `last`: event, database and key of each."""
    found = []
    while not found or found[-1][2] != last:
        kind, _, channel, message = subscriber.receive()
        assert kind == b"pmessage"
        of_what, _, what = channel.partition(b":")
        name, _, db = of_what.strip(b"_").partition(b"@")
        if name == b"keyevent":
            found.append((what, int(db), message))
    return found


def show(events):
    return [f"{event.decode()} {key.decode()}@{db}" for event, db, key in events]


def test_every_node_tells_its_subscribers_the_same(cluster):
    cluster.wait_voters(3)
    assert cluster.nodes[0].call("CONFIG", "SET", "notify-keyspace-events", "KEA") == "OK"

    def follow():
        return all(n.call("CONFIG", "GET", "notify-keyspace-events")[1] == b"AKE" for n in cluster.nodes)

    eventually(follow, "every node shows the setting")
    subscribers = [node.connect() for node in cluster.nodes]
    for subscriber in subscribers:
        assert subscriber.call("PSUBSCRIBE", PATTERN)[2] == 1
    blocked = cluster.nodes[1].connect()
    blocked.send("BLPOP", "queue", 0)
    eventually(lambda: b"blocked_clients:1" in cluster.nodes[1].call("INFO", "clients"), "it waits")
    for i in range(30):
        cluster.nodes[i % 3].call("SET", f"key{i}", "v")
    cluster.nodes[2].call("SET", "short", "v", "PX", 50)
    eventually(lambda: cluster.nodes[0].call("EXISTS", "short") == 0, "it expires")
    cluster.nodes[0].call("RPUSH", "queue", "x")
    assert blocked.receive() == [b"queue", b"x"]
    cluster.nodes[2].call("EVAL", "redis.call('copy', KEYS[1], KEYS[1], 'DB', 3)", 1, "key0")
    cluster.nodes[2].call("SET", "last", "v")
    heard = [show(told(subscriber, b"last")) for subscriber in subscribers]
    assert heard[0] == [
        *(f"set key{i}@0" for i in range(30)),
        *("set short@0", "expire short@0", "expired short@0", "rpush queue@0", "lpop queue@0", "del queue@0", "copy_to key0@3", "set last@0"),
    ]
    assert heard[1] == heard[0] and heard[2] == heard[0]
    for connection in (*subscribers, blocked):
        connection.close()


def test_values_of_the_parameter(make_cluster):
    node = make_cluster().start(1).nodes[0]
    for given, shown in [("KEA", b"AKE"), ("Exg", b"gxE"), ("", b""), ("AKEn", b"AnKE")]:
        node.call("CONFIG", "SET", "notify-keyspace-events", given)
        eventually(lambda: node.call("CONFIG", "GET", "notify-keyspace-events")[1] == shown, given)
    for refused, text in [("KEAm", "Keymiss events"), ("q", "Invalid event class character")]:
        with pytest.raises(ErrorReply, match=text):
            node.call("CONFIG", "SET", "notify-keyspace-events", refused)
    assert node.call("CONFIG", "GET", "notify-keyspace-events")[1] == b"AnKE"
