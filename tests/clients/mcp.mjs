// The official client of the Model Context Protocol, version 1 (`initialize`) or 2 (the current revision): every tool once.
// With the path of sandbar, it speaks over the standard input and output of that program. Prints the revision and the
// texts of the results as JSON.
import assert from "node:assert/strict";

const [version, program] = process.argv.slice(2);
const { SANDBOX_URL: url, SANDBOX_API_KEY: key } = process.env;

/** The path is that of `/v1/mcp`, or of a sandbox. */
async function overStdio(path) {
  const args = ["mcp", ...path.split("/").slice(3, -1)];
  const { Client } = await import(`@modelcontextprotocol/${version === "1" ? "sdk/client/index.js" : "client"}`);
  const module = version === "1" ? "sdk/client/stdio.js" : "client/stdio";
  const { StdioClientTransport } = await import(`@modelcontextprotocol/${module}`);
  const client = new Client({ name: "test", version: "1.0.0" }, { versionNegotiation: { mode: "auto" } });
  await client.connect(new StdioClientTransport({ command: program, args, env: process.env }));
  return { client, revision: client.getNegotiatedProtocolVersion?.() };
}

async function connect(path) {
  if (program) return overStdio(path);
  const options = { requestInit: { headers: { Authorization: `Bearer ${key}` } } };
  const address = new URL(path, url);
  const name = { name: "test", version: "1.0.0" };
  if (version === "1") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const transport = new StreamableHTTPClientTransport(address, options);
    const client = new Client(name);
    await client.connect(transport);
    await client.ping();
    return { client, revision: transport.protocolVersion };
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const client = new Client(name, { versionNegotiation: { mode: "auto" } });
  await client.connect(new StreamableHTTPClientTransport(address, options));
  return { client, revision: client.getNegotiatedProtocolVersion() };
}

const { client, revision } = await connect("/v1/mcp");
assert.equal(client.getServerVersion()?.name, "sandbar");
const { tools } = await client.listTools();
const texts = {};

async function call(client, name, args) {
  const result = await client.callTool({ name, arguments: args });
  assert.ok(!result.isError, JSON.stringify(result));
  const text = result.content.map((item) => item.text ?? item.mimeType).join("\n");
  texts[name] = text;
  return text;
}

const { sandbox } = JSON.parse(await call(client, "create_sandbox", {}));
await call(client, "write", { sandbox, path: "notes/a.txt", content: "one\ntwo\n" });
await call(client, "edit", { sandbox, path: "notes/a.txt", edits: [{ old: "two", new: "zwei" }] });
await call(client, "read", { sandbox, path: "/workspace/notes/a.txt" });
await call(client, "search", { sandbox, pattern: "zwei" });
await call(client, "list", { sandbox, depth: 2 });
const started = await call(client, "run", { sandbox, command: "read line; echo got $line", stdin_open: true, wait_ms: 0 });
const { process: id } = JSON.parse(started.match(/process_output (\{.*\}) has/)[1]);
await call(client, "process_input", { sandbox, process: id, text: "input\n" });
await call(client, "process_output", { sandbox, process: id, wait_ms: 60000 });
await call(client, "run", { sandbox, command: "echo out; echo err >&2; exit 3" });

// The same sandbox, at its own address.
const own = await connect(`/v1/sandbox/${sandbox}/mcp`);
const ownTools = (await own.client.listTools()).tools.map((tool) => tool.name);
assert.ok(!ownTools.includes("create_sandbox") && !ownTools.includes("destroy_sandbox"), ownTools);
assert.equal(await call(own.client, "read", { path: "notes/a.txt" }), "one\nzwei\n");
await own.client.close();

await assert.rejects(client.callTool({ name: "unknown", arguments: {} }), /-32602|Unknown tool/);
const wrong = await client.callTool({ name: "read", arguments: { sandbox, path: "missing" } });
assert.ok(wrong.isError && wrong.content[0].text.includes("workspace_read_not_found"), JSON.stringify(wrong));
await call(client, "destroy_sandbox", { sandbox });
await client.close();
console.log(JSON.stringify({ revision, tools: tools.map((tool) => tool.name), texts }));
