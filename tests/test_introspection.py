"""What tools read: INFO, SLOWLOG, LATENCY, MONITOR, MEMORY, and the commands of Redis about who leads."""

import re
import time

import pytest
from cluster import eventually
from resp_client import ErrorReply, as_map

DEBUG = ["enable-debug-command=yes"]
# On a busy machine leadership moves by itself: not in tests that look at where it goes.
PATIENT = ["heartbeat-interval=500", "election-timeout-min=3000", "election-timeout-max=6000", "write-timeout=20000"]


def fields(node, section, prefix):
    """Lines `prefix_NAME:a=1,b=2` of a section, by name."""
    lines = {name: value for name, value in node.info(section).items() if name.startswith(prefix + "_")}
    parse = lambda value: {k: float(v) for k, v in (pair.split("=") for pair in value.split(","))}  # noqa: E731
    return {name.removeprefix(prefix + "_"): parse(value) for name, value in lines.items()}


def commandstats(node, name):
    found = fields(node, "commandstats", "cmdstat").get(name)
    return found and (found["calls"], found["rejected_calls"], found["failed_calls"])


def errorstats(node):
    return {kind: counts["count"] for kind, counts in fields(node, "errorstats", "errorstat").items()}


def refused(connection, *args):
    with pytest.raises(ErrorReply) as error:
        connection.call(*args)
    return str(error.value)


def slow_commands(connection, count=-1):
    return [b" ".join(entry[3]) for entry in connection.call("SLOWLOG", "GET", count)]


@pytest.fixture
def node(make_cluster):
    return make_cluster(DEBUG).start(1).nodes[0]


# Counters.


def test_commands_are_counted_by_how_they_went(node):
    with node.connect() as c:
        c.call("CONFIG", "RESETSTAT")
        c.call("SET", "text", "x")
        c.call("GET", "text")
        refused(c, "INCR", "text")
        refused(c, "SET", "text")
        refused(c, "NOSUCH")
        assert commandstats(node, "set") == (1, 1, 0)
        assert commandstats(node, "get") == (1, 0, 0)
        assert commandstats(node, "incr") == (1, 0, 1)
        assert commandstats(node, "config|resetstat") == (1, 0, 0)
        assert errorstats(node) == {"ERR": 3}
        assert node.info("stats")["total_error_replies"] == "3"
        refused(c, "LPUSH", "text", "x")
        assert errorstats(node) == {"ERR": 3, "WRONGTYPE": 1}
        c.call("CONFIG", "RESETSTAT")
        assert commandstats(node, "set") is None and errorstats(node) == {}


def test_commands_of_transactions_count_and_their_errors_too(node):
    with node.connect() as c:
        c.call("SET", "text", "x")
        c.call("CONFIG", "RESETSTAT")
        for line in (["MULTI"], ["INCR", "text"], ["GET", "text"], ["CLIENT", "ID"], ["SELECT", "1"]):
            c.call(*line)
        replies = c.call("EXEC")
        assert isinstance(replies[0], ErrorReply) and replies[1] == b"x"
        assert refused(c, "EXEC") == "ERR EXEC without MULTI"
        c.call("MULTI")
        refused(c, "SET")
        assert refused(c, "EXEC").startswith("EXECABORT")
        stats = fields(node, "commandstats", "cmdstat")
        shown = {name: (s["calls"], s["rejected_calls"], s["failed_calls"]) for name, s in stats.items()}
        assert shown["multi"] == (2, 0, 0)
        assert shown["exec"] == (3, 0, 2)
        assert shown["incr"] == (1, 0, 1)
        assert shown["get"] == shown["client|id"] == shown["select"] == (1, 0, 0)
        assert shown["set"] == (0, 1, 0)
        assert errorstats(node) == {"ERR": 3, "EXECABORT": 1}


