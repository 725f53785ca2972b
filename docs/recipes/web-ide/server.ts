// node server.ts: the backend of a web IDE, a sandbox for each project.
//
//   POST   /projects                   {"files", "install"?, "start", "port"} → {"id", "url"}
//   PUT    /projects/ID/files/PATH     saves a file
//   GET    /projects/ID/log            the output of the server, as it is written
//   DELETE /projects/ID
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { buffer, json } from "node:stream/consumers";
import { createSandbox, getSandbox, type Sandbox, SandboxError } from "sandbar";

interface Project {
  /** The text of each file, by its path. */
  files: Record<string, string>;
  /** Installs what the project needs. */
  install?: string;
  /** Starts its server, which listens on `port`. */
  start: string;
  port: number;
}

const connection = { url: process.env.SANDBOX_URL ?? "", key: process.env.SANDBOX_API_KEY };
const SERVER = "server";

class BadProject extends Error {}

/** Sets a project up. Resolves once its server answers, to the address of its preview. */
async function create(project: Project): Promise<{ id: string; url: string }> {
  const sandbox = await createSandbox(connection, { sleepAfter: "30m", labels: { app: "ide" } });
  try {
    for (const [path, text] of Object.entries(project.files)) await sandbox.writeFile(path, text);
    if (project.install) {
      const { success, stdout, stderr } = await sandbox.exec(project.install, { timeout: 300_000 });
      if (!success) throw new BadProject(`the install failed:\n${stdout}${stderr}`);
    }
    const env = { PORT: String(project.port) };
    const server = await sandbox.startProcess(project.start, { processId: SERVER, env });
    try {
      await server.waitForPort(project.port, { timeout: 60_000 });
    } catch {
      const { stdout, stderr } = await server.getLogs();
      throw new BadProject(`the server does not answer:\n${stdout}${stderr}`);
    }
    const { url } = await sandbox.exposePort(project.port, { name: "preview" });
    return { id: await sandbox.sandboxId(), url };
  } catch (error) {
    await sandbox.destroy();
    throw error;
  }
}

/** Sends the output of the server as text, until it ends or the client leaves. */
async function sendLog(sandbox: Sandbox, response: ServerResponse): Promise<void> {
  const left = new AbortController();
  response.once("close", () => left.abort());
  for await (const event of sandbox.log(SERVER, left.signal)) {
    if (event.type === "open") response.writeHead(200, { "Content-Type": "text/plain" }).flushHeaders();
    if (event.type === "stdout" || event.type === "stderr") response.write(event.data);
  }
  response.end();
}

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url = "/" } = request;
  const [, id = "", action = "", path = ""] =
    /^\/projects(?:\/(\w+))?(?:\/(\w+))?(?:\/(.+))?$/.exec(url) ?? [];
  if (method === "POST" && url === "/projects") {
    const created = await create((await json(request)) as Project);
    response.writeHead(201, { "Content-Type": "application/json" }).end(JSON.stringify(created));
    return;
  }
  const sandbox = getSandbox(connection, { id });
  if (method === "PUT" && action === "files") {
    await sandbox.writeFile(decodeURIComponent(path), await buffer(request));
    response.writeHead(204).end();
  } else if (method === "GET" && action === "log") await sendLog(sandbox, response);
  else if (method === "DELETE" && id && !action) {
    await sandbox.destroy();
    response.writeHead(204).end();
  } else response.writeHead(404).end();
}

const server = createServer((request, response) => {
  handle(request, response).catch((error: Error) => {
    if (response.headersSent) return response.destroy();
    const status = error instanceof BadProject ? 422 : error instanceof SandboxError ? 502 : 500;
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ error: error.message }));
  });
});
server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  const address = server.address();
  if (address && typeof address === "object") console.log(`http://127.0.0.1:${address.port}`);
});
