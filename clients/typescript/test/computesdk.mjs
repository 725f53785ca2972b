// The provider of ComputeSDK. Environment: SANDBOX_URL, SANDBOX_API_KEY.
import assert from "node:assert/strict";
import { sandbarProvider } from "sandbar/computesdk";

const connection = { url: process.env.SANDBOX_URL, key: process.env.SANDBOX_API_KEY };
const provider = sandbarProvider(connection);
const settings = { envs: { GREETING: "hello" }, metadata: { job: 7 }, timeout: 120_000 };
const sandbox = await provider.sandbox.create(settings);
assert.match(sandbox.sandboxId, /^[a-z2-7]+$/);
assert.equal(sandbox.provider, "sandbar");

const result = await sandbox.runCommand("echo $GREETING; echo error >&2; exit 3");
assert.deepEqual([result.stdout, result.stderr, result.exitCode], ["hello\n", "error\n", 3]);
assert.equal((await sandbox.runCommand("nonexistent-command-12345")).exitCode, 127);
assert.equal(
  (await sandbox.runCommand("pwd", { cwd: "/workspace", env: { A: "b" } })).stdout,
  "/workspace\n",
);
assert.equal((await sandbox.runCommand("sleep 600", { timeout: 200 })).exitCode, 124);
assert.equal((await sandbox.runCommand("sleep 600", { background: true })).exitCode, 0);
console.log("ran commands");

const chunks = [];
let release;
const released = new Promise((resolve) => (release = resolve));
const streamed = sandbox.runCommand(
  "echo first; while [ ! -e go ]; do sleep 0.05; done; echo second; exit 5",
  {
    onStdout: (text) => {
      chunks.push(text);
      release();
    },
  },
);
// The command ends only once its first output has arrived here.
await released;
await sandbox.filesystem.writeFile("/workspace/go", "");
const { exitCode, stdout } = await streamed;
assert.deepEqual([exitCode, stdout, chunks.join("")], [5, "first\nsecond\n", "first\nsecond\n"]);
console.log("streamed output");

const { filesystem } = sandbox;
await filesystem.mkdir("/workspace/a/b");
await filesystem.writeFile("/workspace/a/b/.hidden ü", "content");
assert.equal(await filesystem.readFile("/workspace/a/b/.hidden ü"), "content");
assert.equal(await filesystem.exists("/workspace/a/b/.hidden ü"), true);
const [entry] = await filesystem.readdir("/workspace/a/b");
assert.deepEqual([entry.name, entry.type, entry.size], [".hidden ü", "file", 7]);
assert.ok(entry.modified instanceof Date);
await filesystem.remove("/workspace/a");
assert.equal(await filesystem.exists("/workspace/a"), false);
await assert.rejects(filesystem.readFile("/workspace/none"));
console.log("used files");

const site = "mkdir -p site && cd site && echo page > index.html && exec python3 -m http.server 3000";
await sandbox.runCommand(site, { background: true });
const url = new URL(await sandbox.getUrl({ port: 3000 }));
// Not every resolver knows names below localhost, so the test names the host itself.
const answer = async () => {
  const { request } = await import("node:http");
  return new Promise((resolve) => {
    const options = { host: "127.0.0.1", port: url.port, headers: { Host: url.host } };
    request(options, async (response) => resolve(await new Response(response).text())).end();
  });
};
for (let text = ""; !text.includes("page\n"); text = await answer())
  await new Promise((r) => setTimeout(r, 50));
assert.match(await sandbox.getUrl({ port: 3001, protocol: "wss" }), /^wss?:\/\/3001-/);
console.log("opened an address");

await filesystem.writeFile("/workspace/kept.txt", "kept");
const snapshot = await provider.snapshot.create(sandbox.sandboxId, { name: "one" });
assert.deepEqual(
  (await provider.snapshot.list({ sandboxId: sandbox.sandboxId })).map(({ id }) => id),
  [snapshot.id],
);
const other = await provider.sandbox.create({ snapshotId: snapshot.id });
assert.equal(await other.filesystem.readFile("/workspace/kept.txt"), "kept");
await other.destroy();
await provider.snapshot.delete(snapshot.id);
assert.deepEqual(await provider.snapshot.list({ sandboxId: sandbox.sandboxId }), []);
console.log("used snapshots");

const info = await sandbox.getInfo();
assert.deepEqual([info.id, info.status, info.timeout], [sandbox.sandboxId, "running", 120_000]);
assert.equal(info.metadata.job, "7");
const listed = await provider.sandbox.list();
assert.ok(listed.some(({ sandboxId }) => sandboxId === sandbox.sandboxId));
const same = await provider.sandbox.getById(sandbox.sandboxId);
assert.equal((await same.runCommand("echo same")).stdout, "same\n");
await sandbox.destroy();
assert.equal(await provider.sandbox.getById(sandbox.sandboxId), null);
console.log("listed and destroyed");
