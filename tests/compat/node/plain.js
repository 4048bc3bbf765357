// ioredis and node-redis against one node: node plain.js LIBRARY PORT PROTOCOL
const [library, port, protocol] = process.argv.slice(2);
const assert = require("node:assert/strict");
const TAG = `js:${library}:${protocol}:${process.pid}:`;
const key = (name) => TAG + name;

async function ioredis() {
  const Redis = require("ioredis");
  const c = new Redis({ port: Number(port), maxRetriesPerRequest: 0, retryStrategy: null });
  const other = c.duplicate();
  assert.equal(await c.ping(), "PONG");
  assert.equal(await c.set(key("a"), "1", "EX", 100), "OK");
  assert.equal(await c.get(key("a")), "1");
  assert.equal(await c.incrby(key("a"), 41), 42);
  assert.deepEqual(await c.getBuffer(key("a")), Buffer.from("42"));
  const results = await c.pipeline().set(key("p"), "x").get(key("p")).incr(key("p")).rpush(key("l"), 1, 2, 3).lrange(key("l"), 0, -1).exec();
  assert.equal(results[1][1], "x");
  assert.match(results[2][0].message, /not an integer/);
  assert.deepEqual(results[4][1], ["1", "2", "3"]);
  assert.deepEqual(await c.multi().incr(key("n")).incr(key("n")).exec(), [[null, 1], [null, 2]]);
  await c.watch(key("n"));
  await other.set(key("n"), "10");
  assert.equal(await c.multi().incr(key("n")).exec(), null);
  const many = await Promise.all(Array.from({ length: 2000 }, (_, i) => c.set(key(`m${i}`), i)));
  assert.equal(many.length, 2000);
  const seen = new Set();
  for await (const keys of c.scanStream({ match: TAG + "m*", count: 100 })) keys.forEach((k) => seen.add(k));
  assert.equal(seen.size, 2000);
  assert.match(await c.info(), /redis_version:7\.2/);
  assert.equal((await c.call("COMMAND", "COUNT")) > 80, true);
  assert.match(await c.client("LIST"), / cmd=client\|list /);
  await assert.rejects(c.call("NOSUCH"), /unknown command/);
  await Promise.all([c.quit(), other.quit()]);
}

async function ioredisCluster() {
  const Redis = require("ioredis");
  const c = new Redis.Cluster([{ host: "127.0.0.1", port: Number(port) }], { redisOptions: { maxRetriesPerRequest: 0 }, scaleReads: "slave" });
  for (let i = 0; i < 200; i++) {
    assert.equal(await c.set(key(`c${i}`), i), "OK");
  }
  for (let i = 0; i < 200; i++) {
    const value = await c.get(key(`c${i}`));
    // scaleReads asks followers with READONLY: session-reads of other connections may be a moment behind.
    assert.ok(value === null || value === String(i));
  }
  assert.equal(c.nodes("master").length, 1);
  assert.equal(c.nodes("slave").length, 2);
  const [[, first], [, second]] = await c.multi().incr(key("{t}n")).incr(key("{t}n")).exec();
  assert.deepEqual([first, second], [1, 2]);
  await c.quit();
}

async function nodeRedis() {
  const { createClient } = require("redis");
  const options = { url: `redis://127.0.0.1:${port}`, RESP: Number(protocol), disableOfflineQueue: true, socket: { reconnectStrategy: false } };
  const c = await createClient(options).on("error", (e) => { throw e; }).connect();
  const other = await c.duplicate().connect();
  assert.equal(await c.ping(), "PONG");
  assert.equal(await c.set(key("a"), "1", { EX: 100 }), "OK");
  assert.equal(await c.incrBy(key("a"), 41), 42);
  assert.equal(await c.get(key("a")), "42");
  assert.equal(await c.get(key("none")), null);
  assert.deepEqual(await c.multi().incr(key("n")).rPush(key("l"), ["1", "2"]).lRange(key("l"), 0, -1).exec(), [1, 2, ["1", "2"]]);
  await c.watch(key("n"));
  await other.set(key("n"), "10");
  await assert.rejects(c.multi().incr(key("n")).exec(), /watched keys/i);
  await Promise.all(Array.from({ length: 2000 }, (_, i) => c.set(key(`m${i}`), String(i))));
  const seen = new Set();
  for await (const keys of c.scanIterator({ MATCH: TAG + "m*", COUNT: 100 })) [keys].flat().forEach((k) => seen.add(k));
  assert.equal(seen.size, 2000);
  assert.match(await c.info(), /redis_version:7\.2/);
  assert.equal((await c.configGet("port")).port, port);
  assert.equal((await c.clientInfo()).resp ?? Number(protocol), Number(protocol));
  assert.ok((await c.commandCount()) > 80);
  assert.equal((await c.commandInfo(["get"]))[0].name, "get");
  const lcs = await c.lcsIdx(key("a"), key("a"));
  assert.deepEqual([lcs.len, lcs.matches], [2, [[[0, 1], [0, 1]]]]);
  await assert.rejects(c.sendCommand(["NOSUCH"]), /unknown command/);
  await c.close();
  await other.close();
}

async function nodeRedisCluster() {
  const { createCluster } = require("redis");
  const c = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }], RESP: Number(protocol), defaults: { RESP: Number(protocol) } });
  await c.connect();
  for (let i = 0; i < 200; i++) {
    assert.equal(await c.set(key(`c${i}`), String(i)), "OK");
    assert.equal(await c.get(key(`c${i}`)), String(i));
  }
  await c.close();
}

const run = { ioredis, "ioredis-cluster": ioredisCluster, "node-redis": nodeRedis, "node-redis-cluster": nodeRedisCluster }[library];
run().then(() => { console.log("ok"); process.exit(0); }, (e) => { console.error(e); process.exit(1); });
