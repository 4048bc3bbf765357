"""The leader is killed in the middle of pipelines: every reply is explained (R14), nothing acknowledged is lost."""
import random

import pytest

from resp import encode
from servers import LONG

COUNT, SLICE = 4000, 100


class Pipeline:
    """Tokens are pushed to one list, singly and in pairs within MULTI, with reads between them. The final list says what
    was applied; the replies must say the same."""

    def __init__(self, seed, key):
        r = random.Random(seed)
        self.key, self.commands, token = key, [], 0
        while len(self.commands) < COUNT:
            kind = r.random()
            if kind < 0.5:
                token += 1
                self.add("push", ["RPUSH", key, token], [token])
            elif kind < 0.6:
                self.add("multi", ["MULTI"])
                self.add("queued", ["RPUSH", key, token + 1])
                self.add("queued", ["RPUSH", key, token + 2])
                self.add("exec", ["EXEC"], [token + 1, token + 2])
                token += 2
            elif kind < 0.75:
                self.add("length", ["LLEN", key])
            elif kind < 0.9:
                self.add("last", ["LRANGE", key, -1, -1])
            else:
                self.add("ping", ["PING"])

    def run(self, connection, kill_at, kill):
        """Sends slice by slice, two of them unanswered at a time, and kills behind a slice that is under way."""
        slices = [self.commands[n:n + SLICE] for n in range(0, len(self.commands), SLICE)]
        replies, wanted = [], 0
        try:
            for number, part in enumerate([*slices, []]):
                connection.send(b"".join(encode(*words) for _, words, _ in part))
                if number == kill_at:
                    kill()
                while len(replies) < wanted:
                    replies.append(connection.read(30))
                wanted += len(part)
            while len(replies) < wanted:
                replies.append(connection.read(30))
        except ConnectionError:
            pass
        return replies

    def add(self, kind, words, tokens=()):
        self.commands.append((kind, words, list(tokens)))

    def check(self, replies, final):
        """`replies` may end early: the connection was lost. `final` is the list read back afterwards."""
        position = {int(t): n for n, t in enumerate(final)}
        assert len(position) == len(final), "a command was applied twice"
        assert list(position) == sorted(position), "commands of one connection were applied out of order"
        counts = {"NOQUORUM": 0, "UNKNOWN": 0, "ok": 0, "lost": 0}
        seen = 0  # tokens certainly applied by commands before this one
        for (kind, words, tokens), reply in zip(self.commands, replies + [None] * (len(self.commands) - len(replies))):
            applied = [t in position for t in tokens]
            assert len(set(applied)) <= 1, f"half of a transaction was applied: {tokens}"
            if reply is None:
                counts["lost"] += 1
            elif reply.is_error:
                code = reply.text.split()[0]
                assert code in ("NOQUORUM", "UNKNOWN"), reply
                assert kind in ("push", "exec", "length", "last"), (words, reply)
                assert code == "UNKNOWN" or not any(applied), f"{words}: NOQUORUM and yet applied"
                assert code == "NOQUORUM" or tokens, f"{words}: a read cannot be UNKNOWN"
                counts[code] += 1
            else:
                counts["ok"] += 1
                if tokens:
                    assert all(applied), f"{words}: acknowledged and lost"
                    lengths = [reply.value] if kind == "push" else reply.value
                    assert lengths == [position[t] + 1 for t in tokens], f"{words}: {reply}"
                elif kind == "ping":
                    assert reply.raw == b"+PONG\r\n"
                elif kind == "multi":
                    assert reply.raw == b"+OK\r\n"
                elif kind == "queued":
                    assert reply.raw == b"+QUEUED\r\n"
            if any(applied):
                seen = max(position[t] for t in tokens) + 1
            if reply is not None and not reply.is_error and kind in ("length", "last"):
                shown = reply.value if kind == "length" else position[int(reply.value[0])] + 1 if reply.value else 0
                assert shown == seen, f"{words}: saw {shown} elements where its connection had pushed {seen}"
        return counts


@pytest.mark.parametrize("seed", range(12 if LONG else 3))
@pytest.mark.parametrize("where", ["follower", "leader"])
def test_every_prefix_is_explained(cluster, where, seed):
    leader, followers = cluster.leader(), cluster.followers()
    node = leader if where == "leader" else followers[seed % 2]
    pipeline = Pipeline(f"{where} {seed}", f"killed:{where}:{seed}")
    at = random.Random(seed).randint(1, COUNT // SLICE * 3 // 4)
    with node.connect(timeout=40) as c:
        c.call("DEL", pipeline.key)
        replies = pipeline.run(c, at, leader.kill)
    assert not leader.runs
    survivor = followers[0]
    with survivor.connect(timeout=20) as c:
        final = c.call("LRANGE", pipeline.key, 0, -1)
        assert final.kind == b"*", final
    counts = pipeline.check(replies, final.value)
    print(f"{where}, killed after {at * SLICE} commands: {counts}")
    if where == "follower":
        assert counts["lost"] == 0, "the connection to a follower that lives was lost"
        assert counts["UNKNOWN"] == counts["NOQUORUM"] == 0, f"a failover is a pause, not an error (R15): {counts}"
    cluster.mend()
    for n in cluster.nodes:
        assert n.call("LRANGE", pipeline.key, 0, -1).raw == final.raw
