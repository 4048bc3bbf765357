"""Every command of the table under a matrix of users: who may do what is what Redis says, asked and tried."""

import re

import pytest
from resp import Raw, encode

# The rules of each user; Redis and Quorate get the same.
USERS = {
    "all": ["+@all", "~*", "&*"],
    "nothing": [],
    "keyless": ["+@all"],
    "a": ["+@all", "~a*", "&a*"],
    "reader": ["+@all", "%R~*"],
    "writer": ["+@all", "%W~*"],
    "split": ["+@all", "%R~a*", "%W~b*", "&b*"],
    "reads": ["+@read", "~*"],
    "writes": ["+@write", "~*"],
    "fast": ["+@fast", "~*"],
    "slow": ["+@slow", "~*"],
    "safe": ["+@all", "-@dangerous", "~*"],
    "admin": ["+@admin", "~*"],
    "connection": ["+@connection"],
    "scripter": ["+@scripting", "+get", "~a*"],
    "parts": ["+config|get", "+client|id", "+object", "-object|freq", "+select|0", "~*"],
    "selectors": ["+get", "~a*", "(+set %W~b*)", "(+@list ~a* &a*)"],
    "families": ["+@string", "+@set", "-@bitmap", "+@geo", "+@pubsub", "&a*", "~a*"],
    "values": ["+@list", "+@hash", "+@sortedset", "+@stream", "+@hyperloglog", "%RW~a*", "%R~b*"],
    "rest": ["+@keyspace", "+@transaction", "+@blocking", "~*"],
}

# Lines whose keys no scheme finds.
LINES = """
SORT a1 BY b* GET b* | SORT a1 STORE b1 | SORT b1 STORE a1 | SORT_RO a1 BY nosort | EVAL x 1 a1 | EVAL x 2 a1 b1 | EVAL x 0 c | EVAL_RO x 1 b1
EVALSHA x 1 b1 | FCALL f 1 a1 | FCALL_RO f 1 b1 | ZUNIONSTORE a1 2 b1 b2 | ZUNIONSTORE b1 2 a1 a2 | ZINTER 2 a1 b1 | ZDIFF 1 a1 | ZMPOP 1 a1 MIN
LMPOP 2 a1 b1 LEFT | BLMPOP 0 1 b1 LEFT | BZMPOP 0 1 a1 MAX | SINTERCARD 2 a1 b1 | ZINTERCARD 1 b1 | XREAD STREAMS a1 b1 0 0 | XREAD COUNT 1 STREAMS b1 0
XREADGROUP GROUP g c STREAMS a1 0 | XREADGROUP GROUP g c STREAMS c1 0 | SET a1 x GET | SET b1 x GET | SET b1 x EX 10 | SET a1 x | SET c1 x
BITFIELD a1 GET u4 0 | BITFIELD b1 SET u4 0 1 | BITFIELD a1 SET u4 0 1 | GEORADIUS a1 0 0 1 m STORE b1 | GEORADIUS a1 0 0 1 m STOREDIST a2 | GEORADIUS b1 0 0 1 m
GEORADIUSBYMEMBER a1 m 1 km STORE b1 | GEOSEARCHSTORE b1 a1 FROMLONLAT 0 0 BYRADIUS 1 m ASC | COPY a1 b1 | COPY b1 a1 | RENAME a1 b1 | RENAME b1 a1 | LMOVE a1 b1 LEFT LEFT
BITOP AND b1 a1 a2 | BITOP AND a1 b1 | MSET a1 x b1 y | MSETNX a1 x c1 y | MGET a1 b1 | DEL a1 b1 | EXISTS a1 c1 | UNLINK a1 | TOUCH b1 | SMOVE a1 b1 x | SINTERSTORE b1 a1
PFMERGE b1 a1 | PFCOUNT a1 b1 | LCS a1 b1 | OBJECT ENCODING a1 | OBJECT FREQ b1 | MEMORY USAGE a1 | XINFO STREAM a1 | XGROUP CREATE b1 g 0 | BLPOP a1 b1 0 | WATCH a1 b1
MIGRATE h 1 a1 0 5 | MIGRATE h 1 b1 0 5 | PUBLISH a1 x | PUBLISH b1 x | SPUBLISH a1 x | SUBSCRIBE a1 b1 | SSUBSCRIBE b1 | PSUBSCRIBE a* | PSUBSCRIBE a1 | UNSUBSCRIBE c1
SELECT 0 | SELECT 1 | AUTH x y | HELLO | QUIT | RESET | CONFIG GET x | CONFIG SET x y | CLIENT ID | CLIENT KILL x | DEBUG OBJECT a1 | ACL WHOAMI | ACL SETUSER x
"""

# What must not really be done here: it ends servers or connections, waits, or changes who may do what.
NOT_TRIED = {
    "shutdown", "debug", "acl", "auth", "hello", "quit", "reset", "monitor", "sync", "psync", "replconf", "replicaof", "slaveof", "failover",
    "migrate", "subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe", "multi", "exec", "discard", "config", "client", "cluster",
    "wait", "save", "bgsave", "bgrewriteaof", "swapdb", "flushall", "flushdb", "module", "latency", "select", "script", "function", "keys", "restore-asking",
}