def test_commands_of_scripts_count_and_an_error_passed_on_counts_once(node):
    with node.connect() as c:
        c.call("SET", "text", "x")
        c.call("CONFIG", "RESETSTAT")
        c.call("EVAL", "redis.call('SET', KEYS[1], 'y') return redis.call('GET', KEYS[1])", 1, "text")
        c.call("EVAL", "redis.pcall('LPUSH', KEYS[1], 'y') return 1", 1, "text")
        assert commandstats(node, "eval") == (2, 0, 0)
        assert commandstats(node, "lpush") == (1, 0, 1)
        assert errorstats(node) == {"WRONGTYPE": 1}
        refused(c, "EVAL", "return redis.call('LPUSH', KEYS[1], 'y')", 1, "text")
        assert commandstats(node, "eval") == (3, 0, 1)
        assert errorstats(node) == {"WRONGTYPE": 2}
        assert commandstats(node, "set") == commandstats(node, "get") == (1, 0, 0)


def test_what_a_script_may_not_call_counts_as_rejected(node):
    with node.connect() as c:
        c.call("CONFIG", "SET", "maxmemory", 1)
        c.call("CONFIG", "RESETSTAT")
        call = "return redis.call('SET', KEYS[1], 'y')"
        assert refused(c, "EVAL", call, 1, "k").startswith("OOM command not allowed")
        assert (commandstats(node, "set"), commandstats(node, "eval")) == ((0, 1, 0), (1, 0, 1))
        assert errorstats(node) == {"OOM": 1}, "passed on, it is the same error"
        assert c.call("EVAL", f"{call.replace('return', 'local a =').replace('call', 'pcall')} return 1", 1, "k") == 1
        assert (commandstats(node, "set"), commandstats(node, "eval")) == ((0, 2, 0), (2, 0, 1))
        assert errorstats(node) == {"OOM": 2}
        # Refused before any of it runs.
        assert refused(c, "EVAL", f"#!lua\n{call}", 1, "k").startswith("OOM ")
        assert (commandstats(node, "set"), commandstats(node, "eval")) == ((0, 2, 0), (2, 1, 1))
        assert errorstats(node) == {"OOM": 3}
        c.call("CONFIG", "SET", "maxmemory", 0)
        c.call("CONFIG", "RESETSTAT")
        assert refused(c, "EVAL_RO", call, 1, "k").startswith("ERR Write commands are not allowed")
        for line in ("'GET'", "'SUBSCRIBE', 'a'", "'NOSUCH'"):
            c.call("EVAL", f"redis.pcall({line})", 0)
        assert [commandstats(node, name) for name in ("set", "get", "subscribe")] == [(0, 1, 0)] * 3
        assert (commandstats(node, "eval"), commandstats(node, "eval_ro")) == ((3, 0, 0), (1, 0, 1))
        assert errorstats(node) == {"ERR": 4}
        assert node.info("stats")["total_error_replies"] == "4"


def test_a_command_that_waits_counts_when_it_is_answered(node):
    with node.connect() as c, node.connect() as other:
        c.call("CONFIG", "RESETSTAT")
        id = other.call("CLIENT", "ID")
        other.send("BLPOP", "list", 0)
        eventually(lambda: node.info("clients")["blocked_clients"] == "1", "a client that waits")
        time.sleep(2)
        assert commandstats(node, "blpop") is None
        c.call("RPUSH", "list", "x")
        assert other.receive() == [b"list", b"x"]
        assert commandstats(node, "blpop") == (1, 0, 0)
        other.send("BLPOP", "list", 0)
        eventually(lambda: node.info("clients")["blocked_clients"] == "1", "a client that waits")
        assert c.call("CLIENT", "UNBLOCK", id, "ERROR") == 1
        assert other.receive().code == "UNBLOCKED"
        assert commandstats(node, "blpop") == (2, 0, 1)
        assert errorstats(node) == {"UNBLOCKED": 1}
        # What it was waiting for is no part of its time.
        assert fields(node, "latencystats", "latency_percentiles_usec")["blpop"]["p99.9"] < 2e6


def test_errors_of_too_many_kinds_are_not_told_apart(node):
    with node.connect() as c:
        c.call("CONFIG", "RESETSTAT")
        c.pipeline([["DEBUG", "ERROR", f"KIND{i} text"] for i in range(200)])
        assert errorstats(node) == {"ERRORSTATS_DISABLED": 1}
        refused(c, "NOSUCH")
        assert errorstats(node) == {"ERRORSTATS_DISABLED": 1}
        c.call("CONFIG", "RESETSTAT")
        refused(c, "NOSUCH")
        assert errorstats(node) == {"ERR": 1}


