"""Clients that ask for as much as they can: a node's memory stays bounded, others are served, nothing is lost (issue 5).

Each attack goes to the leader of three nodes. Meanwhile a client on every node counts, one by one. Limits on what clients
hold of commands and answers are in test_client_memory.py and test_queue_memory.py.
"""

import contextlib
import itertools
import threading
import time

import pytest

from cluster import eventually
from resp_client import Connection, ErrorReply, encode

KB, MB = 1 << 10, 1 << 20
# What all clients of a node may have it remember: names that they listen to, keys that they watch. And the table of
# client-side caching.
REGISTERED_MAX = 256 * MB
# Beside what is bounded: replies and batches on their way, what the allocator keeps, and that it takes more for small pieces.
BASE_BYTES = 160 * MB
# How long an answer may take on a machine that does much else.
PATIENCE = 60


class Others:
    """Clients that count on every node, and what is true when an attack is over."""

    def __init__(self, cluster, attacked, allowed):
        self.cluster, self.attacked, self.allowed = cluster, attacked, allowed
        self.ending, self.errors, self.done = threading.Event(), [], {}
        with open(f"/proc/{attacked.process.pid}/clear_refs", "w") as peak:
            peak.write("5")  # the highest value begins anew
        self.before = memory(attacked, "VmRSS")
        self.threads = [threading.Thread(target=self.count, args=(node,), daemon=True) for node in cluster.nodes]

    def count(self, node):
        key, n = f"counter:{node.number}", 0
        try:
            with node.connect(timeout=PATIENCE) as connection:
                if self.password:
                    connection.call("AUTH", self.password)
                while not self.ending.is_set():
                    n += 1
                    assert connection.call("INCR", key) == n, "a write was lost, or applied twice"
                    assert connection.call("PING") == "PONG"
                    self.done[node.number] = n
                    time.sleep(0.01)
        except Exception as error:
            self.errors.append(f"{node}, after {n}: {error!r}")

    password = None

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(2 * PATIENCE)
        if kind:
            return
        assert not any(thread.is_alive() for thread in self.threads), "somebody got no answer"
        assert not self.errors, self.errors
        highest = memory(self.attacked, "VmHWM") - self.before
        assert highest <= self.allowed, f"{highest // MB} MB more, of which {self.allowed // MB} are allowed"
        self.highest = highest

    def served_again(self):
        """Until each of them has got an answer to something that it asked from now on."""
        before = dict(self.done)
        reached = lambda: all(self.done.get(node.number, 0) > before.get(node.number, 0) + 1 for node in self.cluster.nodes)  # noqa: E731
        eventually(lambda: self.errors or reached(), "others are served", timeout=PATIENCE)


def memory(node, field):
    status = open(f"/proc/{node.process.pid}/status").read()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field + ":")) * KB


