"""Nodes come and go (R5, R19)."""

import time

import pytest
from cluster import eventually
from load import Load
from resp_client import ErrorReply


def test_one_node_alone_is_durable(make_cluster):
    cluster = make_cluster().start(1)
    node = cluster.nodes[0]
    with Load([node], clients=5, gap=0.0) as load:
        for _ in range(3):
            time.sleep(0.4)
            node.kill()
            node.restart()
        node.kill()
        load.stop()
    node.restart()
    assert load.acknowledged() > 0
    load.assert_kept(node)


def test_the_third_node_makes_three_voters_and_the_fourth_takes_the_place_of_one_that_goes(make_cluster):
    cluster = make_cluster().start(1)
    first = cluster.nodes[0]
    first.call("SET", "from the time alone", "yes")

    cluster.add().wait_answers()
    time.sleep(1.5)  # long enough for a promotion, if it were wrongly done
    assert first.roles() == {1: "leader", 2: "learner"}

    cluster.add().wait_answers()
    cluster.wait_voters(3)
    cluster.add().wait_answers()
    time.sleep(1.5)
    roles = first.roles()
    assert sorted(roles) == [1, 2, 3, 4]
    assert roles[4] in ("learner", "reader"), roles
    assert cluster.nodes[3].call("GET", "from the time alone") == b"yes"

    with Load(cluster.nodes) as load:
        time.sleep(0.5)
        gone = next(node for node in cluster.nodes[:3] if node is not cluster.leader())
        staying = cluster.others(gone)
        since = time.monotonic()
        first_staying = staying[0]
        first_staying.call("QUORATE", "NODE", "REMOVE", gone.number)
        gone.kill()
        eventually(lambda: first_staying.roles().get(4) == "follower", "the fourth node votes")
        assert gone.number not in first_staying.roles()
        cluster.wait_voters(3)
        time.sleep(0.5)
        assert not load.errors(staying, since)
        load.stop()
    for node in staying:
        load.assert_kept(node)
    cluster.assert_digests_equal()


def test_a_reader_never_votes(make_cluster):
    cluster = make_cluster()
    for role in ("data", "reader", "reader"):
        cluster.add("--role", role).wait_answers()
    time.sleep(1.5)
    assert cluster.nodes[0].roles() == {1: "leader", 2: "reader", 3: "reader"}
    cluster.nodes[1].call("SET", "k", "v")
    assert cluster.nodes[2].call("GET", "k") == b"v"


def test_failover_on_request_is_without_errors(cluster, figures):
    with Load(cluster.nodes) as load:
        pauses = []
        for _ in range(2):
            for target in (None, *cluster.nodes):
                old = cluster.leader()
                time.sleep(0.3)
                since = time.monotonic()
                asked = cluster.nodes[len(pauses) % 3]
                asked.call("QUORATE", "FAILOVER", *(("TO", target.number) if target else ()))
                eventually(
                    lambda: (cluster.leader() is target) if target else (cluster.leader() is not old),
                    "leadership moved",
                )
                time.sleep(0.5)
                pauses.append(round(load.pause(cluster.nodes, since, time.monotonic()) * 1000))
        errors = load.errors()
        load.stop()
    figures(pauses_ms=pauses, max_ms=max(pauses), acknowledged=load.acknowledged())
    assert not errors, f"{len(errors)}: {errors[:5]}"
    for node in cluster.nodes:
        load.assert_kept(node)
    cluster.assert_digests_equal()


def test_failover_to_a_node_that_cannot_lead_is_refused(cluster):
    leader = cluster.leader()
    with pytest.raises(ErrorReply):
        leader.call("QUORATE", "FAILOVER", "TO", 9)
    assert cluster.leader() is leader


def test_sigterm_of_the_leader_hands_over(cluster, figures, long):
    pauses = []
    with Load(cluster.nodes) as load:
        for _ in range(10 if long else 3):
            leader = cluster.leader()
            survivors = cluster.others(leader)
            time.sleep(0.7)
            since = time.monotonic()
            leader.terminate()
            eventually(lambda: load.flowing(survivors, time.monotonic() - 0.2), "all clients write")
            time.sleep(0.5)
            assert not load.errors(survivors, since)
            pauses.append(load.pause(survivors, since, time.monotonic()))
            leader.restart()
            cluster.wait_caught_up()
            cluster.wait_voters(3)
        load.stop()
    figures(
        pauses_ms=[round(p * 1000) for p in pauses], max_ms=round(max(pauses) * 1000), acknowledged=load.acknowledged()
    )
    for node in cluster.nodes:
        load.assert_kept(node)
    cluster.assert_digests_equal()
    if long:
        assert max(pauses) < 1.0


def test_a_node_may_move_to_another_port(cluster):
    node = next(node for node in cluster.nodes[1:] if node is not cluster.leader())
    node.terminate()
    node.port = next(cluster.ports)
    node.restart()
    address = f"{node.host}:{node.port}"
    eventually(lambda: cluster.nodes[0].members()[node.number]["addr"] == address, "the cluster knows the new address")
    cluster.wait_voters(3)
    node.call("SET", "k", "v")
    cluster.leader().kill()
    assert eventually(lambda: node.call("GET", "k"), "two of three go on") == b"v"