# INFO as a whole.

SECTIONS = "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace".split()


def titles(node, *sections):
    text = node.call("INFO", *sections).decode()
    assert len(re.findall(r"^used_cpu_user:", text, re.M)) <= 1
    return re.findall(r"^# (\w+)\r$", text, re.M)


def test_sections_of_info_come_in_the_order_of_redis(node):
    everything = SECTIONS[:8] + ["Commandstats", "Errorstats", "Latencystats"] + SECTIONS[9:]
    assert titles(node) == titles(node, "default") == titles(node, "cpu", "DEFAULT") == SECTIONS
    assert titles(node, "all") == titles(node, "everything", "cpu") == everything
    assert titles(node, "commandSTATS", "cpu") == ["CPU", "Commandstats"]
    assert titles(node, "sentinel") == []


def test_info_has_the_fields_that_tools_read(node):
    with node.connect() as c:
        c.call("SET", "key", "x" * 100)
        memory, stats, server = (node.info(section) for section in ("memory", "stats", "server"))
    for name in "used_memory used_memory_rss used_memory_dataset mem_clients_normal lazyfree_pending_objects".split():
        assert memory[name].isdigit(), name
    for name in "used_memory_peak_perc used_memory_dataset_perc".split():
        assert re.fullmatch(r"\d+\.\d\d%", memory[name]), name
    for name in "evicted_keys pubsubshard_channels tracking_total_keys acl_access_denied_auth total_forks".split():
        assert stats[name] == "0", name
    assert server["listener0"] == f"name=tcp,bind=127.0.0.1,port={node.port}"


def test_what_is_freed_bit_by_bit_is_counted(node):
    with node.connect() as c:
        c.call("SADD", "big", *range(1000))
        c.call("MSET", *[part for i in range(500) for part in (f"key{i}", i)])
        c.call("CONFIG", "RESETSTAT")
        c.call("FLUSHALL")
        eventually(lambda: node.info("memory")["lazyfree_pending_objects"] == "0", "everything freed")
        assert int(node.info("memory")["lazyfreed_objects"]) >= 500
        c.call("CONFIG", "RESETSTAT")
        assert node.info("memory")["lazyfreed_objects"] == "0"


# How long commands take.


def test_changes_since_the_last_snapshot_are_counted(node):
    def changes():
        return int(node.info("persistence")["rdb_changes_since_last_save"])

    before = changes()
    node.call("SETBIT", "bits", 3, 1)
    node.call("SADD", "set", "a", "b")
    assert changes() == before + 2
    # What changes nothing does not count.
    node.call("SETBIT", "bits", 3, 1)
    node.call("DEL", "nothing")
    assert changes() == before + 2
    node.call("SAVE")
    assert changes() == 0


def test_latencystats_follow_their_parameters(node):
    def shown(name):
        return fields(node, "latencystats", "latency_percentiles_usec").get(name)

    with node.connect() as c:
        c.call("CONFIG", "SET", "latency-tracking", "no")
        c.call("CONFIG", "RESETSTAT")
        c.call("SET", "key", "x")
        assert shown("set") is None and c.call("LATENCY", "HISTOGRAM") == []
        c.call("CONFIG", "SET", "latency-tracking", "yes", "latency-tracking-info-percentiles", "0.0 50.0 100.0")
        assert c.call("CONFIG", "GET", "latency-tracking-info-percentiles")[1] == b"0 50 100"
        c.call("SET", "key", "x")
        assert list(shown("set")) == ["p0", "p50", "p100"]
        for bad in ("10 a", "101", "-1"):
            assert "CONFIG SET failed" in refused(c, "CONFIG", "SET", "latency-tracking-info-percentiles", bad)
        c.call("DEBUG", "SLEEP", "0.05")
        assert shown("debug")["p50"] >= 50_000 > 0 <= shown("set")["p50"]


