// 503 with Retry-After is repeated, and nothing else is. Environment: SANDBOX_URL, SANDBOX_API_KEY of a bridge whose
// MAX_SANDBOXES is 1.
import assert from "node:assert/strict";
import { getSandbox, SandboxUnavailableError } from "sandbar";

const statuses = [];
const connection = {
  url: process.env.SANDBOX_URL,
  key: process.env.SANDBOX_API_KEY,
  async fetch(url, init) {
    const response = await fetch(url, init);
    statuses.push(response.status);
    return response;
  },
};
const first = getSandbox(connection, "first");
const second = getSandbox(connection, "second");
assert.equal((await first.exec("echo one")).stdout, "one\n");
const [{ stdout }] = await Promise.all([
  second.exec("echo ran >> ran; cat ran"),
  (async () => {
    while (!statuses.includes(503)) await new Promise((resolve) => setTimeout(resolve, 20));
    await first.destroy();
  })(),
]);
assert.equal(stdout, "ran\n");
console.log("repeated what had not started");

statuses.length = 0;
await assert.rejects(
  second
    .fetchPort(9, "/")
    .then(({ status }) => assert.equal(status, 502))
    .then(() => second.getProcess("")),
);
await assert.rejects(second.readFile("none"), { status: 404 });
assert.deepEqual(statuses, [502, 404]);
// A stopped sandbox is 503 without Retry-After, for what does not start it.
await second.stop();
statuses.length = 0;
assert.equal((await second.fetchPort(80)).status, 503);
assert.deepEqual(statuses, [503]);
await second.destroy();
assert.equal(SandboxUnavailableError.name, "SandboxUnavailableError");
console.log("repeated nothing else");
