"""`quorate torture` with disks that lose power, fill up and rot: nothing is lost, and without fsync something is."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from cluster import binary, eventually
from test_torture import broken, result, torture, verdicts

NOBODY = 65534
# A name of the tool's file systems, as /proc/mounts shows them.
SOURCE = "quorate-torture"


def why_not():
    """Why this machine has no such disks, if so."""
    if os.geteuid() != 0:
        return "only root may mount a file system"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"no FUSE: {error}"
    return None


needs_disks = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def faults(folder):
    return [json.loads(line) for line in (folder / "faults.jsonl").read_text().splitlines()]


def said(folder):
    """What all nodes reported."""
    return "".join(path.read_text(errors="replace") for path in folder.glob("node-*/quorate.log"))


@needs_disks
def test_a_power_loss_loses_nothing_and_without_fsync_it_does(tmp_path, figures):
    """The same attack twice. A checker that finds nothing on disks that lie proves nothing."""
    attack = ["--seconds", "15", "--faults", "power-loss", "--seed", "5"]
    code, report = result(torture(tmp_path / "honest", *attack))
    assert (code, broken(report), report["operations"]["lost"]) == (0, set(), 0), report["verdicts"]
    what = [fault["what"] for fault in faults(tmp_path / "honest")]
    assert any("all nodes" in text for text in what) and any("node " in text for text in what), what
    assert report["operations"]["unique_acknowledged"] > 50, report["operations"]
    assert set(report["faults"]) == {"power-loss"}

    code, lying = result(torture(tmp_path / "lying", *attack, "--ignore-fsync"))
    assert code == 1
    assert "no-lost-ack" in broken(lying), lying["verdicts"]
    assert lying["operations"]["lost"] > 0
    assert "--ignore-fsync" in (tmp_path / "lying" / "README.txt").read_text()
    assert list((tmp_path / "lying").glob("node-1/disk/data/log/*.log")), "the data stay for whoever looks"
    figures(
        power_losses=report["faults"]["power-loss"],
        lost=report["operations"]["lost"],
        lost_without_fsync=lying["operations"]["lost"],
        of=lying["operations"]["unique_acknowledged"],
    )
    for name in ("honest", "lying"):
        shutil.rmtree(tmp_path / name)


@needs_disks
def test_full_and_damaged_disks_break_no_promise(tmp_path, figures):
    args = ["--seconds", "20", "--faults", "disk-full,damage", "--seed", "6"]
    code, report = result(torture(tmp_path / "run", *args))
    assert (code, broken(report)) == (0, set()), report["verdicts"]
    assert set(report["faults"]) == {"disk-full", "damage"}, report["faults"]
    assert verdicts(report)["no-silent-corruption"] == "kept"
    assert "No space left on device" in said(tmp_path / "run"), "no node noticed that its disk was full"
    damaged = [fault["what"] for fault in faults(tmp_path / "run") if fault["kind"] == "damage"]
    assert all("went on" in text or "replaced" in text or "nothing to damage" in text for text in damaged), damaged
    figures(faults=report["faults"], damage=damaged)
    shutil.rmtree(tmp_path / "run")


@needs_disks
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_mounted_however_it_ends(tmp_path, end):
    process = torture(tmp_path / "run", "--seconds", "60", "--faults", "power-loss", "--seed", "1")
    assert "nodes run" in process.stderr.readline()
    time.sleep(2)
    mounted = (lambda: SOURCE in open(f"/proc/{process.pid}/mounts").read())()
    assert mounted, "it had no disks at all"
    nodes = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    process.send_signal(end)
    process.wait(30)
    process.stdout.close()
    process.stderr.close()
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in nodes), "its nodes have ended")
    assert SOURCE not in open("/proc/mounts").read()
    shutil.rmtree(tmp_path / "run")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_without_root_they_are_left_out_and_the_report_says_why():
    def attack(*args):
        command = [binary(), "torture", "--json", "--heal-within", "120", *args]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, user=NOBODY, group=NOBODY, cwd="/tmp")

    try:
        named = attack("--faults", "power-loss")
    except PermissionError:
        pytest.skip("another user cannot run this binary")
    assert named.returncode == 1 and "only root" in named.stderr and not named.stdout, named.stderr
    done = attack("--seconds", "3")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report["faults_left_out"]) == {"power-loss", "disk-full", "damage"}
    assert all("only root" in reason for reason in report["faults_left_out"].values())