def test_latency_histogram_covers_what_is_asked_for(node):
    def histogram(*names):
        found = as_map(c.call("LATENCY", "HISTOGRAM", *names))
        return {name: as_map(value)["calls"] for name, value in found.items()}

    with node.connect() as c:
        c.call("CONFIG", "RESETSTAT")
        assert histogram() == {"config|resetstat": 1}
        for line in (["SET", "a", 1], ["SET", "b", 1], ["GET", "a"], ["CLIENT", "ID"], ["CLIENT", "GETNAME"]):
            c.call(*line)
        assert histogram("set", "get", "nosuch", "zadd") == {"set": 2, "get": 1}
        assert histogram("client") == {"client|id": 1, "client|getname": 1}
        assert histogram("CLIENT|ID") == {"client|id": 1}
        buckets = as_map(as_map(c.call("LATENCY", "HISTOGRAM", "set"))["set"])["histogram_usec"]
        assert buckets[0::2] == sorted(buckets[0::2]) and buckets[-1] == 2


def sleeps(connection):
    """Entries of the slow log that are DEBUG SLEEP: a busy machine may make anything else slow."""
    return [entry for entry in connection.call("SLOWLOG", "GET", -1) if entry[3] == [b"DEBUG", b"SLEEP", b"0.3"]]


def test_the_slow_log_keeps_what_took_long(node):
    with node.connect() as c:
        c.call("CONFIG", "SET", "slowlog-log-slower-than", 300_000)
        c.call("SLOWLOG", "RESET")
        c.call("CLIENT", "SETNAME", "sleeper")
        c.call("DEBUG", "SLEEP", "0.3")
        (entry,) = sleeps(c)
        host, port = c.sock.getsockname()
        assert entry[2] >= 300_000
        assert entry[4:] == [f"{host}:{port}".encode(), b"sleeper"]
        c.call("MULTI")
        c.call("DEBUG", "SLEEP", "0.3")
        c.call("EXEC")
        first, second = sleeps(c)
        assert first[0] > second[0] == entry[0]
        assert not any(line.lower() == b"exec" for line in slow_commands(c))
        c.call("CONFIG", "SET", "slowlog-log-slower-than", -1)
        c.call("DEBUG", "SLEEP", "0.3")
        assert len(sleeps(c)) == 2
        assert c.call("SLOWLOG", "RESET") == "OK" and c.call("SLOWLOG", "LEN") == 0
        assert refused(c, "SLOWLOG", "GET", -2) == "ERR count should be greater than or equal to -1"


def test_the_slow_log_is_bounded_cut_and_without_secrets(node):
    with node.connect() as c:
        c.call("CONFIG", "SET", "slowlog-log-slower-than", 0, "slowlog-max-len", 3)
        c.pipeline([["SET", f"key{i}", i] for i in range(20)])
        assert c.call("SLOWLOG", "LEN") == 3
        assert [len(c.call("SLOWLOG", "GET", n)) for n in (0, 1, 2, -1)] == [0, 1, 2, 3]
        c.call("CONFIG", "SET", "slowlog-max-len", 100)
        c.call("SLOWLOG", "RESET")
        c.call("SADD", "set", *range(31))
        c.call("SADD", "set", "A" * 129)
        c.call("CONFIG", "SET", "masterauth", "")
        refused(c, "AUTH", "user", "secret")
        refused(c, "HELLO", "2", "AUTH", "user", "secret")
        c.call("MIGRATE", "127.0.0.1", node.port, "nokey", 0, 1000, "AUTH2", "user", "secret")
        c.call("CONFIG", "SET", "slowlog-log-slower-than", -1)
        shown = c.call("SLOWLOG", "GET", -1)[::-1]
        lines = [b" ".join(entry[3]) for entry in shown]
        assert len(shown[1][3]) == 32 and shown[1][3][-1] == b"... (2 more arguments)"
        assert lines[2] == b"SADD set " + b"A" * 128 + b"... (1 more bytes)"
        assert lines[3] == b"CONFIG SET masterauth (redacted)"
        assert lines[4] == b"AUTH (redacted) (redacted)"
        assert lines[5] == b"HELLO 2 AUTH (redacted) (redacted)"
        assert lines[6].endswith(b"AUTH2 (redacted) (redacted)") and b"nokey" in lines[6]


