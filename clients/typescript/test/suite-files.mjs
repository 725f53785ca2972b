// Cases about files, sessions, settings, code, snapshots and checkouts.
import { collect, equal, rejects } from "./check.mjs";

export const cases = {
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
    for (const same of [short, await sandbox.getSession(short.id)])
      await rejects(same.exec("sleep 60"), "command_timeout");
    const process = await session.startProcess("sleep 60");
    equal((await sandbox.deleteSession("one")).success, true);
    equal(await process.getStatus(), "killed");
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
    // A kernel that is slow sends a line in parts.
    const texts = [run.logs.stdout, printed].map((parts) => parts.join(""));
    equal([run.success, ...texts, run.results[0].text], [true, "hello\n", "hello\n", "'test'"]);
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
    await sandbox.restoreBackup({ ...backup, dir: "/workspace/copy" });
    equal((await sandbox.readFile("copy/saved/data.txt")).content, "before");
    await sandbox.exec("git init -q && echo '*.log' >.gitignore && touch kept '[1].log'", { cwd: "copy" });
    const { id } = await sandbox.createBackup({ dir: "/workspace/copy", gitignore: true });
    await sandbox.restoreBackup({ id, dir: "/workspace/copy" });
    const names = (await sandbox.listFiles("copy")).files.map(({ name }) => name);
    equal([names.includes("kept"), names.includes("[1].log")], [true, false]);
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
