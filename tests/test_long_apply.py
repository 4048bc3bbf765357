"""An entry that takes long to apply on every node causes no election (R20)."""

import time

from load import Load


def test_a_command_that_takes_seconds_causes_no_election(make_cluster, figures, long):
    seconds = 10 if long else 3
    cluster = make_cluster(["enable-debug-command=yes"]).start(3)
    leader, terms = cluster.leader(), cluster.terms()
    with Load(cluster.nodes, clients=9) as load:
        time.sleep(0.5)
        began = time.monotonic()
        assert leader.call("DEBUG", "SLEEP", seconds, timeout=seconds * 3 + 10) == "OK"
        took = time.monotonic() - began
        time.sleep(1)
        assert took > seconds - 0.1, "it did not sleep"
        assert cluster.leader() is leader
        assert cluster.terms() == terms, "there was an election"
        cluster.wait_caught_up()
        since = time.monotonic()
        time.sleep(0.5)
        assert load.flowing(cluster.nodes, since), "everybody is served again"
        errors = load.errors()
        load.stop()
    if seconds < 5:
        assert not errors, errors[:5]
    assert all(error.split(": ", 1)[1].startswith("-UNKNOWN") for error in errors), errors[:5]
    for node in cluster.nodes:
        load.assert_kept(node)
    cluster.assert_digests_equal()
    figures(slept_s=round(took, 2), acknowledged=load.acknowledged(), unknown=len(errors))
