"""All processes die at once: what was acknowledged is on disk (no-lost-ack; R7, R8)."""

import time

import pytest
from cluster import eventually
from load import Load


def kill_all(cluster):
    for node in cluster.nodes:
        node.begin_kill()
    for node in cluster.nodes:
        node.process.wait(10)


def start_all(cluster):
    for node in cluster.nodes:
        node.launch()
    for node in cluster.nodes:
        node.wait_answers()
    cluster.wait_voters(3)


# Beside the default: snapshots all the time, so that some are cut off by the kill.
SETTINGS = {"default": [], "snapshots": ["snapshot-log-size=1mb", "log-keep-size=256kb", "segment-size=1mb"]}


def long_value(n):
    return f"{n}:" + "x" * 1500


@pytest.mark.parametrize("settings", SETTINGS)
def test_kill_of_all_nodes_loses_nothing(make_cluster, settings, figures, long):
    cluster = make_cluster(SETTINGS[settings]).start(3)
    with Load(cluster.nodes, gap=0.0, value=str if settings == "default" else long_value) as load:
        if settings == "snapshots":
            # In later rounds each must grow by as much as the last one holds, which the time may not suffice for.
            eventually(lambda: snapshots_written(cluster) >= 3, "snapshots are written")
        rounds = []
        for _ in range(10 if long else 3):
            time.sleep(1.5)
            acknowledged = load.acknowledged()
            snapshots = snapshots_written(cluster)
            began = time.monotonic()
            kill_all(cluster)
            start_all(cluster)
            eventually(lambda: load.flowing(cluster.nodes, began), "all clients write again")
            rounds.append({"acknowledged": acknowledged, "back_ms": milliseconds_since(began), "snapshots": snapshots})
        kill_all(cluster)
        load.stop()
        start_all(cluster)
    for node in cluster.nodes:
        load.assert_kept(node)
    cluster.assert_digests_equal()
    figures(kills=len(rounds) + 1, acknowledged=load.acknowledged(), lost=0, rounds=rounds)


def snapshots_written(cluster):
    return sum(int(node.info("persistence")["quorate_snapshots_written"]) for node in cluster.nodes)


def milliseconds_since(began):
    return int((time.monotonic() - began) * 1000)


def test_a_clean_stop_of_all_nodes_loses_nothing(cluster):
    for round in range(2):
        with Load(cluster.nodes, prefix=f"round{round}", gap=0.0) as load:
            time.sleep(0.7)
            for node in cluster.nodes:
                node.begin_terminate()
            for node in cluster.nodes:
                node.finish_terminate()
            load.stop()
        start_all(cluster)
        for node in cluster.nodes:
            load.assert_kept(node)
    cluster.assert_digests_equal()


def test_everysec_is_one_setting_of_the_cluster_and_survives_the_death_of_all_processes(cluster):
    def fsync_everywhere(mode):
        return all(node.call("CONFIG", "GET", "appendfsync")[1] == mode for node in cluster.nodes)

    assert fsync_everywhere(b"always"), "the default"
    assert cluster.nodes[1].call("CONFIG", "SET", "appendfsync", "everysec") == "OK"
    eventually(lambda: fsync_everywhere(b"everysec"), "all nodes show everysec", timeout=5)
    with Load(cluster.nodes, gap=0.0) as load:
        time.sleep(2)
        kill_all(cluster)
        load.stop()
    start_all(cluster)
    assert fsync_everywhere(b"everysec"), "the setting survives a restart"
    for node in cluster.nodes:
        load.assert_kept(node)
    assert cluster.nodes[2].call("CONFIG", "SET", "appendfsync", "always") == "OK"
    eventually(lambda: fsync_everywhere(b"always"), "all nodes show always", timeout=5)
    with Load(cluster.nodes, prefix="again", gap=0.0) as again:
        time.sleep(1)
        kill_all(cluster)
        again.stop()
    start_all(cluster)
    for written in (load, again):
        written.assert_kept(cluster.leader())
    cluster.assert_digests_equal()
