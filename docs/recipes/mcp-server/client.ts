// node client.ts COMMAND [TOOL JSON]: starts an MCP server that speaks over stdio in a sandbox, lists its tools, and calls
// one. SANDBOX_ID: a sandbox that has the server; without it, a new one.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import { JSONRPCMessageSchema, type JSONRPCMessage } from "@modelcontextprotocol/sdk/types.js";
import { createSandbox, getSandbox, type Sandbox } from "sandbar";
import { Stdio } from "../coding-agent/stdio.ts";

/** MCP over the standard streams of a process in a sandbox. A message is a line. */
class SandboxTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage) => void;
  readonly #sandbox: Sandbox;
  readonly #command: string;
  #stdio: Stdio | undefined;

  constructor(sandbox: Sandbox, command: string) {
    this.#sandbox = sandbox;
    this.#command = command;
  }

  async start(): Promise<void> {
    this.#stdio = await Stdio.start(this.#sandbox, this.#command);
    this.#stdio.onLine = (line) => {
      try {
        this.onmessage?.(JSONRPCMessageSchema.parse(JSON.parse(line)));
      } catch (error) {
        this.onerror?.(error as Error);
      }
    };
    this.#stdio.exited.catch((error: Error) => this.onerror?.(error)).finally(() => this.onclose?.());
  }

  async send(message: JSONRPCMessage): Promise<void> {
    this.#stdio?.write(JSON.stringify(message));
  }

  async close(): Promise<void> {
    await this.#stdio?.stop();
  }
}

const connection = { url: process.env.SANDBOX_URL ?? "", key: process.env.SANDBOX_API_KEY };
const { SANDBOX_ID: id } = process.env;
const sandbox = id ? getSandbox(connection, { id }) : await createSandbox(connection);
const [command = "npx -y @modelcontextprotocol/server-everything", tool, json = "{}"] = process.argv.slice(2);

const client = new Client({ name: "recipe", version: "1.0.0" });
try {
  await client.connect(new SandboxTransport(sandbox, command));
  const { tools } = await client.listTools();
  for (const { name, description } of tools) console.log(`${name}: ${description}`);
  if (tool) {
    const result = await client.callTool({
      name: tool,
      arguments: JSON.parse(json) as Record<string, unknown>,
    });
    console.log(JSON.stringify(result.content));
  }
  await client.close();
} finally {
  if (!id) await sandbox.destroy();
}
process.exit(0);
