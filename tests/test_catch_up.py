"""A follower that was away for longer than the log is kept catches up by snapshot, while writes go on (R9)."""

import random
import time

from cluster import eventually
from load import Load

SETTINGS = ["snapshot-log-size=4mb", "log-keep-size=1mb", "segment-size=1mb"]
VALUE_BYTES = 10_000
VALUES = 2_500


def test_snapshot_brings_a_follower_up_to_date_while_writes_go_on(make_cluster, figures):
    cluster = make_cluster(SETTINGS).start(3)
    leader = cluster.leader()
    away = cluster.others(leader)[0]
    away.kill()

    bytes_of = random.Random(1).randbytes
    values = {f"big:{n}": bytes_of(VALUE_BYTES) for n in range(VALUES)}
    with leader.connect(timeout=60) as connection:
        keys = list(values)
        for at in range(0, VALUES, 50):
            replies = connection.pipeline([("SET", key, values[key]) for key in keys[at : at + 50]])
            assert replies == ["OK"] * 50, replies
    eventually(lambda: int(leader.info("persistence")["quorate_snapshots_written"]) > 0, "the leader writes a snapshot")
    # What the node that is away has of the log stands in the first segment.
    first = leader.folder / "log" / "00000000000000000001.log"
    eventually(lambda: not first.exists(), "the log behind the snapshot is given up")

    with Load(cluster.others(away), clients=10) as load:
        began = time.monotonic()
        away.restart()
        cluster.wait_caught_up()
        took = time.monotonic() - began
        time.sleep(0.5)
        installed = int(away.info("persistence")["quorate_snapshots_installed"])
        assert installed >= 1, "it caught up without a snapshot: the log was kept for too long"
        errors = load.errors()
        load.stop()
    assert not errors, errors[:5]
    for node in cluster.nodes:
        load.assert_kept(node)
    cluster.wait_caught_up()
    with away.connect(timeout=60) as connection:
        assert connection.call("READONLY") == "OK"
        for key, value in values.items():
            assert connection.call("GET", key) == value, f"{key} is wrong in the copy that came by snapshot"
    cluster.assert_digests_equal()

    # And what came by snapshot survives a restart of that node, and of everybody.
    away.kill()
    away.restart()
    cluster.wait_caught_up()
    cluster.assert_digests_equal()
    on_disk = sum(f.stat().st_size for f in (away.folder / "log").iterdir())
    figures(
        snapshot_ms=round(took * 1000), installed=installed, acknowledged=load.acknowledged(), log_bytes_on_disk=on_disk
    )
    assert on_disk < 16 << 20, "the log is not purged behind snapshots"
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.launch()
    for node in cluster.nodes:
        node.wait_answers()
    cluster.wait_voters(3)
    load.assert_kept(cluster.nodes[1])
    cluster.assert_digests_equal()
