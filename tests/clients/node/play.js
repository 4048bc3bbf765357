// What an application says to the test that runs it, and hears from it: see conftest.py.
const { nodes, survivors } = JSON.parse(process.argv.at(-1));

let killed = false;
let busy = 0;
process.stdin.once("data", () => {
  killed = true;
  process.stdin.unref();
});

// Numbers from 0: `count` before the kill, as many as there is time for around it, and `count` after it.
function* rounds(count) {
  let number = 0;
  while (number < count) yield number++;
  if (--busy === 0) console.log("calm");
  while (!killed) yield number++;
  for (let after = 0; after < count; after++) yield number++;
}

// Runs these roles, asynchronous functions that go through `rounds` once, and returns what they return.
function together(...roles) {
  busy = roles.length;
  return Promise.all(roles.map((role) => role()));
}

function run(main) {
  main().then(
    (figures) => {
      console.log(JSON.stringify(figures));
      process.exit(0);
    },
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Publishes until it has been heard: a subscription that has lost its node needs a moment to find another one.
async function publishUntil(heard, publish) {
  let done = false;
  heard.then(() => (done = true));
  while (!done) {
    await publish();
    await pause(20);
  }
}

const numbers = (count) => Array.from({ length: count }, (_, n) => n);

module.exports = { nodes, survivors, isKilled: () => killed, rounds, together, run, pause, publishUntil, numbers };
