"""One connection and its server: protocol, limits, CLIENT, AUTH, what dashboards read."""
import contextlib
import random
import re
import signal
import socket
import threading
import time

import pytest

from resp import Raw, encode
from servers import wait_for

MB = 1 << 20


@pytest.fixture(params=["leader", "follower"])
def node(request, cluster):
    return cluster.leader() if request.param == "leader" else cluster.followers()[0]


def until_closed(connection, data):
    """What a server answers to these bytes until it ends the connection or is silent for half a second."""
    connection.send(data)
    got, connection.sock = b"", connection.sock
    connection.sock.settimeout(0.5)
    with contextlib.suppress(TimeoutError, ConnectionError):
        while chunk := connection.sock.recv(1 << 16):
            got += chunk
        return got, True
    return got, False


def wire(*commands):
    return b"".join(encode(*(c.split() if isinstance(c, str) else c)) for c in commands)


# Byte for byte as Redis

SCRIPTS = {
    "reply off": wire("PING", "CLIENT REPLY OFF", "PING", "SET a 1", "NOSUCH", "GET", "CLIENT REPLY ON", "GET a"),
    "reply skip": wire("CLIENT REPLY SKIP", "SET a 2", "GET a", "CLIENT REPLY SKIP", "NOSUCH", "GET a", "CLIENT REPLY SKIP", "GET", "PING"),
    "reply skip skip": wire("CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "SET a 3", "GET a"),
    "reply skip multi": wire("CLIENT REPLY SKIP", "MULTI", "SET a 4", "EXEC", "GET a"),
    "reply off and skip": wire("CLIENT REPLY OFF", "CLIENT REPLY SKIP", "PING", "PING", "CLIENT REPLY ON", "PING"),
    "reply off and reset": wire("CLIENT REPLY OFF", "PING", "RESET", "PING"),
    "quit ends a pipeline": wire("SET q 1", "QUIT", "SET q 2"),
    "quit within multi": wire("MULTI", "SET q 3", "QUIT", "EXEC"),
    "reset leaves multi": wire("SELECT 3", "MULTI", "SET a 1", "RESET", "EXEC", "CLIENT GETNAME", "SET a 1", "SELECT 3", "EXISTS a"),
    "reset forgets the name": wire("CLIENT SETNAME x", "RESET", "CLIENT GETNAME"),
    "inline": b"PING\r\nSET i 'a b'\r\nGET i\nECHO \"\\x41\\n\"\r\n  \r\n\r\nECHO ''\r\n",
    "inline quotes": b"PING\r\nECHO \"abc\r\nPING\r\n",
    "inline quotes after": b"ECHO \"abc\"d\r\nPING\r\n",
    "not an array": b"*1\r\n:4\r\n",
    "bad multibulk": b"PING\r\n*x\r\nPING\r\n",
    "huge multibulk": b"*2147483648\r\n",
    "bad bulk": b"*1\r\n$x\r\n",
    "negative bulk": b"*1\r\n$-1\r\n",
    "huge bulk": b"*1\r\n$536870913\r\n",
    "empty arrays": b"*0\r\n*-1\r\nPING\r\n*0\r\n",
    "no line end": b"*" + b"1" * (70 << 10),
    "long inline": b"PING\r\n" + b"x" * (70 << 10),
    "long bulk length": b"*1\r\n$" + b"1" * (70 << 10),
    "half a command": b"PING\r\n*2\r\n$4\r\nECHO\r\n$10\r\nabc",
    "http": b"GET / HTTP/1.1\r\nAccept: x\r\n\r\n",
    "post": b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
    "hello": wire("HELLO 3 AUTH", "HELLO 3 AUTH a", "HELLO 3 SETNAME", "HELLO x", "HELLO 4", "HELLO 2 FOO", "HELLO 3 AUTH nobody x", "PING"),
    "client": wire("CLIENT KILL", "CLIENT KILL a b c", "CLIENT KILL ID x", "CLIENT KILL ID 0", "CLIENT KILL TYPE x", "CLIENT KILL ID 99999",
                   "CLIENT KILL 1.2.3.4:5", "CLIENT KILL SKIPME x", "CLIENT LIST TYPE x", "CLIENT LIST ID x", "CLIENT LIST ID 99999",
                   "CLIENT PAUSE x", "CLIENT PAUSE -1", "CLIENT PAUSE 1 x", "CLIENT UNPAUSE", "CLIENT NO-EVICT x", "CLIENT REPLY x",
                   "CLIENT KILL USER nobody", "CLIENT KILL ADDR 1.2.3.4:5 LADDR 1.2.3.4:6"),
    "auth": wire("AUTH x", "AUTH default x", "AUTH nobody x", "AUTH a b c", "AUTH"),
    "config": wire("CONFIG SET", "CONFIG SET nosuch 1", "CONFIG GET nosuch", "CONFIG SET maxclients x", "CONFIG RESETSTAT x", "CONFIG GET"),
    "wait": wire("WAIT x 0", "WAIT 0 x", "WAIT 0 -1", "WAIT 0"),
    "command": wire("COMMAND GETKEYS SET a b", "COMMAND GETKEYS MSET a 1 b 2", "COMMAND GETKEYS NOSUCH a",
                    "COMMAND INFO nosuch", "COMMAND DOCS nosuch", "COMMAND GETKEYSANDFLAGS RENAME a b", "COMMAND LIST FILTERBY PATTERN xyz*",
                    "COMMAND LIST FILTERBY x y"),
    "select": wire("SELECT 16", "SELECT -1", "SELECT x", "SELECT 99999999999999999999", "SELECT 4294967296", "SELECT 1.5"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_same_bytes_and_the_same_end_as_redis(redis, node, name):
    answers = []
    for port in (redis.port, node.port):
        with Raw(port) as c:
            answers.append(until_closed(c, SCRIPTS[name]))
    assert answers[1] == answers[0]


def test_byte_by_byte(node):
    with node.connect() as c:
        for byte in wire("SET slow 1", "GET slow") + b"PING\r\n":
            c.send(bytes([byte]))
            time.sleep(0.001)
        assert [c.read().raw for _ in range(3)] == [b"+OK\r\n", b"$1\r\n1\r\n", b"+PONG\r\n"]


def test_who_has_sent_everything_still_gets_the_answers(node):
    """As with `printf ... | nc`: the client ends its half of the connection behind its commands."""
    with node.connect() as c:
        c.send(wire("SET half 1", "INCR half", "GET half", "WAIT 0 0", "MULTI", "INCR half", "EXEC") + b"*2\r\n$3\r\nGE")
        c.sock.shutdown(socket.SHUT_WR)
        replies = [c.read() for _ in range(7)]
        assert replies.pop(3).value in (0, 1, 2)
        assert [r.raw for r in replies] == [b"+OK\r\n", b":2\r\n", b"$1\r\n2\r\n", b"+OK\r\n", b"+QUEUED\r\n", b"*1\r\n:3\r\n"]
        assert c.is_closed()


# Limits

def serves(node, limit=3):
    """Another client is served, soon."""
    started = time.monotonic()
    with node.connect() as c:
        assert c.call("SET", "others", "1").raw == b"+OK\r\n"
    took = time.monotonic() - started
    assert took < limit, f"others waited for {took:.2f} s"


def test_random_bytes(node):
    for seed in range(8):
        data = random.Random(seed).randbytes(MB)
        if seed % 2:
            data = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100\r\n" + data
        with node.connect() as c:
            with contextlib.suppress(ConnectionError, TimeoutError):
                c.sock.settimeout(1)
                c.sock.sendall(data)
                c.sock.recv(1000)
        serves(node)


def test_announcements_cost_nothing(node):
    before = node.memory()
    clients = []
    for data in [b"*1000000\r\n", b"*1048576\r\n$536870912\r\n", b"*2\r\n$536870912\r\nabc", b"*1000000\r\n$1\r\na\r\n"]:
        for _ in range(50):
            c = node.connect()
            c.send(data)
            clients.append(c)
    serves(node)
    time.sleep(0.2)
    assert node.memory() - before < 100 * MB
    for c in clients:
        c.close()


def test_a_client_that_never_reads(cluster, node):
    with node.connect() as setup:
        setup.call("SET", "big", b"x" * MB)
    before = node.memory()
    hogs = []
    for _ in range(4):
        c = node.connect(timeout=3)
        hogs.append(c)
        c.sock.settimeout(1)
        with contextlib.suppress(TimeoutError, ConnectionError):
            c.sock.sendall(encode("CLIENT", "SETNAME", "hog") + encode("GET", "big") * 2000)
    for _ in range(5):
        serves(node, 8)
        time.sleep(0.1)
    assert node.memory() - before < 500 * MB, f"{(node.memory() - before) >> 20} MB for 4 clients that do not read"
    with node.connect() as other:
        listed = other.call("CLIENT", "LIST").text
        ids = re.findall(r"id=(\d+) .* name=hog ", listed)
        assert len(ids) == 4, listed
        assert any(int(n) > MB for n in re.findall(r"name=hog .* omem=(\d+)", listed)), listed
        for i in ids:
            assert other.call("CLIENT", "KILL", "ID", i).value == 1
        wait_for("the killed clients are gone", lambda: "name=hog" not in other.call("CLIENT", "LIST").text, 3)
    for c in hogs:
        c.close()


def test_client_output_buffer_limit(node):
    with node.connect() as c:
        c.call("SET", "big", b"x" * MB)
        assert c.call("CONFIG", "SET", "client-output-buffer-limit", "normal 4mb 0 0").raw == b"+OK\r\n"
        try:
            hog = node.connect(timeout=2)
            hog.sock.settimeout(1)
            with contextlib.suppress(TimeoutError, ConnectionError):
                hog.sock.sendall(encode("CLIENT", "SETNAME", "hog2") + encode("GET", "big") * 500)
            wait_for("the client is disconnected", lambda: "name=hog2" not in c.call("CLIENT", "LIST").text, 6)
            hog.close()
        finally:
            c.call("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")


def test_many_large_answers_reach_a_client_that_reads(node):
    with node.connect(timeout=60) as c:
        c.call("SET", "large", b"y" * (256 << 10))
        small = c.exchange(encode("PING") * 5000 + encode("GET", "none") * 5000, 10_000)
        assert len(small) == 10_000
        replies = c.exchange(encode("GET", "large") * 1500, 1500, timeout=60)
        assert all(len(r.value) == 256 << 10 for r in replies)


def test_a_huge_pipeline(node):
    with node.connect(timeout=60) as c:
        c.call("DEL", "huge")
        n = 30_000
        replies = c.exchange((encode("INCR", "huge") + encode("PING")) * n, 2 * n, timeout=60)
        assert [r.value for r in replies[::2]] == list(range(1, n + 1))


def test_commands_that_wait_are_bounded(node):
    """A pipeline of large reads: its arguments wait in memory only up to a limit."""
    before = node.memory()
    with node.connect(timeout=60) as c:
        words = encode("STRLEN", b"k" * MB)
        done = threading.Event()
        peak = [0]

        def measure():
            while not done.is_set():
                peak[0] = max(peak[0], node.memory())
                time.sleep(0.01)

        watcher = threading.Thread(target=measure)
        watcher.start()
        replies = c.exchange(words * 300, 300, timeout=60)
        done.set()
        watcher.join()
        assert all(r.value == 0 for r in replies)
    assert peak[0] - before < 250 * MB, f"{(peak[0] - before) >> 20} MB"


def test_maxclients(node):
    with node.connect() as c:
        connected = int(re.search(r"connected_clients:(\d+)", c.call("INFO", "clients").text)[1])
        c.call("CONFIG", "SET", "maxclients", connected + 2)
        try:
            extra = [node.connect() for _ in range(6)]
            time.sleep(0.1)
            refused = 0
            for e in extra:
                with contextlib.suppress(ConnectionError):
                    e.send(encode("PING"))
                with contextlib.suppress(ConnectionError):
                    refused += e.read().raw == b"-ERR max number of clients reached\r\n"
            assert 3 <= refused <= 5
            for e in extra:
                e.close()
        finally:
            wait_for("room", lambda: c.call("CONFIG", "SET", "maxclients", 10000).raw == b"+OK\r\n")
    serves(node)


def test_timeout(node):
    with node.connect() as c:
        c.call("CONFIG", "SET", "timeout", 1)
        c.close()
        try:
            idle, waiting = node.connect(), node.connect()
            idle.call("PING")
            waiting.send(encode("WAIT", 9, 4000))
            assert idle.is_closed(5)
            assert waiting.read(8).kind == b":", "a client that waits for an answer is not idle"
        finally:
            with node.connect() as again:
                again.call("CONFIG", "SET", "timeout", 0)


# CLIENT

FIELDS_7_2 = ("id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll omem tot-mem "
              "events cmd user redir resp lib-name lib-ver").split()


def test_client_list_has_the_fields_of_7_2(redis, node):
    with node.connect() as c, Raw(redis.port) as r:
        c.call("CLIENT", "SETNAME", "me")
        c.call("CLIENT", "SETINFO", "LIB-NAME", "lib")
        line = c.call("CLIENT", "INFO").text.strip()
        assert [f.split("=")[0] for f in line.split(" ")] == FIELDS_7_2
        theirs = [f.split("=")[0] for f in r.call("CLIENT", "INFO").text.strip().split(" ")]
        assert [f for f in FIELDS_7_2 if not f.startswith("lib-")] == theirs
        fields = dict(f.split("=", 1) for f in line.split(" "))
        assert fields["name"] == "me" and fields["lib-name"] == "lib" and fields["cmd"] == "client|info" and fields["resp"] == "2"
        assert fields["laddr"].endswith(f":{node.port}") and fields["flags"] == "N" and fields["multi"] == "-1" and fields["user"] == "default"
        c.call("MULTI")
        c.call("PING")
        with node.connect() as other:
            listed = other.call("CLIENT", "LIST", "ID", fields["id"]).text
            assert " flags=x " in listed and " multi=1 " in listed
            assert other.call("CLIENT", "LIST", "TYPE", "pubsub").value == b""


def test_client_kill(node):
    with node.connect() as killer, node.connect() as victim, node.connect() as other:
        addr = "%s:%d" % victim.sock.getsockname()
        other_id = other.call("CLIENT", "ID").value
        assert killer.call("CLIENT", "KILL", "ADDR", addr).value == 1
        assert victim.is_closed(2)
        assert killer.call("CLIENT", "KILL", "ID", other_id, "ADDR", "1.1.1.1:1").value == 0
        other.send(encode("WAIT", 9, 0))
        time.sleep(0.1)
        assert killer.call("CLIENT", "KILL", "ID", other_id).value == 1
        assert other.is_closed(2), "a client that waits is killed at once"
        me = killer.call("CLIENT", "ID").value
        assert killer.call("CLIENT", "KILL", "ID", me).value == 0, "SKIPME is the default"
        replies = until_closed(killer, encode("CLIENT", "KILL", "ID", me, "SKIPME", "no") + encode("PING"))
        assert replies == (b":1\r\n", True)
    with node.connect() as c:
        assert until_closed(c, encode("CLIENT", "KILL", "%s:%d" % c.sock.getsockname())) == (b"+OK\r\n", True)


def test_client_pause(node):
    with node.connect() as c, node.connect() as writer, node.connect() as reader, node.connect() as queued:
        c.call("SET", "p", 1)
        for words in (["MULTI"], ["INCR", "p"]):
            queued.call(*words)
        assert c.call("CLIENT", "PAUSE", 60_000, "WRITE").raw == b"+OK\r\n"
        writer.send(encode("INCR", "p") + encode("PING"))
        queued.send(encode("EXEC"))
        time.sleep(0.3)
        assert reader.call("GET", "p").value == b"1", "neither a write nor an EXEC that writes went through the pause"
        assert c.call("CLIENT", "UNPAUSE").raw == b"+OK\r\n"
        assert sorted([writer.read(5).value, queued.read(5).value[0]]) == [2, 3]
        assert writer.read(5).raw == b"+PONG\r\n"

        c.call("CLIENT", "PAUSE", 400)
        started = time.monotonic()
        assert reader.call("GET", "p").value == b"3"
        assert 0.25 < time.monotonic() - started < 3

        c.call("CLIENT", "PAUSE", 60_000)
        reader.call("CLIENT", "SETNAME", "gone")
        reader.send(encode("GET", "p"))
        time.sleep(0.1)
        reader.close()
        wait_for("a paused client that goes away is noticed", lambda: "name=gone" not in c.call("CLIENT", "LIST").text, 3)
        victim = writer.call("CLIENT", "ID").value
        writer.send(encode("GET", "p"))
        time.sleep(0.1)
        assert c.call("CLIENT", "KILL", "ID", victim).value == 1
        assert writer.is_closed(2)
        c.call("CLIENT", "UNPAUSE")


# Passwords

def test_requirepass_holds_on_all_nodes(cluster):
    leader, followers = cluster.leader(), cluster.followers()
    before = [n.connect() for n in cluster.nodes]
    for c in before:
        c.call("PING")
    admin = followers[0].connect()
    try:
        assert admin.call("CONFIG", "SET", "requirepass", "secret").raw == b"+OK\r\n"
        wait_for("every node", lambda: all(n.call("PING").raw == b"-NOAUTH Authentication required.\r\n" for n in cluster.nodes))
        for c in before:
            assert c.call("SET", "old", "connection").raw == b"+OK\r\n", "existing connections stay"
        for n in cluster.nodes:
            with n.connect() as c:
                assert c.call("GET", "a").raw.startswith(b"-NOAUTH")
                assert c.call("HELLO", 3).raw.startswith(b"-NOAUTH HELLO must be called")
                assert c.call("AUTH", "wrong").raw == b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
                assert c.call("HELLO", 3, "AUTH", "default", "wrong").raw.startswith(b"-WRONGPASS")
                assert c.call("MULTI").raw.startswith(b"-NOAUTH")
                assert c.call("AUTH", "default", "secret").raw == b"+OK\r\n"
                assert c.call("PING").raw == b"+PONG\r\n"
                assert c.call("RESET").raw == b"+RESET\r\n"
                assert c.call("PING").raw.startswith(b"-NOAUTH"), "RESET takes the authentication back"
                assert c.call("HELLO", 3, "AUTH", "default", "secret", "SETNAME", "x").kind == b"%"
                assert c.call("CLIENT", "GETNAME").value == b"x"
            with n.connect() as c:
                assert until_closed(c, b"*11\r\n")[0] == b"-ERR Protocol error: unauthenticated multibulk length\r\n"
            with n.connect() as c:
                assert until_closed(c, b"*2\r\n$4\r\nAUTH\r\n$20000\r\n")[0] == b"-ERR Protocol error: unauthenticated bulk length\r\n"
        assert leader.runs
    finally:
        assert admin.call("CONFIG", "SET", "requirepass", "").raw == b"+OK\r\n"
        wait_for("no password again", lambda: all(n.call("PING").raw == b"+PONG\r\n" for n in cluster.nodes))


# WAIT

def test_wait_tells_the_truth(cluster):
    leader, followers = cluster.leader(), cluster.followers()
    for n in cluster.nodes:
        with n.connect() as c:
            c.call("SET", "w", 1)
            assert c.call("WAIT", 2, 5000).value == 2
            assert c.call("WAITAOF", 1, 2, 5000).value == [1, 2]
    stopped, other = followers
    stopped.signal(signal.SIGSTOP)
    try:
        for n in (leader, other):
            with n.connect() as c:
                c.call("SET", "w", 2)
                started = time.monotonic()
                assert c.call("WAIT", 2, 300).value == 1, "one replica is stopped"
                assert 0.25 < time.monotonic() - started < 3
                assert c.call("WAIT", 1, 0).value == 1
                assert c.call("WAITAOF", 1, 2, 200).value == [1, 1]
                with n.connect() as gone:
                    gone.call("CLIENT", "SETNAME", "waits")
                    gone.call("SET", "w", 3)
                    gone.send(encode("WAIT", 2, 0))
                    time.sleep(0.05)
                wait_for("who waits and goes away is forgotten", lambda c=c: "name=waits" not in c.call("CLIENT", "LIST").text, 3)
    finally:
        stopped.signal(signal.SIGCONT)
    with leader.connect() as c:
        c.call("SET", "w", 4)
        assert c.call("WAIT", 2, 8000).value == 2


# What dashboards and libraries read

INFO_FIELDS = """redis_version redis_mode os arch_bits process_id run_id tcp_port uptime_in_seconds uptime_in_days hz connected_clients maxclients
    blocked_clients used_memory used_memory_human used_memory_rss used_memory_peak maxmemory maxmemory_policy mem_fragmentation_ratio mem_allocator
    loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status aof_enabled aof_rewrite_in_progress
    aof_last_write_status total_connections_received total_commands_processed instantaneous_ops_per_sec total_net_input_bytes total_net_output_bytes
    instantaneous_input_kbps instantaneous_output_kbps rejected_connections expired_keys evicted_keys keyspace_hits keyspace_misses pubsub_channels
    pubsub_patterns latest_fork_usec sync_full sync_partial_ok sync_partial_err role connected_slaves master_replid master_repl_offset
    repl_backlog_active repl_backlog_size used_cpu_sys used_cpu_user cluster_enabled total_error_replies lru_clock rdb_last_bgsave_time_sec
    aof_last_rewrite_time_sec aof_last_bgrewrite_status used_memory_lua
    maxmemory_human used_memory_peak_perc second_repl_offset repl_backlog_histlen repl_backlog_first_byte_offset""".split()


def test_info_has_what_dashboards_parse(node):
    with node.connect() as c:
        c.call("SET", "i", 1)
        text = c.call("INFO").text
        fields = dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)
        assert [f for f in INFO_FIELDS if f not in fields] == []
        assert re.fullmatch(r"keys=\d+,expires=\d+,avg_ttl=\d+", fields["db0"])
        sections = re.findall(r"^# (\w+)", text, re.M)
        assert sections == ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Modules", "Errorstats", "Cluster", "Keyspace"]
        assert set(re.findall(r"^# (\w+)", c.call("INFO", "server", "CPU").text, re.M)) == {"Server", "CPU"}
        assert c.call("INFO", "nosuch").value == b""
        for n in ("connected_clients", "used_memory", "total_commands_processed", "uptime_in_seconds", "keyspace_hits"):
            assert int(fields[n]) >= 0


# Where COMMAND INFO may differ from 7.0.15: flags, tips or positions that 7.2 changed, and what Quorate's own way of working changes.
COMMAND_FLAGS = {
    "command|getkeys": "", "command|getkeysandflags": "", "zrank": "", "zrevrank": "", "migrate": "",
    "blpop": "", "brpop": "", "brpoplpush": "", "blmove": "", "bzpopmin": "", "bzpopmax": "",
    "client|kill": "", "flushall": "", "flushdb": "", "quit": "", "wait": "", "debug": "", "shutdown": "", "role": "", "time": "", "info": "",
}


def test_command_info_agrees_with_redis(redis, node):
    with node.connect() as c, Raw(redis.port) as r:
        names = [n for n in c.call("COMMAND", "LIST").value if not n.startswith(b"quorate")]
        assert len(names) > 80 and c.call("COMMAND", "COUNT").value >= 80
        differences = []
        for name in names:
            [own], [theirs] = c.call("COMMAND", "INFO", name).items, r.call("COMMAND", "INFO", name).items
            if theirs.value is None or name.decode() in COMMAND_FLAGS:
                continue
            own, theirs = own.value, theirs.value
            for what, at in (("name", 0), ("arity", 1), ("first", 3), ("last", 4), ("step", 5)):
                if own[at] != theirs[at]:
                    differences.append((name, what, own[at], theirs[at]))
            if set(own[2]) != set(theirs[2]):
                differences.append((name, "flags", set(own[2]) ^ set(theirs[2])))
        assert differences == []
        docs = c.call("COMMAND", "DOCS").value
        assert len(docs) == 2 * c.call("COMMAND", "COUNT").value
        everything = c.call("COMMAND").value
        assert len(everything) == c.call("COMMAND", "COUNT").value and all(len(e) == 10 for e in everything)


def test_expired_keys_are_gone_for_everybody(cluster):
    for n in cluster.nodes:
        assert n.call("SET", "brief", 1, "PX", 150).raw == b"+OK\r\n"
        assert n.call("SET", "past", 1, "PXAT", 1).raw == b"+OK\r\n"
        assert n.call("GET", "past").value is None and n.call("EXISTS", "past").value == 0
        time.sleep(0.2)
        assert [m.call("GET", "brief").value for m in cluster.nodes] == [None] * 3
        assert [m.call("TTL", "brief").value for m in cluster.nodes] == [-2] * 3


# SCAN

def test_cursors_are_read_as_redis_reads_them(cluster, redis):
    """A cursor is what `strtoul` makes of it; where a scan goes on is each server's own."""
    cursors = [b"", b"0", b"-0", b"+0", b"-1", b"-5", b"00", b"18446744073709551615", b"18446744073709551616", b"-18446744073709551616",
               b"-", b"+", b"--1", b" 0", b"0 ", b"\t0", b"0x0", b"x", b"1.0", b"0\x00x", b"\x00"]
    with cluster.nodes[1].connect() as c, Raw(redis.port) as r:
        for cursor in cursors:
            answers = [server.call("SCAN", cursor) for server in (r, c)]
            assert answers[0].is_error == answers[1].is_error, (cursor, answers)
            if answers[0].is_error:
                assert answers[0].raw == answers[1].raw
            for server in (r, c):
                if cursor in (b"-1", b"18446744073709551615"):
                    assert server.call("SCAN", cursor).value[0] == b"0", "nothing is behind it"


# Random picks

def test_reads_pick_anew_however_fast_they_come(node):
    """One read after the other: neither do they repeat themselves, nor are some members picked more often than others."""
    members, picks = 10, 3000
    with node.connect() as c:
        c.call("DEL", "random")
        c.call("SADD", "random", *range(members))
        picked = [c.call("SRANDMEMBER", "random").value for _ in range(picks)]
    repeated = sum(a == b for a, b in zip(picked, picked[1:]))
    # Ten standard deviations about the mean of each.
    assert abs(repeated - picks / members) < 10 * (picks * 0.1 * 0.9) ** 0.5
    chi_square = sum((picked.count(member) - picks / members) ** 2 / (picks / members) for member in set(picked))
    assert len(set(picked)) == members and chi_square < members + 10 * (2 * members) ** 0.5
