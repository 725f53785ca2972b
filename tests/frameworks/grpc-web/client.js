// node client.js URL <<<KEY: calls the server by gRPC-web, as a page does, and prints a line for each step. Fails at the
// first that is not as it should be. KEY is empty where the address needs none.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-node";
import { createGrpcWebTransport as createWebTransport } from "@connectrpc/connect-web";
import { Chat } from "./schema.js";

const baseUrl = process.argv[2].replace(/\/$/, "");
const key = readFileSync(0, "utf8");
const authorize = (next) => (request) => {
  if (key) request.header.set("Authorization", `Bearer ${key}`);
  return next(request);
};
// The names below localhost, which browsers resolve, and the system may not.
const isLocal = new URL(baseUrl).hostname.endsWith(".localhost");
const lookup = (_name, options, done) =>
  options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
const transport = isLocal
  ? createGrpcWebTransport({ baseUrl, httpVersion: "1.1", nodeOptions: { lookup } })
  : createWebTransport({ baseUrl, interceptors: [authorize] });
const client = createClient(Chat, transport);

const trailers = {};
const onTrailer = (received) => Object.assign(trailers, Object.fromEntries(received));
const answer = await client.say({ text: "hello" }, { onTrailer });
assert.equal(answer.text, "You said hello");
assert.equal(trailers["x-length"], "5");
console.log("called a method, and read its trailers");

await assert.rejects(client.say({ text: "" }), (error) => {
  assert.equal(error.code, Code.InvalidArgument);
  assert.equal(error.rawMessage, "nothing was said");
  assert.equal(error.metadata.get("x-reason"), "empty");
  return true;
});
console.log("received an error with its metadata");

const lines = client.listen({ text: "line 5" })[Symbol.asyncIterator]();
assert.equal((await lines.next()).value.text, "listening");
for (let number = 1; number <= 5; number += 1) {
  await client.say({ text: `line ${number}` });
  // It arrives before the next is said.
  assert.equal((await lines.next()).value.text, `line ${number}`);
}
assert.equal((await lines.next()).done, true);
console.log("received each message of a stream as it was sent");
