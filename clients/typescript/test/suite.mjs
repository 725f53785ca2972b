// Cases that run in every runtime: Node, Bun, workerd and Chromium. Each gets a sandbox and the client.

/** Asserts that two values have the same JSON. */
export function equal(actual, expected) {
  const [got, wanted] = [actual, expected].map((value) => JSON.stringify(value));
  if (got !== wanted) throw new Error(`got ${got}, not ${wanted}`);
}

/** Asserts that a promise is rejected with this code, and returns the error. */
export async function rejects(promise, code) {
  try {
    await promise;
  } catch (error) {
    if (error.code !== code) throw error;
    return error;
  }
  throw new Error(`no error ${code}`);
}

async function collect(events) {
  const all = [];
  for await (const event of events) all.push(event);
  return all;
}

export const cases = {
  async exec({ sandbox }) {
    const seen = [];
    const options = {
      onOutput: (...output) => seen.push(output),
      cwd: "/tmp",
      env: { A: "a b", B: undefined, C: null },
    };
    const result = await sandbox.exec('echo "$A"; sleep 0.2; echo error >&2; exit 3', {
      ...options,
      cwd: undefined,
    });
    const { success, exitCode, stdout, stderr, command } = result;
    equal([success, exitCode, stdout, stderr], [false, 3, "a b\n", "error\n"]);
    equal(command.startsWith("echo"), true);
    equal(seen, [
      ["stdout", "a b\n"],
      ["stderr", "error\n"],
    ]);
    equal((await sandbox.exec(["printf", "%s|", "a b", "$A"])).stdout, "a b|$A|");
    equal((await sandbox.exec("wc -c", { stdin: new Uint8Array(100_000) })).stdout.trim(), "100000");
  },

  async "output of every byte"({ sandbox }) {
    const bytes = [];
    const script = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 4096)";
    for await (const event of sandbox.execBytes(["python3", "-c", script])) {
      if (event.type === "stdout") bytes.push(...event.data);
    }
    equal(bytes.length, 256 * 4096);
    equal(
      bytes.every((byte, i) => byte === i % 256),
      true,
    );
  },

  async "the default session keeps its directory"({ sandbox }) {
    await sandbox.exec("mkdir -p kept && cd kept && export KEPT=yes");
    equal((await sandbox.exec("echo $PWD $KEPT")).stdout, "/workspace/kept yes\n");
    await sandbox.exec("cd ..");
  },

  async "a timeout"({ sandbox }) {
    const error = await rejects(sandbox.exec("echo before; sleep 60", { timeout: 300 }), "command_timeout");
    equal([error.name, error.details.stdout, error.details.exitCode], ["CommandError", "before\n", 124]);
  },

  async execStream({ sandbox, parseSSEStream }) {
    const events = await collect(parseSSEStream(await sandbox.execStream("echo out; echo err >&2; exit 2")));
    equal(events.map(({ type }) => type).sort(), ["complete", "start", "stderr", "stdout"]);
    equal(events.find(({ type }) => type === "stdout").data, "out\n");
    equal(events.at(-1).exitCode, 2);
  },

  async "an aborted command ends"({ sandbox }) {
    const [stop, id] = [new AbortController(), `aborted${Date.now()}`];
    const running = sandbox.exec(`echo $$ > ${id}; sleep 600`, { signal: stop.signal, sessionId: id });
    while (!(await sandbox.exists(id)).exists);
    while (!(await sandbox.readFile(id)).content);
    stop.abort();
    equal(await running.catch((error) => error.name), "AbortError");
    const pid = (await sandbox.readFile(id)).content.trim();
    const gone = `for i in $(seq 200); do kill -0 ${pid} 2>/dev/null || exit 0; sleep 0.05; done; exit 1`;
    equal((await sandbox.exec(gone)).exitCode, 0);
  },

  async "a cancelled stream ends its command"({ sandbox }) {
    const stream = await sandbox.execStream(
      "trap 'echo ended > cancelled; exit' EXIT; while :; do echo x; sleep 0.1; done",
    );
    const reader = stream.getReader();
    await reader.read();
    await reader.cancel();
    equal(await waitUntil(async () => (await runs(sandbox, "do echo x")) === 0), true);
  },

  async "a process"({ sandbox, parseSSEStream }) {
    const seen = [];
    let ended;
    const end = new Promise((resolve) => (ended = resolve));
    const process = await sandbox.startProcess("echo ready on 80; read line; echo got $line; exit 4", {
      stdin: "open",
      onOutput: (stream, data) => seen.push([stream, data]),
      onExit: ended,
    });
    equal([process.status, process.command.startsWith("echo ready")], ["running", true]);
    equal(await process.waitForLog("ready"), { line: "ready on 80" });
    const { match } = await process.waitForLog(/on (\d+)$/m);
    equal(match[1], "80");
    await rejects(process.waitForLog("never", 100), "process_ready_timeout");
    await rejects(process.waitForExit(100), "process_ready_timeout");
    await process.stdin.end("line\n");
    equal(await process.waitForExit(), { exitCode: 4 });
    equal(await end, 4);
    equal(seen.map(([, data]) => data).join(""), "ready on 80\ngot line\n");
    equal(await process.getStatus(), "failed");
    equal(await process.getLogs(), { stdout: "ready on 80\ngot line\n", stderr: "" });
    await rejects(process.waitForLog("never"), "process_exited_before_ready");
    const events = await collect(parseSSEStream(await sandbox.streamProcessLogs(process.id)));
    equal(events.at(-1).exitCode, 4);
    equal((await sandbox.listProcesses()).map(({ id }) => id).includes(process.id), true);
    equal(await sandbox.getProcess("no-such"), null);
    await rejects(sandbox.killProcess("no-such"), "process_not_found");
  },

  async "standard input of many writes"({ sandbox }) {
    const process = await sandbox.startProcess(["sha256sum"], { stdin: "open", processId: "sum" });
    const bytes = Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 7919) >> 3);
    const other = await sandbox.getProcess("sum");
    await process.stdin.write(bytes.subarray(0, 1000));
    // A handle that did not start the process asks for the offset.
    await other.stdin.write(bytes.subarray(1000, 2000));
    const late = (await sandbox.getProcess("sum")).stdin;
    void late.write(bytes.subarray(2000, 5000));
    await late.end(bytes.subarray(5000));
    equal((await process.waitForExit()).exitCode, 0);
    const digest = new Uint8Array(await sha256(bytes));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    equal((await process.getLogs()).stdout.split(" ")[0], hex);
    await rejects(process.stdin.write("more"), "stdin_closed");
  },

  async "a server"({ sandbox }) {
    const port = 18000 + Math.floor(Math.random() * 2000);
    await sandbox.writeFile("site/index.html", "Hello");
    const server = await sandbox.startProcess(`cd site && exec python3 -m http.server ${port}`, {
      processId: "web",
    });
    await server.waitForPort(port, { timeout: 30_000 });
    await server.waitForPort(port, { path: "/none", status: { min: 404, max: 404 }, timeout: 30_000 });
    await rejects(server.waitForPort(port, { path: "/none", timeout: 200 }), "process_ready_timeout");
    equal(await (await sandbox.fetchPort(port)).text(), "Hello");
    equal((await sandbox.fetchPort(port, "/none")).status, 404);
    const exposed = await sandbox.exposePort(port, { hostname: "example.com", name: "site" });
    equal([exposed.port, exposed.name], [port, "site"]);
    equal(await sandbox.getExposedPorts("example.com"), [{ ...orderPort(exposed), status: "active" }]);
    equal(await sandbox.isPortExposed(port), true);
    await sandbox.unexposePort(port);
    equal(await sandbox.isPortExposed(port), false);
    await server.kill();
    equal(await server.getStatus(), "killed");
    await rejects(server.waitForPort(port), "process_exited_before_ready");
  },

  async files({ sandbox, parseSSEStream }) {
    const name = "files/a b/ü%2F#?.txt";
    await sandbox.writeFile(name, "hello ü");
    const { content, encoding, size, mimeType } = await sandbox.readFile(`/workspace/${name}`);
    equal([content, encoding, size, mimeType], ["hello ü", "utf-8", 8, "text/plain"]);
    await sandbox.writeFile("files/raw.png", "AP8B", { encoding: "base64" });
    const raw = await sandbox.readFile("files/raw.png");
    equal([raw.content, raw.encoding, raw.isBinary, raw.mimeType], ["AP8B", "base64", true, "image/png"]);
    const [metadata, chunk, end] = await collect(
      parseSSEStream(await sandbox.readFileStream("files/raw.png")),
    );
    equal([metadata.size, chunk.data, end.bytesRead], [3, "AP8B", 3]);
    const text = await collect(parseSSEStream(await sandbox.readFileStream(name)));
    equal([text[0].mimeType, text[0].encoding, text[1].data], ["text/plain", "utf-8", "hello ü"]);
    const open = await sandbox.readFile("files/raw.png", { encoding: "none" });
    equal(Array.from(new Uint8Array(await new Response(open.content).arrayBuffer())), [0, 255, 1]);

    await sandbox.mkdir("files/one/two", { recursive: true });
    await rejects(sandbox.mkdir("files/one/two"), "file_exists");
    await rejects(sandbox.mkdir("files/none/two"), "file_not_found");
    await sandbox.renameFile("files/raw.png", "files/one/raw.png");
    await sandbox.moveFile("files/one/raw.png", "files/one/two/raw.png");
    const { files, count } = await sandbox.listFiles("files", { recursive: true });
    const paths = ["a b", "a b/ü%2F#?.txt", "one", "one/two", "one/two/raw.png"];
    equal([files.map(({ relativePath }) => relativePath), count], [paths, 5]);
    const { type, mode, permissions } = files[4];
    equal([type, mode, permissions.writable, permissions.executable], ["file", "rw-r--r--", true, false]);
    equal((await sandbox.exists("files/one")).exists, true);
    await rejects(sandbox.deleteFile("files/one"), "is_directory");
    await sandbox.deleteFile("files/one", { recursive: true });
    equal((await sandbox.exists("files/one")).exists, false);
    await rejects(sandbox.readFile("files/none"), "workspace_read_not_found");
    await rejects(sandbox.readFile("../etc/passwd"), "invalid_request");
    // Steps do not lead to another route: this would be the sandbox itself.
    await rejects(sandbox.deleteFile("../../../.."), "invalid_request");
  },

  async "a watch"({ sandbox, parseSSEStream }) {
    await sandbox.mkdir("watched", { recursive: true });
    const seen = [];
    for await (const event of parseSSEStream(await sandbox.watch("watched"))) {
      seen.push([event.eventType ?? event.type, event.path]);
      if (event.type === "watching") {
        await sandbox.writeFile("watched/a", "1");
        await sandbox.renameFile("watched/a", "watched/b");
      }
      if (event.eventType === "move_to") break;
    }
    const path = "/workspace/watched";
    equal(seen, [
      ["watching", path],
      ["create", `${path}/a`],
      ["move_from", `${path}/a`],
      ["move_to", `${path}/b`],
    ]);
    const { status, version } = await sandbox.checkChanges("watched");
    equal(status, "unchanged");
    equal((await sandbox.checkChanges("watched", { since: version })).status, "unchanged");
  },

  async sessions({ sandbox }) {
    const session = await sandbox.createSession({ id: "one", cwd: "/workspace", env: { WHO: "me" } });
    await session.setEnvVars({ GREETING: "it's 'me'", WHO: undefined });
    equal((await session.exec("echo $GREETING [$WHO]")).stdout, "it's 'me' []\n");
    equal((await sandbox.exec("echo [$GREETING]")).stdout, "[]\n");
    equal((await (await sandbox.getSession("one")).exec("echo $GREETING")).sessionId, "one");
    const short = await sandbox.createSession({ commandTimeoutMs: 200 });
    await rejects(short.exec("sleep 60"), "command_timeout");
    equal((await sandbox.deleteSession("one")).success, true);
    await rejects(sandbox.deleteSession("one"), "session_not_found");
  },

  async settings({ sandbox }) {
    await sandbox.setEnvVars({ FIRST: "1", SECOND: "2" });
    equal((await sandbox.exec("echo $FIRST $SECOND")).stdout, "1 2\n");
    await sandbox.setEnvVars({ FIRST: "3", SECOND: null });
    equal((await sandbox.exec("echo $FIRST $SECOND.")).stdout, "3 .\n");
    await sandbox.setKeepAlive(true);
    await sandbox.setSleepAfter(3600);
    await sandbox.setLabels({ suite: "ts" });
    const { settings, labels, state } = await sandbox.info();
    equal([settings.keepAlive, settings.sleepAfter, labels.suite, state], [true, "3600s", "ts", "running"]);
    await sandbox.setKeepAlive(false);
  },

  async code({ sandbox, parseSSEStream }) {
    const context = await sandbox.createCodeContext({ language: "python", envVars: { MODE: "test" } });
    const printed = [];
    const options = { context, onStdout: ({ text }) => printed.push(text) };
    const run = await sandbox.runCode("import os\nprint('hello')\nx = 20\nos.environ['MODE']", options);
    equal(
      [run.success, run.logs.stdout, printed, run.results[0].text],
      [true, ["hello\n"], ["hello\n"], "'test'"],
    );
    equal(run.results[0].formats(), ["text"]);
    equal((await sandbox.runCode("x + 1", { context: context.id })).results[0].text, "21");
    const failed = await sandbox.runCode("def f():\n    1 / 0\nf()", { context });
    equal([failed.success, failed.error.name, failed.error.lineNumber], [false, "ZeroDivisionError", 2]);
    const events = await collect(parseSSEStream(await sandbox.runCodeStream("print(1); 5", { context })));
    equal(
      events.map(({ type }) => type),
      ["stdout", "result", "execution_complete"],
    );
    equal(
      (await sandbox.listCodeContexts()).some(({ id }) => id === context.id),
      true,
    );
    await sandbox.deleteCodeContext(context.id);
    await rejects(sandbox.deleteCodeContext(context.id), "context_not_found");
  },

  async backups({ sandbox }) {
    await sandbox.writeFile("saved/data.txt", "before");
    const backup = await sandbox.createBackup({ dir: "/workspace", name: "suite", ttl: 3600 });
    equal([backup.dir, backup.name], ["/workspace", "suite"]);
    await sandbox.writeFile("saved/data.txt", "after");
    await sandbox.writeFile("saved/more.txt", "more");
    const restored = await sandbox.restoreBackup(backup);
    equal(restored, { success: true, dir: "/workspace", id: backup.id });
    equal((await sandbox.readFile("saved/data.txt")).content, "before");
    equal((await sandbox.exists("saved/more.txt")).exists, false);
    const gone = sandbox.restoreBackup({ id: "a".repeat(35), dir: "/workspace" });
    equal((await rejects(gone, "snapshot_not_found")).name, "BackupNotFoundError");
  },

  async "a checkout"({ sandbox }) {
    const port = 20000 + Math.floor(Math.random() * 2000);
    const made = await sandbox.exec(
      "git init -q -b main /tmp/demo && cd /tmp/demo && git config user.name me && git config user.email me@example.com" +
        " && echo hello > hello.txt && git add . && git commit -q -m first && git clone -q --bare . /tmp/demo.git" +
        " && git -C /tmp/demo.git update-server-info && cd /workspace",
    );
    equal([made.exitCode, made.stderr], [0, ""]);
    const server = await sandbox.startProcess(`cd /tmp && exec python3 -m http.server ${port}`);
    await server.waitForPort(port, { path: "/demo.git/HEAD", timeout: 30_000 });
    const checkout = await sandbox.gitCheckout(`http://127.0.0.1:${port}/demo.git`, { targetDir: "demo" });
    equal([checkout.success, checkout.branch, checkout.targetDir], [true, "main", "/workspace/demo"]);
    const missing = sandbox.gitCheckout(`http://127.0.0.1:${port}/none.git`);
    equal((await rejects(missing, "git_repository_not_found")).name, "GitRepositoryNotFoundError");
    await server.kill("SIGKILL");
  },

  async "a terminal"({ sandbox }) {
    if (typeof WebSocket === "undefined") return;
    const terminal = await sandbox.terminal({ mode: "command" });
    let text = "";
    const end = await new Promise((resolve, reject) => {
      terminal.addEventListener("error", reject);
      terminal.addEventListener("message", ({ data }) => {
        if (typeof data !== "string") text += new TextDecoder().decode(data);
        else if (JSON.parse(data).type === "ready")
          terminal.send(new TextEncoder().encode("echo typed; exit 3\n"));
        else resolve(JSON.parse(data));
      });
    });
    equal([text, end.code], ["typed\n", 3]);
  },

  async "errors without the key"({ sandbox, key }) {
    const error = await rejects(sandbox.getProcess(".."), "invalid_request");
    for (const text of [error.message, JSON.stringify(error), JSON.stringify(sandbox), String(sandbox)]) {
      equal(text.includes(key), false);
    }
  },
};

async function waitUntil(holds) {
  for (let i = 0; i < 200; i++) {
    if (await holds()) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}

/** The number of processes whose command line has a text. */
async function runs(sandbox, text) {
  // Does not find itself.
  const script = `grep -ls -- '[${text[0]}]${text.slice(1)}' /proc/[0-9]*/cmdline | wc -l`;
  return Number((await sandbox.exec(script, { sessionId: "other" })).stdout);
}

const orderPort = ({ port, url, name }) => ({ port, url, name });

/** Pages that came over plain HTTP have no `crypto.subtle`. */
async function sha256(bytes) {
  return crypto.subtle.digest("SHA-256", bytes);
}

/** Runs all cases on a sandbox. Returns the names of those that passed, and the errors of the others. */
export async function runAll(context, log = () => {}) {
  const [passed, failed] = [[], []];
  for (const [name, run] of Object.entries(cases)) {
    const begin = Date.now();
    try {
      await run(context);
      passed.push(name);
      log(`passed: ${name} (${Date.now() - begin} ms)`);
    } catch (error) {
      failed.push(`${name}: ${error.stack ?? error}`);
      log(`FAILED: ${name}: ${error.stack ?? error}`);
    }
  }
  return { passed, failed };
}
