"""MULTI, EXEC and WATCH with several clients, step by step, beside redis-server; and what only Quorate must get right."""
import random

import pytest

from resp import Raw, encode
from servers import LONG

# The state of the watched key when WATCH comes, what another client then does, and whether EXEC must abort.
WATCHES = [
    ([], ["SET", "w", "2"], True), ([["SET", "w", "1"]], ["SET", "w", "1"], True), ([["SET", "w", "1"]], ["DEL", "w"], True),
    ([["SET", "w", "1"]], ["EXPIRE", "w", "100"], True), ([["SET", "w", "1"]], ["PERSIST", "w"], False),
    ([["SET", "w", "1"]], ["GET", "w"], False), ([["SET", "w", "1"]], ["SETNX", "w", "2"], False),
    ([["SET", "w", "1"]], ["SET", "other", "2"], False), ([["SET", "w", "1"]], ["RENAME", "w", "v"], True),
    ([["SET", "v", "1"]], ["RENAME", "v", "w"], True), ([["SET", "v", "1"]], ["COPY", "v", "w"], True),
    ([["SET", "w", "1"]], ["FLUSHALL"], True), ([["SET", "w", "1"]], ["FLUSHDB"], True), ([["SET", "w", "1"]], ["SWAPDB", "0", "1"], True),
    ([["SET", "v", "1"]], ["FLUSHALL"], False), ([["SET", "v", "1"]], ["SWAPDB", "0", "1"], False), ([], ["SWAPDB", "1", "2"], False),
    ([["SET", "w", "1"]], ["MOVE", "w", "1"], True), ([["RPUSH", "w", "1"]], ["RPUSH", "w", "2"], True),
    ([["RPUSH", "w", "1"]], ["LPOP", "w"], True), ([["RPUSH", "w", "1"]], ["LPOP", "w", "0"], False), ([], ["DEL", "w"], False),
    ([["SET", "w", "1"]], ["GETEX", "w"], False), ([["SET", "w", "1"]], ["GETEX", "w", "EX", "100"], True),
    ([["SET", "w", "a"]], ["APPEND", "w", ""], None), ([["SET", "w", "1"]], ["INCRBYFLOAT", "w", "x"], False),
    ([["SET", "w", "1"]], ["EXPIRE", "w", "-1"], True), ([["SET", "w", "1"]], ["TOUCH", "w"], False),
]

