"""Users on three nodes: in force everywhere, out everywhere, and their passwords nowhere."""

import time

import pytest
from cluster import eventually
from resp_client import ErrorReply

PASSWORD = "correct-horse-battery-staple"
DEFAULT_PASSWORD = "the-password-of-the-default-user"


def told(connection, *args):
    """The reply, errors included."""
    connection.send(*args)
    return connection.receive()


def log_in(node, name="bob", password=PASSWORD):
    connection = node.connect()
    assert connection.call("AUTH", name, password) == "OK"
    return connection


def on_all(cluster, condition, what):
    eventually(lambda: all(condition(node) for node in cluster.nodes), what)


def make_bob(cluster, *rules):
    with cluster.nodes[1].connect() as admin:
        assert admin.call("ACL", "SETUSER", "bob", "on", ">" + PASSWORD, *(rules or ("~b:*", "+@all"))) == "OK"
    on_all(cluster, lambda node: b"bob" in node.call("ACL", "USERS"), "bob is everywhere")


def is_out(connection):
    """Whether the connection has been closed. Until then nothing that depends on the log is carried out."""
    try:
        reply = told(connection, "INCR", "b:n")
    except (OSError, EOFError):
        return True
    assert isinstance(reply, ErrorReply), f"a user that is gone was answered {reply!r}"
    return False


def test_a_user_made_on_one_node_is_known_on_all(cluster):
    make_bob(cluster)
    for node in cluster.nodes:
        with log_in(node) as bob:
            assert bob.call("ACL", "WHOAMI") == b"bob"
            assert bob.call("SET", "b:x", node.number) == "OK"
            assert str(told(bob, "GET", "a")) == "NOPERM No permissions to access a key"
            assert b" user=bob " in bob.call("CLIENT", "INFO")
            assert bob.call("RESET") == "RESET"
            assert bob.call("ACL", "WHOAMI") == b"default"
        with node.connect() as stranger:
            assert told(stranger, "AUTH", "bob", "wrong").code == "WRONGPASS"
            assert told(stranger, "AUTH", "nobody", PASSWORD).code == "WRONGPASS"
            assert told(stranger, "AUTH", PASSWORD).code == "ERR", "the default user has no password"
            entry = stranger.call("ACL", "LOG")[0]
            assert entry[entry.index(b"reason") + 1] == b"auth" and entry[entry.index(b"username") + 1] == b"nobody"
            assert int(node.info("stats")["acl_access_denied_auth"]) >= 2
    cluster.assert_digests_equal()


def test_a_deleted_user_is_out_on_every_node(cluster):
    make_bob(cluster)
    inside = [log_in(node) for node in cluster.nodes for _ in range(2)]
    waiting = log_in(cluster.nodes[0])
    waiting.send("BLPOP", "b:queue", "0")
    others = [node.connect() for node in cluster.nodes]
    for connection in inside:
        assert connection.call("INCR", "b:n") > 0
    eventually(lambda: cluster.nodes[0].info("clients")["blocked_clients"] == "1", "bob waits")
    assert cluster.nodes[2].call("ACL", "DELUSER", "bob", "nobody") == 1
    for connection in inside:
        eventually(lambda c=connection: is_out(c), "who was inside is out", interval=0.05)
    for node, other in zip(cluster.nodes, others):
        assert other.call("PING") == "PONG", "others stay"
        assert told(other, "AUTH", "bob", PASSWORD).code == "WRONGPASS"
    eventually(lambda: cluster.nodes[0].info("clients")["blocked_clients"] == "0", "nobody waits any more")
    assert cluster.nodes[1].call("RPUSH", "b:queue", "x") == 1
    assert cluster.nodes[1].call("LLEN", "b:queue") == 1, "nobody was served"
    cluster.assert_digests_equal()


def test_who_deletes_itself_is_told_so(cluster):
    make_bob(cluster, "+acl")
    bob = log_in(cluster.leader())
    assert bob.call("ACL", "DELUSER", "bob") == 1
    eventually(lambda: is_out(bob), "it is out")


