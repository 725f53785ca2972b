// The package as npm would publish it: its files, its size, and a project that installs it. Environment: SANDBOX_URL,
// SANDBOX_API_KEY.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { bundle } from "./bundle.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const run = (cwd, program, ...options) =>
  execFileSync(program, options, { cwd, encoding: "utf8", stdio: "pipe" });

const published = run(root, "npm", "publish", "--dry-run", "--json", "--ignore-scripts");
assert.equal(JSON.parse(published.slice(published.indexOf("{"))).name ?? "sandbar", "sandbar");
console.log("npm publish --dry-run succeeds");

const directory = mkdtempSync(join(tmpdir(), "sandbar-pack-"));
const begin = Date.now();
try {
  const [{ filename, files }] = JSON.parse(
    run(root, "npm", "pack", "--json", "--silent", "--pack-destination", directory),
  );
  const names = files.map(({ path }) => path);
  for (const name of [
    "README.md",
    "LICENSE-MIT",
    "dist/src/index.js",
    "dist/src/index.d.ts",
    "dist/computesdk/index.js",
  ]) {
    assert.ok(names.includes(name), name);
  }
  assert.ok(
    names.every((name) => /^(dist\/.*\.(js|d\.ts)|package\.json|README\.md|LICENSE-\w+)$/.test(name)),
    names,
  );

  writeFileSync(join(directory, "package.json"), '{ "type": "module", "private": true }');
  run(directory, "npm", "install", "--offline", "--no-audit", "--no-fund", `./${filename}`);
  assert.equal(run(directory, "ls", "node_modules").trim(), "sandbar");
  const [, example, output] = /```ts\n(.*?)```\n\n```text\n(.*?)```/s.exec(
    readFileSync(`${root}/README.md`, "utf8"),
  );
  assert.equal(example.trim().split("\n").length, 4);
  // A sandbox of its own: it is destroyed here.
  const own = example.replace("user-123", `pack-${Math.random()}`);
  writeFileSync(join(directory, "example.js"), `${own}await sandbox.destroy();\nprocess.exit(0);`);
  assert.equal(run(directory, process.execPath, "example.js").trim(), output.trim());
  const seconds = (Date.now() - begin) / 1000;
  assert.ok(seconds < 60, `${seconds} s`);
  console.log(`the first example runs where the package is installed, ${seconds} s after npm pack`);

  writeFileSync(
    join(directory, "types.ts"),
    `import { getSandbox, type ExecEvent, type Process, parseSSEStream } from "sandbar";
    const sandbox = getSandbox({ url: "http://localhost" }, "a", { sleepAfter: 60, labels: { a: "b" } });
    const exitCode: number = (await sandbox.exec("true")).exitCode;
    const started: Process = await sandbox.startProcess(["true"]);
    for await (const event of parseSSEStream<ExecEvent>(await sandbox.execStream("true"))) event.result?.stdout;
    // @ts-expect-error No such method.
    sandbox.noSuchMethod(exitCode, started);
    export {};`,
  );
  const options = "--noEmit --strict --target es2022 --module nodenext --lib es2022,dom,dom.asynciterable";
  run(directory, `${root}/node_modules/.bin/tsc`, ...options.split(" "), "types.ts");
  console.log("its types are those of its methods");
} finally {
  rmSync(directory, { recursive: true });
}

const size = gzipSync(await bundle("../dist/src/index.js"), { level: 9 }).length;
assert.ok(size <= 12 * 1024, `${size} bytes`);
console.log(`${size} bytes of JavaScript, minified and compressed`);
