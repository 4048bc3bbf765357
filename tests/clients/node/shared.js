// What the applications of both libraries for Node.js do and see alike.
const assert = require("node:assert/strict");
const { isKilled, rounds, pause, numbers } = require("./play");

// Setting again does no harm, so that is done until it has worked. Counting is not repeated by the application.
async function callCluster(c, who) {
  const account = { who, sets: [], acknowledged: 0, unknown: 0, again: 0 };
  for (const n of rounds(25)) {
    for (;;) {
      try {
        assert.equal(await c.set(`key:${who}:${n}`, String(n)), "OK");
        assert.equal(await c.get(`key:${who}:${n}`), String(n));
        break;
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        account.again++;
        await pause(50);
      }
    }
    account.sets.push(n);
    await c.incr(`count:${who}`).then(() => account.acknowledged++, () => account.unknown++);
  }
  return account;
}

// What was acknowledged is there. A library that sends again by itself what was under way may have one command of each caller
// take effect twice: `twice` is 1.
async function checkAccounts(c, accounts, twice) {
  for (const { who, sets, acknowledged, unknown } of accounts) {
    for (const n of sets) assert.equal(await c.get(`key:${who}:${n}`), String(n), "an acknowledged SET was lost");
    const count = Number(await c.get(`count:${who}`));
    assert.ok(acknowledged <= count && count <= acknowledged + unknown + twice, `${acknowledged} ${unknown} ${count}`);
  }
}

// Publishes numbers and an end. How many, and the first one behind the kill.
async function publishNumbers(publish) {
  let n, first;
  for (n of rounds(25)) {
    if (isKilled()) first ??= n;
    await publish(String(n));
  }
  await publish("end");
  return [n + 1, first];
}

// At most once, in order; and neither of the two nodes died, so that nothing excuses a message of the time after.
function checkHeard(heard, [messages, first]) {
  assert.deepEqual(heard, [...new Set(heard)].sort((a, b) => a - b));
  assert.ok(numbers(messages).slice(first).every((n) => heard.includes(n)), `${first} to ${messages}: ${heard}`);
}

// Sums over all callers.
function sums(accounts) {
  const sum = (name) => accounts.reduce((total, account) => total + account[name], 0);
  return { acknowledged: sum("acknowledged"), unknown: sum("unknown"), again: sum("again") };
}

module.exports = { callCluster, checkAccounts, publishNumbers, checkHeard, sums };
