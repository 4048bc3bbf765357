"""One budget of memory for everything that queues (R21): clients with huge values neither take a node's memory nor its time.

Eight clients SET a huge value each, at once and through all nodes, while small clients go on. By default the values and the
budget are a sixteenth of what `--long` takes: 512 MB, the largest value there is.
"""

import threading
import time

import pytest
from cluster import eventually
from resp_client import Connection, ErrorReply

MB = 1 << 20
CLIENTS = 8
# Two keys: the data stays small beside what is under way.
KEYS = 2
# What a node takes for itself beside data and queues: code, the cache and the groups of the log, buffers of the allocator.
BASE_BYTES = 192 * MB
# Three nodes and eight clients move gigabytes on the cores of one machine, and a consensus thread waits for its turn among
# them, and the logs of all nodes for one disk. Nothing that a node does in one piece takes as long as this.
TIMING = ["heartbeat-interval=100", "election-timeout-min=700", "election-timeout-max=1000", "write-timeout=30000"]
SIZES = {False: (32 * MB, 128 * MB), True: (512 * MB, 2048 * MB)}  # of a value, of the budget


def highest_memory(node):
    """The most resident memory that the process ever had, in bytes."""
    with open(f"/proc/{node.process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


class Huge(threading.Thread):
    """Sets a huge value and remembers the answer."""

    def __init__(self, node, key, value):
        super().__init__(daemon=True)
        self.node, self.key, self.value = node, key, value
        self.answer = None

    def run(self):
        with Connection(self.node.address, timeout=300, sock=self.node.open_socket(300)) as connection:
            head = b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n" % (len(self.key), self.key, len(self.value))
            connection.sock.sendall(head)
            connection.sock.sendall(self.value)
            connection.sock.sendall(b"\r\n")
            self.answer = connection.receive()
            # The connection goes on, whatever came of the value.
            assert connection.call("PING") == "PONG"


class Small(threading.Thread):
    """A small client: one command after the other, until told to end."""

    def __init__(self, node, command):
        super().__init__(daemon=True)
        self.connection, self.command = node.connect(timeout=120), command
        self.ending, self.done, self.errors, self.slowest = threading.Event(), 0, [], 0.0

    def run(self):
        while not self.ending.is_set():
            begin = time.monotonic()
            self.connection.send(*self.command(self.done))
            answer = self.connection.receive()
            self.slowest = max(self.slowest, time.monotonic() - begin)
            if isinstance(answer, ErrorReply):
                self.errors.append(str(answer))
            self.done += 1
            time.sleep(0.002)

    def finish(self):
        self.ending.set()
        self.join(120)
        assert not self.is_alive(), "a small client got no answer"
        self.connection.close()


def test_huge_values_stay_within_the_budget(make_cluster, figures, long):
    value_bytes, limit = SIZES[long]
    settings = [f"queue-memory-limit={limit}", "snapshot-log-size=64gb", *TIMING]
    cluster = make_cluster(settings).start(3)
    leader, terms = cluster.leader(), cluster.terms()
    value = bytes(value_bytes)
    smalls = [Small(node, lambda n: ("SET", f"small:{n % 100}", n)) for node in cluster.nodes]
    smalls += [Small(node, lambda n: ("GET", f"small:{n % 100}")) for node in cluster.nodes]
    for small in smalls:
        small.start()
    begin = time.monotonic()
    huge = [Huge(cluster.nodes[i % 3], b"huge:%d" % (i % KEYS), value) for i in range(CLIENTS)]
    for client in huge:
        client.start()
    for client in huge:
        client.join(300)
        assert not client.is_alive(), "a client with a huge value got no answer"
    seconds = time.monotonic() - begin
    for small in smalls:
        small.finish()

    answers = ["OK" if client.answer == "OK" else client.answer.code for client in huge]
    highest = {node.number: highest_memory(node) // MB for node in cluster.nodes}
    figures(
        value_mb=value_bytes // MB,
        limit_mb=limit // MB,
        answers={a: answers.count(a) for a in set(answers)},
        seconds=round(seconds, 1),
        highest_mb=highest,
        small_done=sum(small.done for small in smalls),
        small_slowest_ms=round(1000 * max(small.slowest for small in smalls)),
    )
    assert set(answers) <= {"OK", "OVERLOADED"}, answers
    assert "OK" in answers
    assert cluster.terms() == terms, "there was an election"
    assert cluster.leader() is leader
    for small in smalls:
        assert not small.errors, small.errors[:3]
        assert small.done > 0
    # A value that is replaced is still there while the next one is written.
    data = (KEYS + 1) * value_bytes
    allowed = (data + limit + BASE_BYTES) // MB
    assert max(highest.values()) <= allowed, f"{highest} MB, of which {allowed} are allowed"
    cluster.wait_caught_up()
    cluster.assert_digests_equal()
    used = lambda: [int(node.info("memory")["quorate_queue_bytes"]) for node in cluster.nodes]  # noqa: E731
    eventually(lambda: sum(used()) == 0, "everything is given back")


def test_a_command_that_does_not_come_gives_its_room_to_one_that_does(make_cluster):
    cluster = make_cluster(["queue-memory-limit=32mb", "write-timeout=1000"]).start(1)
    node = cluster.nodes[0]
    slow, quick = node.connect(), node.connect(timeout=30)
    slow.sock.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$16777216\r\n" + bytes(70_000))
    eventually(lambda: int(node.info("memory")["quorate_queue_queries_bytes"]) > 16 * MB, "it has its room")
    # The other one waits, for as long as a write may take, and is refused once or twice before the first loses its place.
    answers = []

    def is_taken():
        quick.send("SET", "b", bytes(8 * MB))
        answers.append(quick.receive())
        return answers[-1] == "OK"

    eventually(is_taken, "the other one is taken")
    assert all(a == "OK" or a.code == "OVERLOADED" for a in answers), answers
    answer = slow.receive()
    assert isinstance(answer, ErrorReply) and answer.code == "OVERLOADED", answer
    # What comes of it late is passed over, and what follows it is served.
    slow.sock.sendall(bytes(16 * MB - 70_000) + b"\r\n")
    assert slow.call("EXISTS", "a") == 0
    assert int(node.info("stats")["quorate_replies_overloaded"]) >= 1


def test_replies_that_nobody_reads_are_bounded(make_cluster):
    cluster = make_cluster(["queue-memory-limit=64mb"]).start(1)
    node = cluster.nodes[0]
    node.call("SET", "large", bytes(10 * MB), timeout=30)
    lazy = [node.connect() for _ in range(8)]
    for connection in lazy:
        connection.send("GET", "large")
    # Whoever asks for little is served, however much others ask for.
    assert node.call("SET", "k", "v") == "OK"
    assert node.call("GET", "k") == b"v"
    held = lambda: int(node.info("memory")["quorate_queue_replies_bytes"])  # noqa: E731
    eventually(lambda: 0 < held() <= 16 * MB, "a quarter of the budget at most is held by replies")
    answers = [connection.receive() for connection in lazy]
    whole = [a for a in answers if isinstance(a, bytes)]
    refused = [a.code for a in answers if isinstance(a, ErrorReply)]
    assert all(len(a) == 10 * MB for a in whole) and set(refused) <= {"OVERLOADED"}
    assert whole and refused, f"{len(whole)} were answered"
    eventually(lambda: held() == 0, "everything is given back")
    with pytest.raises(ErrorReply, match="unknown command"):
        lazy[0].call("NOSUCH")