def test_delays_are_noted_by_event(node):
    """A busy machine may add delays: only those that are certain are looked at."""
    with node.connect() as c:
        assert b"latency-monitor-threshold" in c.call("LATENCY", "DOCTOR")
        c.call("DEBUG", "SLEEP", "0.3")
        assert c.call("LATENCY", "LATEST") == []
        c.call("CONFIG", "SET", "latency-monitor-threshold", 250)
        c.call("DEBUG", "SLEEP", "0.3")
        c.call("CONFIG", "SET", "latency-monitor-threshold", 0)
        latest = {event: rest for event, *rest in c.call("LATENCY", "LATEST")}
        at, _, longest = latest[b"command"]
        assert longest >= 300
        history = c.call("LATENCY", "HISTORY", "command")
        assert history[-1][0] == at and max(ms for _, ms in history) == longest
        assert c.call("LATENCY", "HISTORY", "nosuch") == []
        assert c.call("LATENCY", "GRAPH", "command").startswith(b"command - high ")
        assert "No samples" in refused(c, "LATENCY", "GRAPH", "nosuch")
        assert f"command: {len(history)} delays, ".encode() in c.call("LATENCY", "DOCTOR")
        assert c.call("LATENCY", "RESET", "nosuch", "command") == 1
        assert c.call("LATENCY", "HISTORY", "command") == []
        c.call("LATENCY", "RESET")
        assert c.call("LATENCY", "LATEST") == []


# MONITOR.


def monitored(monitor, count):
    """Lines without their time."""
    lines = [monitor.receive() for _ in range(count)]
    assert all(re.match(r"\d{10}\.\d{6} \[\d+ [^]]+\] ", line) for line in lines), lines
    return [line.split(" ", 1)[1] for line in lines]


def test_monitor_shows_what_is_carried_out(node):
    with node.connect() as c, node.connect() as monitor:
        assert monitor.call("MONITOR") == "OK"
        host, port = c.sock.getsockname()
        c.call("SELECT", 1)
        c.call("SET", "a key", b'\x00"\n')
        c.call("CONFIG", "GET", "port")  # for administrators
        c.call("MULTI")
        c.call("GET", "a key")
        c.call("EXEC")
        by = f"{host}:{port}"
        lines = monitored(monitor, 5)
        assert lines[1:] == [
            f'[1 {by}] "SET" "a key" "\\x00\\"\\n"',
            f'[1 {by}] "MULTI"',
            f'[1 {by}] "GET" "a key"',
            f'[1 {by}] "EXEC"',
        ]
        c.call("EVAL", "redis.call('SET', KEYS[1], ARGV[1])", 1, "k", "v")
        lines = monitored(monitor, 2)
        assert lines[0].startswith(f'[1 {by}] "EVAL"') and lines[1] == '[1 lua] "SET" "k" "v"'
        refused(c, "AUTH", "user", "secret")
        refused(c, "HELLO", 2, "AUTH", "user", "secret")
        c.call("MIGRATE", "127.0.0.1", node.port, "nokey", 0, 1000, "AUTH", "secret")
        shown = monitored(monitor, 3)
        assert all("(redacted)" in line and "secret" not in line for line in shown), shown


def test_a_monitor_takes_no_commands_on_data_and_can_go_back(node):
    with node.connect() as c, node.connect() as monitor:
        monitor.call("MONITOR")
        assert any(" flags=O " in line for line in c.call("CLIENT", "LIST").decode().splitlines())
        c.call("PING")
        assert monitored(monitor, 1)[0].endswith('"PING"')
        assert "MONITOR" in refused(monitor, "GET", "key")
        assert monitor.call("RESET") == "RESET"
        c.call("SET", "key", "x")
        assert monitor.call("GET", "key") == b"x"


