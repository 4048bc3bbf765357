"""MIGRATE: a key is here, or at the target, or in both places; never in none, and never half."""

import shutil
import socket
import subprocess
import threading
import time

import pytest

from cluster import eventually, free_ports
from resp_client import Connection, ErrorReply

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server")
TIMEOUT_MS = 5_000


class Redis:
    """A redis-server without persistence."""

    def __init__(self, folder, *options):
        self.port = next(free_ports())
        command = ["redis-server", "--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", str(folder), *options]
        with (folder / f"redis-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(lambda: socket.create_connection(self.address, 1).close() or True, "redis-server listens")

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def connect(self, timeout=10.0):
        return Connection(self.address, timeout)

    def stop(self):
        self.process.terminate()
        self.process.wait(15)


@pytest.fixture
def redis(tmp_path):
    server = Redis(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def node(make_cluster):
    return make_cluster().start(1).nodes[0]


@pytest.fixture
def here(node):
    with node.connect() as connection:
        yield connection


@pytest.fixture
def there(redis):
    with redis.connect() as connection:
        yield connection


def migrate(connection, port, key, *options, db=0, timeout=TIMEOUT_MS):
    return connection.call("MIGRATE", "127.0.0.1", port, key, db, timeout, *options)


def refused(connection, port, key, *options, **more):
    with pytest.raises(ErrorReply) as error:
        migrate(connection, port, key, *options, **more)
    return str(error.value)


class Target:
    """A server that does what a test tells it to. `serve` gets each connection and its number."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.serve, self.failure, self.accepted = serve, None, 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                with connection:
                    connection.settimeout(30)
                    self.serve(connection, self.accepted)
            except Exception as error:  # noqa: BLE001, looked at by the test
                self.failure = error

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


@pytest.fixture
def target():
    targets = []

    def make(serve):
        targets.append(Target(serve))
        return targets[-1]

    yield make
    for t in targets:
        t.close()
        assert t.failure is None, repr(t.failure)


def commands(connection):
    """The commands that arrive on a socket, each a list."""
    with connection.makefile("rb") as stream:
        while line := stream.readline():
            assert line.startswith(b"*"), line
            words = []
            for _ in range(int(line[1:])):
                length = int(stream.readline()[1:])
                words.append(stream.read(length + 2)[:-2])
            yield words


VALUES = {
    "string": [("SET", "string", "text")],
    "number": [("SET", "number", -123456)],
    "large": [("SET", "large", "x" * 5_000_000)],
    "list": [("RPUSH", "list", *range(5000))],
    "ints": [("SADD", "ints", 1, 2, 300000)],
    "small-set": [("SADD", "small-set", "a", "b", "7")],
    "set": [("SADD", "set", *(f"m{i}" for i in range(2000)))],
    "hash": [("HSET", "hash", "f", "v", "g", 12)],
    "zset": [("ZADD", "zset", 1, "a", 2.5, "b", "-inf", "c")],
    "stream": [
        ("XADD", "stream", "1-1", "f", "v"),
        ("XADD", "stream", "2-1", "g", "w"),
        ("XGROUP", "CREATE", "stream", "group", 0),
        ("XREADGROUP", "GROUP", "group", "alice", "COUNT", 1, "STREAMS", "stream", ">"),
    ],
}
LOOKS = {
    "string": lambda k: ("GET", k),
    "list": lambda k: ("LRANGE", k, 0, -1),
    "set": lambda k: ("SMEMBERS", k),
    "hash": lambda k: ("HGETALL", k),
    "zset": lambda k: ("ZRANGE", k, 0, -1, "WITHSCORES"),
    "stream": lambda k: ("XRANGE", k, "-", "+"),
}


def contents(connection, key):
    kind = connection.call("TYPE", key)
    if kind == "none":
        return None
    value = connection.call(*LOOKS[kind](key))
    if kind == "stream":
        pending = [entry[:2] + entry[3:] for entry in connection.call("XPENDING", key, "group", "-", "+", 10)]
        value = [value, pending]
    return kind, sorted(value) if kind == "set" else value


def test_every_type_goes_to_redis_and_comes_back(node, redis, here, there):
    before = {}
    for key, lines in VALUES.items():
        for line in lines:
            here.call(*line)
        before[key] = contents(here, key)
    here.call("PEXPIRE", "hash", 100_000)
    for key in VALUES:
        assert migrate(here, redis.port, key, db=3) == "OK"
    assert here.call("DBSIZE") == 0
    there.call("SELECT", 3)
    assert {key: contents(there, key) for key in VALUES} == before
    assert 90_000 < there.call("PTTL", "hash") <= 100_000
    assert there.call("PTTL", "list") == -1

    # Redis does the moving now.
    assert migrate(there, node.port, "", "KEYS", *VALUES, db=0) == "OK"
    assert there.call("DBSIZE") == 0
    assert {key: contents(here, key) for key in VALUES} == before
    assert 80_000 < here.call("PTTL", "hash") <= 100_000


def test_from_one_cluster_to_another_through_followers(make_cluster):
    first, second = make_cluster().start(3), make_cluster().start(3)
    from_, to = (next(n for n in cluster.nodes if n is not cluster.leader()) for cluster in (first, second))
    with from_.connect() as source, to.connect() as destination:
        for lines in VALUES.values():
            for line in lines:
                source.call(*line)
        before = {key: contents(source, key) for key in VALUES}
        assert migrate(source, to.port, "", "KEYS", *VALUES, "missing", db=1) == "OK"
        assert source.call("DBSIZE") == 0
        destination.call("SELECT", 1)
        assert {key: contents(destination, key) for key in VALUES} == before
    first.wait_caught_up()
    assert len({node.full_digest()[1] for node in first.nodes}) == 1


def test_what_is_not_there_is_no_error(redis, here, there):
    assert migrate(here, redis.port, "missing") == "NOKEY"
    assert migrate(here, redis.port, "", "KEYS", "missing", "nor-this") == "NOKEY"
    assert migrate(here, 1, "missing") == "NOKEY", "nobody connects for nothing"
    here.call("SET", "a", 1)
    here.call("SET", "b", 2)
    assert migrate(here, redis.port, "", "KEYS", "missing", "a", "b", "a", "none") == "OK"
    assert (here.call("EXISTS", "a", "b"), there.call("MGET", "a", "b")) == (0, [b"1", b"2"])


def test_a_copy_stays(redis, here, there):
    here.call("SET", "k", "v")
    assert migrate(here, redis.port, "k", "COPY") == "OK"
    assert (here.call("GET", "k"), there.call("GET", "k")) == (b"v", b"v")


def test_only_with_replace_is_a_key_of_the_target_replaced(redis, here, there):
    here.call("MSET", "k", "ours", "other", 1)
    there.call("SET", "k", "theirs")
    text = refused(here, redis.port, "", "KEYS", "k", "other")
    assert text == "ERR Target instance replied with error: BUSYKEY Target key name already exists."
    assert (here.call("GET", "k"), there.call("GET", "k")) == (b"ours", b"theirs")
    assert (here.call("EXISTS", "other"), there.call("GET", "other")) == (0, b"1"), "the others have gone"
    assert migrate(here, redis.port, "k", "REPLACE") == "OK"
    assert (here.call("EXISTS", "k"), there.call("GET", "k")) == (0, b"ours")


def test_passwords(tmp_path, here):
    server = Redis(tmp_path, "--requirepass", "secret")
    try:
        here.call("SET", "k", "v")
        assert "NOAUTH" in refused(here, server.port, "k")
        assert "WRONGPASS" in refused(here, server.port, "k", "AUTH", "wrong")
        assert "WRONGPASS" in refused(here, server.port, "k", "AUTH2", "nobody", "secret")
        assert here.call("GET", "k") == b"v"
        assert migrate(here, server.port, "k", "COPY", "AUTH2", "default", "secret") == "OK"
        assert migrate(here, server.port, "", "REPLACE", "AUTH", "secret", "KEYS", "k") == "OK"
        assert here.call("EXISTS", "k") == 0
    finally:
        server.stop()


def test_errors_are_those_of_redis(redis, here, there):
    lines = [
        ("MIGRATE", "127.0.0.1", 1, "k", 0),
        ("MIGRATE", "127.0.0.1", 1, "k", 0, "x"),
        ("MIGRATE", "127.0.0.1", 1, "k", "x", 10),
        ("MIGRATE", "127.0.0.1", 1, "k", 0, 10, "NOPE"),
        ("MIGRATE", "127.0.0.1", 1, "k", 0, 10, "AUTH"),
        ("MIGRATE", "127.0.0.1", 1, "k", 0, 10, "AUTH2", "name"),
        ("MIGRATE", "127.0.0.1", 1, "k", 0, 10, "KEYS", "k"),
        ("MIGRATE", "127.0.0.1", 1, "k", 0, 100),
        ("MIGRATE", "127.0.0.1", "port", "k", 0, 100),
        ("MIGRATE", "no-such-host.invalid", 1, "k", 0, 100),
        ("MIGRATE", "127.0.0.1", 1, "", 0, 100, "COPY", "KEYS", "k", "REPLACE"),
        ("MIGRATE", "127.0.0.1", 1, "", 0, 100, "KEYS"),
    ]
    for connection in (here, there):
        connection.call("SET", "k", "v")
    for line in lines:
        replies = [connection.pipeline([line])[0] for connection in (here, there)]
        assert str(replies[0]) == str(replies[1]), line
    assert "ERR Target instance replied with error: ERR DB index is out of range" == refused(here, redis.port, "k", db=99)
    assert here.call("GET", "k") == b"v"


def test_not_within_a_transaction_or_a_script(redis, here):
    here.call("SET", "k", "v")
    here.call("MULTI")
    assert "not allowed inside a transaction" in refused(here, redis.port, "k")
    with pytest.raises(ErrorReply, match="EXECABORT"):
        here.call("EXEC")
    with pytest.raises(ErrorReply, match="not allowed from script"):
        here.call("EVAL", "return redis.call('MIGRATE', '127.0.0.1', '1', 'k', '0', '10')", 0)
    assert here.call("GET", "k") == b"v"


def test_a_target_that_is_silent_costs_time_and_no_key(here, target):
    silent = target(lambda connection, _: connection.recv(1) and eventually(lambda: not connection.recv(4096), "it hangs up"))
    here.call("SET", "k", "v")
    began = time.monotonic()
    assert refused(here, silent.port, "k", timeout=200) == "IOERR error or timeout reading to target instance"
    assert 0.19 < time.monotonic() - began < 5
    assert here.call("GET", "k") == b"v"


def test_others_are_served_meanwhile(node, here, target):
    asked, answer = threading.Event(), threading.Event()

    def serve(connection, _):
        for words in commands(connection):
            if words[0] == b"RESTORE":
                asked.set()
                assert answer.wait(20)
            connection.sendall(b"+OK\r\n")

    slow = target(serve)
    here.call("SET", "k", "v")
    here.send("MIGRATE", "127.0.0.1", slow.port, "k", 0, 20_000)
    assert asked.wait(20)
    with node.connect() as other:
        assert other.call("GET", "k") == b"v"
        assert other.call("INCR", "n") == 1
    answer.set()
    assert here.receive() == "OK"
    assert here.call("EXISTS", "k") == 0


def test_a_target_that_stops_in_the_middle_gets_what_it_has_acknowledged(here, target):
    stops_after = 3

    def serve(connection, _):
        taken = 0
        for words in commands(connection):
            if words[0] == b"RESTORE":
                taken += 1
                if taken > stops_after:
                    return
            connection.sendall(b"+OK\r\n")

    server = target(serve)
    keys = [f"k{i}" for i in range(10)]
    here.call("MSET", *(word for key in keys for word in (key, "v")))
    text = refused(here, server.port, "", "KEYS", *keys)
    assert text == "IOERR error or timeout reading to target instance"
    assert [here.call("EXISTS", key) for key in keys] == [0] * stops_after + [1] * (len(keys) - stops_after)


def test_a_connection_that_breaks_while_a_large_value_is_sent(here, target):
    server = target(lambda connection, _: connection.recv(1 << 16) and connection.sendall(b"+OK\r\n") or connection.recv(1 << 16))
    here.call("SET", "k", "x" * 30_000_000)
    assert refused(here, server.port, "k").startswith("IOERR error or timeout ")
    assert here.call("STRLEN", "k") == 30_000_000


def test_a_redis_that_is_killed_in_the_middle(tmp_path, node):
    server = Redis(tmp_path)
    keys = [f"k{i}" for i in range(60)]
    with node.connect() as connection:
        for key in keys:
            connection.call("SET", key, key * 100_000)
        connection.send("MIGRATE", "127.0.0.1", server.port, "", 0, TIMEOUT_MS, "KEYS", *keys)
        with node.connect() as other:
            eventually(lambda: other.call("DBSIZE") < len(keys), "the first keys have gone")
        server.process.kill()
        server.process.wait(10)
        reply = connection.receive()
        assert reply == "OK" or str(reply).startswith("IOERR "), reply
        left = [key for key in keys if connection.call("EXISTS", key)]
        assert (reply == "OK") == (not left)
        for key in left:
            assert connection.call("STRLEN", key) == len(key) * 100_000


def test_what_is_written_meanwhile_stays(node, here, target):
    """Without REPLACE: the key stays, and the error says why."""
    sent = []

    def serve(connection, _):
        for words in commands(connection):
            if words[0] == b"RESTORE":
                sent.append(words)
                with node.connect() as other:
                    other.call("APPEND", "k", "+")
            connection.sendall(b"+OK\r\n")

    server = target(serve)
    here.call("MSET", "k", "v", "other", 1)
    text = refused(here, server.port, "k")
    assert text.startswith("ERR the key 'k' changed while it was sent"), text
    assert (here.call("GET", "k"), len(sent)) == (b"v+", 1)
    assert refused(here, server.port, "k", "REPLACE").startswith("ERR the key 'k' changed")
    assert (here.call("GET", "k"), len(sent)) == (b"v++++", 4), "sent again a few times, then given up"


def test_a_key_that_changes_once_is_sent_again_with_replace(node, redis, here, there, target):
    def serve(connection, _):
        with redis.connect() as forward:
            for words in commands(connection):
                forward.send(*words)
                reply = forward.receive()
                if words[0] == b"RESTORE" and reply == "OK" and not changes:
                    with node.connect() as other:
                        changes.append(other.call("RPUSH", "k", "late"))
                connection.sendall(b"+OK\r\n" if reply == "OK" else f"-{reply}\r\n".encode())

    changes = []
    server = target(serve)
    here.call("RPUSH", "k", "early")
    assert migrate(here, server.port, "k", "REPLACE") == "OK"
    assert (here.call("EXISTS", "k"), there.call("LRANGE", "k", 0, -1)) == (0, [b"early", b"late"])


@pytest.mark.parametrize("change", [("DEL", "k"), ("EXPIRE", "k", 1000), ("SET", "k", "v"), ("FLUSHALL",), ("RENAME", "k", "l")])
def test_every_kind_of_change_is_seen(node, here, target, change):
    def serve(connection, _):
        for words in commands(connection):
            if words[0] == b"RESTORE":
                with node.connect() as other:
                    other.call(*change)
            connection.sendall(b"+OK\r\n")

    server = target(serve)
    here.call("SET", "k", "v")
    assert "changed while it was sent" in refused(here, server.port, "k")
    assert here.call("EXISTS", "k", "l") == (0 if change[0] in ("DEL", "FLUSHALL") else 1)


def test_a_key_that_goes_for_good_while_it_is_sent_again(node, here, target):
    def serve(connection, _):
        for words in commands(connection):
            if words[0] == b"RESTORE":
                with node.connect() as other:
                    other.call("DEL", "k")
            connection.sendall(b"+OK\r\n")

    server = target(serve)
    here.call("SET", "k", "v")
    assert "was deleted here while it was sent" in refused(here, server.port, "k", "REPLACE")


def test_a_key_that_expires_on_its_way_has_arrived(redis, here, there, target):
    def serve(connection, _):
        for words in commands(connection):
            if words[0] == b"RESTORE":
                assert 0 < int(words[2]) <= 150
                time.sleep(0.3)
            connection.sendall(b"+OK\r\n")

    server = target(serve)
    here.call("SET", "k", "v", "PX", 150)
    assert migrate(here, server.port, "k") == "OK"
    assert here.call("EXISTS", "k") == 0


def test_to_itself_nothing_is_lost(make_cluster):
    cluster = make_cluster().start(3)
    node, other = cluster.nodes[:2]
    with node.connect() as connection:
        connection.call("SET", "k", "v")
        for port in (node.port, other.port):
            assert "BUSYKEY" in refused(connection, port, "k")
            assert "changed while it was sent" in refused(connection, port, "k", "REPLACE")
            assert connection.call("GET", "k") == b"v"
        assert migrate(connection, other.port, "k", db=7) == "OK"
        assert connection.call("EXISTS", "k") == 0
        connection.call("SELECT", 7)
        assert connection.call("GET", "k") == b"v"


def test_many_keys_and_many_at_once(redis, node, there):
    clients, each = 8, 500
    failures = []

    def move(number):
        try:
            with node.connect(timeout=60) as connection:
                keys = [f"{number}:{i}" for i in range(each)]
                connection.pipeline([("SET", key, key) for key in keys])
                assert migrate(connection, redis.port, "", "KEYS", *keys, timeout=30_000) == "OK"
        except BaseException as error:  # noqa: BLE001, looked at below
            failures.append(error)

    threads = [threading.Thread(target=move, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures, failures
    with node.connect() as connection:
        assert connection.call("DBSIZE") == 0
    assert there.call("DBSIZE") == clients * each
