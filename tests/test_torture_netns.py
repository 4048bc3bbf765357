"""`quorate torture` in network namespaces: real packets are lost, and nothing of it stays on the machine."""

import os
import re
import shutil
import signal
import subprocess
import time

import network
import pytest
from test_torture import broken, result, torture

NAMESPACES = ["--network", "namespaces"]


@pytest.fixture(autouse=True)
def possible():
    reason = network.why_not()
    if reason:
        pytest.skip(reason)


def left(pid):
    """What a run of the tool has on this machine: namespaces, the bridge, the ends of cables."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    names = os.listdir("/run/netns") + [line.split()[1] for line in links.splitlines()]
    return [name for name in names if re.match(rf"qt{pid}\D", name)]


def test_partitions_and_slow_ways_break_no_promise(tmp_path, figures):
    process = torture(tmp_path / "run", "--seconds", "25", "--faults", "partition,one-way,slow", "--seed", "3", *NAMESPACES)
    code, report = result(process)
    assert (code, report["violations"], broken(report)) == (0, 0, set()), report["verdicts"]
    assert (report["network"], report["network_reason"]) == ("namespaces", None)
    assert len(report["faults"]) >= 2 and set(report["faults"]) <= {"partition", "one-way", "slow"}, report["faults"]
    assert report["terms"] > 1, "a leader that was cut off was replaced"
    assert report["operations"]["acknowledged"] > 200, report["operations"]
    assert left(process.pid) == []
    figures(faults=report["faults"], operations=report["operations"]["total"], pauses=report["pauses"])
    shutil.rmtree(tmp_path / "run")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_on_the_machine(tmp_path, end):
    process = torture(tmp_path / "run", "--seconds", "60", *NAMESPACES)
    assert "network: namespaces" in process.stderr.readline()
    assert len(left(process.pid)) >= 4
    time.sleep(1)
    process.send_signal(end)
    process.communicate(timeout=60)
    if end == signal.SIGKILL:
        # Nobody was there to clear up. The next run does.
        args = ["--seconds", "1", "--faults", "transfer", *NAMESPACES]
        code, report = result(torture(tmp_path / "next", *args))
        assert (code, report["network"]) == (0, "namespaces"), report
    assert left(process.pid) == []


def test_the_proxy_can_be_chosen(tmp_path):
    code, report = result(torture(tmp_path / "run", "--seconds", "3", "--faults", "partition", "--network", "proxy"))
    assert (code, report["network"], report["network_reason"]) == (0, "proxy", None), report
