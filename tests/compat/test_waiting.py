"""Commands that wait for a key, with several clients in lock step, beside redis-server: who is served, with what, and in
which order. Every step of the one is over when the other one's is: so all must be the same, whichever node a client is at.

If several keys of one command become ready at once, Redis 7.0 serves it from the first that did, 7.2 and Quorate from the
first of its arguments. So in each scenario either no command waits for several keys, or no step makes several ready and no
key changes its type. And SORT with STORE that replaces a string serves nobody in Redis, but in Quorate: so the one scenario
has SORT, the other one strings."""
import random

import pytest

from resp import Incomplete, Raw, encode, parse
from servers import LONG, wait_for

LISTS, SETS, STREAMS = ["l1", "l2", "l3"], ["z1", "z2"], ["s1", "s2"]
WAITERS, WRITERS = 6, 2
# What is blocked in Redis stays so for the whole of a scenario unless it is served: no clocks are compared.
FOR_EVER = ["0", "0.0", "1000"]


def some(r, keys, several):
    return r.choices(keys, k=r.choice([1, 1, 2, 3]) if several else 1)


def waiting(r, several):
    """A command that may wait, for several keys or only for one."""
    keys, sets, sides = some(r, LISTS, several), some(r, SETS, several), ["LEFT", "RIGHT"]
    n = r.random()
    while several and 0.3 <= n < 0.48:
        n = r.random()
    if n < 0.3:
        return [r.choice(["BLPOP", "BRPOP"]), *keys, r.choice(FOR_EVER)]
    if n < 0.42:
        return ["BLMOVE", r.choice(LISTS), r.choice(LISTS), r.choice(sides), r.choice(sides), r.choice(FOR_EVER)]
    if n < 0.48:
        return ["BRPOPLPUSH", r.choice(LISTS), r.choice(LISTS), r.choice(FOR_EVER)]
    if n < 0.62:
        return ["BLMPOP", r.choice(FOR_EVER), str(len(keys)), *keys, r.choice(sides), *r.choice([[], ["COUNT", "2"], ["COUNT", "10"]])]
    if n < 0.72:
        return [r.choice(["BZPOPMIN", "BZPOPMAX"]), *sets, r.choice(FOR_EVER)]
    if n < 0.8:
        return ["BZMPOP", r.choice(FOR_EVER), str(len(sets)), *sets, r.choice(["MIN", "MAX"]), *r.choice([[], ["COUNT", "2"]])]
    streams = r.sample(STREAMS, 2 if several else 1)
    if n < 0.9:
        return ["XREAD", *r.choice([[], ["COUNT", "1"]]), "BLOCK", "0", "STREAMS", *streams, *["$" if r.random() < 0.8 else "5-0" for _ in streams]]
    return ["XREADGROUP", "GROUP", "g", r.choice(["a", "b"]), "BLOCK", "0", "STREAMS", r.choice(STREAMS), ">"]


def writing(r, several, stream_ids):
    """A command that may serve some who wait. Streams stay what they are: Redis 7.0 ends the waiting for a group in other words."""
    key, other = r.choice(LISTS), r.choice(LISTS)
    values = [str(r.randrange(100)) for _ in range(r.choice([1, 1, 1, 2, 4]))]
    z, stream = r.choice(SETS), r.choice(STREAMS)
    n = r.random()
    if n < 0.3:
        return [r.choice(["RPUSH", "LPUSH"]), key, *values]
    if n < 0.35:
        return [r.choice(["RPUSHX", "LPUSHX"]), key, *values]
    if n < 0.4:
        return ["LINSERT", key, "BEFORE", values[0], "inserted"]
    if n < 0.45:
        return [r.choice(["RENAME", "COPY"]), key, other]
    if n < 0.5:
        return ["LMOVE", key, other, "LEFT", "RIGHT"]
    if n < 0.62:
        return ["ZADD", z, *[word for value in values for word in (value, f"m{value}")]]
    if n < 0.66:
        return ["ZUNIONSTORE", z, "2", *SETS]
    if n < 0.7:
        return ["SORT", key, "ALPHA", "STORE", other] if several else ["SET", key, "a string"]
    if n < 0.82:
        stream_ids[0] += 1
        return ["XADD", stream, f"{stream_ids[0]}-0", "f", values[0]]
    if n < 0.86:
        return ["DEL", key, z]
    if n < 0.9:
        return ["LINDEX", key, "0"] if several else ["GETSET", key, "a string"]
    other = key if several else other
    script = "redis.call('RPUSH', KEYS[1], 'x', 'y'); redis.call('LPUSH', KEYS[2], 'z'); return redis.call('LLEN', KEYS[1])"
    if n < 0.95:
        return ["EVAL", script, "2", key, other]
    return ["LPOP", key]