def test_a_monitor_that_does_not_read_is_disconnected(node):
    with node.connect() as c, node.connect() as monitor:
        c.call("CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0")
        monitor.call("MONITOR")
        clients = lambda: int(node.info("clients")["connected_clients"])  # noqa: E731
        before = clients()

        def is_gone():
            c.pipeline([["ECHO", "x" * 100_000]] * 40)
            return clients() < before

        eventually(is_gone, "a monitor that is closed")
        assert c.call("PING") == "PONG"


# Who leads, in the words of Redis.


def test_leadership_moves_by_failover_and_cluster_failover(make_cluster):
    cluster = make_cluster(PATIENT).start(3)
    leader = cluster.leader()
    names = {node: node.call("CLUSTER", "MYID").decode() for node in cluster.nodes}
    shards = {node.call("CLUSTER", "MYSHARDID") for node in cluster.nodes}
    assert len(shards) == 1 and len(shards.pop()) == 40
    for word in ("REPLICAS", "SLAVES"):
        replicas = leader.call("CLUSTER", word, names[leader])
        assert {line.split()[0].decode() for line in replicas} == set(names.values()) - {names[leader]}
        assert all(line.split()[3].decode() == names[leader] for line in replicas)
    follower, other = cluster.others(leader)
    with leader.connect() as c:
        assert "not a master" in refused(c, "CLUSTER", "REPLICAS", names[follower])
        assert "Unknown node" in refused(c, "CLUSTER", "REPLICAS", "0" * 40)
        assert "to a replica" in refused(c, "CLUSTER", "FAILOVER")
        assert "No failover" in refused(c, "FAILOVER", "ABORT")
        assert "not a replica" in refused(c, "FAILOVER", "TO", "127.0.0.1", 1)
    assert follower.call("CLUSTER", "FAILOVER") == "OK"
    eventually(lambda: cluster.leader() is follower, "the follower leads")
    assert leader.call("FAILOVER", "TO", "127.0.0.1", other.port, "TIMEOUT", 5000) == "OK"
    eventually(lambda: cluster.leader() is other, "the node that was named leads")


def test_statistics_are_those_of_a_node(make_cluster):
    cluster = make_cluster(PATIENT).start(3)
    leader = cluster.leader()
    follower = cluster.others(leader)[0]
    for node in cluster.nodes:
        node.call("CONFIG", "SET", "slowlog-log-slower-than", 0)
        node.call("CONFIG", "RESETSTAT")
    follower.call("SET", "key", "x")
    assert commandstats(follower, "set") == (1, 0, 0) and commandstats(leader, "set") is None
    with follower.connect() as c:
        assert b"SET key x" in slow_commands(c)
    with leader.connect() as c:
        assert b"SET key x" not in slow_commands(c)


def test_what_does_not_exist_says_so(node):
    with node.connect() as c:
        for word in ("REPLICAOF", "SLAVEOF"):
            assert c.call(word, "NO", "one") == "OK"
            assert "MIGRATE" in refused(c, word, "127.0.0.1", 6379)
        assert "requires connected replicas" in refused(c, "FAILOVER")
        assert c.call("MODULE", "LIST") == []
        assert "no modules" in refused(c, "MODULE", "LOAD", "/x.so")
        assert b"Quorate ver. " in c.call("LOLWUT") and b"3 of 4 agree" in c.call("LOLWUT", "VERSION", 5, 4)
        assert c.call("MEMORY", "PURGE") == "OK"
        assert c.call("MEMORY", "DOCTOR") and c.call("MEMORY", "MALLOC-STATS")


def test_memory_stats_has_the_fields_of_redis(node):
    with node.connect() as c:
        c.call("MSET", "a", 1, "b", 2)
        c.call("SELECT", 3)
        c.call("SET", "a", 1)
        stats = as_map(c.call("MEMORY", "STATS"))
    names = "peak.allocated total.allocated startup.allocated clients.normal dataset.bytes fragmentation.bytes".split()
    assert all(isinstance(stats[name], int) for name in names), stats
    assert stats["keys.count"] == 3 and "db.0" in stats and "db.3" in stats and "db.1" not in stats
    assert 0 <= float(stats["dataset.percentage"]) <= 100