# Commands that do much, little or nothing to the key: what counts as a change for Redis counts for Quorate, and nothing else.
STRING, LIST, SET_, HASH = [["SET", "w", "1"]], [["RPUSH", "w", "1", "2"]], [["SADD", "w", "1", "2"]], [["HSET", "w", "f", "1"]]
ZSET, STREAM = [["ZADD", "w", "1", "a"]], [["XADD", "w", "1-1", "f", "v"], ["XGROUP", "CREATE", "w", "g", "0"]]
READ = [*STREAM, ["XREADGROUP", "GROUP", "g", "c", "STREAMS", "w", ">"]]
TOUCHES = [
    (STRING, "INCRBY w 0"), (STRING, "SETRANGE w 0 1"), (STRING, "SETBIT w 0 0"), (STRING, "GETSET w 1"), (STRING, "GETDEL w"),
    (STRING, "SET w 2 NX"), (STRING, "SET w 2 XX"), (STRING, "SET w 2 GET"), (STRING, "MSETNX w 1 v 2"), (STRING, "GETEX w PERSIST"),
    (STRING, "BITFIELD w GET u8 0"), (STRING, "BITFIELD w SET u8 0 49"), (STRING, "BITOP AND w none"), (STRING, "OBJECT FREQ w"),
    (STRING, "EXPIRE w 100 GT"), (STRING, "EXPIREAT w 1"), (STRING, "EVAL redis.call('SET','w','1') 0"), (STRING, "EVAL redis.call('GET','w') 0"),
    ([], "EVAL redis.call('SET','w','1')redis.call('DEL','w') 0"), (STRING, "PFADD w a"), ([], "PFADD w"), (STRING, "UNLINK w"),
    ([["PFADD", "w", "a"]], "PFADD w a"), ([["PFADD", "w", "a"]], "PFADD w b"), ([["PFADD", "w", "a"]], "PFMERGE w"),
    (STRING, "RENAMENX w v"), (STRING, "COPY w v"), (STRING, "SUBSTR w 0 0"), (LIST, "LSET w 0 1"), (LIST, "LTRIM w 0 -1"), (LIST, "LREM w 0 9"),
    (LIST, "LINSERT w BEFORE 9 8"), (LIST, "LPUSHX w 3"), (LIST, "LMOVE w w LEFT RIGHT"), (LIST, "RPOPLPUSH w v"), (LIST, "BLPOP w 0"),
    (LIST, "LMPOP 1 w LEFT"), (LIST, "LPOP w 0"), (LIST, "SORT w"), (LIST, "SORT none STORE w"), ([], "SORT none STORE w"), (SET_, "SADD w 1"),
    (SET_, "SADD w 3"), (SET_, "SREM w 9"), (SET_, "SPOP w 0"), (SET_, "SMOVE w w 1"), (SET_, "SMOVE w v 9"), (SET_, "SINTERSTORE w none"),
    ([], "SINTERSTORE w none"), (SET_, "SRANDMEMBER w"), (HASH, "HSET w f 1"), (HASH, "HSETNX w f 2"), (HASH, "HDEL w g"), (HASH, "HINCRBY w f 0"),
    (HASH, "HINCRBYFLOAT w f 0"), (HASH, "HRANDFIELD w"), (ZSET, "ZADD w 1 a"), (ZSET, "ZADD w NX 2 a"), (ZSET, "ZADD w CH 1 a"),
    (ZSET, "ZINCRBY w 0 a"), (ZSET, "ZREM w b"), (ZSET, "ZREMRANGEBYSCORE w 5 6"), (ZSET, "ZPOPMIN w 0"), (ZSET, "BZPOPMIN w 0"),
    (ZSET, "ZRANGESTORE w none 0 -1"), ([], "ZUNIONSTORE w 1 none"), (ZSET, "ZINTERSTORE w 1 w"), (ZSET, "GEOADD w 0 0 b"), (STREAM, "XADD w 2-1 f v"),
    (STREAM, "XADD w NOMKSTREAM 2-1 f v"), ([], "XADD w NOMKSTREAM 2-1 f v"), (STREAM, "XDEL w 5-5"), (STREAM, "XDEL w 1-1"),
    (STREAM, "XTRIM w MAXLEN 10"), (STREAM, "XTRIM w MAXLEN 0"), (STREAM, "XSETID w 9-9"), (STREAM, "XGROUP CREATE w h 0"), (STREAM, "XGROUP SETID w g 0"),
    (STREAM, "XGROUP DESTROY w g"), (STREAM, "XGROUP DESTROY w none"), (STREAM, "XGROUP CREATECONSUMER w g c"), (READ, "XGROUP CREATECONSUMER w g c"),
    (READ, "XGROUP DELCONSUMER w g c"), (STREAM, "XGROUP DELCONSUMER w g c"), (STREAM, "XREADGROUP GROUP g c STREAMS w >"),
    (READ, "XREADGROUP GROUP g c STREAMS w >"), (READ, "XREADGROUP GROUP g c STREAMS w 0"), (READ, "XREADGROUP GROUP g c2 NOACK STREAMS w >"),
    (READ, "XACK w g 1-1"), (READ, "XACK w g 5-5"), (READ, "XCLAIM w g c2 0 1-1"), (READ, "XCLAIM w g c2 0 5-5"), (READ, "XAUTOCLAIM w g c2 0 0"),
    (READ, "XPENDING w g"), (READ, "XINFO STREAM w"),
]


def watched(port, other_port, before, change):
    with Raw(port) as a, Raw(other_port) as b:
        b.call("FLUSHALL")
        for words in before:
            b.call(*words)
        assert a.call("WATCH", "w").raw == b"+OK\r\n"
        b.call(*change)
        a.call("MULTI")
        a.call("SET", "result", "1")
        return a.call("EXEC").raw