def scenario(r, steps, several):
    """Commands by the client that is to send them; writers also send transactions, unless commands wait for several keys."""
    commands, stream_ids = [], [10]
    for _ in range(steps):
        if r.random() < 0.45:
            commands.append((r.randrange(WAITERS), [waiting(r, several)]))
            continue
        writer = WAITERS + r.randrange(WRITERS)
        lines = [writing(r, several, stream_ids)]
        if not several and r.random() < 0.4:
            more = [writing(r, several, stream_ids) if r.random() < 0.6 else waiting(r, several) for _ in range(r.randint(1, 3))]
            lines = [["MULTI"], *lines, *more, ["EXEC"]]
        commands.append((writer, lines))
    return commands


class Client(Raw):
    """One that can be asked whether its answer is there."""

    def has_reply(self):
        try:
            self.sock.setblocking(False)
            self.buf += self.sock.recv(1 << 16)
        except BlockingIOError:
            pass
        try:
            parse(self.buf)
        except Incomplete:
            return False
        return True


class Clients:
    """Those of one run, and who of them waits."""

    def __init__(self, ports):
        self.ports = ports
        self.all = [Client(ports[n % len(ports)], 30) for n in range(WAITERS + WRITERS)]
        for n in range(0, WAITERS, 2):
            self.all[n].call("HELLO", "3")
        self.control = [Raw(port) for port in ports]
        self.blocked = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in [*self.all, *self.control]:
            client.close()

    def blocked_count(self):
        text = b"".join(control.call("INFO", "clients").value for control in self.control)
        return sum(int(line.split(b":")[1]) for line in text.split(b"\r\n") if line.startswith(b"blocked_clients:"))

    def send(self, number, lines):
        """Sends all but the last line for its answer, and then that one."""
        for line in lines[:-1]:
            self.all[number].call(*line)
        self.all[number].send(encode(*lines[-1]))

    def ready(self, number):
        return self.all[number].has_reply()


def play_on_redis(port, commands):
    """For each step, who got which answer; None for a step whose client waits already."""
    with Clients([port]) as clients:
        return list(redis_story(clients, commands))


def redis_story(clients, commands):
    prepare(clients)
    for number, lines in commands:
        if number in clients.blocked:
            yield None
            continue
        clients.send(number, lines)
        waiting_before = clients.blocked | {number}

        def settled(number=number, waiting_before=waiting_before):
            # Each one either has an answer or is counted.
            answered = [n for n in waiting_before if clients.ready(n)]
            return len(waiting_before) - len(answered) == clients.blocked_count()

        wait_for("the step is over", settled)
        answered = sorted(n for n in waiting_before if clients.ready(n))
        clients.blocked = waiting_before - set(answered)
        yield {n: clients.all[n].read().raw for n in answered}


def play(ports, commands, story):
    """The same, step by step: raises if any answer differs."""
    with Clients(ports) as clients:
        replay(clients, commands, story)
    with Raw(ports[0]) as control:
        wait_for("nobody waits", lambda: b"total_blocking_keys:0\r\n" in control.call("INFO", "clients").value)


def replay(clients, commands, story):
    prepare(clients)
    for at, ((number, lines), expected) in enumerate(zip(commands, story)):
        if expected is None:
            continue
        clients.send(number, lines)
        for n, raw in expected.items():
            actual = clients.all[n].read(30).raw
            assert actual == raw, f"step {at} {lines} of {number}: client {n} got {actual}, in Redis {raw}\n{recent(commands, story, at)}"
        clients.blocked = (clients.blocked | {number}) - set(expected)
        try:
            wait_for("the others wait", lambda: clients.blocked_count() == len(clients.blocked), 10)
        except AssertionError as error:
            raise AssertionError(f"step {at} {lines} of {number}: {error}\n{recent(commands, story, at)}") from error
        early = [n for n in clients.blocked if clients.ready(n)]
        assert not early, f"step {at}: {early} are answered, not so in Redis\n{recent(commands, story, at)}"


def recent(commands, story, at):
    lines = [f"{n}: {c} -> {s}" for n, (c, s) in enumerate(zip(commands, story)) if s is not None and n <= at]
    return "\n".join(lines[-14:])


def prepare(clients):
    clients.control[0].call("FLUSHALL")
    for stream in STREAMS:
        clients.control[0].call("XGROUP", "CREATE", stream, "g", "$", "MKSTREAM")


@pytest.mark.parametrize("seed", range(40 if LONG else 8))
def test_who_is_served_with_what(redis, cluster, seed):
    commands = scenario(random.Random(seed), 150 if LONG else 80, several=seed % 2 == 0)
    story = play_on_redis(redis.port, commands)
    served = sum(len(step) > 1 for step in story if step)
    assert served > 1, "the scenario serves nobody"
    play([node.port for node in cluster.nodes], commands, story)
