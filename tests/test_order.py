"""Every write is applied at most once, in the order its connection sent it, whatever happens (R1, R14, R15)."""

import random
import threading
import time
from collections import defaultdict

from cluster import eventually
from load import NOT_APPLIED
from resp_client import Connection, ErrorReply

CLIENTS = 9
PIPELINE_MAX = 200
LISTS = 4


class Pusher:
    """Pushes numbered elements in pipelines on one connection after the other, without retries."""

    def __init__(self, number, node):
        self.number, self.node = number, node
        self.connection_number = 0
        self.sent = []  # (element, list, outcome): "ok", "refused", or "unknown"
        self.failure = None

    def run(self, ending):
        chance = random.Random(self.number)
        try:
            while not ending.is_set():
                try:
                    connection = self.node.connect(timeout=20)
                except OSError:
                    time.sleep(0.05)
                    continue
                self.connection_number += 1
                with connection:
                    while not ending.is_set() and self.pipeline(connection, chance):
                        pass
        except BaseException as error:  # noqa: BLE001, raised again by the test
            self.failure = error

    def pipeline(self, connection: Connection, chance):
        count = chance.choice((1, 10, PIPELINE_MAX))
        first = len(self.sent)
        prefix = f"{self.number}.{self.connection_number}"
        batch = [(f"{prefix}.{first + i}", f"list:{chance.randrange(LISTS)}") for i in range(count)]
        self.sent += [(element, name, "unknown") for element, name in batch]
        lengths = {}
        try:
            for element, name in batch:
                connection.send("RPUSH", name, element)
            for i, (element, name) in enumerate(batch):
                reply = connection.receive()
                if isinstance(reply, ErrorReply):
                    refused = reply.code in NOT_APPLIED
                    assert refused or reply.code == "UNKNOWN", reply
                    self.sent[first + i] = (element, name, "refused" if refused else "unknown")
                    continue
                assert reply > lengths.get(name, 0), f"the list shrank: {reply} after {lengths[name]}"
                lengths[name] = reply
                self.sent[first + i] = (element, name, "ok")
        except OSError:
            return False
        return True


def faults(cluster, long):
    """What happens to the leader meanwhile."""
    for round in range(10 if long else 3):
        time.sleep(0.6)
        leader = cluster.leader()
        match round % 3:
            case 0:
                leader.kill()
                cluster.leader(among=cluster.others(leader), not_=leader)
                time.sleep(0.5)
                leader.restart()
            case 1:
                leader.stop()
                cluster.leader(among=cluster.others(leader), not_=leader)
                time.sleep(0.5)
                leader.cont()
            case 2:
                leader.call("QUORATE", "FAILOVER")
        cluster.leader()
        cluster.wait_caught_up()


def test_every_write_is_applied_at_most_once_and_in_order(cluster, figures, long):
    ending = threading.Event()
    pushers = [Pusher(n, cluster.nodes[n % 3]) for n in range(CLIENTS)]
    threads = [threading.Thread(target=pusher.run, args=(ending,), daemon=True) for pusher in pushers]
    for thread in threads:
        thread.start()
    faults(cluster, long)
    ending.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    for pusher in pushers:
        if pusher.failure:
            raise pusher.failure

    lists = {f"list:{n}": read_list(cluster.leader(), f"list:{n}") for n in range(LISTS)}
    applied = {element for elements in lists.values() for element in elements}
    assert sum(map(len, lists.values())) == len(applied), f"applied twice: {duplicates(lists)[:5]}"
    counts = defaultdict(int)
    for pusher in pushers:
        for element, _, outcome in pusher.sent:
            counts[outcome] += 1
            if outcome == "ok":
                assert element in applied, f"{element} was acknowledged and is lost"
            if outcome == "refused":
                assert element not in applied, f"{element} was answered NOT applied and is there"
        assert_prefixes(pusher, applied)
    for name, elements in lists.items():
        assert_in_order(name, elements)
    figures(**counts, applied=len(applied))
    cluster.assert_digests_equal()


def assert_prefixes(pusher, applied):
    """Of what one connection sent, what took effect comes before what did not (but for refusals)."""
    missing = {}
    for element, _, outcome in pusher.sent:
        connection = element.rsplit(".", 1)[0]
        if outcome == "refused":
            continue
        if element not in applied:
            missing.setdefault(connection, element)
        else:
            assert connection not in missing, f"{element} took effect, and {missing[connection]} sent before it did not"


def assert_in_order(name, elements):
    last = {}
    for element in elements:
        client, _, n = element.split(".")
        assert int(n) > last.get(client, -1), f"{name}: {element} stands behind {last[client]} of the same client"
        last[client] = int(n)


def duplicates(lists):
    seen, twice = set(), []
    for elements in lists.values():
        for element in elements:
            if element in seen:
                twice.append(element)
            seen.add(element)
    return twice


def read_list(node, name):
    with node.connect(timeout=30) as connection:
        length = eventually(lambda: connection.call("LLEN", name), f"{name} has elements")
        found = []
        while len(found) < length:
            found += [e.decode() for e in connection.call("LRANGE", name, len(found), len(found) + 4999)]
        return found
