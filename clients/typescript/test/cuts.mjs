// Commands, code, files, the log of a process and standard input over connections that break all the time: no output is
// lost, no byte is written twice, and no command runs twice. Environment: SANDBOX_URL, SANDBOX_API_KEY, and CUT_SECONDS
// (8): how long.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { getSandbox, parseSSEStream } from "sandbar";
import { cuttingProxy } from "./proxy.mjs";

const [url, key] = [process.env.SANDBOX_URL, process.env.SANDBOX_API_KEY];
const seconds = Number(process.env.CUT_SECONDS ?? 8);
const direct = getSandbox({ url, key }, `cuts-${Math.random()}`, { enableDefaultSession: false });
const id = await direct.sandboxId();
await direct.exec("mkdir runs");
const proxy = await cuttingProxy(url);
const sandbox = getSandbox({ url: proxy.url, key }, { id }, { enableDefaultSession: false });
const isOver = (
  (end) => () =>
    Date.now() > end
)(Date.now() + seconds * 1000);

const pending = new Set();
setTimeout(
  () => {
    console.error("no end of:", [...pending].join(", "));
    process.exit(1);
  },
  (seconds + 60) * 1000,
).unref();

/** The errors that say that the outcome is not known, or that nothing arrived. */
const lost = ["connection_lost", "operation_interrupted", "unreachable"];
const counts = { completed: 0, runs: 0, files: 0, lost: 0, lines: 0, bytes: 0 };
const expected = Array.from({ length: 400 }, (_, i) => `line ${i} of the output\n`).join("");

async function runCommands(name) {
  const output = `for i in $(seq 0 399); do echo "line $i of the output"; [ $((i % 40)) = 0 ] && sleep 0.02; done`;
  const ran = [];
  for (let i = 0; !isOver(); i++) {
    const mark = `runs/${name}-${i}`;
    try {
      const { stdout, exitCode } = await sandbox.exec(`echo ran >> ${mark}; ${output}; exit 7`);
      assert.equal(exitCode, 7);
      assert.equal(stdout, expected);
      ran.push(mark);
      counts.completed++;
    } catch (error) {
      if (!lost.includes(error.code)) throw error;
      counts.lost++;
    }
  }
  for (const mark of ran) assert.equal((await direct.readFile(mark)).content, "ran\n", mark);
}

async function runCode(name) {
  const context = await direct.createCodeContext({ cwd: "/workspace" });
  const ran = [];
  for (let i = 0; !isOver() || ran.length === 0; i++) {
    const mark = `runs/${name}-${i}`;
    const code = `print("ran", file=open("${mark}", "a"))\nfor i in range(400): print(f"line {i} of the output")\n6 * 7`;
    try {
      const { success, logs, results } = await sandbox.runCode(code, { context });
      assert.deepEqual([success, logs.stdout.join(""), results[0].text], [true, expected, "42"]);
      ran.push(mark);
      counts.runs++;
    } catch (error) {
      if (!lost.includes(error.code)) throw error;
      counts.lost++;
    }
  }
  for (const mark of ran) assert.equal((await direct.readFile(mark)).content, "ran\n", mark);
}

async function writeFiles() {
  let content = "";
  await direct.writeFile("file", content);
  while (!isOver() || counts.files === 0) {
    const next = randomBytes(2_000).toString("hex");
    try {
      await sandbox.writeFile("file", next);
      assert.equal((await retried(() => sandbox.readFile("file"))).content, next);
      content = next;
      counts.files++;
    } catch (error) {
      if (!lost.includes(error.code)) throw error;
      // It was written, or it was not.
      const found = (await direct.readFile("file")).content;
      assert.ok(found === content || found === next);
      content = found;
    }
  }
}

async function followLog() {
  const script =
    'i=0; while [ ! -e stop ]; do i=$((i + 1)); echo "entry $i"; [ $((i % 50)) = 0 ] && sleep 0.02; done';
  const writer = await direct.startProcess(`${script}; exit 9`);
  let [text, exitCode, isStopped] = ["", undefined, false];
  // The log keeps its first and its last part: this must not become longer than both.
  for await (const event of parseSSEStream(await retried(() => sandbox.streamProcessLogs(writer.id)))) {
    assert.notEqual(event.type, "error");
    if (event.type === "exit") exitCode = event.exitCode;
    else text += event.data;
    if (!isStopped && (isOver() || text.length > 1_500_000)) {
      isStopped = true;
      await direct.writeFile("stop", "");
    }
  }
  assert.equal(exitCode, 9);
  const lines = text.trimEnd().split("\n");
  lines.forEach((line, i) => assert.equal(line, `entry ${i + 1}`));
  counts.lines = lines.length;
}

async function writeInput() {
  const reader = await direct.startProcess(["sha256sum"], { stdin: "open", processId: "reader" });
  const { stdin } = await retried(() => sandbox.getProcess("reader"));
  const sum = createHash("sha256");
  while (!isOver()) {
    const bytes = randomBytes(1 + Math.floor(Math.random() * 60_000));
    sum.update(bytes);
    counts.bytes += bytes.length;
    await stdin.write(bytes);
  }
  await stdin.end();
  await reader.waitForExit();
  assert.equal((await reader.getLogs()).stdout.split(" ")[0], sum.digest("hex"));
}

/** Silent for longer than the client would try to connect again. */
async function runSilentCommand() {
  const impatient = getSandbox(
    { url: proxy.url, key, lingerMs: 6_000 },
    { id },
    { enableDefaultSession: false },
  );
  for (let i = 0; i < 4; i++) {
    try {
      const { stdout } = await impatient.exec("sleep 8; echo late");
      assert.equal(stdout, "late\n");
      return;
    } catch (error) {
      // The start itself was lost, or all connections of six seconds were.
      if (!lost.includes(error.code)) throw error;
    }
  }
  assert.fail("no silent command came to its end");
}

/** What changes nothing can be asked for again. */
async function retried(ask) {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!lost.includes(error.code)) throw error;
    }
  }
}

const parts = [runCommands, runCommands, runCode, writeFiles, followLog, writeInput, runSilentCommand];
await Promise.all(
  parts.map(async (run, i) => {
    pending.add(run.name);
    await run(`part${i}`);
    pending.delete(run.name);
  }),
);
// Also a command whose end was not seen ran once at most.
const twice = await direct.exec("grep -cr . runs | grep -v ':1$'");
assert.equal(twice.stdout, "");
console.log({ ...counts, cuts: proxy.cuts });
assert.ok(proxy.cuts > 20 && counts.completed > 5 && counts.runs > 0 && counts.files > 0);
assert.ok(counts.lines > 100 && counts.bytes > 100_000);
proxy.close();
await direct.destroy();
process.exit(0);