def test_rights_that_are_taken_are_gone_on_every_node(cluster):
    make_bob(cluster)
    inside = [log_in(node) for node in cluster.nodes]
    queued = log_in(cluster.nodes[0])
    assert queued.call("MULTI") == "OK" and queued.call("SET", "b:q", "1") == "QUEUED"
    assert cluster.nodes[1].call("ACL", "SETUSER", "bob", "-set") == "OK"
    for connection in inside:
        eventually(lambda c=connection: isinstance(told(c, "SET", "b:y", "1"), ErrorReply), "SET is refused")
        assert connection.call("GET", "b:y") in (None, b"1")
    (reply,) = told(queued, "EXEC")
    assert str(reply).startswith("NOPERM ACLs rules changed between the moment the transaction was accumulated")
    assert cluster.nodes[2].call("EXISTS", "b:q") == 0
    entries = cluster.nodes[0].call("ACL", "LOG")
    contexts = [entry[entry.index(b"context") + 1] for entry in entries]
    assert b"multi" in contexts and b"toplevel" in contexts, contexts
    # Who is switched off stays in, as in Redis, but nobody comes in any more.
    assert cluster.nodes[1].call("ACL", "SETUSER", "bob", "off") == "OK"
    for node, connection in zip(cluster.nodes, inside):
        with node.connect() as late:
            eventually(lambda c=late: isinstance(told(c, "AUTH", "bob", PASSWORD), ErrorReply), "nobody comes in")
        assert connection.call("PING") == "PONG"


def test_the_password_of_the_default_user_is_known_as_a_hash_only(cluster):
    with cluster.nodes[0].connect() as admin:
        assert admin.call("CONFIG", "GET", "requirepass") == [b"requirepass", b""]
        assert told(admin, "CONFIG", "SET", "requirepass", "(set)").code == "ERR"
        assert admin.call("CONFIG", "SET", "requirepass", DEFAULT_PASSWORD, "appendfsync", "always") == "OK"
        assert admin.call("CONFIG", "GET", "requirepass") == [b"requirepass", b"(set)"]
        assert admin.call("CONFIG", "SET", "requirepass", "(set)") == "OK", "what a tool has read it may write"
        make = [("MULTI",), ("ACL", "SETUSER", "bob", "on", ">" + PASSWORD, "+@all"), ("ACL", "DRYRUN", "bob", "ACL", "SETUSER", "bob", ">" + PASSWORD), ("EXEC",)]
        replies = [told(admin, *words) for words in make]
        assert replies[-1] == ["OK", "OK"], replies
        assert told(admin, "ACL", "SETUSER", "bob", "(>" + PASSWORD, "+get)").code == "ERR"
        for line in admin.call("ACL", "LIST"):
            assert PASSWORD.encode() not in line and b" #" in line
        assert admin.call("BGSAVE")
        eventually(lambda: admin.call("LASTSAVE") > 0, "a snapshot is written")
    for node in cluster.nodes:
        with node.connect() as connection:
            eventually(lambda c=connection: getattr(told(c, "PING"), "code", "") == "NOAUTH", "a password is asked for")
            assert told(connection, "AUTH", "wrong").code == "WRONGPASS"
            assert connection.call("AUTH", DEFAULT_PASSWORD) == "OK"
        with log_in(node) as bob:
            assert bob.call("PING") == "PONG"
    for node in cluster.nodes:
        for file in [path for path in node.folder.rglob("*") if path.is_file()]:
            text = file.read_bytes()
            for secret in (PASSWORD, DEFAULT_PASSWORD):
                assert secret.encode() not in text, f"{secret} is in {file}"
    with cluster.nodes[0].connect() as admin:
        assert admin.call("AUTH", "default", DEFAULT_PASSWORD) == "OK"
        assert admin.call("CONFIG", "SET", "requirepass", "") == "OK"
        assert admin.call("ACL", "DELUSER", "bob") == 1
    on_all(cluster, lambda node: node.call("PING") == "PONG", "no password is asked for any more")


