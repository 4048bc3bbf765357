"""The leader's network is cut: the rest goes on, and the leader says that it cannot (one-leader, honest-errors)."""

import time

import network
import pytest
from cluster import eventually
from load import Load
from resp_client import ErrorReply

CLIENTS = 20
WRITE_TIMEOUT = 5.0
PAUSE_LIMIT_S = {False: 5.0, True: 1.0}


@pytest.fixture(scope="module")
def isolated():
    reason = network.why_not()
    if reason:
        pytest.skip(reason)
    with network.Network(3) as made:
        yield made


@pytest.fixture
def cluster(make_cluster, isolated):
    cluster = make_cluster(["protected-mode=no"])
    for name, host in zip(isolated.names, isolated.hosts):
        cluster.add(host=host, namespace=name)
        node = cluster.nodes[-1]
        node.wait_answers()
    cluster.wait_voters(3)
    return cluster


def test_cut_of_the_leader(cluster, isolated, figures, long):
    pauses = []
    with Load(cluster.nodes, CLIENTS) as load:
        for round in range(20 if long else 2):
            old = cluster.leader()
            survivors = cluster.others(old)
            old.call("SET", "mark", f"before {round}")
            readers = [old.connect() for _ in range(40)]
            lonely = [old.connect() for _ in range(3)]
            time.sleep(0.7)
            at = time.monotonic()
            isolated.cut(cluster.nodes.index(old))
            new = cluster.leader(among=survivors, not_=old)
            new.call("SET", "mark", f"after {round}")

            # The cut-off node must not answer `before` any more, and must not hang for longer than write-timeout.
            asked = time.monotonic()
            for n, connection in enumerate(lonely):
                connection.send("SET", f"lonely:{round}:{n}", "x")
            for reader in readers[:20]:
                reader.send("GET", "mark")
            answers = [reader.receive() for reader in readers[:20]]
            refusals = [connection.receive() for connection in lonely]
            took = time.monotonic() - asked
            assert all(isinstance(a, ErrorReply) for a in answers), f"stale reads from a cut-off leader: {answers}"
            assert {a.code for a in answers} <= {"NOQUORUM", "UNKNOWN"}, answers
            assert all(isinstance(a, ErrorReply) for a in refusals), f"acknowledged without a majority: {refusals}"
            assert {a.code for a in refusals} <= {"NOQUORUM", "UNKNOWN"}, refusals
            assert took < WRITE_TIMEOUT + 3, f"the cut-off node took {took:.1f} s to say so"

            since = time.monotonic()
            eventually(lambda: load.flowing(survivors, since), "clients of surviving nodes write")
            pauses.append(load.pause(survivors, at, time.monotonic()))
            errors = load.errors(survivors, since=at)
            assert not errors, f"clients of surviving nodes saw {errors[:5]}"

            # Asked while cut off, answered at whatever time: never the old value.
            for reader in readers[20:]:
                reader.send("GET", "mark")
            isolated.heal(cluster.nodes.index(old))
            for reader in readers[20:]:
                answer = reader.receive()
                assert isinstance(answer, ErrorReply) or answer == f"after {round}".encode(), answer
            cluster.leader()
            cluster.wait_caught_up()
            for n, refusal in enumerate(refusals):
                if refusal.code == "NOQUORUM":
                    assert new.call("EXISTS", f"lonely:{round}:{n}") == 0, "applied although answered NOQUORUM"
            for connection in readers + lonely:
                connection.close()
        load.stop()
    ms = sorted(round_ms(pause) for pause in pauses)
    figures(pauses_ms=ms, median_ms=ms[len(ms) // 2], max_ms=ms[-1], acknowledged=load.acknowledged())
    for node in cluster.nodes:
        load.assert_kept(node)
    cluster.assert_digests_equal()
    assert max(pauses) < PAUSE_LIMIT_S[long]


def test_a_follower_that_was_cut_off_comes_back_without_an_election(cluster, isolated):
    leader, terms = cluster.leader(), cluster.terms()
    cut = cluster.others(leader)[0]
    rest = cluster.others(cut)
    leader.call("SET", "k", "before")
    cluster.wait_caught_up()
    readonly, strict = cut.connect(), cut.connect()
    assert readonly.call("READONLY") == "OK"
    with Load(rest, clients=6) as load:
        isolated.cut(cluster.nodes.index(cut))
        leader.call("SET", "k", "after")
        assert readonly.call("GET", "k") == b"before", "a READONLY connection is answered by its node"
        strict.send("GET", "k")
        answer = strict.receive()
        assert isinstance(answer, ErrorReply), f"{answer}: a strict read without the leader"
        isolated.heal(cluster.nodes.index(cut))
        eventually(lambda: strict.call("GET", "k") == b"after", "it answers again")
        cluster.wait_caught_up()
        time.sleep(0.5)
        errors, pause = load.errors(), load.pause(rest, 0, time.monotonic())
        load.stop()
    assert cluster.terms() == terms, "it brought an election with it"
    assert cluster.leader() is leader
    assert not errors, errors[:5]
    assert pause < PAUSE_LIMIT_S[False]
    load.assert_kept(cut)


def round_ms(seconds):
    return round(seconds * 1000)