@pytest.mark.parametrize("before, change, aborts", WATCHES, ids=lambda v: " ".join(map(str, v)) if isinstance(v, list) else str(v))
def test_a_change_by_another_client_aborts(redis, cluster, before, change, aborts):
    expected = watched(redis.port, redis.port, before, change)
    nodes = cluster.followers() + [cluster.leader()]
    for node, other in zip(nodes, nodes[1:] + nodes[:1]):
        actual = watched(node.port, other.port, before, change)
        assert actual == expected
        assert aborts is None or aborts == (actual == b"*-1\r\n")


# What changes nothing is no change for Quorate; Redis takes an LTRIM that leaves everything for one.
QUIETER = {"LTRIM w 0 -1"}


@pytest.mark.parametrize("before, line", TOUCHES, ids=lambda v: v if isinstance(v, str) else f"{len(v)}")
def test_what_counts_as_a_change(redis, cluster, before, line):
    expected = watched(redis.port, redis.port, before, line.split())
    actual = watched(cluster.nodes[0].port, cluster.nodes[1].port, before, line.split())
    if line in QUIETER:
        assert (expected, actual) == (b"*-1\r\n", b"*1\r\n+OK\r\n")
    else:
        assert actual == expected


@pytest.mark.parametrize("seed", range(60 if LONG else 8))
def test_three_clients_in_lock_step(redis, cluster, seed):
    """Each step of each client is answered before the next: one order, so replies equal Redis's."""
    r = random.Random(seed)
    keys = [f"x{n}" for n in range(4)]
    steps = []
    for _ in range(400 if LONG else 150):
        k = r.choice(keys)
        words = r.choice([["WATCH", k], ["WATCH", k, r.choice(keys)], ["UNWATCH"], ["MULTI"], ["MULTI"], ["EXEC"], ["EXEC"], ["EXEC"],
                          ["DISCARD"], ["SET", k, str(r.randint(0, 9))], ["INCR", k], ["GET", k], ["DEL", k], ["EXPIRE", k, "1000"],
                          ["SELECT", r.choice("001")], ["APPEND", k, "x"], ["NOSUCH"], ["RENAME", k, r.choice(keys)], ["MGET", *keys],
                          ["PERSIST", k], ["GETDEL", k], ["COPY", k, r.choice(keys), "REPLACE"], ["MOVE", k, "1"], ["PING"]])
        steps.append((r.randrange(3), words))

    def play(ports):
        with Raw(ports[0]) as c:
            c.call("FLUSHALL")
        clients = [Raw(p) for p in ports]
        return [clients[n].call(*words).raw for n, words in steps]

    expected = play([redis.port] * 3)
    actual = play([n.port for n in cluster.nodes])
    for at, (step, a, b) in enumerate(zip(steps, expected, actual)):
        assert a == b, f"step {at} {step}: redis {a} quorate {b}; before it: {list(zip(steps, expected))[max(0, at - 15):at]}"


