"""redis-py in cluster mode, synchronous and asyncio, told of all three nodes. The leader that they talk to dies.

The library repeats commands by itself, as it does by default. So a command that is not idempotent, such as INCR or RPUSH, may
take effect twice when its connection breaks: at most one for each caller, since each has one command under way. A script that
notes which call it was makes that exactly once, however often it is sent."""

import asyncio
import threading
from functools import partial

from redis.asyncio.cluster import ClusterNode as AsyncNode
from redis.asyncio.cluster import RedisCluster as AsyncCluster
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from play import Play, or_die

FAILURES = (RedisError, RedisClusterException, OSError)


# Counts, unless it has counted for this call already.
ONCE = "if redis.call('SET', KEYS[2], '', 'NX', 'EX', 600) then return redis.call('INCR', KEYS[1]) end"


class Account:
    """What one caller knows of its counter and its list."""

    def __init__(self, who):
        self.who, self.sets, self.acknowledged, self.unknown, self.again = who, {}, 0, 0, 0
        self.pushed, self.calls = [], []

    def call(self, n):
        """Keys for the script that counts exactly once. Both in one slot, as cluster clients want it."""
        return f"{{{self.who}}}:exact", f"{{{self.who}}}:call:{n}"

    def check(self, c):
        for key, value in self.sets.items():
            assert c.get(key) == value, f"{key}: an acknowledged SET was lost"
        assert int(c.get(f"{{{self.who}}}:exact")) == len(self.calls), "a script was not applied exactly once"
        count = int(c.get(f"count:{self.who}"))
        assert self.acknowledged <= count <= self.acknowledged + self.unknown + 1, (vars(self), count)
        found = [int(token) for token in c.lrange(f"list:{self.who}", 0, -1)]
        assert set(self.pushed) <= set(found), "an acknowledged RPUSH was lost"
        assert len(found) - len(set(found)) <= 1, f"more than one command was applied twice: {found}"


def work(play, c, account):
    for n in play.rounds(25):
        key = f"key:{account.who}:{n}"
        while True:
            try:
                assert c.set(key, n) and c.get(key) == str(n)
                with c.pipeline() as p:
                    assert p.set(f"{key}:1", n).set(f"{key}:2", n).execute() == [True, True]
                c.eval(ONCE, 2, *account.call(n))
                break
            except FAILURES:
                account.again += 1  # setting again does no harm
        account.sets[key] = account.sets[f"{key}:1"] = str(n)
        account.calls.append(n)
        try:
            c.incr(f"count:{account.who}")
            account.acknowledged += 1
            c.rpush(f"list:{account.who}", n)
            account.pushed.append(n)
        except FAILURES:
            account.unknown += 1


def subscribe(c, node=None):
    subscription = c.pubsub(node=node)
    subscription.subscribe("news")
    return subscription


def hear_after_the_kill(c, subscription):
    """The subscription was the leader's. The application makes another one when it breaks."""
    while True:
        try:
            message = subscription.get_message(timeout=0.1)
        except FAILURES:
            subscription = subscribe(c)
            continue
        if message and message["data"] == "after the kill":
            return
        c.publish("news", "after the kill")


async def work_async(play, c, account):
    for n in play.rounds(25):
        key = f"key:{account.who}:{n}"
        while True:
            try:
                assert await c.set(key, n) and await c.get(key) == str(n)
                await c.eval(ONCE, 2, *account.call(n))
                break
            except FAILURES:
                account.again += 1
                await asyncio.sleep(0.05)
        account.sets[key] = str(n)
        account.calls.append(n)
        try:
            await c.incr(f"count:{account.who}")
            account.acknowledged += 1
            await c.rpush(f"list:{account.who}", n)
            account.pushed.append(n)
        except FAILURES:
            account.unknown += 1


async def all_async(play, accounts):
    nodes = [AsyncNode("127.0.0.1", port) for port in play.nodes]
    async with AsyncCluster(startup_nodes=nodes, decode_responses=True, socket_timeout=10) as c:
        await asyncio.gather(*[work_async(play, c, account) for account in accounts])


def main():
    play = Play()
    nodes = [ClusterNode("127.0.0.1", port) for port in play.nodes]
    c = RedisCluster(startup_nodes=nodes, decode_responses=True, socket_timeout=10)
    assert c.get_primaries()[0].port == play.nodes[0] and len(c.get_replicas()) == 2
    subscription = subscribe(c, c.get_primaries()[0])
    accounts = [Account(f"thread{n}") for n in range(3)]
    tasks = [Account(f"task{n}") for n in range(3)]
    beside = threading.Thread(target=or_die, args=(lambda: asyncio.run(all_async(play, tasks)),))
    play.busy = len(accounts) + len(tasks)
    beside.start()
    threads = [threading.Thread(target=or_die, args=(partial(work, play, c, account),)) for account in accounts]
    for thread in threads:
        thread.start()
    for thread in [*threads, beside]:
        thread.join()
    hear_after_the_kill(c, subscription)
    assert c.get_primaries()[0].port in play.survivors, "the library did not learn of the new leader"
    for account in accounts + tasks:
        account.check(c)
    play.end(
        acknowledged=sum(a.acknowledged + len(a.sets) for a in accounts + tasks),
        unknown=sum(a.unknown for a in accounts + tasks), again=sum(a.again for a in accounts + tasks),
    )


main()
