// ioredis. One address, a node that survives, without retries: no command may fail, and none may take effect twice. And in
// cluster mode, told of all nodes, with its own retries: what was acknowledged is there.
const assert = require("node:assert/strict");
const Redis = require("ioredis");
const { nodes, survivors, rounds, together, run, publishUntil, numbers } = require("./play");
const { callCluster, checkAccounts, publishNumbers, checkHeard, sums } = require("./shared");

const APPEND = "return {redis.call('RPUSH', KEYS[1], ARGV[1]), redis.call('INCR', KEYS[2])}";

const connect = (port, more = {}) =>
  new Redis({ port, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false, retryStrategy: null, ...more });

async function pipelines(c, who) {
  let n;
  for (n of rounds(25)) {
    const [[, length], [, total]] = await c.multi().rpush(`log:${who}`, n).incr(`total:${who}`).exec();
    assert.deepEqual([length, total], [n + 1, n + 1]);
    const plain = c.pipeline();
    for (const key of numbers(20)) plain.set(`plain:${who}:${key}`, n).get(`plain:${who}:${key}`);
    assert.deepEqual(await plain.exec(), numbers(20).flatMap(() => [[null, "OK"], [null, String(n)]]));
  }
  return n + 1;
}

// A client that gathers commands of one turn into a pipeline by itself, and runs a script.
async function scripts(c) {
  c.defineCommand("append", { numberOfKeys: 2, lua: APPEND });
  let n;
  for (n of rounds(25)) {
    const [appended] = await Promise.all([c.append("scripted", "scripted:count", n), ...numbers(10).map((key) => c.incr(`auto:${key}`))]);
    assert.deepEqual(appended, [n + 1, n + 1]);
  }
  return n + 1;
}

async function produce(c) {
  let n;
  for (n of rounds(25)) {
    await c.xadd("stream", "*", "n", n);
    await c.rpush("queue", n);
  }
  await c.xadd("stream", "*", "n", -1);
  await c.rpush("queue", -1);
  return n + 1;
}

async function consume(c) {
  const seen = [];
  for (;;) {
    const answer = await c.xreadgroup("GROUP", "group", "worker", "COUNT", 5, "BLOCK", 100, "STREAMS", "stream", ">");
    for (const [id, [, n]] of answer?.[0][1] ?? []) {
      assert.equal(await c.xack("stream", "group", id), 1);
      if (Number(n) < 0) return seen;
      seen.push(Number(n));
    }
  }
}

async function take(c) {
  for (const taken = []; ; ) {
    const [, n] = await c.blpop("queue", 30);
    if (Number(n) < 0) return taken;
    taken.push(Number(n));
  }
}

run(async () => {
  const one = connect(survivors[0]);
  const two = connect(survivors[1]);
  const auto = connect(survivors[0], { enableAutoPipelining: true });
  const cluster = new Redis.Cluster(nodes.map((port) => ({ host: "127.0.0.1", port })));
  // Subscribed at one of the three, whichever ioredis chooses; if that one dies, ioredis subscribes at another.
  const moved = new Promise((heard) => cluster.on("message", (_, text) => text === "after the kill" && heard()));
  await cluster.subscribe("elsewhere");
  await one.xgroup("CREATE", "stream", "group", "$", "MKSTREAM");
  const heard = [];
  const news = two.duplicate();
  const ended = new Promise((end) => news.on("message", (_, text) => (text === "end" ? end() : heard.push(Number(text)))));
  await news.subscribe("news");
  const beside = Promise.all([consume(two.duplicate()), take(one.duplicate()), ended]);

  const [rows1, rows2, scripted, entries, published, ...accounts] = await together(
    () => pipelines(one, 1), () => pipelines(two, 2), () => scripts(auto), () => produce(two), () => publishNumbers((text) => one.publish("news", text)),
    ...numbers(4).map((who) => () => callCluster(cluster, who)),
  );
  const [seen, taken] = await beside;
  await publishUntil(moved, () => one.publish("elsewhere", "after the kill"));

  assert.deepEqual(await two.lrange("log:1", 0, -1), numbers(rows1).map(String));
  assert.deepEqual(await two.lrange("log:2", 0, -1), numbers(rows2).map(String));
  assert.deepEqual(await two.lrange("scripted", 0, -1), numbers(scripted).map(String));
  assert.deepEqual(await two.mget(numbers(10).map((key) => `auto:${key}`)), numbers(10).map(() => String(scripted)));
  assert.deepEqual(seen, numbers(entries));
  assert.deepEqual(taken, numbers(entries));
  checkHeard(heard, published);
  // ioredis sends what was under way again by itself.
  await checkAccounts(cluster, accounts, 1);
  assert.ok(survivors.includes(cluster.nodes("master")[0].options.port), "ioredis did not learn of the new leader");
  return {
    transactions: rows1 + rows2, scripts: scripted, entries, messages: published[0], missed: published[0] - heard.length,
    ...sums(accounts),
  };
});
