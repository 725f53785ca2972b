// The classes of errors, and that no error has the key. Environment: SANDBOX_URL, SANDBOX_API_KEY.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { inspect } from "node:util";
import * as sandbar from "sandbar";

const url = process.env.SANDBOX_URL;
const good = sandbar.getSandbox({ url, key: process.env.SANDBOX_API_KEY }, `errors-${Math.random()}`);
const key = "a-secret-key-that-is-wrong";

async function fails(promise, type, code, status) {
  const error = await promise.then(
    () => assert.fail(`no ${code}`),
    (error) => error,
  );
  assert.ok(error instanceof type && error instanceof sandbar.SandboxError, String(error));
  assert.deepEqual([error.code, error.status, error.name], [code, status, type.name]);
  assert.ok(error.message.length > 0);
  const { name, message } = JSON.parse(JSON.stringify(error));
  assert.deepEqual([name, message], [error.name, error.message]);
  for (const text of [String(error), error.stack, JSON.stringify(error), inspect(error, { depth: 9 })]) {
    assert.ok(!text.includes(key), text);
  }
  return error;
}

const wrong = sandbar.getSandbox({ url, key }, "errors", { env: { SECRET: key } });
assert.ok(
  ![JSON.stringify(wrong), inspect(wrong, { depth: 9, showHidden: true })].some((text) => text.includes(key)),
);
await fails(wrong.exec("true"), sandbar.UnauthorizedError, "unauthorized", 401);
// A fetch that quotes what it was given.
const quoting = { url, key, fetch: async (_url, { headers }) => assert.fail(headers.get("Authorization")) };
await fails(sandbar.getSandbox(quoting, "x").exec("true"), sandbar.ConnectionLostError, "connection_lost");
const server = createServer().listen(0, "127.0.0.1");
await once(server, "listening");
const refused = sandbar.getSandbox({ url: `http://127.0.0.1:${server.address().port}`, key }, { id: "abc" });
server.close();
await fails(refused.exec("true"), sandbar.ConnectionLostError, "unreachable");
assert.throws(
  () => sandbar.getSandbox({ url, key: `${key}\n` }, "x"),
  (error) => {
    return error instanceof sandbar.InvalidRequestError && !error.stack.includes(key);
  },
);

await good.exec("true");
await fails(good.readFile("none"), sandbar.FileNotFoundError, "workspace_read_not_found", 404);
await fails(good.listFiles("none"), sandbar.FileNotFoundError, "file_not_found", 404);
await fails(good.exec("true", { cwd: "/etc" }), sandbar.InvalidRequestError, "invalid_request", 403);
await fails(good.exec([]), sandbar.InvalidRequestError, "invalid_request", 400);
await fails(good.killProcess("none"), sandbar.ProcessNotFoundError, "process_not_found", 404);
await fails(good.deleteCodeContext("none"), sandbar.ContextNotFoundError, "context_not_found", 404);
await fails(good.deleteSession("none"), sandbar.SessionError, "session_not_found", 404);
await fails(good.unmountBucket("/mnt/none"), sandbar.BucketUnmountError, "unmount_error", 502);
const options = { endpoint: "http://127.0.0.1:9", credentials: { accessKeyId: "id", secretAccessKey: key } };
await fails(good.mountBucket("bucket", "/mnt/data", options), sandbar.BucketMountError, "mount_error", 502);
const repository = `http://user:${key}@127.0.0.1:9/none.git`;
await fails(good.gitCheckout(repository), sandbar.GitNetworkError, "git_network_error", 502);
const timeout = await fails(
  good.exec("echo a; sleep 60", { timeout: 200 }),
  sandbar.CommandError,
  "command_timeout",
);
assert.equal(timeout.details.stdout, "a\n");
await fails(good.startProcess("true", { cwd: "none" }), sandbar.InvalidRequestError, "invalid_request", 400);

// A command whose sandbox ends.
const running = good.exec("sleep 600");
while ((await good.exec("pgrep -f '[s]leep 600'", { sessionId: "other" })).exitCode !== 0);
await good.destroy();
const ended = await running.catch((error) => error);
assert.ok(ended instanceof sandbar.SandboxError && ended.code !== "process_not_found", String(ended));
console.log(`a command of a destroyed sandbox: ${ended.code}`);
