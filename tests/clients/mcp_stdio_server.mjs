// An MCP server over standard input and output, with one tool.
import { readFile } from "node:fs/promises";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const server = new McpServer({ name: "notes", version: "1.0.0" });
const about = { description: "Reads a note of its directory", inputSchema: { name: z.string() } };
server.registerTool("note", about, async ({ name }) => ({
  content: [{ type: "text", text: await readFile(name, "utf8") }],
}));
server.connect(new StdioServerTransport());
