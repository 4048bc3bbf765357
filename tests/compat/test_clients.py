"""Clients that people use, unmodified, against each node of a cluster."""
import asyncio
import pathlib
import re
import subprocess
import threading

import pytest
import redis as redis_py
import redis.asyncio as redis_async
from redis.cluster import RedisCluster

from servers import LONG

HERE = pathlib.Path(__file__).parent
NODES = [0, 1, 2]


def run(*argv, stdin=None, limit=60, cwd=None):
    done = subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, timeout=limit, cwd=cwd, check=False)
    out = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, f"{argv}: {done.returncode}\n{out[-3000:]}\n{done.stderr.decode()[-3000:]}"
    return out


@pytest.fixture(params=NODES, ids=["node1", "node2", "node3"])
def node(request, cluster):
    return cluster.nodes[request.param]


@pytest.fixture(params=NODES if LONG else [None], ids=["node1", "node2", "node3"] if LONG else ["some_node"])
def some_node(request, cluster):
    """For tests that take long: each node in the long version, otherwise one, and not always the same."""
    number = request.param if request.param is not None else sum(request.node.name.encode()) % 3
    return cluster.nodes[number]


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request):
    return request.param


# redis-cli and redis-benchmark

def cli(node, *words, **options):
    return run("redis-cli", "-p", node.port, *words, **options)


def test_redis_cli(node, protocol):
    flag = "-3" if protocol == 3 else "-2"
    assert cli(node, flag, "FLUSHALL") == "OK\n"
    assert cli(node, flag, "SET", "greeting", "hello world") == "OK\n"
    assert cli(node, flag, "GET", "greeting") == "hello world\n"
    assert cli(node, flag, "--no-raw", "LRANGE", "none", "0", "-1") == "(empty array)\n"
    assert cli(node, flag, "RPUSH", "list", "a", "b") == "2\n"
    assert "(error) WRONGTYPE" in run("sh", "-c", f"redis-cli -p {node.port} {flag} --no-raw INCR list; true")
    assert cli(node, flag, "-n", "3", "SET", "elsewhere", "1") == "OK\n"
    assert cli(node, flag, "DBSIZE") == "2\n"
    script = b"SET a 1\nINCR a\nMULTI\nINCR a\nGET a\nEXEC\nQUIT\n"
    assert cli(node, flag, stdin=script).split() == ["OK", "2", "OK", "QUEUED", "QUEUED", "3", "3"]
    assert "redis_version:7.2" in cli(node, flag, "INFO", "server")
    assert "SET" in cli(node, flag, "COMMAND", "DOCS", "SET").upper()
    assert "PING" in cli(node, "help", "PING")


def test_redis_cli_looks_at_all_keys(node):
    cli(node, "FLUSHALL")
    words = "\r\n".join(f"SET key:{n} {'x' * n}" for n in range(1, 301)) + "\r\nRPUSH biglist a b c d e\r\n"
    out = run("redis-cli", "-p", node.port, "--pipe", stdin=words.encode())
    assert "errors: 0, replies: 301" in out
    assert len(set(cli(node, "--scan").split())) == 301
    assert len(cli(node, "--scan", "--pattern", "key:1?").split()) == 10
    big = cli(node, "--bigkeys")
    assert re.search(r'Biggest string found .*"key:300.* has 300 bytes', big), big
    assert re.search(r'Biggest +list found .*"biglist.* has 5 items', big), big
    assert "300 strings with" in big


def test_redis_cli_pipe_takes_a_flood_of_protocol(some_node):
    node = some_node
    cli(node, "FLUSHALL")
    data = b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$3\r\nabc\r\n" % (len(k), k) for k in (b"f%d" % n for n in range(20_000)))
    assert "errors: 0, replies: 20000" in run("redis-cli", "-p", node.port, "--pipe", stdin=data)
    assert cli(node, "DBSIZE") == "20000\n"


def test_redis_cli_watches_the_server(some_node):
    node = some_node
    watch = subprocess.Popen(["redis-cli", "-p", str(node.port), "--stat", "-i", "0.2"], stdout=subprocess.PIPE)
    try:
        lines = [watch.stdout.readline().decode() for _ in range(4)]
    finally:
        watch.kill()
        watch.wait()
    assert "keys" in lines[1] and re.match(r"^\d+ +[\d.]+[BKMG] ", lines[2]), lines
    latency = run("timeout", "-s", "INT", "1.2", "sh", "-c", f"redis-cli -p {node.port} --latency --raw -i 1; true")
    assert len(latency.split()) >= 4, latency


@pytest.mark.parametrize("pipeline", [1, 16])
@pytest.mark.parametrize("where", ["leader", "follower"])
def test_redis_benchmark(cluster, where, pipeline):
    node = cluster.leader() if where == "leader" else cluster.followers()[0]
    flags = ["-3"] if where == "follower" else []
    out = run("redis-benchmark", "-p", node.port, *flags, "-n", 20_000 if LONG else 1_500, "-P", pipeline, "-q", "-t",
              "set,get,incr,lpush,rpush,lrange_100,mset,ping", limit=120)
    results = re.findall(r"^(\S+).*: ([\d.]+) requests per second", out.replace("\r", "\n"), re.M)
    names = {n for n, _ in results}
    assert {"PING_INLINE:", "PING_MBULK:", "SET:", "GET:", "INCR:", "LPUSH:", "RPUSH:", "MSET"} <= {n if n.endswith(":") else n for n in names} \
        or len(results) >= 9, out
    assert "rror" not in out


# Python

def connect(node, protocol, **options):
    return redis_py.Redis(port=node.port, protocol=protocol, decode_responses=True, retry=None, **options)


