"""MULTI on real nodes: beside commands that wait, under load, and while leaders are killed (R14, R16, issue 4)."""

import threading
import time

import pytest

from cluster import eventually
from resp_client import ErrorReply

MB = 1 << 20
NOT_APPLIED = ("NOQUORUM", "OVERLOADED", "LOADING")


def watching(node, key):
    connection = node.connect(timeout=30)
    assert connection.call("WATCH", key) == "OK"
    return connection


def outcome(connection):
    """What EXEC answers to one INCR of a key of its own."""
    assert connection.call("MULTI") == "OK"
    assert connection.call("INCR", "executed") == "QUEUED"
    return connection.call("EXEC")


def test_commands_that_wait_answer_at_once_within_multi(cluster):
    for node in cluster.nodes:
        with node.connect() as client:
            client.call("XGROUP", "CREATE", "s", f"g{node.number}", "$", "MKSTREAM")
            client.call("MULTI")
            commands = [
                ("BLPOP", "none", 0),
                ("BRPOP", "none", "list", 0),
                ("RPUSH", "list", "a", "b", "c", "d"),
                ("BLPOP", "none", "list", 0),
                ("BRPOPLPUSH", "list", "other", 0),
                ("BLMOVE", "none", "other", "LEFT", "LEFT", 0),
                ("BLMPOP", 0, 2, "none", "list", "LEFT", "COUNT", 5),
                ("BLMPOP", 0, 1, "list", "LEFT"),
                ("BZPOPMIN", "none", 0),
                ("BZMPOP", 0, 1, "none", "MIN"),
                ("XREAD", "BLOCK", 0, "STREAMS", "s", "$"),
                ("XREADGROUP", "GROUP", f"g{node.number}", "me", "BLOCK", 0, "STREAMS", "s", ">"),
                ("DEL", "list", "other"),
            ]
            for command in commands:
                assert client.call(*command) == "QUEUED"
            began = time.monotonic()
            answers = client.call("EXEC")
            assert time.monotonic() - began < 10
            assert answers == [None, None, 4, [b"list", b"a"], b"d", None, [b"list", [b"b", b"c"]]] + [None] * 5 + [1]
            # A script, too, takes what is there and goes on.
            script = "return {redis.call('BLPOP', KEYS[1], 0), redis.call('RPUSH', KEYS[1], 'x'), redis.call('BLPOP', KEYS[1], 0)}"
            assert client.call("EVAL", script, 1, "list") == [None, 1, [b"list", b"x"]]
            assert int(node.info("clients")["blocked_clients"]) == 0
    cluster.assert_digests_equal()


def test_who_waits_is_served_after_the_whole_transaction(cluster):
    one, two, three = cluster.nodes
    waits, other = one.connect(timeout=30), two.connect(timeout=30)
    waits.send("BLPOP", "list", 0)
    eventually(lambda: one.info("clients")["blocked_clients"] == "1", "it waits")
    with three.connect() as client:
        client.call("MULTI")
        for command in ("RPUSH", "list", "a"), ("LPUSH", "list", "b"), ("LLEN", "list"), ("SET", "list2", "x"):
            client.call(*command)
        assert client.call("EXEC") == [1, 2, 2, "OK"]
    assert waits.receive() == [b"list", b"b"]
    assert other.call("LRANGE", "list", 0, -1) == [b"a"]
    # What a transaction takes back serves nobody.
    waits.send("BLPOP", "empty", 0)
    eventually(lambda: one.info("clients")["blocked_clients"] == "1", "it waits again")
    other.call("MULTI")
    other.call("RPUSH", "empty", "a")
    other.call("DEL", "empty")
    assert other.call("EXEC") == [1, 1]
    other.call("RPUSH", "empty", "b")
    assert waits.receive() == [b"empty", b"b"]
    cluster.assert_digests_equal()


