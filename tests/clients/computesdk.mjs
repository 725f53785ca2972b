// ComputeSDK's own provider for Cloudflare, in its remote mode: every method. Environment: SANDBOX_URL, SANDBOX_API_KEY, and
// CLOUDFLARED: a program for tunnels, which the bridge looks for at /workspace/cloudflared.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { cloudflare } from "@computesdk/cloudflare";

const { SANDBOX_URL: sandboxUrl, SANDBOX_API_KEY: sandboxApiKey, CLOUDFLARED: cloudflared } = process.env;
const compute = cloudflare({ sandboxUrl, sandboxApiKey, envVars: { FROM: "config" } });
const sandbox = await compute.sandbox.create({ envs: { GREETING: "it's me" }, timeout: 120_000 });
assert.match(sandbox.sandboxId, /^[a-z2-7]+$/);
assert.equal(sandbox.provider, "cloudflare");

// Commands: streams, exit codes, variables, directories, deadlines.
const result = await sandbox.runCommand('echo "$GREETING $FROM"; echo error ü >&2; exit 3');
assert.deepEqual([result.stdout, result.stderr, result.exitCode], ["it's me config\n", "error ü\n", 3]);
assert.ok(result.durationMs > 0);
const placed = await sandbox.runCommand("pwd; echo $MODE", { cwd: "/workspace", env: { MODE: "test" } });
assert.equal(placed.stdout, "/workspace\ntest\n");
assert.equal((await sandbox.runCommand("nonexistent-command-12345")).exitCode, 127);
const late = await sandbox.runCommand("echo begun; sleep 600", { timeout: 300 });
assert.deepEqual([late.stdout, late.exitCode], ["begun\n", 124]);
const large = await sandbox.runCommand("head -c 3000000 /dev/zero | tr '\\0' x");
assert.deepEqual([large.stdout.length, large.exitCode], [3_000_000, 0]);
const outside = await sandbox.runCommand("true", { cwd: "/etc" });
assert.ok(outside.exitCode === 127 && outside.stderr.includes("403"), outside.stderr);

// A command in the background outlives its request.
assert.equal((await sandbox.runCommand("sh -c 'sleep 0.5; echo done > late.txt'", { background: true })).exitCode, 0);

// Files, by paths of any characters.
const { filesystem } = sandbox;
const path = "/workspace/a b/ü%2F#?.txt";
await filesystem.mkdir("/workspace/a b/empty");
await filesystem.writeFile(path, "content ü");
assert.equal(await filesystem.readFile(path), "content ü");
assert.equal(await filesystem.exists(path), true);
const entries = (await filesystem.readdir("/workspace/a b")).filter(({ name }) => !/^\.+$/.test(name));
assert.deepEqual(entries.map(({ name, type }) => [name, type]).sort(), [["empty", "directory"], ["ü%2F#?.txt", "file"]]);
await filesystem.remove("/workspace/a b");
assert.equal(await filesystem.exists(path), false);
await assert.rejects(filesystem.readFile(path), /404/);
await assert.rejects(filesystem.readFile("/workspace/../etc/passwd"), /40[34]/);
while (!(await filesystem.exists("/workspace/late.txt")));
assert.equal(await filesystem.readFile("/workspace/late.txt"), "done\n");

// The address of a port.
await filesystem.writeFile("/workspace/cloudflared", readFileSync(cloudflared, "utf8"));
await sandbox.runCommand("chmod +x /workspace/cloudflared");
const url = await sandbox.getUrl({ port: 3000 });
assert.match(url, /^https:\/\/[a-z0-9-]+\.trycloudflare\.com/);
assert.equal(await sandbox.getUrl({ port: 3000 }), url);

// The same sandbox by its id, and its end.
const same = await compute.sandbox.getById(sandbox.sandboxId);
assert.equal((await same.runCommand("cat /workspace/late.txt")).stdout, "done\n");
assert.equal((await same.getInfo()).status, "running");
assert.equal(await compute.sandbox.getById("Not-One"), null);
await assert.rejects(compute.sandbox.list(), /does not support listing/);
await sandbox.destroy();
console.log("every method works", sandbox.sandboxId);
