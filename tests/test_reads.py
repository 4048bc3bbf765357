"""What reads may and may not show (linearizable, session-reads; R1 to R4), also while the leader changes."""

import threading
import time

from cluster import eventually
from resp_client import ErrorReply


class Threads:
    """Runs functions until told to stop; raises what they raised."""

    def __init__(self):
        self.ending = threading.Event()
        self.failures = []
        self.threads = []

    def run(self, function, *args):
        def guarded():
            try:
                function(*args)
            except BaseException as error:  # noqa: BLE001, raised again by stop()
                self.failures.append(error)
                self.ending.set()

        thread = threading.Thread(target=guarded, daemon=True)
        self.threads.append(thread)
        thread.start()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()
        if self.failures:
            raise self.failures[0]


class Register:
    """What is known of a counter that only grows: the floor below which no later linearizable read may be."""

    def __init__(self):
        self.floor = 0
        self.lock = threading.Lock()

    def raise_to(self, value):
        with self.lock:
            self.floor = max(self.floor, value)


def value_of(reply):
    return 0 if reply is None else int(reply)


def write_register(node, register, ending, key, pause):
    with node.connect() as connection:
        n = 0
        while not ending.is_set():
            n += 1
            assert connection.call("SET", key, n) == "OK"
            register.raise_to(n)
            time.sleep(pause)


def read_register(node, register, ending, key, counts):
    with node.connect() as connection:
        while not ending.is_set():
            floor = register.floor
            value = value_of(connection.call("GET", key))
            assert value >= floor, f"{node} answered {value} after {floor} had been acknowledged or read"
            register.raise_to(value)  # whoever reads from now on must not see less
            counts[node.number] = counts.get(node.number, 0) + 1


def test_reads_of_followers_are_linearizable_also_across_a_failover(cluster, figures):
    leader = cluster.leader()
    survivors = cluster.others(leader)
    register, threads, counts = Register(), Threads(), {}
    threads.run(write_register, survivors[0], register, threads.ending, "register", 0.0)
    for node in survivors * 2:
        threads.run(read_register, node, register, threads.ending, "register", counts)
    time.sleep(1.5)
    leader.kill()
    time.sleep(2)
    leader.restart()
    threads.run(read_register, leader, register, threads.ending, "register", counts)
    time.sleep(1)
    threads.stop()
    figures(reads=counts, writes=register.floor)
    assert all(counts.get(node.number, 0) > 20 for node in cluster.nodes), counts
    assert register.floor > 100


def read_session(node, ending, keys, counts, number):
    """READONLY: no read is older than what this connection has read or written."""
    own = f"own:{number}"
    last = dict.fromkeys(keys, 0)
    with node.connect() as connection:
        assert connection.call("READONLY") == "OK"
        n = 0
        while not ending.is_set():
            n += 1
            assert connection.call("SET", own, n) == "OK"
            assert value_of(connection.call("GET", own)) == n, f"{node} does not show a connection its own write"
            for _ in range(20):
                for key in keys:
                    value = value_of(connection.call("GET", key))
                    assert value >= last[key], f"{node}: {key} went back from {last[key]} to {value}"
                    last[key] = value
                    counts[number] = counts.get(number, 0) + 1


def test_readonly_connections_never_go_back_and_see_their_own_writes(cluster, figures):
    leader = cluster.leader()
    survivors = cluster.others(leader)
    keys = ["register:0", "register:1"]
    threads, counts = Threads(), {}
    for key, node in zip(keys, survivors):
        threads.run(write_register, node, Register(), threads.ending, key, 0.001)
    for number in range(6):
        threads.run(read_session, survivors[number % 2], threads.ending, keys, counts, number)
    time.sleep(1.5)
    leader.kill()
    time.sleep(2)
    threads.stop()
    figures(reads=sum(counts.values()))
    assert all(counts.get(number, 0) > 20 for number in range(6)), counts


def test_readonly_reads_are_answered_without_a_majority_and_others_are_not(cluster):
    leader = cluster.leader()
    follower, other = cluster.others(leader)
    leader.call("SET", "k", "v")
    cluster.wait_caught_up()
    readonly, strict = follower.connect(), follower.connect()
    assert readonly.call("READONLY") == "OK"
    assert readonly.call("GET", "k") == b"v"
    leader.kill()
    other.kill()
    assert readonly.call("GET", "k") == b"v"
    strict.send("GET", "k")
    strict.sock.settimeout(10)
    answer = strict.receive()
    assert isinstance(answer, ErrorReply), f"{answer!r} without a majority"
    assert answer.code in ("NOQUORUM", "UNKNOWN"), answer
    strict.send("SET", "k", "w")
    answer = strict.receive()
    assert isinstance(answer, ErrorReply) and answer.code == "NOQUORUM", f"{answer}: nothing can have been appended"
    leader.restart()
    other.restart()
    assert eventually(lambda: strict.call("GET", "k"), "a majority answers") == b"v", "NOQUORUM means not applied"


def test_a_key_seen_expired_never_comes_back(cluster, figures, long):
    seen_expired = 0
    for round in range(10 if long else 2):
        leader = cluster.leader()
        survivors = cluster.others(leader)
        lifetimes = {f"short:{round}:{n}": 300 + 10 * n for n in range(200)}
        kept = {f"kept:{round}:{n}": 600_000 for n in range(50)}
        with leader.connect() as connection:
            replies = connection.pipeline([("SET", key, "x", "PX", ms) for key, ms in (lifetimes | kept).items()])
        assert set(replies) == {"OK"}
        gone, threads, lock = set(), Threads(), threading.Lock()

        def watch(node, ending):
            keys = list(lifetimes)
            with node.connect() as connection:
                while not ending.is_set():
                    with lock:
                        known = set(gone)
                    values = dict(zip(keys, connection.call("MGET", *keys)))
                    back = [key for key in known if values[key] is not None]
                    assert not back, f"{node} shows keys again that were seen expired: {back[:5]}"
                    with lock:
                        gone.update(key for key, value in values.items() if value is None)
                    time.sleep(0.01)

        for node in survivors:
            threads.run(watch, node, threads.ending)
        time.sleep(1.2)
        leader.kill()
        time.sleep(1.8)
        threads.stop()
        assert len(gone) == len(lifetimes), f"{len(lifetimes) - len(gone)} keys have not expired"
        seen_expired += len(gone)
        assert survivors[0].call("EXISTS", *kept) == len(kept)
        leader.restart()
        cluster.wait_caught_up()
        assert leader.call("EXISTS", *lifetimes) == 0
        assert leader.call("EXISTS", *kept) == len(kept)
        cluster.wait_voters(3)
    cluster.assert_digests_equal()
    figures(expired=seen_expired)
