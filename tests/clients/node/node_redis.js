// node-redis. One address, a node that survives, without retries: no command may fail, and none may take effect twice. And in
// cluster mode, told of all nodes: what was acknowledged is there.
const assert = require("node:assert/strict");
const { createClient, createCluster, defineScript } = require("redis");
const { nodes, survivors, rounds, together, run, publishUntil, numbers } = require("./play");
const { callCluster, checkAccounts, publishNumbers, checkHeard, sums } = require("./shared");

const append = defineScript({
  SCRIPT: "return {redis.call('RPUSH', KEYS[1], ARGV[1]), redis.call('INCR', KEYS[2])}",
  NUMBER_OF_KEYS: 2,
  parseCommand(parser, list, count, value) {
    parser.pushKey(list);
    parser.pushKey(count);
    parser.push(String(value));
  },
  transformReply: undefined,
});

const connect = (port, RESP) =>
  createClient({ url: `redis://127.0.0.1:${port}`, RESP, scripts: { append }, disableOfflineQueue: true, socket: { reconnectStrategy: false } })
    .on("error", (error) => {
      throw error;
    })
    .connect();

async function pipelines(c, who) {
  let n;
  for (n of rounds(25)) {
    assert.deepEqual(await c.multi().rPush(`log:${who}`, String(n)).incr(`total:${who}`).exec(), [n + 1, n + 1]);
    const replies = await Promise.all(
      numbers(20).flatMap((key) => [c.set(`plain:${who}:${key}`, String(n)), c.get(`plain:${who}:${key}`)]),
    );
    assert.deepEqual(replies, numbers(20).flatMap(() => ["OK", String(n)]));
  }
  return n + 1;
}

async function scripts(c) {
  let n;
  for (n of rounds(25)) assert.deepEqual(await c.append("scripted", "scripted:count", n), [n + 1, n + 1]);
  return n + 1;
}

async function produce(c) {
  let n;
  for (n of rounds(25)) {
    await c.xAdd("stream", "*", { n: String(n) });
    await c.rPush("queue", String(n));
  }
  await c.xAdd("stream", "*", { n: "-1" });
  await c.rPush("queue", "-1");
  return n + 1;
}

async function consume(c) {
  for (const seen = []; ; ) {
    const answer = await c.xReadGroup("group", "worker", [{ key: "stream", id: ">" }], { COUNT: 5, BLOCK: 100 });
    for (const { id, message } of messagesOf(answer)) {
      assert.equal(await c.xAck("stream", "group", id), 1);
      if (Number(message.n) < 0) return seen;
      seen.push(Number(message.n));
    }
  }
}

const messagesOf = (answer) => (Array.isArray(answer) ? answer[0].messages : (answer?.stream ?? []));

async function take(c) {
  for (const taken = []; ; ) {
    const { element } = await c.blPop("queue", 30);
    if (Number(element) < 0) return taken;
    taken.push(Number(element));
  }
}

run(async () => {
  const one = await connect(survivors[0], 2);
  const two = await connect(survivors[1], 3);
  const url = (port) => ({ url: `redis://127.0.0.1:${port}` });
  // A command to a node that is away fails at once, instead of waiting for that node to come back; and who leads is asked
  // after 200 ms of failed attempts to reconnect (the default is 5 s).
  const cluster = createCluster({
    rootNodes: nodes.map(url),
    defaults: { disableOfflineQueue: true },
    topologyRefreshOnReconnectionAttemptStrategy: 200,
  });
  let errors = 0;
  cluster.on("error", () => errors++).on("node-error", () => errors++);
  await cluster.connect();
  // Subscribed at the leader; when it dies, node-redis subscribes at another node.
  let hear;
  const moved = new Promise((resolve) => (hear = resolve));
  await cluster.sSubscribe("elsewhere", (text) => text === "after the kill" && hear());
  await one.xGroupCreate("stream", "group", "$", { MKSTREAM: true });
  const heard = [];
  const news = await two.duplicate().connect();
  let end;
  const ended = new Promise((resolve) => (end = resolve));
  await news.sSubscribe("news", (text) => (text === "end" ? end() : heard.push(Number(text))));
  const beside = Promise.all([consume(await two.duplicate().connect()), take(await one.duplicate().connect()), ended]);

  const [rows1, rows2, scripted, entries, published, ...accounts] = await together(
    () => pipelines(one, 1), () => pipelines(two, 2), () => scripts(two), () => produce(two), () => publishNumbers((text) => one.sPublish("news", text)),
    ...numbers(4).map((who) => () => callCluster(cluster, who)),
  );
  const [seen, taken] = await beside;
  await publishUntil(moved, () => one.sPublish("elsewhere", "after the kill"));

  assert.deepEqual(await two.lRange("log:1", 0, -1), numbers(rows1).map(String));
  assert.deepEqual(await two.lRange("log:2", 0, -1), numbers(rows2).map(String));
  assert.deepEqual(await two.lRange("scripted", 0, -1), numbers(scripted).map(String));
  assert.deepEqual(seen, numbers(entries));
  assert.deepEqual(taken, numbers(entries));
  checkHeard(heard, published);
  await checkAccounts(cluster, accounts, 0);
  assert.ok(survivors.some((port) => cluster.masters[0].address.endsWith(`:${port}`)), "node-redis did not learn of the new leader");
  return {
    transactions: rows1 + rows2, scripts: scripted, entries, messages: published[0], missed: published[0] - heard.length,
    ...sums(accounts), errors,
  };
});
