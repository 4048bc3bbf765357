"""What stands on disk is not believed (no-silent-corruption; R6): a torn tail is cut, damage before it is refused."""

import os

import pytest
from cluster import PATIENCE, eventually

ENTRIES = 200


@pytest.fixture
def killed(cluster):
    """A follower that was killed after it had `ENTRIES` writes on disk."""
    with cluster.leader().connect() as connection:
        for n in range(ENTRIES):
            assert connection.call("SET", f"k:{n}", "v" * 500) == "OK"
    cluster.wait_caught_up()
    node = cluster.others(cluster.leader())[0]
    node.kill()
    return node


def segment_in_use(node):
    """The newest file of the log with entries, and where its content ends. What was only reserved is zeros."""
    for path in sorted((node.folder / "log").glob("*.log"), reverse=True):
        end = len(path.read_bytes().rstrip(b"\0"))
        if end > 10_000:
            return path, end
    raise AssertionError("no segment has entries")


def test_the_unfinished_tail_of_a_crash_is_cut(cluster, killed):
    path, end = segment_in_use(killed)
    with path.open("r+b") as file:
        file.seek(end + 16)  # behind what may be zeros at the end of the last record
        file.write(os.urandom(3_000))
    before = len(killed.log())
    killed.restart()
    assert "unfinished tail" in killed.log()[before:]
    cluster.wait_voters(3)
    cluster.wait_caught_up()
    assert killed.call("EXISTS", *(f"k:{n}" for n in range(ENTRIES))) == ENTRIES
    cluster.assert_digests_equal()


def test_damage_in_the_middle_of_the_log_is_refused_with_file_and_place(cluster, killed):
    path, end = segment_in_use(killed)
    place = end // 2
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 0x10]))
    before = len(killed.log())
    killed.launch()
    killed.dies_with = killed.process.wait(PATIENCE)
    said = killed.log()[before:]
    assert killed.dies_with != 0, "it went on with a damaged log"
    assert str(path) in said and "at byte" in said, said[-1500:]
    assert "QUORATE NODE REMOVE" in said, "it does not say what to do"
    survivors = cluster.others(killed)
    assert survivors[0].call("SET", "still", "here") == "OK"
    eventually(
        lambda: survivors[1].call("EXISTS", *(f"k:{n}" for n in range(ENTRIES))) == ENTRIES, "nothing is missing"
    )


def test_a_damaged_identity_is_refused(cluster, killed):
    identity = killed.folder / "identity"
    content = bytearray(identity.read_bytes())
    content[len(content) // 3] ^= 1
    identity.write_bytes(content)
    before = len(killed.log())
    killed.launch()
    killed.dies_with = killed.process.wait(PATIENCE)
    assert killed.dies_with != 0
    assert str(identity) in killed.log()[before:]