def test_whatever_touches_a_watched_key_anywhere_aborts(cluster):
    one, two, three = cluster.nodes
    expired = "return redis.call('SET', KEYS[1], 'new', 'PX', 1)"
    changes = {
        "set by a script": (("SET", "w", 1), lambda: two.call("EVAL", "return redis.call('SET', KEYS[1], 2)", 1, "w")),
        "set to the same": (("SET", "w", 1), lambda: two.call("SET", "w", 1)),
        "deleted and made anew": (("SET", "w", 1), lambda: (two.call("DEL", "w"), three.call("SET", "w", 1))),
        "made and deleted": (("DEL", "w"), lambda: (two.call("SET", "w", 1), three.call("DEL", "w"))),
        "flushed": (("SET", "w", 1), lambda: two.call("FLUSHALL")),
        "flushed and made anew": (("SET", "w", 1), lambda: (two.call("FLUSHDB"), two.call("SET", "w", 1))),
        "in a transaction": (("SET", "w", 1), lambda: two.connect().pipeline([("MULTI",), ("APPEND", "w", "x"), ("EXEC",)])),
        "expired": (("SET", "w", 1, "PX", 300), lambda: eventually(lambda: two.call("EXISTS", "w") == 0, "it expires")),
        "made and expired": (("DEL", "w"), lambda: (two.call("EVAL", expired, 1, "w"), eventually(lambda: three.call("EXISTS", "w") == 0, "it expires"))),
        "replaced by another type": (("SET", "w", 1), lambda: (two.call("DEL", "w"), two.call("SADD", "w", 1))),
        "renamed to": (("SET", "w", 1), lambda: (two.call("SET", "v", 1), two.call("RENAME", "v", "w"))),
    }
    for name, (before, change) in changes.items():
        one.call(*before)
        client = watching(one, "w")
        change()
        assert outcome(client) is None, name
        # The watch is over, and there is nothing left of the transaction.
        assert isinstance(outcome(client), list), name
        client.close()
    quiet = {
        "read": lambda: (two.call("GET", "w"), two.call("EVAL", "return redis.call('GET', KEYS[1])", 1, "w")),
        "not set": lambda: two.call("SET", "w", 2, "NX"),
        "another key": lambda: two.call("SET", "other", 2),
        "another database": lambda: two.connect().pipeline([("SELECT", 1), ("SET", "w", 2)]),
    }
    for name, change in quiet.items():
        one.call("SET", "w", 1)
        client = watching(one, "w")
        change()
        assert isinstance(outcome(client), list), name
        client.close()


def test_a_pop_that_is_served_touches_the_key(cluster):
    one, two, three = cluster.nodes
    one.call("DEL", "w")
    waits = two.connect(timeout=30)
    waits.send("BLPOP", "w", 0)
    eventually(lambda: two.info("clients")["blocked_clients"] == "1", "it waits")
    client = watching(one, "w")
    assert three.call("RPUSH", "w", "x") == 1
    assert waits.receive() == [b"w", b"x"]
    assert outcome(client) is None, "the key was there in between"
    # The destination of what is moved is touched as well; who only waits touches nothing.
    waits.send("BLMOVE", "w", "target", "LEFT", "RIGHT", 0)
    eventually(lambda: two.info("clients")["blocked_clients"] == "1", "it waits")
    target, source = watching(one, "target"), watching(one, "w")
    assert isinstance(outcome(source), list)
    three.call("RPUSH", "w", "y")
    assert waits.receive() == b"y"
    assert outcome(target) is None


def test_errors_while_queueing_discard_everything(cluster):
    wrong = [("NOSUCH",), ("GET",), ("SET", "a"), ("OBJECT", "NOSUCH", "a"), ("SHUTDOWN",), ("EVAL", "return 1")]
    for node in cluster.nodes:
        for command in wrong:
            with node.connect() as client:
                client.call("MULTI")
                assert client.call("SET", "broken", 1) == "QUEUED"
                with pytest.raises(ErrorReply):
                    client.call(*command)
                assert client.call("SET", "broken", 2) == "QUEUED"
                client.send("EXEC")
                assert client.receive().code == "EXECABORT", command
                assert client.call("EXISTS", "broken") == 0
    # Errors of the execution discard nothing.
    with cluster.nodes[0].connect() as client:
        client.call("MULTI")
        for command in ("SET", "a", "x"), ("INCR", "a"), ("LPUSH", "a", "x"), ("CONFIG", "SET", "timeout", "x"), ("SET", "b", "y"):
            assert client.call(*command) == "QUEUED"
        answers = client.call("EXEC")
    assert [isinstance(answer, ErrorReply) for answer in answers] == [False, True, True, True, False], answers
    assert cluster.nodes[1].call("GET", "b") == b"y"


