"""Parameters, figures and roles, as operators meet them."""

import socket
import time
import urllib.request

import pytest
from cluster import HTTP_OFFSET, eventually
from resp_client import ErrorReply

KEEPALIVE_TIMER = "02"


def keepalive_seconds(node, client_port):
    """In how many seconds TCP asks for the client, by the node's side of the connection; None: never."""
    own = f"{node.port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if fields[1].endswith(f":{own}") and fields[2].endswith(f":{client_port:04X}"):
                active, _, ticks = fields[5].partition(":")
                return int(ticks, 16) / 100 if active == KEEPALIVE_TIMER else None
    raise AssertionError("no such connection")


def test_tcp_keepalive_is_for_connections_made_after_the_change(make_cluster):
    node = make_cluster().start(1).nodes[0]
    shown = []
    for seconds in (None, 20, 0):
        if seconds is not None:
            node.call("CONFIG", "SET", "tcp-keepalive", seconds)
        with node.connect() as connection:
            connection.call("PING")
            shown.append(keepalive_seconds(node, connection.sock.getsockname()[1]))
    by_default, short, never = shown
    assert 200 < by_default <= 300 and 0 < short <= 20 and never is None, shown


def test_tcp_backlog_bounds_who_waits_to_be_accepted(make_cluster):
    cluster = make_cluster()
    for settings in (["tcp-backlog=3"], []):
        node = cluster.add(join=False, settings=settings)
        node.wait_answers()
        node.stop()  # nobody accepts
        sockets = [socket.socket() for _ in range(40)]
        for each in sockets:
            each.setblocking(False)
            each.connect_ex(node.address)
        mine = {f"{each.getsockname()[1]:04X}" for each in sockets}

        def queued():
            """How many the system keeps for the node: its ends of connections that are established."""
            with open("/proc/net/tcp", encoding="ascii") as table:
                rows = [line.split() for line in table.readlines()[1:]]
            ends = [f for f in rows if f[3] == "01" and f[1].endswith(f":{node.port:04X}")]
            return sum(f[2].split(":")[1] in mine for f in ends)

        if settings:
            time.sleep(0.5)  # what is not queued by then, is refused
            assert 1 <= queued() <= 5
        else:
            eventually(lambda: queued() == 40, "all wait")
        for each in sockets:
            each.close()
        node.cont()
        node.kill()


def test_connections_between_nodes_are_watched(cluster):
    bus = {f"{node.port + 10_000:04X}" for node in cluster.nodes}
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    accepted = [f for f in rows if f[3] == "01" and f[1].split(":")[1] in bus]
    assert len(accepted) >= 6
    # Each has a timer: it asks, or it waits for what it has sent.
    assert all(f[5].split(":")[0] != "00" for f in accepted), accepted


def test_replication_factor_changes_while_clients_write(make_cluster):
    cluster = make_cluster().start(5)
    first = cluster.nodes[0]
    for wanted in (5, 3, 1, 3):
        leader = cluster.leader()
        cluster.nodes[wanted % 5].call("CONFIG", "SET", "replication-factor", wanted)
        cluster.wait_voters(wanted)
        assert cluster.leader() is leader, "the leader stays"
        assert first.call("SET", "k", wanted) == "OK"
    assert sorted(first.roles().values()) == ["follower", "follower", "leader", "learner", "learner"]
    with pytest.raises(ErrorReply, match="between 1 and 7"):
        first.call("CONFIG", "SET", "replication-factor", 8)
    cluster.nodes[1].call("CONFIG", "SET", "replication-factor", 4)
    eventually(lambda: any("is even" in node.log() for node in cluster.nodes), "a warning")
    cluster.assert_digests_equal()


def test_a_reader_is_not_promoted_and_zones_are_shown(make_cluster):
    cluster = make_cluster()
    cluster.add("--zone", "north").wait_answers()
    cluster.add("--role", "reader", "--zone", "south").wait_answers()
    first, reader = cluster.nodes
    with pytest.raises(ErrorReply, match="is a reader, which never votes.*--role data"):
        first.call("QUORATE", "NODE", "PROMOTE", 2)
    members = reader.members()
    assert {id: (row["zone"], row["role"]) for id, row in members.items()} == {
        1: ("north", "leader"),
        2: ("south", "reader"),
    }
    # It says so itself when it is something else.
    reader.terminate()
    reader.args = [arg if arg != "reader" else "data" for arg in reader.args]
    reader.restart()
    eventually(lambda: first.roles()[2] == "learner", "a learner")
    assert first.call("QUORATE", "NODE", "PROMOTE", 2) == "node 2 votes now"


def test_a_member_with_another_timing_is_reported(cluster):
    node = next(node for node in cluster.nodes if node is not cluster.leader())
    node.terminate()
    node.args += ["--set", "clock-drift=0.1"]
    node.restart()
    eventually(
        lambda: f"node {node.number} has clock-drift 0.1 instead of 0.05" in cluster.leader().log(), "a report"
    )


