"""Client-side caching: CLIENT TRACKING across nodes (R18, issue 5)."""

import random
import sys
import threading
import time
from pathlib import Path

import pytest
from cluster import eventually
from resp_client import ErrorReply

sys.path.insert(0, str(Path(__file__).parent / "compat"))
import resp  # noqa: E402


class Resp3:
    """A connection that speaks RESP3: what is pushed is set aside from what is answered."""

    def __init__(self, node):
        self.socket = node.open_socket(30)
        self.socket.settimeout(30)
        self.buffer, self.pushed = b"", []
        self.call("HELLO", 3)
        self.id = self.call("CLIENT", "ID")

    def next(self):
        while True:
            try:
                reply, end = resp.parse(self.buffer)
            except resp.Incomplete:
                more = self.socket.recv(1 << 16)
                assert more, "the node has closed the connection"
                self.buffer += more
                continue
            self.buffer = self.buffer[end:]
            return reply

    def answer(self):
        while True:
            reply = self.next()
            if reply.kind != b">":
                return reply
            self.pushed.append(reply.value)

    def call(self, *words):
        self.socket.sendall(resp.encode(*words))
        reply = self.answer()
        if reply.is_error:
            raise ErrorReply(reply.text)
        return reply.value

    def push(self):
        """The next push, which must have come or come soon."""
        if not self.pushed:
            reply = self.next()
            assert reply.kind == b">", reply
            return reply.value
        return self.pushed.pop(0)

    def silent(self):
        """What was pushed before the answer to a PING sent now."""
        self.call("PING")
        pushed, self.pushed = self.pushed, []
        return pushed


def drained(client):
    """Forgets what was told so far: a change of leader tells everybody to drop everything."""
    client.silent()
    return client


def test_a_change_on_any_node_is_told_to_who_read_the_key(cluster):
    clients = [Resp3(node) for node in cluster.nodes]
    for client in clients:
        client.call("CLIENT", "TRACKING", "ON")
        drained(client)
    for writer in cluster.nodes:
        writer.call("MSET", "a", writer.number, "b", 1)
        for client in clients:
            assert client.call("MGET", "a", "b") == [str(writer.number).encode(), b"1"]
            drained(client)
        writer.call("SET", "a", "new")
        for client in clients:
            assert client.push() == [b"invalidate", [b"a"]]
        writer.call("SET", "a", "newer")
        # Told once: nobody has read it since.
        for client in clients:
            assert client.call("GET", "other") is None
            assert client.silent() == []
    client = clients[0]
    info = dict(line.split(":") for line in cluster.nodes[0].call("INFO").decode().splitlines() if ":" in line)
    assert (info["tracking_clients"], info["tracking_total_keys"]) == ("1", "2")
    client.call("CLIENT", "TRACKING", "OFF")
    cluster.nodes[1].call("SET", "b", 2)
    assert client.silent() == []


@pytest.mark.parametrize(
    "change",
    [
        ("DEL", "k"),
        ("EXPIRE", "k", 100),
        ("RENAME", "k", "other"),
        ("RENAME", "source", "k"),
        ("COPY", "source", "k", "REPLACE"),
        ("APPEND", "k", "x"),
        ("EVAL", "return redis.call('SET', KEYS[1], 'x')", 1, "k"),
        ("RESTORE", "k", 0, b"\x00\x01x\x0b\x00\x1c\xcf\x9d\x3c\x1b\xd9\x05\x0e", "REPLACE"),
        ("SORT", "list", "STORE", "k"),
    ],
    ids=lambda change: change[0],
)
def test_every_way_to_change_a_key(cluster, change):
    client = Resp3(cluster.nodes[1])
    client.call("CLIENT", "TRACKING", "ON")
    cluster.nodes[0].call("SET", "source", "s")
    cluster.nodes[0].call("RPUSH", "list", 2, 1)
    cluster.nodes[0].call("SET", "k", "v")
    client.call("GET", "k")
    drained(client)
    if change[0] == "RESTORE":
        change = ("RESTORE", "k", 0, cluster.nodes[0].call("DUMP", "source"), "REPLACE")
    cluster.nodes[2].call(*change)
    assert client.push() == [b"invalidate", [b"k"]]