def test_config_set_within_a_transaction(cluster):
    one, two = cluster.nodes[:2]
    with one.connect() as client:
        client.call("MULTI")
        for command in (
            ("CONFIG", "SET", "hash-max-listpack-entries", 3),
            ("HSET", "h", "a", 1, "b", 2, "c", 3, "d", 4),
            ("OBJECT", "ENCODING", "h"),
            ("CONFIG", "SET", "timeout", 77),
            ("CONFIG", "SET", "timeout", 78, "hash-max-listpack-entries", 5),
        ):
            assert client.call(*command) == "QUEUED"
        answers = client.call("EXEC")
    assert answers[:4] == ["OK", 4, b"hashtable", "OK"]
    assert isinstance(answers[4], ErrorReply), "half of it is for all replicas, half for one node"
    eventually(lambda: two.call("CONFIG", "GET", "hash-max-listpack-entries")[1] == b"3", "it holds for the cluster")
    assert one.call("CONFIG", "GET", "timeout")[1] == b"77"
    assert two.call("CONFIG", "GET", "timeout")[1] == b"0"
    cluster.assert_digests_equal()


class Filler(threading.Thread):
    """Writes one value, which waits as long as there is no majority."""

    def __init__(self, node, key, value):
        super().__init__(daemon=True)
        self.node, self.command, self.answer = node, ("SET", key, value), None
        self.start()

    def run(self):
        with self.node.connect(timeout=60) as connection:
            connection.send(*self.command)
            self.answer = connection.receive()


def test_exec_that_finds_no_room_is_not_applied(make_cluster):
    cluster = make_cluster(["pending-writes-max=8mb", "write-timeout=20000"]).start(3)
    leader = cluster.leader()
    client = leader.connect(timeout=60)
    client.call("WATCH", "counter")
    client.call("MULTI")
    assert client.call("SET", "large", bytes(MB)) == "QUEUED"
    assert client.call("INCR", "counter") == "QUEUED"
    stopped = cluster.others(leader)
    for node in stopped:
        node.stop()
    try:
        fillers = [Filler(leader, f"fill:{n}", bytes(MB)) for n in range(12)]
        eventually(lambda: int(leader.info("memory")["quorate_pending_writes_bytes"]) > 7 * MB, "there is no room for one more")
        client.send("EXEC")
        answer = client.receive()
    finally:
        for node in stopped:
            node.cont()
    assert isinstance(answer, ErrorReply) and answer.code == "OVERLOADED", answer
    for filler in fillers:
        filler.join(60)
        assert filler.answer == "OK" or filler.answer.code in ("OVERLOADED", "NOQUORUM", "UNKNOWN"), filler.answer
    cluster.wait_caught_up()
    assert client.call("EXISTS", "counter", "large") == 0
    # The connection is out of the transaction, and its watch is over.
    client.call("SET", "counter", 5)
    client.call("MULTI")
    client.call("INCR", "counter")
    assert client.call("EXEC") == [6]
    cluster.assert_digests_equal()


class Counter(threading.Thread):
    """Adds one by WATCH, GET, MULTI, SET, EXEC until it is told to stop: optimistic, so each success counts once."""

    def __init__(self, node, key):
        super().__init__(daemon=True)
        self.node, self.key = node, key
        self.done, self.aborted, self.unknown, self.stopped, self.failure = 0, 0, 0, False, None
        self.start()

    def run(self):
        executing = False
        while not self.stopped:
            try:
                with self.node.connect(timeout=40) as client:
                    while not self.stopped:
                        executing = False
                        if not self.prepare(client):
                            time.sleep(0.05)
                            continue
                        executing = True
                        client.send("EXEC")
                        self.judge(client.receive())
            except OSError:
                self.unknown += executing
                time.sleep(0.05)
            except AssertionError as failure:
                self.failure = failure
                return

    def prepare(self, client):
        try:
            client.call("WATCH", self.key)
            value = int(client.call("GET", self.key) or 0)
            client.call("MULTI")
            client.call("SET", self.key, value + 1)
            client.call("RPUSH", f"{self.key}:log", value + 1)
            return True
        except ErrorReply as error:
            assert error.code in NOT_APPLIED, error
            for command in "DISCARD", "UNWATCH":
                client.send(command)
                client.receive()
            return False

    def judge(self, answer):
        if isinstance(answer, ErrorReply):
            assert answer.code in NOT_APPLIED + ("UNKNOWN", "EXECABORT"), answer
            self.unknown += answer.code == "UNKNOWN"
        elif answer is None:
            self.aborted += 1
        else:
            assert answer[0] == "OK", answer
            self.done += 1


