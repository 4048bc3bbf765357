"""What clients may hold: maxmemory-clients, CLIENT NO-EVICT, buffer limits, maxclients, timeout (issue 5)."""

import socket
import time

import pytest

from cluster import eventually
from resp_client import Connection, ErrorReply, encode

MB = 1 << 20


@pytest.fixture
def node(make_cluster):
    return make_cluster().start(1).nodes[0]


def fields(line):
    return dict(part.split("=", 1) for part in line.split(" "))


def clients(node):
    """CLIENT LIST by name."""
    lines = node.call("CLIENT", "LIST").decode().splitlines()
    return {client["name"]: client for client in map(fields, lines) if client["name"]}


def named(node, name):
    connection = node.connect(timeout=30)
    connection.call("CLIENT", "SETNAME", name)
    return connection


def is_there(node, name):
    return name in clients(node)


def send_unfinished(connection, size):
    """Bytes of a command whose end never comes."""
    connection.sock.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n" % (size + 100) + b"x" * size)


def evicted(node):
    return int(node.info("stats")["evicted_clients"])


def test_who_holds_too_much_of_a_command_goes(node):
    node.call("CONFIG", "SET", "maxmemory-clients", "3mb")
    small, large = named(node, "small"), named(node, "large")
    send_unfinished(small, MB // 2)
    eventually(lambda: int(clients(node)["small"]["tot-mem"]) >= MB // 2, "the bytes are counted")
    large.sock.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n" % (8 * MB))
    with pytest.raises(OSError):
        for _ in range(7):
            large.sock.sendall(b"x" * MB)
            time.sleep(0.02)
        large.receive()
    eventually(lambda: not is_there(node, "large"), "the large one is gone")
    assert is_there(node, "small")
    assert evicted(node) == 1


def test_a_percentage_is_of_maxmemory(node):
    node.call("CONFIG", "SET", "maxmemory", 1 << 40)
    assert node.call("CONFIG", "SET", "maxmemory-clients", "1%") == "OK"
    assert node.call("CONFIG", "GET", "maxmemory-clients") == [b"maxmemory-clients", b"1%"]
    connection = named(node, "c")
    send_unfinished(connection, 2 * MB)
    time.sleep(1.5)
    assert is_there(node, "c")
    node.call("CONFIG", "SET", "maxmemory", 100 * MB)
    eventually(lambda: not is_there(node, "c"), "a hundredth is less than it holds now")
    with pytest.raises(ErrorReply, match="percentage argument must be less or equal to 100"):
        node.call("CONFIG", "SET", "maxmemory-clients", "101%")


def test_commands_that_wait_for_exec_count(node):
    node.call("CONFIG", "SET", "maxmemory-clients", "3mb")
    connection = named(node, "c")
    connection.call("MULTI")
    connection.call("SET", "k", "v" * MB)
    assert int(clients(node)["c"]["multi-mem"]) >= MB
    with pytest.raises(OSError):
        for _ in range(5):
            connection.call("SET", "k", "v" * MB)
            time.sleep(0.05)
    eventually(lambda: not is_there(node, "c"), "it is gone")


def test_watched_keys_count(node):
    node.call("CONFIG", "SET", "maxmemory-clients", 400_000)
    connection = named(node, "c")
    with pytest.raises(OSError):
        for start in range(0, 200_000, 500):
            connection.call("WATCH", *range(start, start + 500))
            time.sleep(0.005)
    eventually(lambda: not is_there(node, "c"), "it is gone")


def test_answers_that_are_not_read_count(node):
    # More than the kernel takes for a client that does not read.
    node.call("SETRANGE", "k", 32 * MB, "v")
    node.call("CONFIG", "SET", "maxmemory-clients", "3mb")
    connection = named(node, "c")
    connection.send("GET", "k")
    eventually(lambda: not is_there(node, "c"), "it is gone")


def test_no_evict_protects_a_client(node):
    node.call("CONFIG", "SET", "maxmemory-clients", "2mb")
    protected = named(node, "protected")
    assert protected.call("CLIENT", "NO-EVICT", "ON") == "OK"
    send_unfinished(protected, 4 * MB)
    eventually(lambda: int(clients(node)["protected"]["tot-mem"]) > 4 * MB, "the bytes are counted")
    time.sleep(1.5)
    # Whoever else has a connection while that lasts goes instead: the tester, too, at times.
    eventually(lambda: "e" in clients(node)["protected"]["flags"], "it is there, and says why")


def test_no_more_go_than_needed_and_the_largest_first(node):
    node.call("CONFIG", "SET", "maxmemory-clients", 0)
    sizes = {f"c{size}": size * 512 * 1024 for size in range(1, 9)}
    connections = {name: named(node, name) for name in sizes}
    for name, connection in connections.items():
        send_unfinished(connection, sizes[name])
    eventually(
        lambda: all(int(clients(node)[name]["qbuf"]) >= size for name, size in sizes.items()), "all bytes are there"
    )
    held = {name: int(client["tot-mem"]) for name, client in clients(node).items()}
    # Who holds most is not who has sent most: buffers have room to spare.
    *kept, second, first = sorted(held, key=held.get)
    # More than the largest holds, less than the two largest hold together.
    node.call("CONFIG", "SET", "maxmemory-clients", sum(held.values()) - held[first] - held[second] // 2)
    eventually(lambda: not is_there(node, first), "the largest goes")
    time.sleep(1.5)
    left = set(clients(node)) & set(sizes)
    assert left == set(kept), (left, held)
    assert evicted(node) == 2


def test_the_hard_limit_of_answers_holds_at_once(node):
    node.call("CONFIG", "SET", "client-output-buffer-limit", "normal 100000 0 0")
    with node.connect() as filler:
        for _ in range(150):
            filler.call("RPUSH", "list", "x" * 1000)
    connection = named(node, "c")
    connection.send("LRANGE", "list", 0, -1)
    eventually(lambda: not is_there(node, "c"), "it is gone", timeout=5)
    assert connection.sock.recv(100) == b"", "nothing of the answer was sent"


def test_a_transaction_is_carried_out_though_its_answer_is_too_long(node):
    with node.connect() as filler:
        for _ in range(150):
            filler.call("RPUSH", "list", "x" * 1000)
    node.call("CONFIG", "SET", "client-output-buffer-limit", "normal 100000 0 0")
    connection = named(node, "c")
    for command in [("MULTI",), ("SET", "a", 1), ("LRANGE", "list", 0, -1), ("SET", "b", 2), ("DEL", "a")]:
        connection.call(*command)
    with pytest.raises(OSError):
        connection.call("EXEC")
    assert (node.call("GET", "a"), node.call("GET", "b")) == (None, b"2")


def test_the_soft_limit_holds_after_its_time(node):
    node.call("CONFIG", "SET", "client-output-buffer-limit", "normal 0 100000 3")
    node.call("SETRANGE", "k", 4 * MB, "v")
    connection = named(node, "c")
    for _ in range(10):
        connection.send("GET", "k")
    time.sleep(1)
    assert is_there(node, "c")
    eventually(lambda: not is_there(node, "c"), "it is gone", timeout=10)


def test_an_unfinished_command_has_a_limit(node):
    node.call("CONFIG", "SET", "client-query-buffer-limit", "1mb")
    connection = named(node, "c")
    with pytest.raises(OSError):
        for _ in range(4):
            send_unfinished(connection, MB)
        while connection.sock.recv(1 << 16):
            pass
        raise ConnectionResetError
    eventually(lambda: not is_there(node, "c"), "it is gone")


def test_further_clients_are_refused(node):
    node.call("CONFIG", "SET", "maxclients", 10)
    held = []
    with pytest.raises(ErrorReply, match="ERR max number of clients reached"):
        for _ in range(20):
            held.append(Connection(node.address))
            held[-1].call("PING")
    assert 9 <= len(held) <= 11
    with node.connect() as late, pytest.raises((ErrorReply, OSError)):
        late.call("PING")
    held.pop().close()
    held.pop().close()
    eventually(lambda: node.call("PING") == "PONG", "there is room again")
    assert int(node.info("stats")["rejected_connections"]) >= 1


def test_silent_clients_are_disconnected(node):
    node.call("CONFIG", "SET", "timeout", 1)
    silent, blocked = node.connect(), node.connect()
    blocked.send("BLPOP", "list", 0)
    silent.sock.settimeout(10)
    assert silent.sock.recv(10) == b""
    blocked.sock.settimeout(0.5)
    with pytest.raises(socket.timeout):
        blocked.sock.recv(10)
    node.call("RPUSH", "list", "a")
    assert blocked.receive() == [b"list", b"a"]


def test_object_idletime_and_no_touch(node):
    with node.connect() as client:
        client.call("SET", "k", "v")
        eventually(lambda: client.call("OBJECT", "IDLETIME", "k") >= 2, "it is idle", interval=0.2)
        client.call("CLIENT", "NO-TOUCH", "ON")
        client.call("GET", "k")
        assert client.call("OBJECT", "IDLETIME", "k") >= 2
        assert client.call("TOUCH", "k") == 1
        assert client.call("OBJECT", "IDLETIME", "k") < 2
        client.call("CLIENT", "NO-TOUCH", "OFF")
        eventually(lambda: client.call("OBJECT", "IDLETIME", "k") >= 2, "it is idle again", interval=0.2)
        client.call("GET", "k")
        assert client.call("OBJECT", "IDLETIME", "k") < 2
        client.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        for _ in range(300):
            client.call("GET", "k")
        assert client.call("OBJECT", "FREQ", "k") > 5
        with pytest.raises(ErrorReply, match="idle time not tracked"):
            client.call("OBJECT", "IDLETIME", "k")


GET = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"


def answers_of(connection, count, value):
    """Reads so many answers, each of which must be the value."""
    answer = b"$%d\r\n%s\r\n" % (len(value), value)
    left = count * len(answer)
    while left:
        piece = connection.sock.recv(min(left, 4 * MB))
        assert piece, f"the connection ended {left} bytes early"
        at = -left % len(answer)
        assert (answer * (len(piece) // len(answer) + 2))[at : at + len(piece)] == piece
        left -= len(piece)


@pytest.mark.parametrize(("count", "size"), [(1_000_000, 100), (200, MB)])
def test_a_client_may_send_all_before_it_reads(node, count, size):
    # Far more answers than sockets and buffers take, and more commands than sockets do.
    value = b"v" * size
    node.call("SET", "k", value)
    with node.connect(timeout=60) as connection:
        connection.sock.sendall(GET * count)
        answers_of(connection, count, value)
        assert connection.call("PING") == "PONG"


def test_who_does_not_read_is_answered_so_far(node):
    node.call("SET", "k", b"v" * MB)
    with named(node, "lazy") as lazy:
        lazy.sock.sendall(GET * 200)
        eventually(lambda: int(clients(node)["lazy"]["tot-mem"]) > 10 * MB, "answers wait for the client")
        time.sleep(1)
        assert int(clients(node)["lazy"]["omem"]) < 64 * MB, "what waits has a bound"
        # Others are served meanwhile, and it goes when it is told to.
        assert node.call("STRLEN", "k") == MB
        identity = clients(node)["lazy"]["id"]
        assert node.call("CLIENT", "KILL", "ID", identity) == 1
        eventually(lambda: not is_there(node, "lazy"), "it is gone")


def test_a_silent_client_holds_no_buffers(node):
    with named(node, "silent") as silent:
        assert int(clients(node)["silent"]["qbuf-free"]) > 0
        eventually(lambda: clients(node)["silent"]["qbuf-free"] == "0", "its buffer is given back", timeout=15)
        assert int(clients(node)["silent"]["idle"]) >= 2
        # It goes on as before, with short and long commands.
        assert silent.call("PING") == "PONG"
        eventually(lambda: clients(node)["silent"]["qbuf-free"] == "0", "and again", timeout=15)
        assert silent.call("SET", "k", b"v" * MB) == "OK"
        assert silent.call("STRLEN", "k") == MB


def test_who_stops_sending_still_reads_what_was_answered_before_it_waited(node):
    """More than sockets hold, then a command that waits: its client is taken for gone, not the answer."""
    node.call("SET", "large", "x" * (24 * MB))
    with socket.create_connection(node.address, timeout=30) as client:
        client.sendall(encode("GET", "large") + encode("BLPOP", "none", 0))
        client.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
        size = 0
        while more := client.recv(MB):
            size += len(more)
    assert size >= 24 * MB
    eventually(lambda: node.info("clients")["blocked_clients"] == "0", "nobody waits")