def test_expiry_and_flush_are_told(cluster):
    client = Resp3(cluster.nodes[1])
    client.call("CLIENT", "TRACKING", "ON")
    cluster.nodes[0].call("SET", "soon", "v", "PX", 300)
    client.call("GET", "soon")
    drained(client)
    assert client.push() == [b"invalidate", [b"soon"]]
    cluster.nodes[0].call("SET", "another", "v")
    cluster.nodes[0].call("FLUSHALL")
    assert client.push() == [b"invalidate", None]


def test_what_is_asked_for(cluster):
    node, other = cluster.nodes[:2]
    client = Resp3(node)
    # NOLOOP: not what the client itself changes.
    client.call("CLIENT", "TRACKING", "ON", "NOLOOP")
    client.call("GET", "k")
    drained(client)
    client.call("SET", "k", 1)
    client.call("GET", "k")
    assert client.silent() == []
    other.call("SET", "k", 2)
    assert client.push() == [b"invalidate", [b"k"]]
    client.call("CLIENT", "TRACKING", "OFF")
    # BCAST: prefixes, whether read or not.
    client.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "user:", "PREFIX", "item:")
    other.call("MSET", "user:1", 1, "none", 1, "item:2", 1)
    # One message for each prefix, in their order.
    assert [client.push(), client.push()] == [[b"invalidate", [b"item:2"]], [b"invalidate", [b"user:1"]]]
    with other.connect() as writer:
        writer.call("MULTI")
        for key in ("user:3", "item:1", "user:2", "other", "user:3"):
            writer.call("INCR", key)
        writer.call("EXEC")
    assert [client.push(), client.push()] == [[b"invalidate", [b"item:1"]], [b"invalidate", [b"user:2", b"user:3"]]]
    assert client.silent() == []
    with pytest.raises(ErrorReply, match="overlaps with an existing prefix 'user:'"):
        client.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "user:1")
    with pytest.raises(ErrorReply, match="can't switch BCAST mode"):
        client.call("CLIENT", "TRACKING", "ON")
    client.call("CLIENT", "TRACKING", "OFF")
    # Without a prefix, every key has it. A flush is told once, though nothing was there.
    client.call("CLIENT", "TRACKING", "ON", "BCAST")
    with node.connect() as resp2:
        resp2.call("CLIENT", "TRACKING", "ON", "BCAST")
        assert resp2.call("CLIENT", "TRACKINGINFO")[5] == [b""]
    other.call("FLUSHALL")
    assert client.push() == [b"invalidate", None]
    other.call("FLUSHALL")
    assert client.push() == [b"invalidate", None]
    assert client.silent() == []
    client.call("CLIENT", "TRACKING", "OFF")
    # OPTIN and OPTOUT.
    client.call("CLIENT", "TRACKING", "ON", "OPTIN")
    client.call("GET", "a")
    client.call("CLIENT", "CACHING", "YES")
    client.call("GET", "b")
    client.call("GET", "c")
    drained(client)
    other.call("MSET", "a", 1, "b", 1, "c", 1)
    assert client.push() == [b"invalidate", [b"b"]]
    assert client.silent() == []
    client.call("CLIENT", "CACHING", "YES")
    client.call("MULTI")
    client.call("GET", "a")
    client.call("GET", "b")
    client.call("EXEC")
    drained(client)
    other.call("MSET", "a", 2, "b", 2)
    assert sorted([client.push(), client.push()]) == [[b"invalidate", [b"a"]], [b"invalidate", [b"b"]]]
    client.call("CLIENT", "TRACKING", "OFF")
    client.call("CLIENT", "TRACKING", "ON", "OPTOUT")
    client.call("GET", "a")
    client.call("CLIENT", "CACHING", "NO")
    client.call("GET", "b")
    drained(client)
    other.call("MSET", "a", 3, "b", 3)
    assert client.push() == [b"invalidate", [b"a"]]
    assert client.silent() == []
    with pytest.raises(ErrorReply, match="only valid when tracking is enabled in OPTIN"):
        client.call("CLIENT", "CACHING", "YES")