def test_optimistic_counters_across_failovers(cluster, figures, long):
    counters = [Counter(node, f"counter:{n % 2}") for n, node in enumerate(cluster.nodes * 2)]
    for _ in range(8 if long else 3):
        time.sleep(1.5)
        leader = cluster.leader()
        leader.kill()
        time.sleep(1)
        leader.restart()
    cluster.wait_caught_up()
    time.sleep(0.5)
    for counter in counters:
        counter.stopped = True
    for counter in counters:
        counter.join(60)
        assert counter.failure is None, counter.failure
    node = cluster.leader()
    total = {key: sum(getattr(c, key) for c in counters) for key in ("done", "aborted", "unknown")}
    figures(**total)
    for n in range(2):
        mine = [c for c in counters if c.key == f"counter:{n}"]
        value = int(node.call("GET", f"counter:{n}"))
        done, unknown = sum(c.done for c in mine), sum(c.unknown for c in mine)
        assert done <= value <= done + unknown, f"{value}: {done} were acknowledged, {unknown} are unknown"
        # Two that read the same value cannot both have written: each number was added once, in order.
        assert node.call("LRANGE", f"counter:{n}:log", 0, -1) == [b"%d" % i for i in range(1, value + 1)]
    assert total["done"] > 100 and total["aborted"] > 0
    cluster.assert_digests_equal()


# Ends a node, cuts clients off, or stops them for long: nothing that a transaction could answer after.
NOT_TRIED = {"shutdown", "debug", "quit", "multi", "exec", "discard", "reset", "replicaof", "slaveof", "monitor", "psync"}


def test_large_transactions_are_whole_or_nothing(cluster):
    """What is large is copied in steps: its parts stay in order, and what is watched counts as ever."""
    big, medium = b"x" * (5 * MB), b"y" * (300 << 10)
    names = [f"watched:{n:06}:{'w' * 90}" for n in range(50_000)]
    for node in cluster.nodes:
        client, other = node.connect(timeout=60), node.connect(timeout=60)
        client.call("FLUSHALL")
        steps = [("SELECT", 1), ("APPEND", "big", big), ("APPEND", "big", "-"), ("SELECT", 0)]
        steps += [("SET", f"medium:{n}", medium + b"%d" % n) for n in range(50)]
        steps += [("APPEND", "big", big), ("STRLEN", "big"), ("GETRANGE", "medium:49", -3, -1), ("PING",), ("INCR", "n")]
        expected = ["OK", len(big), len(big) + 1, "OK"] + ["OK"] * 50 + [len(big), len(big), b"y49", "PONG", 1]

        def queue(watched):
            for start in range(0, len(watched), 5000):
                assert client.call("WATCH", *watched[start : start + 5000]) == "OK"
            assert client.call("MULTI") == "OK"
            for step in steps:
                assert client.call(*step) == "QUEUED", step[:2]

        queue([])
        assert client.call("DISCARD") == "OK"
        assert client.call("DBSIZE") == 0
        queue(names)
        assert other.call("SET", names[31_337], "changed") == "OK"
        assert client.call("EXEC") is None
        assert client.call("DBSIZE") == 1
        queue(names)
        client.send("EXEC")
        client.send("GET", "n")
        assert client.receive() == expected
        assert client.receive() == b"1"
        assert client.call("DBSIZE") == 53
        # A small one, with much to watch.
        for start in range(0, len(names), 5000):
            client.call("WATCH", *names[start : start + 5000])
        assert client.pipeline([("MULTI",), ("INCR", "n"), ("EXEC",)]) == ["OK", "QUEUED", [2]]
        client.close()
        other.close()
    cluster.assert_digests_equal()


def test_every_command_can_be_a_step_or_is_refused(cluster):
    """Whatever a transaction holds, the node that carries it out goes on."""
    node = cluster.others(cluster.leader())[0]
    lines = []
    for name, arity, *_, subcommands in node.call("COMMAND"):
        name = name.decode()
        if name in NOT_TRIED:
            continue
        for words, count in [([name], arity)] + [(sub[0].decode().split("|"), sub[1]) for sub in subcommands]:
            least = abs(count) - len(words)
            lines += [words + ["1"] * n for n in range(least, least + 2)]
    assert len(lines) > 500
    for line in lines:
        if line[:2] in (["client", "kill"], ["client", "pause"], ["client", "reply"]):
            continue
        with node.connect(timeout=30) as client:
            client.pipeline([("MULTI",), line, ("EXEC",)])
    assert not cluster.complaints()
    with node.connect() as client:
        assert client.pipeline([("MULTI",), ("MEMORY", "MALLOC-STATS"), ("CONFIG", "RESETSTAT"), ("EXEC",)])[-1][1] == "OK"
        assert client.call("PING") == "PONG"
    cluster.assert_digests_equal()
