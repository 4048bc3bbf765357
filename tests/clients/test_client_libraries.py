"""Client libraries, each as an application would use it: on three nodes, then while the leader is killed."""

import pytest


@pytest.mark.parametrize("program", ["redis_py.py", "redis_asyncio.py", "redis_cluster.py"])
def test_python(stage, python, figures, program):
    figures(**stage.perform(*python(program)))


@pytest.mark.parametrize("program", ["ioredis.js", "node_redis.js"])
def test_javascript_in_a_failover(stage, node_packages, figures, program):
    figures(**stage.perform("node", node_packages / program))


def test_rust(stage, rust_program, figures):
    figures(**stage.perform(rust_program))