def test_invalidations_go_to_another_connection(cluster):
    node, other = cluster.nodes[:2]
    listener = node.connect(timeout=30)
    id = listener.call("CLIENT", "ID")
    listener.send("SUBSCRIBE", "__redis__:invalidate")
    assert listener.receive()[0] == b"subscribe"
    reader = node.connect(timeout=30)
    assert reader.call("CLIENT", "GETREDIR") == -1
    reader.call("CLIENT", "TRACKING", "ON", "REDIRECT", id)
    assert reader.call("CLIENT", "GETREDIR") == id
    assert reader.call("CLIENT", "TRACKINGINFO") == [b"flags", [b"on"], b"redirect", id, b"prefixes", []]
    reader.call("GET", "k")
    other.call("SET", "k", 1)
    message = listener.receive()
    while message == [b"message", b"__redis__:invalidate", None]:
        message = listener.receive()
    assert message == [b"message", b"__redis__:invalidate", [b"k"]]
    listener.close()
    eventually(lambda: id not in {int(line.split()[0][3:]) for line in node.call("CLIENT", "LIST").decode().splitlines()}, "it is gone")
    reader.call("GET", "k")
    other.call("SET", "k", 2)
    eventually(lambda: b"broken_redirect" in reader.call("CLIENT", "TRACKINGINFO")[1], "the client is told that nobody listens")


def test_client_list_shows_who_tracks(cluster):
    node = cluster.nodes[0]
    with node.connect() as listener, node.connect() as reader:
        reader.call("CLIENT", "SETNAME", "reader")

        def shown():
            lines = node.call("CLIENT", "LIST").decode().splitlines()
            line = next(line for line in lines if " name=reader " in line)
            client = dict(part.split("=", 1) for part in line.split(" "))
            return client["flags"], int(client["redir"])

        assert shown() == ("N", -1)
        id = listener.call("CLIENT", "ID")
        reader.call("CLIENT", "TRACKING", "ON", "REDIRECT", id)
        assert shown() == ("t", id)
        reader.call("CLIENT", "TRACKING", "OFF")
        reader.call("CLIENT", "TRACKING", "ON", "BCAST", "REDIRECT", id)
        assert shown() == ("tB", id)


def test_the_table_has_a_limit(cluster):
    node = cluster.nodes[0]
    node.call("CONFIG", "SET", "tracking-table-max-keys", 10)
    client = Resp3(node)
    client.call("CLIENT", "TRACKING", "ON")
    drained(client)
    for n in range(25):
        client.call("GET", f"key:{n}")
    dropped = {key for push in client.silent() for key in push[1]}
    assert len(dropped) == 15
    assert int(node.info("stats")["tracking_total_keys"]) == 10
    # A lower limit holds at once.
    node.call("CONFIG", "SET", "tracking-table-max-keys", 4)
    dropped = {key for push in client.silent() for key in push[1]}
    assert len(dropped) == 6
    assert int(node.info("stats")["tracking_total_keys"]) == 4


def test_a_copy_is_never_older_than_what_was_told(cluster):
    """A cache that follows invalidations converges on what was written, across kills of the leader."""
    keys = [f"k{n}" for n in range(20)]
    stop, written = threading.Event(), dict.fromkeys(keys, 0)

    def write():
        choose = random.Random(1)
        n = 0
        while not stop.is_set():
            key = choose.choice(keys)
            n += 1
            try:
                choose.choice([node for node in cluster.nodes if node.alive]).call("SET", key, n, timeout=10)
                written[key] = n
            except (OSError, ErrorReply):
                pass

    writer = threading.Thread(target=write)
    writer.start()
    try:
        leader = cluster.leader()
        survivors = [node for node in cluster.nodes if node is not leader]
        clients = [(Resp3(node), {}) for node in survivors]
        for client, _ in clients:
            client.call("CLIENT", "TRACKING", "ON")
        until = time.monotonic() + 6
        killed = False
        while time.monotonic() < until:
            for client, cache in clients:
                key = random.choice(keys)
                if key not in cache:
                    try:
                        value = client.call("GET", key)
                    except ErrorReply:
                        continue
                    follow(client, cache)
                    cache[key] = value
                else:
                    client.call("PING")
                    follow(client, cache)
            if not killed and time.monotonic() > until - 3:
                leader.kill()
                killed = True
    finally:
        stop.set()
        writer.join()
    time.sleep(1)
    for client, cache in clients:
        client.call("PING")
        follow(client, cache)
        for key, value in cache.items():
            assert client.call("GET", key) == value, f"{key} is stale in the cache of {client.id}"


