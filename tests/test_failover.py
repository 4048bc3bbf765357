"""The leader is lost: writes pause and none is lost (no-lost-ack, fast-failover, honest-errors; R14, R15)."""

import statistics
import time

from cluster import eventually
from load import Load

CLIENTS = 20
# How long the writing goes on before and after each fault, seconds.
BEFORE, AFTER = 0.7, 0.7
LONGER_THAN_WRITE_TIMEOUT = 6.5
PAUSE_LIMIT_S = {False: 5.0, True: 1.0}


def report_pauses(figures, pauses, load, **more):
    ms = [round(pause * 1000) for pause in pauses]
    figures(
        pauses_ms=ms, median_ms=round(statistics.median(ms)), max_ms=max(ms), acknowledged=load.acknowledged(), **more
    )


def wait_flowing(load, nodes):
    """Until every client of these nodes gets acknowledgements again, and a little longer."""
    since = time.monotonic()
    eventually(lambda: load.flowing(nodes, since), "every client of a surviving node writes again")
    time.sleep(AFTER)


def test_kill_of_the_leader_is_a_pause(cluster, figures, long):
    pauses = []
    with Load(cluster.nodes, CLIENTS) as load:
        for _ in range(20 if long else 5):
            leader = cluster.leader()
            survivors = cluster.others(leader)
            time.sleep(BEFORE)
            at = time.monotonic()
            leader.kill()
            wait_flowing(load, survivors)
            errors = load.errors(survivors, since=at)
            pauses.append(load.pause(survivors, at, time.monotonic()))
            assert not errors, f"clients of surviving nodes saw {errors[:5]}"
            leader.restart()
            cluster.wait_caught_up()
            cluster.wait_voters(3)
        load.stop()
        report_pauses(figures, pauses, load)
    for node in cluster.nodes:
        load.assert_kept(node)
    cluster.assert_digests_equal()
    assert max(pauses) < PAUSE_LIMIT_S[long]


def test_stop_of_the_leader_is_a_pause_and_it_steps_down(cluster, figures, long):
    pauses, answers = [], []
    with Load(cluster.nodes, CLIENTS) as load:
        for round in range(20 if long else 3):
            old = cluster.leader()
            survivors = cluster.others(old)
            readers = [old.connect() for _ in range(5)]
            writers = [old.connect() for _ in range(5)]
            readers[0].call("SET", "mark", f"before {round}")
            time.sleep(BEFORE)
            at = time.monotonic()
            old.stop()
            new = cluster.leader(among=survivors, not_=old)
            term = new.status()["term"]
            if long and round == 0:
                time.sleep(LONGER_THAN_WRITE_TIMEOUT)
            wait_flowing(load, survivors)
            pauses.append(load.pause(survivors, at, time.monotonic()))
            errors = load.errors(survivors, since=at)
            assert not errors, f"clients of surviving nodes saw {errors[:5]}"

            # These wait in the old leader's socket buffers: it reads them when it wakes up, with its old term in mind.
            new.call("SET", "mark", f"after {round}")
            for reader in readers:
                reader.send("GET", "mark")
            for n, writer in enumerate(writers):
                writer.send("SET", f"stopped:{round}:{n}", "x")
            old.cont()

            for reader in readers:
                assert str(reader.receive(), "ascii") == f"after {round}", "a stale read from the old leader"
            for n, writer in enumerate(writers):
                reply = writer.receive()
                answers.append((f"stopped:{round}:{n}", reply))
            cluster.leader()
            assert old.status()["term"] >= term, "it still believes in its old term"
            cluster.wait_caught_up()
            for connection in readers + writers:
                connection.close()
        load.stop()
        report_pauses(figures, pauses, load, errors_of_stopped=len(load.errors()))
    check_answers(cluster.nodes[0], answers)
    for node in cluster.nodes:
        load.assert_kept(node)
    cluster.assert_digests_equal()
    assert max(pauses) < PAUSE_LIMIT_S[long]


def check_answers(node, answers):
    """What was answered OK is there; what was answered NOT applied is not; anything else is UNKNOWN."""
    for key, reply in answers:
        if reply == "OK":
            assert node.call("EXISTS", key) == 1, f"{key} was acknowledged by the old leader and is lost"
        elif reply.code == "NOQUORUM":
            assert node.call("EXISTS", key) == 0, f"{key} was answered NOQUORUM and is there"
        else:
            assert reply.code == "UNKNOWN", reply
