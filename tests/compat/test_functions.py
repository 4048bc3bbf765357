"""Libraries of functions that Redis dumps are restored here, and the other way round."""
import struct

import pytest
from differential.driver import Servers
from differential.dump import crc64

REDIS_VERSION = 10


@pytest.fixture(scope="module")
def servers():
    s = Servers()
    yield s
    s.stop()


@pytest.fixture(params=[2, 3])
def pair(servers, request):
    theirs, ours = servers.connections(request.param)
    for server in (theirs, ours):
        server.call("FUNCTION", "FLUSH")
    yield theirs, ours
    theirs.close()
    ours.close()


LIBRARIES = {
    # The text of one is short, that of another long and repetitive: Redis packs it.
    "short": "#!lua name=short\nredis.register_function('f', function() return 1 end)",
    "long": "#!lua name=long\n" + "".join(
        f"redis.register_function{{function_name='g{i}', callback=function(keys, args) return {{{i}, keys, args}} end, flags={{'no-writes'}}, description='the one of {i}'}}\n"
        for i in range(200)),
    "binary": "#!lua name=binary\nlocal s = '\u00e9\u4e2d' redis.register_function('h', function() return s end)",
}


def loaded(server):
    for source in LIBRARIES.values():
        assert not server.call("FUNCTION", "LOAD", source).is_error


def lists(server):
    """What is there, whatever its order."""
    def plain(value):
        return sorted((plain(item) for item in value), key=repr) if isinstance(value, (list, tuple, set, frozenset)) else value
    return plain(server.call("FUNCTION", "LIST", "WITHCODE").value)


def results(server):
    return [server.call(*words).raw for words in (["FCALL", "f", 0], ["FCALL", "g7", 1, "k", "a"], ["FCALL_RO", "g199", 0], ["FCALL", "h", 0])]


def stamped(payload, version):
    """The same payload, as one of another version."""
    body = payload[:-10] + struct.pack("<H", version)
    return body + struct.pack("<Q", crc64(body))


def test_what_redis_dumps_is_restored_here(pair):
    theirs, ours = pair
    loaded(theirs)
    payload = theirs.call("FUNCTION", "DUMP").value
    assert ours.call("FUNCTION", "RESTORE", payload).value == b"OK"
    assert lists(ours) == lists(theirs)
    assert results(ours) == results(theirs)
    for policy in ("APPEND", "REPLACE", "FLUSH"):
        assert ours.call("FUNCTION", "RESTORE", payload, policy).is_error == theirs.call("FUNCTION", "RESTORE", payload, policy).is_error
    assert lists(ours) == lists(theirs)


def test_what_is_dumped_here_redis_restores(pair):
    theirs, ours = pair
    loaded(ours)
    payload = ours.call("FUNCTION", "DUMP").value
    assert theirs.call("FUNCTION", "RESTORE", stamped(payload, REDIS_VERSION)).value == b"OK"
    assert lists(theirs) == lists(ours)
    assert results(theirs) == results(ours)


def test_damaged_payloads_are_refused_and_change_nothing(pair):
    theirs, ours = pair
    assert not theirs.call("FUNCTION", "LOAD", LIBRARIES["short"]).is_error
    payload = theirs.call("FUNCTION", "DUMP").value
    assert not ours.call("FUNCTION", "LOAD", LIBRARIES["binary"]).is_error
    before = lists(ours)
    for i in range(len(payload)):
        damaged = payload[:i] + bytes([payload[i] ^ 0x10]) + payload[i + 1:]
        for bad in (damaged, payload[:i]):
            assert ours.call("FUNCTION", "RESTORE", bad, "FLUSH").raw == theirs.call("FUNCTION", "RESTORE", bad, "FLUSH").raw
    for body in (b"\x00abc", b"\xf5", b"\xf5\x05ab", b"\xf5\xc3\x05\x7f\xff\xff", b"\xf5\x03abc", b"\xf6\x03abc"):
        bad = stamped(body + b"\0" * 10, REDIS_VERSION)
        assert ours.call("FUNCTION", "RESTORE", bad, "FLUSH").is_error, body
    assert lists(ours) == before
