// Runs the suite in workerd. Environment: SANDBOX_URL, SANDBOX_API_KEY.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "./bundle.mjs";

const [url, key] = [process.env.SANDBOX_URL, process.env.SANDBOX_API_KEY];
const directory = mkdtempSync(join(tmpdir(), "sandbar-workerd-"));
const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "internet", network = (allow = ["public", "private"]))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.mjs", esModule = embed "worker.mjs")],
  compatibilityDate = "2026-01-01",
  bindings = [(name = "url", text = ${JSON.stringify(url)}), (name = "key", text = ${JSON.stringify(key)})],
);`;
writeFileSync(join(directory, "worker.mjs"), await bundle("worker.mjs"));
writeFileSync(join(directory, "config.capnp"), config);

const program = fileURLToPath(new URL("../../../node_modules/.bin/workerd", import.meta.url));
const workerd = spawn(program, ["serve", "config.capnp", "--control-fd=3"], {
  cwd: directory,
  stdio: ["ignore", "inherit", "inherit", "pipe"],
});
try {
  const port = await new Promise((resolve, reject) => {
    workerd.once("exit", () => reject(new Error("workerd has ended")));
    workerd.stdio[3].on("data", (data) => {
      for (const line of String(data).split("\n").filter(Boolean)) {
        const { event, port } = JSON.parse(line);
        if (event === "listen") resolve(port);
      }
    });
  });
  const { passed, failed } = await (await fetch(`http://127.0.0.1:${port}/`)).json();
  for (const name of passed) console.log(`passed: ${name}`);
  for (const text of failed) console.log(`FAILED: ${text}`);
  process.exitCode = failed.length > 0 || passed.length === 0 ? 1 : 0;
} finally {
  workerd.kill();
  rmSync(directory, { recursive: true });
}