def follow(client, cache):
    """Applies what was pushed up to the last answer. An invalidation that came before the answer concerns older copies."""
    for push in client.pushed:
        if push[0] == b"invalidate":
            for key in push[1] if push[1] is not None else list(cache):
                cache.pop(key.decode() if isinstance(key, bytes) else key, None)
    client.pushed.clear()


@pytest.mark.parametrize(
    "steps",
    [
        [("SET", "k", 1), ("GET", "k")],
        [("MULTI",), ("SET", "k", 1), ("GET", "k"), ("EXEC",)],
        [("EVAL", "redis.call('SET', KEYS[1], 1) return redis.call('GET', KEYS[1])", 1, "k")],
    ],
    ids=["pipeline", "transaction", "script"],
)
def test_noloop_spares_a_client_its_own_changes_only(cluster, steps):
    client = Resp3(cluster.nodes[1])
    client.call("CLIENT", "TRACKING", "ON", "NOLOOP")
    drained(client)
    # In one write: the change and the read behind it are in one entry.
    client.socket.sendall(b"".join(resp.encode(*step) for step in steps))
    answers = [client.answer() for _ in steps]
    assert not any(answer.is_error for answer in answers)
    assert client.silent() == []
    cluster.nodes[2].call("SET", "k", 2)
    assert client.push() == [b"invalidate", [b"k"]]


GET_SECOND = "redis.call('SET', KEYS[1], 1) return redis.call('GET', KEYS[2])"
LIBRARY = f"#!lua name=cached\nredis.register_function('second', function(KEYS) {GET_SECOND} end)"


@pytest.mark.parametrize("transacted", [False, True], ids=["alone", "in a transaction"])
@pytest.mark.parametrize(
    "script",
    [("EVAL", GET_SECOND), ("FCALL", "second"), ("EVAL_RO", "return redis.call('GET', KEYS[2])")],
    ids=lambda script: script[0],
)
def test_a_script_registers_what_it_reads_and_nothing_else(cluster, script, transacted):
    writer = cluster.nodes[0]
    writer.call("FUNCTION", "LOAD", "REPLACE", LIBRARY)
    client = Resp3(cluster.nodes[1])
    client.call("CLIENT", "TRACKING", "ON")
    drained(client)
    command = (*script, 3, "written", "read", "not-touched")
    if transacted:
        assert transaction(client, command) == [None]
    else:
        assert client.call(*command) is None
    drained(client)
    for key in ("written", "not-touched", "read"):
        writer.call("SET", key, 2)
    assert client.push() == [b"invalidate", [b"read"]]
    # What the client did not ask to be told of is not registered either.
    client.call("CLIENT", "TRACKING", "OFF")
    client.call("CLIENT", "TRACKING", "ON", "OPTIN")
    client.call(*command)
    writer.call("SET", "read", 3)
    assert client.silent() == []
    client.call("CLIENT", "CACHING", "YES")
    client.call(*command)
    writer.call("SET", "read", 4)
    assert client.push() == [b"invalidate", [b"read"]]


def transaction(client, *steps):
    client.call("MULTI")
    for step in steps:
        assert client.call(*step) == b"QUEUED"
    return client.call("EXEC")


def test_what_was_read_behind_a_change_is_not_told_of_it(cluster):
    client = Resp3(cluster.nodes[1])
    client.call("CLIENT", "TRACKING", "ON")
    drained(client)
    assert transaction(client, ("SET", "k", 1), ("GET", "k")) == [b"OK", b"1"]
    assert client.silent() == []
    # A copy from before it is stale, although the same transaction has read another.
    transaction(client, ("GET", "k"), ("SET", "k", 2), ("GET", "k"))
    assert client.push() == [b"invalidate", [b"k"]]
    client.call("GET", "k")
    cluster.nodes[2].call("SET", "k", 3)
    assert client.push() == [b"invalidate", [b"k"]]