def test_counters_tell_what_was_done_and_can_be_set_back(make_cluster):
    cluster = make_cluster().start(3)
    node = next(node for node in cluster.nodes if node is not cluster.leader())
    with node.connect() as client:

        def stats():
            lines = client.call("INFO", "stats").decode().splitlines()
            return {k: v for k, _, v in (line.partition(":") for line in lines)}

        def number(name):
            return int(stats()[name])

        client.call("CONFIG", "RESETSTAT")
        assert number("total_commands_processed") <= 2 and number("total_connections_received") == 0
        client.call("MSET", "a", 1, "b", 2)
        client.call("MGET", "a", "b", "none")
        client.call("EXISTS", "none")
        assert (number("keyspace_hits"), number("keyspace_misses")) == (2, 2)
        before = number("total_commands_processed")
        for word in ("MULTI", "GET a", "GET none", "EXEC"):
            client.call(*word.split())
        client.call("GET", "a")
        # One more is the INFO before.
        assert number("total_commands_processed") - before == 6
        assert (number("keyspace_hits"), number("keyspace_misses")) == (4, 3)
        client.call("SET", "short", "v", "PX", 20)
        client.call("SET", "gone", "v", "PX", 20)
        client.call("DEL", "gone")
        eventually(lambda: number("expired_keys") == 1, "one key has expired")
        before = number("total_net_input_bytes")
        client.call("SET", "long", "x" * 100_000)
        assert 100_000 < number("total_net_input_bytes") - before < 101_000
        eventually(lambda: number("instantaneous_ops_per_sec") > 0, "commands per second")
        client.call("CONFIG", "RESETSTAT")
        after = stats()
        for name in ("keyspace_hits", "keyspace_misses", "expired_keys", "total_error_replies"):
            assert after[name] == "0", name
        assert int(after["total_net_input_bytes"]) < 200
    # The others have reclaimed the key too, and have served no read.
    other = next(n for n in cluster.others(node) if n is not cluster.leader())
    info = other.info("stats")
    assert (info["expired_keys"], info["keyspace_hits"]) == ("1", "0")
    # What is replayed is not counted again.
    node.kill()
    node.restart()
    assert node.info("stats")["expired_keys"] == "0"


def test_ids_of_clients_are_unique_and_fit_a_double(make_cluster):
    cluster = make_cluster()
    cluster.add("--node-id", "65535").wait_answers()
    cluster.add("--node-id", "2").wait_answers()
    ids = [node.call("CLIENT", "ID") for node in cluster.nodes for _ in range(3)]
    cluster.nodes[0].kill()
    cluster.nodes[0].restart()
    ids += [cluster.nodes[0].call("CLIENT", "ID")]
    assert len(set(ids)) == 7 and all(0 < id < 1 << 53 for id in ids), ids


def test_metrics_in_text(cluster):
    leader = cluster.leader()
    leader.call("SET", "k", "v")

    def page(node):
        with urllib.request.urlopen(f"http://{node.host}:{node.port + HTTP_OFFSET}/metrics", timeout=5) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            lines = answer.read().decode().splitlines()
        assert lines[-1] == "# EOF"
        return {k: float(v) for k, v in (line.split() for line in lines if not line.startswith("#"))}

    eventually(lambda: page(leader)["quorate_commands_processed_total"] > 0, "figures of the serving thread")
    for node in cluster.nodes:
        figures = page(node)
        assert figures["quorate_leader"] == (node is leader)
        assert figures["quorate_voters"] == 3 and figures["quorate_term"] == leader.status()["term"]
        assert figures["quorate_applied_index"] > 0 and figures["quorate_ready"] == 1


def test_full_digests_of_all_nodes_are_equal(cluster):
    with cluster.leader().connect() as client:
        for n in range(2000):
            client.call("SET", f"key{n}", "x" * n)
    cluster.assert_digests_equal()
    first, *others = [node.full_digest() for node in cluster.nodes]
    assert first[0] > 0 and len(first[1]) == 32
    assert all(digest == first for digest in others), (first, others)


def test_a_node_above_maxmemory_refuses_what_may_need_more(make_cluster):
    node = make_cluster().start(1).nodes[0]
    node.call("SET", "a", 1)
    node.call("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(ErrorReply, match="^OOM "):
        node.call("SET", "b", 1)
    with node.connect() as connection:
        connection.call("MULTI")
        with pytest.raises(ErrorReply, match="^OOM "):
            connection.call("RPUSH", "l", 1)
        with pytest.raises(ErrorReply, match="^EXECABORT .*previous errors"):
            connection.call("EXEC")
    assert node.call("GET", "a") == b"1"
    assert node.call("DEL", "a", "b", "l") == 1
    node.call("CONFIG", "SET", "maxmemory", 0)
    assert node.call("SET", "b", 1) == "OK"


def test_a_node_alone_may_be_kept_from_taking_writes(make_cluster):
    cluster = make_cluster().start(1)
    node = cluster.nodes[0]
    node.call("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() return 1 end)")
    node.call("CONFIG", "SET", "min-replicas-to-write", 1)
    with pytest.raises(ErrorReply, match="^NOREPLICAS "):
        node.call("SET", "a", 1)
    assert node.call("GET", "a") is None
    # A script is a write unless it promises to be none.
    for refused in (["EVAL", "return redis.call('SET', KEYS[1], 1)", 1, "a"], ["EVAL", "#!lua\nreturn 1", 0], ["FCALL", "f", 0]):
        with pytest.raises(ErrorReply, match="^NOREPLICAS "):
            node.call(*refused)
    assert node.call("EVAL", "#!lua flags=no-writes\nreturn redis.call('EXISTS', KEYS[1])", 1, "a") == 0
    assert node.call("EVAL_RO", "return redis.call('EXISTS', KEYS[1])", 1, "a") == 0
    node.call("CONFIG", "SET", "min-replicas-to-write", 0)
    assert node.call("EVAL", "return redis.call('SET', KEYS[1], 1)", 1, "a") == "OK"
