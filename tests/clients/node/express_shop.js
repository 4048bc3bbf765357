// A shop with Express: sessions by express-session and connect-redis. Arguments: the port to serve HTTP at, that of the node.
const { RedisStore } = require("connect-redis");
const express = require("express");
const session = require("express-session");
const { createClient } = require("redis");

const [port, node] = process.argv.slice(2);
const client = createClient({ url: `redis://127.0.0.1:${node}` });
client.on("error", (error) => console.error(error));

const app = express();
const store = new RedisStore({ client, prefix: "shop:", ttl: 600 });
app.use(session({ store, secret: "of a test", resave: false, saveUninitialized: false }));

app.get("/login", (request, response, next) =>
  request.session.regenerate((error) => {
    if (error) return next(error);
    Object.assign(request.session, { user: request.query.user, cart: [] });
    response.json({ user: request.session.user });
  }),
);
app.get("/add", (request, response) => {
  request.session.cart.push(Number(request.query.item));
  response.json({ cart: request.session.cart });
});
app.get("/cart", ({ session }, response) => response.json({ user: session.user ?? null, cart: session.cart ?? null }));
app.get("/hit", async (request, response) => {
  await client.set(`page:${request.query.item}`, JSON.stringify(request.query), { EX: 600 });
  response.json({ hits: await client.incr("hits") });
});
app.get("/logout", (request, response, next) => request.session.destroy((error) => (error ? next(error) : response.json({}))));

client.connect().then(() => app.listen(Number(port), "127.0.0.1"));