def test_redis_py(node, protocol):
    c = connect(node, protocol)
    c.flushall()
    assert c.set("a", 1, ex=100) and c.get("a") == "1" and c.incr("a", 41) == 42
    assert 90 < c.ttl("a") <= 100
    assert c.set("a", 2, nx=True) is None and c.set("a", 3, get=True) == "42"
    assert c.mset({"x": 1, "y": 2}) and c.mget("x", "y", "z") == ["1", "2", None]
    assert c.rpush("l", 1, 2, 3) == 3 and c.lrange("l", 0, -1) == ["1", "2", "3"] and c.lpop("l", 2) == ["1", "2"]
    assert c.incrbyfloat("f", 0.1) == 0.1 and c.incrbyfloat("f", 0.2) == 0.3
    assert sorted(c.scan_iter("*")) == ["a", "f", "l", "x", "y"]
    assert c.expire("x", 10, nx=True) and not c.expire("x", 20, lt=True)
    assert c.copy("x", "x2") and c.object("encoding", "a") == "int" and c.type("l") == "list"
    assert c.lcs("a", "a", len=True) == 1
    with pytest.raises(redis_py.ResponseError, match="WRONGTYPE"):
        c.incr("l")
    info = c.info()
    assert info["redis_version"].startswith("7.2") and info["role"] in ("master", "slave") and info["db0"]["keys"] == 6
    assert c.config_get("max*")["maxclients"] == "10000"
    assert c.client_setname("py") and c.client_getname() == "py"
    me = c.client_id()
    assert [i["name"] for i in c.client_list() if int(i["id"]) == me] == ["py"]
    assert c.client_info()["lib-name"] == "redis-py"
    assert c.command_count() > 80 and c.command()["get"]["arity"] == 2
    assert c.execute_command("COMMAND GETKEYS", "MSET", "a", 1, "b", 2) == ["a", "b"]
    assert c.role()[0] in ("master", "slave", b"master", b"slave")
    assert c.wait(1, 1000) >= 1 and c.waitaof(1, 1, 1000)[1] >= 1
    assert c.time()[0] > 1_700_000_000 and c.dbsize() == 6 and c.echo("x") == "x"
    c.close()


def test_redis_py_pipelines_and_transactions(node, protocol):
    c = connect(node, protocol)
    c.flushall()
    with c.pipeline(transaction=False) as p:
        for n in range(1000):
            p.incr("n").get("n")
        assert p.execute() == [v for n in range(1, 1001) for v in (n, str(n))]
    with c.pipeline() as p:
        assert p.set("a", 1).incr("a").lpush("a", 1).execute(raise_on_error=False)[:2] == [True, 2]

    def add():
        mine = connect(node, protocol)
        for _ in range(20):
            mine.transaction(lambda p: (lambda v: (p.multi(), p.set("sum", v + 1)))(int(p.get("sum") or 0)), "sum")
        mine.close()

    threads = [threading.Thread(target=add) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert c.get("sum") == "80", "an update was lost between WATCH and EXEC"
    c.close()


def test_redis_py_asyncio(node, protocol):
    async def work():
        c = redis_async.Redis(port=node.port, protocol=protocol, decode_responses=True)
        await c.flushall()
        await asyncio.gather(*[c.incr("n") for _ in range(80)])
        assert await c.get("n") == "80"
        async with c.pipeline(transaction=True) as p:
            assert await p.set("a", 1).incr("a").get("a").execute() == [True, 2, "2"]
        async with c.pipeline() as p:
            await p.watch("a")
            await c.set("a", 9)
            p.multi()
            p.incr("a")
            with pytest.raises(redis_py.WatchError):
                await p.execute()
        assert [k async for k in c.scan_iter("n")] == ["n"]
        await c.aclose()

    asyncio.run(work())


@pytest.mark.parametrize("replicas", [False, True], ids=["leader", "read_from_replicas"])
def test_redis_py_cluster(node, protocol, replicas):
    c = RedisCluster(host="127.0.0.1", port=node.port, protocol=protocol, decode_responses=True, read_from_replicas=replicas)
    assert len(c.get_nodes()) == 3 and len(c.get_primaries()) == 1 and len(c.get_replicas()) == 2
    c.flushall(target_nodes=c.get_primaries())
    for n in range(200):
        assert c.set(f"k{n}", n)
        assert c.get(f"k{n}") in ((str(n), None) if replicas else (str(n),))
    assert c.mget("{t}a", "{t}b") == [None, None]
    assert c.mset_nonatomic({f"m{n}": n for n in range(50)})
    assert c.cluster_info(target_nodes=c.get_primaries()[0])["cluster_state"] == "ok"
    with c.pipeline() as p:
        for n in range(100):
            p.set(f"p{n}", n)
        assert p.execute() == [True] * 100
    assert len(list(c.scan_iter("p*"))) == 100
    c.close()


def test_the_url_of_any_node_finds_the_leader(cluster):
    for n in cluster.nodes:
        with n.connect() as c:
            [low, high, leader, *others] = c.call("CLUSTER", "SLOTS").value[0]
            assert (low, high) == (0, 16383) and leader[1] == cluster.leader().port
            assert sorted([leader[1]] + [o[1] for o in others]) == sorted(m.port for m in cluster.nodes)


# JavaScript

@pytest.fixture(scope="session")
def packages():
    if not (HERE / "node_modules" / "ioredis").exists():
        run("npm", "ci", "--no-audit", "--no-fund", cwd=HERE, limit=300)


@pytest.mark.parametrize("library, resp", [("ioredis", 2), ("ioredis-cluster", 2), ("node-redis", 2), ("node-redis", 3),
                                           ("node-redis-cluster", 2), ("node-redis-cluster", 3)])
def test_javascript(packages, some_node, library, resp):
    node = some_node
    assert "ok" in run("node", HERE / "node" / "plain.js", library, node.port, resp)
