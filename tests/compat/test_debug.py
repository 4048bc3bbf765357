"""DEBUG: who may use it, and reloads. SAVE and what goes with it. (What DEBUG tells of data: crates/keyspace/tests/debug.rs.)"""
import time

import pytest

from servers import Cluster

NOT_ALLOWED = (
    '-ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local connection, '
    "otherwise you need to set this option in the configuration file, and then restart the server.\r\n"
).encode()

VALUES = [
    ["SET", "string", "hello"],
    ["SET", "number", "42", "PX", "10000000"],
    ["RPUSH", "list", *(f"element{i}" for i in range(3000))],
    ["SADD", "ints", *range(100)],
    ["SADD", "set", *(f"member{i}" for i in range(1000))],
    ["ZADD", "sorted", "1", "a", "2.5", "b", "-inf", "c", "0.1", "d", "1e300", "e"],
    ["HSET", "hash", *(f"x{i}" for i in range(1000))],
    ["XADD", "stream", "5-1", "field", "value", "other", "1"],
    ["XADD", "stream", "7-0", "field", "2"],
]


@pytest.fixture(scope="module")
def debugged():
    c = Cluster(3, ["enable-debug-command=local"])
    yield c
    c.stop()


def test_debug_is_off_unless_a_node_was_started_with_it(cluster):
    node = cluster.leader()
    for words in (["DEBUG", "SLEEP", 0], ["DEBUG", "RELOAD"], ["debug", "nonsense"], ["DEBUG", "HELP"]):
        assert node.call(*words).raw == NOT_ALLOWED, words
    assert node.call("DEBUG").raw == b"-ERR wrong number of arguments for 'debug' command\r\n"
    assert node.call("CONFIG", "SET", "enable-debug-command", "yes").is_error
    with node.connect() as c:
        assert c.call("MULTI").raw == b"+OK\r\n"
        assert c.call("DEBUG", "SLEEP", 0).raw == NOT_ALLOWED
        assert c.call("EXEC").raw.startswith(b"-EXECABORT")


def test_a_reload_changes_nothing(debugged):
    leader = debugged.leader()
    for words in VALUES:
        assert not leader.call(*words).is_error
    digest = leader.call("DEBUG", "DIGEST").raw
    assert len(digest) == len("+\r\n") + 40 and digest != b"+" + b"0" * 40 + b"\r\n"
    for words in (["RELOAD"], ["RELOAD", "NOSAVE", "MERGE", "NOFLUSH"], ["LOADAOF"]):
        assert leader.call("DEBUG", *words).raw == b"+OK\r\n", words
    assert leader.call("DEBUG", "RELOAD", "HARD").is_error
    # Beside itself it has no room.
    assert leader.call("DEBUG", "RELOAD", "NOFLUSH").raw.startswith(b"-ERR Error trying to load the RDB dump")
    assert [node.call("DEBUG", "DIGEST").raw for node in debugged.nodes] == [digest] * 3


def test_a_node_writes_a_snapshot_when_it_is_asked_to(debugged):
    for node in (debugged.leader(), debugged.followers()[0]):
        began = int(time.time())
        for n in range(2):
            node.call("SET", "saved", n)
            assert node.call("SAVE").raw == b"+OK\r\n"
        # Nothing has changed since.
        assert node.call("SAVE").raw == b"+OK\r\n"
        assert abs(node.call("LASTSAVE").value - began) < 30
        assert node.call("BGSAVE").raw == b"+Background saving started\r\n"
        assert node.call("BGSAVE", "SCHEDULE").raw == b"+Background saving started\r\n"
        assert node.call("BGSAVE", "NEVER").raw == b"-ERR syntax error\r\n"
        assert node.call("BGREWRITEAOF").raw == b"+Background append only file rewriting started\r\n"


def test_time_goes_on_while_nobody_writes(debugged):
    node = debugged.leader()
    node.call("SET", "brief", 1, "PX", 5000)
    first, at = node.call("PTTL", "brief").value, node.call("TIME").value
    time.sleep(0.5)
    assert first - node.call("PTTL", "brief").value >= 450
    later = node.call("TIME").value
    assert (int(later[0]) - int(at[0])) * 1000 + (int(later[1]) - int(at[1])) // 1000 >= 450
