"""Scripts on real nodes: what nests deeply, what returns much, what asks for all the memory, and what scripts say to the log."""
import resource

import pytest

from resp_client import ErrorReply

# Each of these once needed more stack, or more of the interpreter's places for values, than there was.
HARD = [
    ("local t = {} for i = 1, 900 do t = {t} end return #cjson.encode(cjson.decode(cjson.encode(t)))", 1802),
    ("cjson.encode_max_depth(1000000) local t = {} for i = 1, 300000 do t = {t} end return cjson.encode(t)", "excessive nesting"),
    ("cjson.decode_max_depth(1000000) return cjson.decode(string.rep('[', 300000))", "too many nested"),
    ("return cmsgpack.unpack(string.rep('\\145', 300000) .. '\\1')", "Bad data format"),
    ("local function f() return coroutine.wrap(f)() end return f()", "C stack overflow"),
    ("local function f() return (string.gsub('a', 'a', f)) end return f()", "C stack overflow"),
    ("local function f(n) return (string.gsub('a', 'a', function() if n < 50 then return f(n + 1) end local t = {} for i = 1, 900 do t = {t} end return #cjson.encode(t) end)) end return f(1)", "1802"),
    ("local function f(n) return 1 + f(n) end return f(1)", "stack overflow"),
    ("return #string.match(string.rep('x', 100000), string.rep('x?', 100000))", "pattern too complex"),
    ("return loadstring('return ' .. string.rep('(', 100000) .. '1' .. string.rep(')', 100000))()", "attempt to call a nil value"),
    ("local t = {} for i = 1, 20000 do t[i] = 'x' .. i end return #t", 20000),
    ("local t = {} for i = 1, 7000 do t[i] = 'x' .. i end return redis.call('rpush', 'l', unpack(t)) - #redis.call('lrange', 'l', 0, -1)", 0),
    ("local t = {} while true do t[#t + 1] = string.rep('x', 1000000) .. #t end", "not enough memory"),
]


def start_with_little_stack(cluster, nodes):
    """As from a shell that allows its programs hardly any."""
    old = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (512 << 10, old[1]))
    try:
        return cluster.start(nodes)
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, old)


@pytest.mark.parametrize("nodes", [1, 3])
def test_scripts_that_go_deep_end_on_every_node(make_cluster, nodes):
    cluster = start_with_little_stack(make_cluster(), nodes)
    with cluster.leader().connect(timeout=120) as c:
        assert c.call("CONFIG", "SET", "script-memory-max", "80mb") == "OK"
        for code, expected in HARD:
            try:
                reply = c.call("EVAL", code, 0)
            except ErrorReply as error:
                reply = str(error)
            if isinstance(expected, str) and expected != "1802":
                assert expected in reply, code
            else:
                assert reply in (expected, str(expected).encode()), code
        assert len(c.call("EVAL", "local t = {} for i = 1, 20000 do t[i] = 'x' .. i end return t", 0)) == 20000
        assert c.call("EVAL", "return #ARGV", 0, *range(20000)) == 20000
    cluster.wait_caught_up()
    cluster.assert_digests_equal()


def test_what_scripts_say_is_in_the_log_of_their_node_once(make_cluster):
    cluster = make_cluster().start(3)
    for i, node in enumerate(cluster.nodes):
        code = f"redis.log(redis.LOG_WARNING, 'said by {i}', 7) redis.log(redis.LOG_DEBUG, 'unheard of') return redis.call('incr', 'n')"
        assert node.call("EVAL", code, 0) == i + 1
    killed = cluster.nodes[0]
    killed.kill()
    killed.restart()
    cluster.wait_caught_up()
    for i in range(3):
        assert [node.log().count(f"said by {i} 7") for node in cluster.nodes] == [int(j == i) for j in range(3)]
    assert not any("unheard of" in node.log() for node in cluster.nodes)


def test_without_replicas_scripts_may_read_and_not_write(make_cluster):
    node = make_cluster().start(1).nodes[0]
    node.call("SET", "k", "old")
    node.call("CONFIG", "SET", "min-replicas-to-write", 1)
    read, write = "return redis.call('GET', KEYS[1])", "return redis.call('SET', KEYS[1], 'new')"
    with node.connect() as connection:
        assert connection.call("EVAL", read, 1, "k") == b"old"
        assert connection.call("EVAL", "#!lua flags=no-writes\n" + read, 1, "k") == b"old"
        # Who says what a script does, and not that it writes nothing, has said that it writes.
        for script in (write, "#!lua\n" + read):
            with pytest.raises(ErrorReply, match="^NOREPLICAS "):
                connection.call("EVAL", script, 1, "k")
        node.call("CONFIG", "SET", "min-replicas-to-write", 0)
        assert connection.call("EVAL", write, 1, "k") == "OK"