def test_tracking_that_begins_or_is_asked_for_within_a_transaction(cluster):
    writer = cluster.nodes[0]
    # What is read in a transaction that turns tracking on must be dropped: changes of the same entry were not told.
    client = Resp3(cluster.nodes[1])
    transaction(client, ("CLIENT", "TRACKING", "ON", "OPTIN"), ("GET", "k"))
    assert client.push() == [b"invalidate", None]
    drained(client)
    transaction(client, ("CLIENT", "CACHING", "YES"), ("GET", "k"))
    writer.call("SET", "k", 1)
    assert client.push() == [b"invalidate", [b"k"]]
    # It held for that transaction.
    client.call("GET", "k")
    writer.call("SET", "k", 2)
    assert client.silent() == []
    client.call("CLIENT", "CACHING", "YES")
    transaction(client, ("GET", "k"))
    writer.call("SET", "k", 3)
    assert client.push() == [b"invalidate", [b"k"]]
    # A command that is refused uses CACHING up, too.
    client.call("CLIENT", "CACHING", "YES")
    with pytest.raises(ErrorReply):
        client.call("NOSUCH")
    client.call("GET", "k")
    writer.call("SET", "k", 4)
    assert client.silent() == []


def test_a_read_that_may_wait_is_tracked(cluster):
    client = Resp3(cluster.nodes[1])
    cluster.nodes[0].call("XADD", "st", "1-1", "f", "v")
    client.call("CLIENT", "TRACKING", "ON")
    drained(client)
    client.call("XREAD", "BLOCK", 100, "STREAMS", "st", 0)
    cluster.nodes[2].call("XADD", "st", "2-1", "f", "v")
    assert client.push() == [b"invalidate", [b"st"]]


def test_reset_ends_tracking(cluster):
    client = Resp3(cluster.nodes[1])
    client.call("CLIENT", "TRACKING", "ON", "BCAST")
    drained(client)
    client.call("RESET")
    assert client.call("CLIENT", "GETREDIR") == -1
    client.call("HELLO", 3)
    cluster.nodes[0].call("SET", "k", 1)
    assert client.silent() == []


def test_a_key_that_expires_when_it_is_looked_up_is_told_behind_the_answer(make_cluster):
    """DEBUG SET-ACTIVE-EXPIRE 0: what tests of clients rely on."""
    node = make_cluster(["enable-debug-command=yes"]).start(1).nodes[0]
    client = Resp3(node)
    client.call("CLIENT", "TRACKING", "ON")
    drained(client)
    node.call("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    assert transaction(client, ("MSET", "x", 1, "y", 2), ("PEXPIRE", "y", 50), ("GET", "y"))[2] == b"2"
    time.sleep(0.3)
    assert client.silent() == []
    assert client.call("MGET", "x", "y") == [b"1", None]
    assert client.push() == [b"invalidate", [b"y"]]
    assert node.call("DBSIZE") == 1
    node.call("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    client.call("GET", "x")
    node.call("PEXPIRE", "x", 50)
    assert client.push() == [b"invalidate", [b"x"]]


def test_who_waits_for_a_key_is_told_at_once_what_was_given_up(make_cluster):
    node = make_cluster().start(1).nodes[0]
    node.call("SET", "k", 1)
    node.call("CONFIG", "SET", "tracking-table-max-keys", 1)
    client = Resp3(node)
    client.call("CLIENT", "TRACKING", "ON")
    client.call("GET", "k")
    drained(client)
    # To read the stream it is registered in place of the key.
    client.socket.sendall(resp.encode("XREAD", "BLOCK", 0, "STREAMS", "stream", "$"))
    assert client.push() == [b"invalidate", [b"k"]]
    node.call("XADD", "stream", "1-1", "f", "v")
    assert client.answer().value
