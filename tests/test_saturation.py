"""Saturating load, with snapshots running, causes no election (R20)."""

import shutil
import subprocess
import time

import pytest
from cluster import eventually

# Snapshots again and again, also in the short run.
SETTINGS = ["snapshot-log-size=64mb", "log-keep-size=16mb"]
LOADS = {
    "pipeline 1": ["-c", "50", "-P", "1", "-r", "100000", "-t", "set,get,incr"],
    "pipeline 16": ["-c", "50", "-P", "16", "-r", "100000", "-t", "set,get,incr"],
    "64 KB values": ["-c", "20", "-P", "1", "-d", "65536", "-r", "1000", "-t", "set"],
}
SECONDS = {False: 5, True: 200}  # for each load


@pytest.mark.skipif(not shutil.which("redis-benchmark"), reason="redis-benchmark is not installed")
def test_saturating_load_causes_no_election(make_cluster, figures, long, tmp_path):
    cluster = make_cluster(SETTINGS).start(3)
    leader, terms = cluster.leader(), cluster.terms()
    writes = {}
    for name, options in LOADS.items():
        before = int(leader.info("stats")["quorate_writes"])
        saturate(cluster, options, SECONDS[long])
        writes[name] = int(leader.info("stats")["quorate_writes"]) - before
        assert cluster.terms() == terms, f"there was an election under {name}"
        assert cluster.leader() is leader
    assert all(n > 100 for n in writes.values()), f"it did not load anything: {writes}"
    snapshots = {
        node.number: int(eventually(lambda: node.info("persistence"), "INFO")["quorate_snapshots_written"])
        for node in cluster.nodes
    }
    assert min(snapshots.values()) >= 1, f"no snapshots ran: {snapshots}"
    cluster.wait_caught_up()
    cluster.assert_digests_equal()
    figures(seconds=SECONDS[long] * len(LOADS), writes=writes, snapshots=snapshots, elections=0)


def saturate(cluster, options, seconds):
    """redis-benchmark at the leader and at a follower at once, over and over."""
    leader = cluster.leader()
    processes = [
        subprocess.Popen(
            ["redis-benchmark", "-h", node.host, "-p", str(node.port), "-q", "-l", "-n", "20000", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for node in (leader, cluster.others(leader)[0])
    ]
    try:
        time.sleep(seconds)
        for process in processes:
            assert process.poll() is None, f"redis-benchmark ended: {process.stderr.read()}"
    finally:
        for process in processes:
            process.kill()
            process.communicate()
