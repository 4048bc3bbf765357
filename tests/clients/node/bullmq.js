// Jobs of BullMQ, made by a Queue and a FlowProducer, done by Workers, watched by QueueEvents.
//
// Connected to nodes that survive: each job is done exactly once. Nothing excuses less, since no process and no connection dies.
// In cluster mode, connected to the leader, which dies: BullMQ repeats what was under way, so that each job is added under an id
// of the application's own (a second one with that id is none), and each job is done. BullMQ is at least once here, as it says
// itself: a job whose lock ran out, since its worker never heard that it had got it, counts as stalled and is done again. So a
// job is done twice only if an event said that it had stalled.
const assert = require("node:assert/strict");
const { FlowProducer, Queue, QueueEvents, Worker } = require("bullmq");
const Redis = require("ioredis");
const { nodes, survivors, rounds, together, run, pause, numbers } = require("./play");

// BullMQ asks for maxRetriesPerRequest: null on connections of its workers.
const single = (port) => ({ host: "127.0.0.1", port, maxRetriesPerRequest: null });
const cluster = () =>
  new Redis.Cluster(nodes.map((port) => ({ host: "127.0.0.1", port })), { redisOptions: { maxRetriesPerRequest: null } });
// Short, so that a job that stalls does not hold the test up: the defaults are 30 s. A failover takes less than one.
const LOCKS = { lockDuration: 4000, stalledInterval: 1000 };

const times = (list) => list.reduce((counts, id) => counts.set(id, (counts.get(id) ?? 0) + 1), new Map());

// Jobs of every kind, one after another: a plain one, several at once, one that waits, one that fails at first, one with children.
async function produce(queue, flows, events) {
  const added = [];
  for (const n of rounds(6)) {
    const plain = await queue.add("plain", { n }, { priority: 1 + (n % 3) });
    const bulk = await queue.addBulk(numbers(3).map((part) => ({ name: "bulk", data: { n, part } })));
    const late = await queue.add("late", { n }, { delay: 100 });
    const second = await queue.add("second", { n }, { attempts: 2, backoff: 50 });
    const flow = await flows.add({
      name: "parent", queueName: queue.name, data: { n }, children: numbers(2).map((part) => ({ name: "child", queueName: queue.name, data: { n, part } })),
    });
    assert.equal(await plain.waitUntilFinished(events, 30000), `${plain.id} done`);
    assert.equal(await flow.job.waitUntilFinished(events, 30000), `${flow.job.id} done`);
    added.push(...[plain, ...bulk, late, second, flow.job, ...flow.children.map((child) => child.job)].map((job) => job.id));
  }
  return added;
}

async function withoutLoss(made) {
  const [one, two] = survivors.map(single);
  const queue = new Queue("work", { connection: one });
  const flows = new FlowProducer({ connection: two });
  const events = new QueueEvents("work", { connection: two });
  const stalled = [], done = [];
  events.on("stalled", ({ jobId }) => stalled.push(jobId));
  const work = async (job) => {
    if (job.name === "second" && job.attemptsMade === 0) throw new Error("not this time");
    if (job.name === "parent") assert.equal(Object.keys(await job.getChildrenValues()).length, 2);
    done.push(job.id);
    return `${job.id} done`;
  };
  const workers = [one, two].map((connection) => new Worker("work", work, { connection, concurrency: 3 }));
  const troubles = [];
  workers.forEach((worker) => worker.on("error", (error) => troubles.push(error)));
  await Promise.all([events.waitUntilReady(), ...workers.map((worker) => worker.waitUntilReady())]);

  const added = await produce(queue, flows, events);
  await until(() => queue.getJobCountByTypes("waiting", "prioritized", "delayed", "active", "waiting-children").then((count) => count === 0));
  assert.deepEqual(done.sort(), added.sort(), "each job exactly once");
  assert.equal(await queue.getCompletedCount(), added.length);
  assert.deepEqual([stalled, troubles], [[], []]);
  made.jobs = added.length;
}

async function withTheLeader(made) {
  // All keys of a queue in one slot, as BullMQ asks for in a cluster.
  const options = () => ({ connection: cluster(), prefix: "{jobs}" });
  const queue = new Queue("risky", options());
  const events = new QueueEvents("risky", options());
  const stalled = [], done = [], added = [];
  events.on("stalled", ({ jobId }) => stalled.push(jobId));
  const workers = numbers(2).map(() => new Worker("risky", async (job) => done.push(job.id), { ...options(), ...LOCKS, concurrency: 3 }));
  // BullMQ reports broken connections here, and goes on.
  [queue, events, ...workers].forEach((part) => part.on("error", () => {}));
  await Promise.all([events.waitUntilReady(), ...workers.map((worker) => worker.waitUntilReady())]);

  let again = 0;
  for (const n of rounds(25)) {
    const jobId = `job-${n}`;
    while (!(await queue.add("risky", { n }, { jobId }).catch(() => again++ && null))) await pause(50);
    added.push(jobId);
  }
  await until(async () => added.every((id) => done.includes(id)));
  await until(() => queue.getCompletedCount().then((count) => count === added.length));
  const twice = [...times(done)].filter(([, count]) => count > 1).map(([id]) => id);
  assert.deepEqual(twice.filter((id) => !stalled.includes(id)), [], "done twice and not stalled");
  assert.equal(new Set(done).size, added.length, "a job that nobody has added");
  Object.assign(made, { risky: added.length, stalled: stalled.length, twice: twice.length, again });
}

async function until(check) {
  while (!(await check().catch(() => false))) await pause(20);
}

run(async () => {
  const made = {};
  await together(() => withoutLoss(made), () => withTheLeader(made));
  return made;
});
