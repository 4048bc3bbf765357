"""Random pipelines on one connection: to redis-server, to a leader, to a follower. The reply bytes are equal."""
import random

import pytest

import pipelines
from conftest import LONG
from resp import Raw

SEEDS = 150 if LONG else 24
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