def test_a_cluster_that_is_founded_with_a_password_never_lets_anybody_in_without(make_cluster):
    cluster = make_cluster([f"requirepass={DEFAULT_PASSWORD}"])
    node = cluster.add(join=False)
    node.launch() if not node.alive else None
    deadline, seen = time.monotonic() + 20, set()
    while time.monotonic() < deadline and "NOAUTH" not in seen:
        try:
            with node.connect(timeout=1) as connection:
                reply = told(connection, "DBSIZE")
        except OSError:
            continue
        assert isinstance(reply, ErrorReply), f"let in without a password: {reply!r}"
        seen.add(reply.code)
    assert "NOAUTH" in seen, seen
    with node.connect() as connection:
        assert connection.call("AUTH", DEFAULT_PASSWORD) == "OK"
        assert connection.call("DBSIZE") == 0


def test_users_survive_a_restart_of_all_nodes(cluster):
    make_bob(cluster)
    lists = cluster.nodes[0].call("ACL", "LIST")
    for node in cluster.nodes:
        node.begin_kill()
    for node in cluster.nodes:
        node.process.wait(10)
    for node in cluster.nodes:
        node.launch()
    on_all(cluster, lambda node: node.call("ACL", "LIST") == lists, "the same users everywhere")
    for node in cluster.nodes:
        with log_in(node) as bob:
            assert bob.call("ACL", "WHOAMI") == b"bob"


def test_what_is_pipelined_behind_the_own_deletion_is_not_carried_out(cluster):
    make_bob(cluster)
    for node in cluster.nodes:
        with log_in(node) as bob:
            bob.call("DEL", "b:late")
            for words in [("SET", "b:early", "1"), ("ACL", "DELUSER", "bob"), ("SET", "b:late", "1"), ("SET", "b:late", "2")]:
                bob.send(*words)
            replies = []
            try:
                while len(replies) < 4:
                    replies.append(bob.receive())
            except (OSError, EOFError):
                pass
            assert replies[:2] == ["OK", 1][: len(replies)], replies
            assert all(isinstance(reply, ErrorReply) for reply in replies[2:]), replies
            eventually(lambda: node.call("ACL", "GETUSER", "bob") is None, "bob is gone")
            eventually(lambda c=bob: is_out(c), "and out", interval=0.05)
        assert node.call("EXISTS", "b:early", "b:late") == 1
        make_bob(cluster)


@pytest.mark.parametrize("rules, line, reply", [
    (("+@all", "~b:*", "-acl"), ("ACL", "WHOAMI"), "NOPERM User bob has no permissions to run the 'acl|whoami' command"),
    (("+eval", "+get", "~b:*"), ("EVAL", "return redis.call('get', 'a')", "0"), "ERR ACL failure in script: No permissions to access a key"),
    (("+multi", "+exec"), ("MULTI",), "OK"),
])
def test_refusals_are_told_as_redis_does(cluster, rules, line, reply):
    make_bob(cluster, *rules)
    with log_in(cluster.leader()) as bob:
        assert str(told(bob, *line)).startswith(reply)
        if line == ("MULTI",):
            assert str(told(bob, "GET", "b:1")) == "NOPERM User bob has no permissions to run the 'get' command"
            assert told(bob, "EXEC").code == "EXECABORT"


def test_a_cluster_parameter_of_a_deleted_user_is_not_set(cluster):
    make_bob(cluster, "~*", "+@all")
    leader = cluster.leader()
    far = cluster.others(leader)[0]
    bob = log_in(far)
    far.stop()
    try:
        bob.send("CONFIG", "SET", "lfu-log-factor", 77)
        with leader.connect() as admin:
            assert admin.call("ACL", "DELUSER", "bob") == 1
    finally:
        far.cont()
    try:
        reply = bob.receive()
    except (OSError, EOFError):
        pass
    else:
        assert isinstance(reply, ErrorReply), reply
    cluster.wait_caught_up()
    for node in cluster.nodes:
        assert node.call("CONFIG", "GET", "lfu-log-factor") == [b"lfu-log-factor", b"10"]