def test_session_commands_within_a_transaction(cluster):
    """They are executed on the node of the client, at their place among the others."""
    for node in cluster.nodes:
        with node.connect() as c:
            me = c.call("CLIENT", "ID").value
            commands = [["SET", "t", "1"], ["CLIENT", "ID"], ["INFO"], ["CONFIG", "GET", "port"], ["ROLE"], ["CLIENT", "SETNAME", "tx"],
                        ["CLIENT", "GETNAME"], ["CLIENT", "LIST"], ["CLIENT", "INFO"], ["COMMAND", "COUNT"], ["TIME"], ["PING"],
                        ["QUORATE", "STATUS"], ["QUORATE", "DIGEST"], ["CLUSTER", "INFO"], ["CLUSTER", "SLOTS"], ["CLUSTER", "SHARDS"],
                        ["CLUSTER", "NODES"], ["CLUSTER", "MYID"], ["CLUSTER", "COUNTKEYSINSLOT", "1"], ["CLUSTER", "GETKEYSINSLOT", "1", "2"],
                        ["CLUSTER", "KEYSLOT", "x"], ["UNWATCH"], ["HELLO"], ["READONLY"], ["READWRITE"], ["CLIENT", "NO-EVICT", "on"],
                        ["CLIENT", "KILL", "ID", "1"], ["CLIENT", "UNPAUSE"], ["WAIT", "0", "0"], ["INCR", "t"]]
            c.call("MULTI")
            for words in commands:
                assert c.call(*words).raw == b"+QUEUED\r\n", words
            reply = c.call("EXEC")
            assert len(reply.items) == len(commands)
            found = {tuple(w): i for w, i in zip(commands, reply.items)}
            errors = [(w, i) for w, i in found.items() if i.is_error]
            assert not errors
            assert found["CLIENT", "ID"].value == me
            assert b"redis_version:7.2" in found["INFO",].value
            assert found["CONFIG", "GET", "port"].value == [b"port", str(node.port).encode()]
            assert found["CLIENT", "GETNAME"].value == b"tx"
            assert f"id={me} ".encode() in found["CLIENT", "LIST"].value
            assert found["INCR", "t"].value == 2


def test_commands_that_wait_are_refused_within_a_transaction(cluster):
    for words in (["SHUTDOWN"], ["QUORATE", "FAILOVER"], ["QUORATE", "NODE", "LIST"]):
        with cluster.nodes[1].connect() as c:
            c.call("MULTI")
            assert c.call(*words).raw == b"-ERR Command not allowed inside a transaction\r\n", words
            assert c.call("EXEC").raw.startswith(b"-EXECABORT")


def test_select_takes_effect_only_if_the_transaction_does(redis, cluster):
    def play(port):
        with Raw(port) as a, Raw(port) as b:
            b.call("FLUSHALL")
            pipeline = [["WATCH", "w"], ["MULTI"], ["SELECT", "3"], ["SET", "a", "3"], ["EXEC"], ["SET", "b", "x"], ["MULTI"],
                        ["SELECT", "4"], ["SELECT", "99"], ["SET", "c", "4"], ["EXEC"], ["SET", "d", "y"], ["DBSIZE"]]
            a.call("WATCH", "w")
            b.call("SET", "w", "1")
            replies = [r.raw for r in a.exchange(b"".join(encode(*w) for w in pipeline), len(pipeline))]
            return replies, [b.call("SELECT", n).raw + b.call("MGET", *"abcdw").raw for n in (0, 3, 4)]

    for node in cluster.nodes:
        assert play(node.port) == play(redis.port)


@pytest.mark.parametrize("exists", [False, True], ids=["missing", "present"])
@pytest.mark.parametrize(
    "between",
    [
        ["FLUSHALL"],
        ["FLUSHDB"],
        ["SWAPDB 0 1"],
        ["SET fl:other 1", "FLUSHALL", "SET fl:other 2"],
        ["SET fl:k 1", "FLUSHALL"],
        ["SET fl:k 1", "SWAPDB 0 1"],
        ["SELECT 1", "SET fl:k 1", "SELECT 0", "SWAPDB 0 1"],
        ["SELECT 1", "SET fl:k 1", "SELECT 0", "SWAPDB 0 1", "FLUSHDB"],
        ["SWAPDB 2 3"],
    ],
    ids=" ".join,
)
def test_watch_and_whole_databases(cluster, redis, exists, between):
    """A key that was missing before and after FLUSHALL, FLUSHDB or SWAPDB breaks no transaction."""
    outcomes = []
    for server, other in ((redis.port, redis.port), (cluster.nodes[0].port, cluster.nodes[2].port)):
        with Raw(server) as c, Raw(other) as o:
            o.call("FLUSHALL")
            if exists:
                c.call("SET", "fl:k", 0)
            c.call("WATCH", "fl:k")
            for line in between:
                assert o.call(*line.split()).raw == b"+OK\r\n"
            c.call("MULTI")
            c.call("PING")
            outcomes.append(c.call("EXEC").raw)
            o.call("FLUSHALL")
    assert outcomes[0] == outcomes[1]
