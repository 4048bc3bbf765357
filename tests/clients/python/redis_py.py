"""redis-py with threads. Each client has one address: a node that survives. Without retries: no command may fail, and
none may take effect twice."""

import threading
from functools import partial

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from play import Play, start

ACCOUNTS = ["account:a", "account:b", "account:c"]
TRANSFER = """
local have = tonumber(redis.call('GET', KEYS[1]))
if have < tonumber(ARGV[1]) then return 0 end
redis.call('DECRBY', KEYS[1], ARGV[1])
redis.call('INCRBY', KEYS[2], ARGV[1])
redis.call('INCR', KEYS[3])
return 1
"""


def connect(port, protocol):
    return redis.Redis(
        port=port, protocol=protocol, decode_responses=True, socket_timeout=10, retry=Retry(NoBackoff(), 0)
    )


def pipelines(play, c, who):
    """Transactions and plain pipelines."""
    for n in play.rounds(25):
        with c.pipeline() as p:
            p.rpush(f"log:{who}", n).incr("total").lindex(f"log:{who}", -1)
            length, _, last = p.execute()
        assert (length, last) == (n + 1, str(n))
        with c.pipeline(transaction=False) as p:
            for key in range(20):
                p.set(f"plain:{who}:{key}", n).get(f"plain:{who}:{key}")
            assert p.execute() == [True, str(n)] * 20
    return n + 1


def optimistic(play, c):
    """WATCH, MULTI, EXEC, again until nobody was in between."""

    def increment(p):
        value = int(p.get("watched") or 0)
        p.multi()
        p.set("watched", value + 1)

    return sum(1 for _ in play.rounds(10) if c.transaction(increment, "watched") == [True])


def locked(play, c):
    """A counter that is read and then written, under redis-py's lock."""
    count = 0
    for _ in play.rounds(10):
        with c.lock("counter:lock", timeout=30, sleep=0.005):
            c.set("counter", int(c.get("counter") or 0) + 1)
        count += 1
    return count


def transfers(play, c, who):
    """A script, by EVALSHA, moves amounts between accounts. Nobody ever sees a sum that is not the sum."""
    script = c.register_script(TRANSFER)
    moved = 0
    for n in play.rounds(25):
        source, target = ACCOUNTS[n % 3], ACCOUNTS[(n + 1 + who) % 3]
        if source != target:
            moved += script(keys=[source, target, "moved"], args=[n % 7])
        assert sum(map(int, c.mget(ACCOUNTS))) == 300
    return moved


def produce(play, c):
    for n in play.rounds(40):
        c.xadd("stream", {"n": n})
    return n + 1


def consume(c, who, done, seen):
    """A consumer of a group, which waits for entries."""
    while True:
        last = done.is_set()
        answer = c.xreadgroup("group", who, {"stream": ">"}, count=5, block=100)
        streams = answer.values() if isinstance(answer, dict) else [entries for _, entries in answer or []]
        found = [entry for part in streams for entry in flat(part)]
        for id, fields in found:
            seen.append(int(fields["n"]))
            assert c.xack("stream", "group", id) == 1
        if last and not found:
            return


def flat(entries):
    """RESP3 replies of redis-py hold one list more."""
    return [entry for part in entries for entry in part] if entries and isinstance(entries[0], list) else entries


def publish(play, c):
    """Returns the number of messages, and which of them was the first after the kill."""
    first = None
    for n in play.rounds(40):
        if first is None and play.killed.is_set():
            first = n
        c.publish("news", n)
    c.publish("news", "end")
    return n + 1, first


def listen(subscription, heard):
    for message in subscription.listen():
        if message["type"] == "message":
            if message["data"] == "end":
                return
            heard.append(int(message["data"]))


def main():
    play = Play()
    one, two = connect(play.survivors[0], 3), connect(play.survivors[1], 2)
    one.mset({account: 100 for account in ACCOUNTS})
    one.xgroup_create("stream", "group", mkstream=True)
    news = two.pubsub()
    news.subscribe("news")
    assert news.get_message(timeout=10)["type"] == "subscribe"
    produced, read, heard = threading.Event(), ([], []), []
    beside = [start(consume, c, f"worker{n}", produced, read[n]) for n, c in enumerate((one, two))]
    beside.append(start(listen, news, heard))

    rows1, rows2, *_ = results = play.together(
        partial(pipelines, play, one, 1), partial(pipelines, play, two, 2),
        partial(optimistic, play, one), partial(optimistic, play, two),
        partial(locked, play, one), partial(locked, play, two), partial(locked, play, two),
        partial(transfers, play, one, 0), partial(transfers, play, two, 1),
        partial(produce, play, one), partial(publish, play, one),
    )
    produced.set()
    for thread in beside:
        thread.join()
    two_watched, three_locked, two_moved = sum(results[2:4]), sum(results[4:7]), sum(results[7:9])
    entries, (messages, first) = results[9], results[10]

    assert two.lrange("log:1", 0, -1) == [str(n) for n in range(rows1)], "a transaction was lost, doubled or reordered"
    assert two.lrange("log:2", 0, -1) == [str(n) for n in range(rows2)], "a transaction was lost, doubled or reordered"
    assert int(two.get("total")) == rows1 + rows2
    assert int(two.get("watched")) == two_watched, "an update between WATCH and EXEC was lost"
    assert int(two.get("counter")) == three_locked, "two held the lock at once"
    assert int(two.get("moved") or 0) == two_moved and sum(map(int, two.mget(ACCOUNTS))) == 300
    assert sorted(read[0] + read[1]) == list(range(entries)), "an entry was not delivered to one consumer exactly"
    assert two.xpending("stream", "group")["pending"] == 0
    # Publishing is at most once. Neither of these two nodes died, so that nothing excuses a message of the time after.
    assert heard == sorted(set(heard)) and set(range(first, messages)) <= set(heard), (first, messages, heard)
    play.end(
        transactions=rows1 + rows2, watched=two_watched, locked=three_locked, moved=two_moved, entries=entries,
        messages=messages, missed=messages - len(heard),
    )


main()