# Commands sent at once.
TOGETHER = 500


def told_all(connection, lines):
    """What a server says of each of many lines."""
    for start in range(0, len(lines), TOGETHER):
        some = lines[start : start + TOGETHER]
        replies = connection.exchange(b"".join(encode(*words) for words in some), len(some), timeout=60)
        yield from (told(reply) for reply in replies)


def told(reply):
    """A reply without what differs in words: Redis 7.0 does not name the user, and 7.2 tells less of keys."""
    text = reply.raw.decode("latin-1")
    if text == "+OK\r\n":
        return "may"
    for pattern in (r"has no permissions to run the '([^']*)' command", r"no permissions to access the '([^']*)' (key|channel)"):
        if found := re.search(pattern, text):
            return found.group(0)
    if "NOPERM" in text:
        return "key" if "key" in text else "channel"
    return "may"


def every_command(connection):
    """Each command and subcommand with its record."""
    def walk(record):
        yield record[0].decode(), record
        for part in record[9]:
            yield from walk(part)

    return {name: record for command in connection.call("COMMAND").value for name, record in walk(command)}


def line_of(name, record, first):
    """A command line of the least length, whose keys are `first` and then others."""
    words = name.split("|")
    words += ["1"] * (abs(record[1]) - len(words))
    begin, end, step = record[3], record[4], record[5]
    keys = iter([first, "b2", "a2", "c2"])
    if begin > 0:
        words += ["1"] * (begin + 1 - len(words))
        end = begin if end < 0 else end
        words += ["1"] * (end + 1 - len(words))
        for at in range(begin, end + 1, step):
            words[at] = next(keys, "c3")
    return words


@pytest.fixture(scope="module")
def servers(cluster, redis):
    with Raw(redis.port) as theirs, cluster.leader().connect() as ours:
        for connection in (theirs, ours):
            for name, rules in USERS.items():
                assert connection.call("ACL", "SETUSER", f"m-{name}", "reset", "on", "nopass", *rules).raw == b"+OK\r\n"
        yield theirs, ours
        for name in USERS:
            ours.call("ACL", "DELUSER", f"m-{name}")


# PFMERGE without a source: Redis overlooks that it writes a key. SMISMEMBER tells no more than SISMEMBER does, for which Redis asks for less.
DIFFERENT = {"pfmerge", "smismember"}


def lines_of(theirs, ours, firsts=("a1", "b1", "c1")):
    known, here = every_command(theirs), every_command(ours)
    for name, record in sorted(known.items()):
        if name in here and not record[9] and name not in DIFFERENT:
            for first in firsts:
                yield line_of(name, record, first)
    for line in LINES.replace("\n", "|").split("|"):
        words = line.split()
        if words and words[0].lower() in here:
            yield words


def compare(lines, theirs, ours):
    answers = zip(lines, told_all(theirs, lines), told_all(ours, lines))
    return [(" ".join(words), one, other) for words, one, other in answers if one != other]


def test_acl_dryrun_says_what_redis_says(servers):
    theirs, ours = servers
    lines = [("ACL", "DRYRUN", f"m-{user}", *words) for words in lines_of(theirs, ours) for user in USERS]
    differences = compare(lines, theirs, ours)
    count = len(lines)
    assert count > 5000, count
    assert not differences, f"{len(differences)} of {count}: " + "\n".join(map(str, differences[:40]))


def test_what_is_really_refused_is_what_redis_refuses(servers, cluster, redis):
    theirs, ours = servers
    lines = [words for words in lines_of(theirs, ours, ["a1"]) if words[0].lower() not in NOT_TRIED]
    lines = [words for words in lines if not words[0].lower().startswith(("b", "xread"))]
    differences, count = [], 0
    for user in ("a", "split", "reads", "safe", "parts", "selectors", "families"):
        with Raw(redis.port) as one, cluster.followers()[0].connect() as other:
            for connection in (one, other):
                assert connection.call("AUTH", f"m-{user}", "any").raw == b"+OK\r\n"
            differences += [(user, *difference) for difference in compare(lines, one, other)]
            count += len(lines)
    assert count > 1000, count
    assert not differences, f"{len(differences)} of {count}: " + "\n".join(map(str, differences[:40]))


def test_categories_hold_the_same_commands(servers):
    theirs, ours = servers
    both = set(every_command(theirs)) & set(every_command(ours))
    categories = {name.decode() for name in theirs.call("ACL", "CAT").value}
    assert categories == {name.decode() for name in ours.call("ACL", "CAT").value}
    for category in sorted(categories):
        sets = [{name.decode() for name in connection.call("ACL", "CAT", category).value} & both for connection in (theirs, ours)]
        assert sets[0] == sets[1], f"{category}: only there {sets[0] - sets[1]}, only here {sets[1] - sets[0]}"
