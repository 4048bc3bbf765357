"""Random pipelines on one connection: to redis-server, to a leader, to a follower. The reply bytes are equal."""
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

import pipelines
from resp import Raw
from servers import LONG

SEEDS = 150 if LONG else 16
SIZES = [1, 2, 5, 20, 100, 300, 1000]


def exchange(port, commands):
    with Raw(port) as c:
        c.call("FLUSHALL")
        replies = c.exchange(pipelines.wire(commands), len(commands))
        contents = pipelines.dump(c)
    return replies, contents


def check(redis, node, commands):
    expected, contents = exchange(redis.port, commands)
    actual, own = exchange(node.port, commands)
    if difference := pipelines.compare(commands, expected, actual):
        pytest.fail(difference)
    if difference := pipelines.same_contents(contents, own):
        pytest.fail(f"the contents differ afterwards:\n{difference}")


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("where", ["leader", "follower"])
def test_equal_to_redis(redis, cluster, where, seed):
    node = cluster.leader() if where == "leader" else random.Random(seed).choice(cluster.followers())
    r = random.Random(seed)
    for size in [r.choice(SIZES), 1000] if seed % 4 == 0 else [r.choice(SIZES) for _ in range(3)]:
        generator = pipelines.Generator(f"{seed} {size}", transactions=r.random() < 0.7)
        check(redis, node, generator.pipeline(size))


def without_others(words):
    """Whether a command concerns the database it is sent in alone."""
    name = str(words[0] if isinstance(words[0], str) else words[0].decode("latin-1")).upper()
    return name not in ("FLUSHALL", "SWAPDB", "MOVE", "SELECT", "RESET", "COPY")


@pytest.mark.parametrize("seed", range(12 if LONG else 2))
def test_equal_to_redis_under_load(redis, cluster, seed):
    """Six connections at once, two to each node, each in a database of its own."""
    def work(number):
        node = cluster.nodes[number % 3]
        for n in range(10 if LONG else 4):
            generator = pipelines.Generator(f"load {seed} {number} {n}")
            commands = [c for c in generator.pipeline(500) if without_others(c[0])]
            replies = []
            for port in (redis.port, node.port):
                with Raw(port, timeout=60) as c:
                    c.call("SELECT", 4 + number)
                    c.call("FLUSHDB")
                    replies.append(c.exchange(pipelines.wire(commands), len(commands)))
            if difference := pipelines.compare(commands, *replies):
                return f"connection {number} pipeline {n}: {difference}"
        return None

    with ThreadPoolExecutor(6) as pool:
        failures = [f for f in pool.map(work, range(6)) if f]
    assert not failures, failures[0]
