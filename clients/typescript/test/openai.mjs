// The shell and the editor of an agent of the OpenAI Agents SDK. Environment: SANDBOX_URL, SANDBOX_API_KEY.
import assert from "node:assert/strict";
import { applyPatchTool, shellTool } from "@openai/agents";
import { getSandbox } from "sandbar";
import { Editor, Shell } from "sandbar/openai";

const connection = { url: process.env.SANDBOX_URL, key: process.env.SANDBOX_API_KEY };
const sandbox = getSandbox(connection, `openai-${Math.random()}`);
const shell = new Shell(sandbox);
const editor = new Editor(sandbox);
assert.equal(shellTool({ shell }).shell, shell);
assert.equal(applyPatchTool({ editor }).editor, editor);

const commands = ["echo out; echo err >&2", "exit 3", "echo before; sleep 600", "echo never"];
const { output } = await shell.run({ commands, timeoutMs: 500 });
assert.deepEqual(output, [
  { stdout: "out\n", stderr: "err\n", outcome: { type: "exit", exitCode: 0 } },
  { stdout: "", stderr: "", outcome: { type: "exit", exitCode: 3 } },
  { stdout: "before\n", stderr: "", outcome: { type: "timeout" } },
]);
assert.deepEqual(
  shell.results.map(({ exitCode }) => exitCode),
  [0, 3, null],
);

const created = { type: "create_file", path: "notes/plan.txt", diff: "+one\n+two\n+three\n" };
assert.equal((await editor.createFile(created)).output, "Created notes/plan.txt");
await editor.updateFile({
  type: "update_file",
  path: "notes/plan.txt",
  diff: "@@\n one\n-two\n+2\n three\n",
});
assert.equal((await sandbox.readFile("notes/plan.txt")).content, "one\n2\nthree");
await editor.deleteFile({ type: "delete_file", path: "/workspace/notes/plan.txt" });
assert.equal((await sandbox.exists("notes/plan.txt")).exists, false);
const missing = { type: "update_file", path: "none", diff: "@@\n-a\n+b\n" };
await assert.rejects(editor.updateFile(missing), { name: "FileNotFoundError" });
await assert.rejects(
  editor.deleteFile({ type: "delete_file", path: "../etc/passwd" }),
  /outside of \/workspace/,
);
assert.deepEqual(
  editor.results.map(({ operation, status }) => `${operation} ${status}`),
  ["create completed", "update completed", "delete completed", "update failed", "delete failed"],
);
await sandbox.destroy();
console.log("an agent's shell and editor work");
process.exit(0);
