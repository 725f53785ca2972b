// Cases about commands, processes and ports.
import { collect, equal, orderPort, rejects, runs, sha256, waitUntil } from "./check.mjs";

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
    // JSON has these as they are, though some take them for the end of a line.
    const separated = "a\u2028b\u2029c";
    const [, output] = await collect(parseSSEStream(await sandbox.execStream(["printf", separated])));
    equal(output.data, separated);
  },

  async "a stream that breaks off is not at its end"({ parseSSEStream }) {
    const broken = new ReadableStream({ start: (controller) => controller.error({ code: "broken" }) });
    await rejects(collect(parseSSEStream(broken)), "broken");
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
};
