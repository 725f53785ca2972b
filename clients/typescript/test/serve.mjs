// Serves a module as a Worker, by workerd.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const text = (value) => JSON.stringify(value);

/** The URL of a Worker of this source, whose environment has these values, and a function that ends it. */
export async function serve(source, env) {
  const directory = mkdtempSync(join(tmpdir(), "sandbar-workerd-"));
  const bindings = Object.entries(env).map(
    ([name, value]) => `(name = ${text(name)}, json = ${text(text(value))})`,
  );
  const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "internet", network = (allow = ["public", "private"]))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.mjs", esModule = embed "worker.mjs")],
  compatibilityDate = "2026-01-01",
  bindings = [${bindings}],
);`;
  writeFileSync(join(directory, "worker.mjs"), source);
  writeFileSync(join(directory, "config.capnp"), config);

  const program = fileURLToPath(new URL("../../../node_modules/.bin/workerd", import.meta.url));
  const workerd = spawn(program, ["serve", "config.capnp", "--control-fd=3"], {
    cwd: directory,
    stdio: ["ignore", "inherit", "inherit", "pipe"],
  });
  const end = () => {
    workerd.kill();
    rmSync(directory, { recursive: true, force: true });
  };
  const port = await new Promise((resolve, reject) => {
    workerd.once("exit", () => reject(new Error("workerd has ended")));
    workerd.stdio[3].on("data", (data) => {
      for (const line of String(data).split("\n").filter(Boolean)) {
        const { event, port } = JSON.parse(line);
        if (event === "listen") resolve(port);
      }
    });
  }).catch((error) => {
    end();
    throw error;
  });
  return { url: `http://127.0.0.1:${port}`, end };
}