@pytest.fixture
def attack(cluster, figures):
    """Makes `Others`, with all of the cluster's checks behind them."""
    made = []

    def make(allowed=BASE_BYTES, password=None):
        others = Others(cluster, cluster.leader(), allowed)
        others.password = password
        made.append(others)
        return others

    yield make
    for others in made:
        figures(highest_mb=getattr(others, "highest", 0) // MB, allowed_mb=others.allowed // MB, counted=others.done)
    cluster.wait_caught_up()
    cluster.assert_digests_equal()


def send_in_background(connection, chunks):
    """Sends while somebody else reads, as long as the connection lives."""

    def run():
        with contextlib.suppress(OSError):
            for chunk in chunks:
                connection.sock.sendall(chunk)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def flood(connection, commands):
    """Sends commands and reads what comes back, until one is refused. Returns the error; none if the connection has ended."""
    send_in_background(connection, (encode(*command) for command in commands))
    tail = b"\r\n"
    with contextlib.suppress(OSError):
        while data := connection.sock.recv(1 << 20):
            before, error, after = (tail + data).partition(b"\r\n-")
            if error:
                return after.partition(b"\r\n")[0].decode()
            tail = before[-2:]
    return None


def lines(connection, command, count):
    """Sends one command many times, and reads as many lines."""
    send_in_background(connection, [command * 1000] * (count // 1000) + [command * (count % 1000)])
    read, left = bytearray(), count
    while left:
        data = connection.sock.recv(1 << 20)
        assert data, "the connection was closed"
        read += data
        left -= data.count(b"\n")
    return bytes(read)


def drain(connection):
    """Reads whatever comes, in the background."""

    def run():
        with contextlib.suppress(OSError):
            while connection.sock.recv(1 << 20):
                pass

    threading.Thread(target=run, daemon=True).start()


def names(prefix, count, size):
    """Different names of one length."""
    return [f"{prefix}{n:08}".ljust(size, "x") for n in range(count)]


# Subscriptions.


@pytest.mark.parametrize("command", ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"])
def test_a_flood_of_subscriptions_by_one_client(cluster, attack, long, command):
    count, size = (1_200_000, 100) if long else (40_000, 8_000)
    commands = ([command, *names(f"{start}:", 500, size)] for start in range(0, count, 500))
    with attack(REGISTERED_MAX * (2 if long else 1) + BASE_BYTES) as others:
        node = others.attacked
        flooder = node.connect(timeout=PATIENCE)
        assert "256 MB" in flood(flooder, commands)
        others.served_again()
        # Somebody else finds room: who has most of it goes.
        with node.connect(timeout=PATIENCE) as other, node.connect(timeout=PATIENCE) as publisher:
            wanted = names("other:", count // 50, size)
            replies = [other.call("SUBSCRIBE", *wanted), *(other.receive() for _ in wanted[1:])]
            assert [reply[2] for reply in replies] == list(range(1, len(wanted) + 1))
            eventually(lambda: node.call("PUBSUB", "NUMPAT", timeout=PATIENCE) == 0, "the patterns of the other are gone")
            assert publisher.call("PUBLISH", wanted[0], "m") == 1
            assert other.receive()[2] == b"m"
        flooder.close()
        others.served_again()
        assert int(node.info("stats")["evicted_clients"]) == 1


def test_a_flood_of_subscriptions_by_many_clients(cluster, attack):
    with attack(REGISTERED_MAX + BASE_BYTES) as others:
        node, ended = others.attacked, []

        def run(n):
            commands = ([("PSUBSCRIBE", "SUBSCRIBE")[n % 2], *names(f"{n}:{start}:", 100, 8_000)] for start in range(0, 5_000, 100))
            with node.connect(timeout=PATIENCE) as connection:
                # Who gets all that it asks for ends by itself.
                ended.append(flood(connection, itertools.chain(commands, [["QUIT"]])))

        flooders = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(8)]
        for flooder in flooders:
            flooder.start()
        while any(flooder.is_alive() for flooder in flooders):
            # Whoever asks for little finds room and is heard, however much others ask for.
            with node.connect(timeout=PATIENCE) as listener:
                assert listener.call("SUBSCRIBE", "news")[2] == 1
                assert node.call("PUBLISH", "news", "m", timeout=PATIENCE) == 1
                assert listener.receive() == [b"message", b"news", b"m"]
            others.served_again()
        # Each was refused something, or had to go.
        assert len(ended) == len(flooders) and all(error is None or "256 MB" in error for error in ended), ended
        eventually(lambda: node.call("PUBSUB", "NUMPAT", timeout=PATIENCE) == 0, "all of it is forgotten", timeout=PATIENCE)


def test_patterns_that_are_hard_to_match(cluster, attack):
    """One after the other would take a step for each pair of bytes: minutes. Everybody would wait."""
    with attack() as others:
        node = others.attacked
        with node.connect(timeout=PATIENCE) as listener, node.connect(timeout=PATIENCE) as c:
            for n in range(30):
                # One letter more at the front than `b` ends: all of it fits everywhere but at the end.
                listener.call("PSUBSCRIBE", "*" + "a" * (16_000 - n) + "b")
                listener.call("PSUBSCRIBE", "*" + "?a" * (500 - n) + "b*")
            listener.call("PSUBSCRIBE", "*a*a*a*a")
            assert c.call("PUBLISH", "a" * 64_000, "m") == 1
            assert listener.receive()[3] == b"m"
            # A message from another node finds the same.
            assert cluster.others(node)[0].call("PUBLISH", "a" * 64_000, "n", timeout=PATIENCE) == 0
            assert listener.receive()[3] == b"n"
            with pytest.raises(ErrorReply, match="at most 16 KB"):
                c.call("PSUBSCRIBE", "a*" * 8_193)
            with pytest.raises(ErrorReply, match="too hard to match"):
                c.call("PSUBSCRIBE", "*" + "?a" * 8_000 + "b*")
        with node.connect(timeout=PATIENCE) as c:
            for n in range(30):
                c.call("SET", "a" * (40_000 + n), n)
            for bomb in ["a*" * 10_000 + "b", "*" + "a" * 20_000 + "b", "*" + "a?" * 200 + "b*", "*[" + "b-y" * 5_000 + "]"]:
                assert c.call("KEYS", bomb) == []
                assert c.call("SCAN", 0, "MATCH", bomb, "COUNT", 1000)[1] == []
            c.call("SADD", "set", "a" * 50_000)
            bomb = "*" + "a?" * 10_000 + "b*"
            for line in (["KEYS", bomb], ["SCAN", 0, "MATCH", bomb, "COUNT", 1000], ["SSCAN", "set", 0, "MATCH", bomb]):
                with pytest.raises(ErrorReply, match="too hard to match"):
                    c.call(*line)
            huge = "a" * 2_500_000
            c.call("SET", huge, "x")
            for bomb in ["*" + "a?" * 1_000_000 + "b*", "*" + "a" * 2_000_000 + "b"]:
                with pytest.raises(ErrorReply, match="too hard to match"):
                    c.call("KEYS", bomb)
            c.call("DEL", huge)
            for line in (["CONFIG", "GET"], ["COMMAND", "LIST", "FILTERBY", "PATTERN"]):
                with pytest.raises(ErrorReply, match="too hard to match"):
                    c.call(*line, "*[" + "\\." * 4_000_000 + "]")
            assert len(c.call("KEYS", "*" + "?" * 40_028 + "a*")) == 1
        others.served_again()


# What is told unasked.


@pytest.mark.parametrize("what", ["SUBSCRIBE", "MONITOR"])
def test_readers_that_do_not_read_what_they_are_told(make_cluster, figures, what):
    """No limit of their own: what waits for all of them together is bounded."""
    settings = ["queue-memory-limit=64mb", "client-output-buffer-limit=normal 0 0 0 pubsub 0 0 0"]
    cluster = make_cluster(settings).start(3)
    with Others(cluster, cluster.leader(), 64 * MB + BASE_BYTES) as others:
        node, count, message = others.attacked, 250, "x" * 100_000
        slow = [node.connect(timeout=PATIENCE) for _ in range(20)]
        quick = node.connect(timeout=PATIENCE)
        for listener in [*slow, quick]:
            listener.send(*(["SUBSCRIBE", "flood"] if what == "SUBSCRIBE" else ["MONITOR"]))
        quick.receive()
        heard = []

        def listen():
            while len(heard) < count:
                line = quick.receive()
                if what == "SUBSCRIBE" or message in line:
                    heard.append(line)

        reader = threading.Thread(target=listen, daemon=True)
        reader.start()
        with node.connect(timeout=PATIENCE) as c:
            for n in range(count):
                # Not faster than somebody reads who does.
                eventually(lambda: len(heard) >= n - 5, "the quick one is told", timeout=PATIENCE, interval=0.001)
                if what == "SUBSCRIBE":
                    c.call("PUBLISH", "flood", message)
                else:
                    c.call("ECHO", message)
        reader.join(PATIENCE)
        assert len(heard) == count
        assert int(node.info("memory")["quorate_queue_replies_bytes"]) <= 16 * MB + 20 * MB
        # All were sent 25 MB each: most are closed.
        clients = node.call("CLIENT", "LIST", timeout=PATIENCE).decode()
        flag = " flags=P" if what == "SUBSCRIBE" else " flags=O"
        assert clients.count(flag) < 20, clients
        others.served_again()
        for listener in slow:
            listener.close()
    figures(highest_mb=others.highest // MB)
    cluster.wait_caught_up()
    cluster.assert_digests_equal()


# What is remembered.


def test_a_flood_of_watched_keys(cluster, attack):
    with attack(2 * REGISTERED_MAX) as others:
        node = others.attacked
        flooder = node.connect(timeout=PATIENCE)
        assert "256 MB" in flood(
            flooder, (["WATCH", *names(f"{start}:", 100, 10 * KB)] for start in range(0, 30_000, 100))
        )
        with node.connect(timeout=PATIENCE) as c:
            # As much as the other had left, and more: that one goes.
            assert c.call("WATCH", *names("mine:", 100, 10 * KB)) == "OK"
            c.call("MULTI")
            c.call("SET", "k", "v")
            assert c.call("EXEC") == ["OK"]
            for _ in range(3):
                assert c.call("WATCH", *names("mine:", 500, 10 * KB)) == "OK"
                assert c.call("UNWATCH") == "OK"
        flooder.close()
        others.served_again()


def test_a_watch_that_is_refused_watches_nothing(cluster, attack):
    # What is kept, and twice a command that brings two hundred megabytes.
    with attack(REGISTERED_MAX + 2 * 210 * MB + BASE_BYTES) as others:
        node = others.attacked
        with node.connect(timeout=PATIENCE) as c:
            # It has asked for much else, so that there is no room for many keys.
            prefixes = [part for name in names("", 10_000, 20 * KB) for part in ("PREFIX", name)]
            assert c.call("CLIENT", "TRACKING", "ON", "REDIRECT", c.call("CLIENT", "ID"), "BCAST", *prefixes) == "OK"
            with pytest.raises(ErrorReply, match="256 MB"):
                c.call("WATCH", "early", *names("more:", 8_000, 10 * KB))
            node.call("SET", "early", "changed")
            c.call("MULTI")
            c.call("SET", "k", "v")
            assert c.call("EXEC") == ["OK"], "a key of what was refused is watched"
            # All of it is forgotten, and there is room again; what is watched twice counts once.
            for _ in range(3):
                few = names("few:", 1_000, 10 * KB)
                assert c.call("WATCH", "early", *few, *few) == "OK"
            node.call("SET", "early", "changed again")
            c.call("MULTI")
            assert c.call("EXEC") is None
        others.served_again()


def test_a_table_of_long_keys(cluster, attack):
    node = cluster.leader()
    node.call("CONFIG", "SET", "tracking-table-max-keys", 0)
    with attack(2 * REGISTERED_MAX) as others:
        flooder = node.connect(timeout=PATIENCE)
        told = node.connect(timeout=PATIENCE)
        flooder.call("CLIENT", "TRACKING", "ON", "REDIRECT", told.call("CLIENT", "ID"))
        told.call("SUBSCRIBE", "__redis__:invalidate")
        drain(told)
        count, size = 30_000, 10 * KB
        keys = names("key:", count, size)
        for start in range(0, count, 100):
            flooder.pipeline([("GET", key) for key in keys[start : start + 100]])
        tracked = int(node.info("stats")["tracking_total_keys"])
        assert REGISTERED_MAX // (2 * size) < tracked <= REGISTERED_MAX // size, tracked
        others.served_again()
        told.close()
        flooder.close()
        eventually(lambda: int(node.info("stats")["tracking_total_keys"]) == 0, "all of it is forgotten")
        others.served_again()


def test_floods_of_prefixes(cluster, attack):
    """Not many by one, and not much by all."""
    # What is kept, and twice a command that brings a hundred megabytes: as it came, and as it is carried out.
    with attack(REGISTERED_MAX + 2 * 110 * MB + BASE_BYTES) as others:
        node = others.attacked
        many = [part for n in range(10_001) for part in ("PREFIX", f"p{n:05}")]
        with node.connect(timeout=PATIENCE) as c:
            with pytest.raises(ErrorReply, match="10000 prefixes"):
                c.call("CLIENT", "TRACKING", "ON", "BCAST", *many)
            assert c.call("CLIENT", "TRACKING", "ON", "BCAST", *many[2:]) == "OK"
            with pytest.raises(ErrorReply, match="10000 prefixes"):
                c.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "q")
            long_ones = [part for n in range(10_000) for part in ("PREFIX", f"{n:05}".ljust(10 * KB, "x"))]
            flooders = [node.connect(timeout=PATIENCE) for _ in range(3)]
            tracking = ("CLIENT", "TRACKING", "ON", "BCAST", *long_ones)
            assert [one.call(*tracking) for one in flooders[:2]] == ["OK", "OK"]
            with pytest.raises(ErrorReply, match="256 MB"):
                flooders[2].call(*tracking)
            assert int(node.info("stats")["tracking_total_prefixes"]) >= 10_000
            for one in flooders:
                one.close()
        others.served_again()


def test_names_and_descriptions_of_clients_are_short(cluster, attack):
    with attack() as others:
        node = others.attacked
        with node.connect(timeout=PATIENCE) as c:
            for command in [
                ["CLIENT", "SETNAME"],
                ["CLIENT", "SETINFO", "LIB-NAME"],
                ["CLIENT", "SETINFO", "LIB-VER"],
                ["HELLO", "2", "SETNAME"],
            ]:
                with pytest.raises(ErrorReply, match="at most 4096 bytes"):
                    c.call(*command, "x" * 4097)
                with pytest.raises(ErrorReply, match="special characters"):
                    c.call(*command, b"\x00\xff\n")
                c.call(*command, "x" * 4096)
            for n in range(200):
                with pytest.raises(ErrorReply):
                    c.call("AUTH", f"user{n}" + "y" * 16_000, "wrong")
            assert len(c.call("ACL", "LOG", 1000)) == 128
            assert len(str(c.call("ACL", "LOG", 1000))) < 128 * 16 * KB
        others.served_again()


# Commands.


def test_transactions_of_a_million_commands(cluster, attack, long):
    with attack(REGISTERED_MAX + BASE_BYTES) as others:
        node = others.attacked
        with node.connect(timeout=2 * PATIENCE) as c:
            # More than a transaction may hold: it says so, and does nothing.
            count = (1 << 20) + 10
            assert c.call("MULTI") == "OK"
            c.call("SET", "not", "applied")
            assert b"too large" in lines(c, encode("PING"), count)
            with pytest.raises(ErrorReply, match="^EXECABORT"):
                c.call("EXEC")
            assert c.call("EXISTS", "not") == 0
            others.served_again()
            # As many as fit are applied as one.
            count = 1_000_000 if long else 200_000
            assert c.call("MULTI") == "OK"
            assert lines(c, encode("INCR", "sum"), count) == b"+QUEUED\r\n" * count
            assert c.call("EXEC")[-1] == count
        for other in cluster.nodes:
            assert other.call("GET", "sum", timeout=2 * PATIENCE) == b"%d" % count
        others.served_again()


def test_halves_of_commands(make_cluster, figures):
    """Each client has begun something, and goes on with a byte now and then."""
    cluster = make_cluster(["queue-memory-limit=64mb"]).start(3)
    halves = [
        b"*1000000\r\n$3\r\nDEL\r\n" + b"$1\r\na\r\n" * 5_000,
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n" + bytes(30_000),
        b"SET k " + b"x" * 60_000,
        b"*2\r\n$3\r\nGET\r\n$60000\r\n" + b"x" * 50_000,
        b"*",
        b"$",
        b"*1048576\r\n",
    ]
    # What is below 64 KiB is not counted, for each client; twice that, as buffers grow.
    count = 420
    with Others(cluster, cluster.leader(), 64 * MB + count * 128 * KB + 64 * MB) as others:
        slow = [others.attacked.connect(timeout=PATIENCE) for _ in range(count)]
        for n, client in enumerate(slow):
            client.sock.sendall(halves[n % len(halves)])
        for byte in b"x\r\n":
            for client in slow:
                with contextlib.suppress(OSError):  # that was no RESP
                    client.sock.sendall(bytes([byte]))
            others.served_again()
        for client in slow:
            client.close()
        others.served_again()
    figures(highest_mb=others.highest // MB)
    cluster.assert_digests_equal()


# Who gets in.


def test_a_flood_of_connections(make_cluster):
    cluster = make_cluster().start(3)
    node = cluster.leader()
    node.call("CONFIG", "SET", "maxclients", 200)
    with Others(cluster, node, BASE_BYTES) as others:
        others.served_again()
        held, refused = [], 0
        for _ in range(700):
            try:
                held.append(Connection(node.address, PATIENCE))
                held[-1].send("PING")
            except OSError:
                refused += 1
        answers = []
        for connection in held:
            try:
                answers.append(str(connection.receive()))
            except OSError:
                answers.append("closed")
        assert 150 <= answers.count("PONG") <= 200, answers.count("PONG")
        assert set(answers) <= {"PONG", "ERR max number of clients reached", "closed"}, set(answers)
        others.served_again()
        for connection in held:
            connection.close()
        eventually(lambda: node.call("PING") == "PONG", "there is room again")
        assert int(node.info("stats")["rejected_connections"]) >= 400
    cluster.wait_caught_up()
    cluster.assert_digests_equal()


def test_a_flood_of_wrong_passwords(cluster, attack):
    guarded = attack(password="right")
    node = guarded.attacked
    node.call("CONFIG", "SET", "requirepass", "right")
    for other in cluster.nodes:
        eventually(lambda: "NOAUTH" in refusal(other, "PING"), "the password is known")
    try:
        with guarded as others:
            refused = []

            def guess(n):
                with node.connect(timeout=PATIENCE) as c:
                    for _ in range(10):
                        replies = c.pipeline([("AUTH", f"{n}-{i}".ljust(16_000, "x")) for i in range(50)])
                        refused.extend(str(reply) for reply in replies)

            guessers = [threading.Thread(target=guess, args=(n,), daemon=True) for n in range(10)]
            for guesser in guessers:
                guesser.start()
            for guesser in guessers:
                guesser.join(PATIENCE)
            assert len(refused) == 5_000 and all(reply.startswith("WRONGPASS") for reply in refused), set(refused)
            others.served_again()
            said = refusal(node, "AUTH", "x" * 16_385)
            assert "unauthenticated bulk length" in said or "reset" in said or "closed" in said, said
            with node.connect(timeout=PATIENCE) as c:
                c.call("AUTH", "right")
                # Who is in may say more. It takes a while, and others do not wait for it with elections.
                with pytest.raises(ErrorReply, match="^WRONGPASS"):
                    c.call("AUTH", "x" * (16 * MB))
                assert c.call("PING") == "PONG"
                assert len(c.call("ACL", "LOG", 1000)) <= 128
            others.served_again()
    finally:
        with node.connect(timeout=PATIENCE) as c:
            c.call("AUTH", "right")
            c.call("CONFIG", "SET", "requirepass", "")


def refusal(node, *args):
    try:
        return str(node.call(*args, timeout=PATIENCE))
    except (ErrorReply, OSError) as error:
        return str(error)


def test_users_with_endless_rules(cluster, attack):
    with attack() as others:
        node = others.attacked
        rules = [rule for n in range(10_000) for rule in (f"~key:{n}:*", f"&channel:{n}:*", f"+get|{n}")]
        with node.connect(timeout=PATIENCE) as admin:
            admin.call("ACL", "SETUSER", "much", "on", ">p", "+@all", *[r for r in rules if r[0] != "+"])
            for other in cluster.nodes:
                with other.connect(timeout=PATIENCE) as c:
                    eventually(lambda: c.call("AUTH", "much", "p") == "OK", "the user is known")
                    c.pipeline([("GET", f"key:{n}:x") for n in range(0, 10_000, 100)])
                    with pytest.raises(ErrorReply, match="^NOPERM"):
                        c.call("GET", "other")
            with pytest.raises(ErrorReply):
                admin.call("ACL", "SETUSER", "much", *[f"({'~x ' * 10_000}"])
            admin.call("ACL", "DELUSER", "much")
        others.served_again()