def test_each_step_of_a_transaction_is_judged_when_it_is_carried_out(cluster):
    steps = [
        ("GET", "b:x"),
        ("INFO", "server"),
        ("LASTSAVE",),
        ("CONFIG", "GET", "port"),
        ("CONFIG", "SET", "slowlog-max-len", 33),
        ("CONFIG", "SET", "lfu-log-factor", 44),
        ("CLIENT", "ID"),
    ]
    make_bob(cluster, "~*", "+@all")
    node = cluster.nodes[1]
    with log_in(node) as bob, node.connect() as admin:
        assert bob.call("MULTI") == "OK"
        for step in steps:
            assert bob.call(*step) == "QUEUED"
        assert admin.call("ACL", "SETUSER", "bob", "-@all", "+exec") == "OK"
        replies = bob.call("EXEC")
        assert [getattr(reply, "code", reply) for reply in replies] == ["NOPERM"] * len(steps)
        assert admin.call("CONFIG", "GET", "slowlog-max-len")[1] != b"33"
        assert admin.call("CONFIG", "GET", "lfu-log-factor")[1] != b"44"


def test_no_password_is_in_a_log_whatever_asks_about_it(cluster):
    secrets = [b"dryrun-secret-%d" % n for n in range(5)]
    lines = [
        ("ACL", "DRYRUN", "default", "AUTH", "u", secrets[0]),
        ("ACL", "DRYRUN", "default", "CONFIG", "SET", "requirepass", secrets[1]),
        ("ACL", "DRYRUN", "default", "HELLO", 3, "AUTH", "u", secrets[2]),
        ("ACL", "DRYRUN", "default", "ACL", "DRYRUN", "default", "ACL", "SETUSER", "u", b">" + secrets[3]),
    ]
    node = cluster.nodes[1]
    with node.connect() as client:
        assert client.call("CONFIG", "SET", "slowlog-log-slower-than", 0) == "OK"
        assert client.call("MULTI") == "OK"
        for line in lines:
            assert client.call(*line) == "QUEUED"
        assert client.call("EXEC") == ["OK"] * len(lines)
        for line in lines:
            assert client.call(*line) == "OK"
        told(client, "HELLO", "AUTH", "u", secrets[4])
        slow = repr(client.call("SLOWLOG", "GET", -1)).encode()
        assert client.call("SET", "marker", "seen-in-the-log") == "OK"
    on_disk = b"".join(file.read_bytes() for node in cluster.nodes for file in node.folder.rglob("*") if file.is_file())
    assert b"seen-in-the-log" in on_disk
    for secret in secrets:
        assert secret not in slow and secret not in on_disk, secret


def test_a_transaction_belongs_to_one_user(cluster):
    make_bob(cluster, "~*", "+@all")
    with log_in(cluster.nodes[0]) as bob:
        for line in [("AUTH", "bob", PASSWORD), ("HELLO", 2, "AUTH", "bob", PASSWORD)]:
            assert bob.call("MULTI") == "OK"
            assert "belongs to one user" in str(told(bob, *line))
            assert told(bob, "EXEC").code == "EXECABORT"
        assert bob.call("ACL", "WHOAMI") == b"bob"


def test_users_have_an_end_on_every_node(cluster):
    """10,000, and what a node says of it is what every other says."""
    one, two, three = cluster.nodes
    with one.connect(timeout=60) as admin:
        for start in range(1, 10_000, 500):
            lines = [("ACL", "SETUSER", f"user{n}", "on", ">p", "~a*", "+get") for n in range(start, min(start + 500, 10_000))]
            assert set(admin.pipeline(lines)) == {"OK"}
        assert len(admin.call("ACL", "USERS")) == 10_000
    for node in cluster.nodes:
        with node.connect(timeout=60) as c:
            with pytest.raises(ErrorReply, match="there are 10000 users"):
                c.call("ACL", "SETUSER", "more", "on")
            assert c.call("ACL", "SETUSER", "user7", "off") == "OK"
    assert two.call("ACL", "DELUSER", "user8") == 1
    assert three.call("ACL", "SETUSER", "more", "on", ">q", "~*", "+ping") == "OK"
    with pytest.raises(ErrorReply, match="there are 10000 users"):
        one.call("ACL", "SETUSER", "user8", "on")
    three.kill()
    three.restart()
    cluster.wait_caught_up()
    with three.connect(timeout=60) as c:
        assert len(c.call("ACL", "USERS")) == 10_000
        assert c.call("AUTH", "more", "q") == "OK" and c.call("PING") == "PONG"
        with pytest.raises(ErrorReply, match="WRONGPASS"):
            c.call("AUTH", "user8", "p")
    cluster.assert_digests_equal()
