"""redis.asyncio: tasks of one program, each client with one address: a node that survives. Without retries: no command may
fail, and none may take effect twice."""

import asyncio

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from play import Play

APPEND = "return {redis.call('RPUSH', KEYS[1], ARGV[1]), redis.call('INCR', KEYS[2])}"


def connect(port, protocol):
    return redis.Redis(
        port=port, protocol=protocol, decode_responses=True, socket_timeout=10, retry=Retry(NoBackoff(), 0)
    )


async def pipelines(play, c, who):
    for n in play.rounds(25):
        async with c.pipeline(transaction=True) as p:
            length, total = await p.rpush(f"log:{who}", n).incr(f"total:{who}").execute()
        assert length == total == n + 1
        assert await asyncio.gather(*[c.set(f"many:{who}:{key}", n) for key in range(10)]) == [True] * 10
    return n + 1


async def locked(play, c):
    count = 0
    for _ in play.rounds(10):
        async with c.lock("counter:lock", timeout=30, sleep=0.005):
            await c.set("counter", int(await c.get("counter") or 0) + 1)
        count += 1
    return count


async def scripts(play, c):
    script = c.register_script(APPEND)
    for n in play.rounds(25):
        assert await script(keys=["scripted", "scripted:count"], args=[n]) == [n + 1, n + 1]
    return n + 1


async def produce(play, c):
    """Entries of a stream, and elements of a list for one who waits at it."""
    for n in play.rounds(25):
        await c.xadd("stream", {"n": n})
        await c.rpush("queue", n)
    await c.rpush("queue", "end")
    return n + 1


async def take(c, taken):
    while (element := (await c.blpop("queue", 30))[1]) != "end":
        taken.append(int(element))


async def consume(c, done, seen):
    while True:
        last = done.is_set()
        answer = await c.xreadgroup("group", "worker", {"stream": ">"}, block=100)
        found = [entry for _, entries in answer or [] for entry in entries]
        for id, fields in found:
            seen.append(int(fields["n"]))
            assert await c.xack("stream", "group", id) == 1
        if last and not found:
            return


async def publish(play, c):
    first = None
    for n in play.rounds(25):
        if first is None and play.killed.is_set():
            first = n
        await c.publish("news:sport", n)
    await c.publish("news:sport", "end")
    return n + 1, first


async def listen(subscription, heard):
    async for message in subscription.listen():
        if message["type"] == "pmessage":
            if message["data"] == "end":
                return
            heard.append(int(message["data"]))


async def main():
    play = Play()
    one, two = connect(play.survivors[0], 2), connect(play.survivors[1], 3)
    await one.xgroup_create("stream", "group", mkstream=True)
    news = two.pubsub()
    await news.psubscribe("news:*")
    assert (await news.get_message(timeout=10))["type"] == "psubscribe"
    produced, seen, taken, heard = asyncio.Event(), [], [], []
    beside = asyncio.gather(consume(one, produced, seen), take(two, taken), listen(news, heard))

    roles = [
        pipelines(play, one, 1), pipelines(play, two, 2), locked(play, one), locked(play, two), scripts(play, two),
        produce(play, one), publish(play, one),
    ]
    play.busy = len(roles)
    rows1, rows2, lock1, lock2, scripted, entries, (messages, first) = await asyncio.gather(*roles)
    produced.set()
    await beside

    assert await two.lrange("log:1", 0, -1) == [str(n) for n in range(rows1)]
    assert await two.lrange("log:2", 0, -1) == [str(n) for n in range(rows2)]
    assert await two.lrange("scripted", 0, -1) == [str(n) for n in range(scripted)]
    assert int(await two.get("counter")) == lock1 + lock2, "two held the lock at once"
    assert seen == list(range(entries)) and (await two.xpending("stream", "group"))["pending"] == 0
    assert taken == list(range(entries)), "an element of the list was lost or came twice"
    assert heard == sorted(set(heard)) and set(range(first, messages)) <= set(heard), (first, messages, heard)
    await one.aclose()
    await two.aclose()
    play.end(
        transactions=rows1 + rows2, locked=lock1 + lock2, scripts=scripted, entries=entries, messages=messages,
        missed=messages - len(heard),
    )


asyncio.run(main())
