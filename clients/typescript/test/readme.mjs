// Runs the examples of README.md, all in one module, and compares what they print with the blocks below them; "…"
// stands for any text. Environment: SANDBOX_URL, SANDBOX_API_KEY.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const page = readFileSync(`${root}/README.md`, "utf8");
const blocks = [...page.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, text]) => ({
  language,
  text,
}));
assert.ok(blocks.every(({ language }) => ["ts", "text"].includes(language)));

const separator = "==== the next example ====";
const examples = blocks.filter(({ language }) => language === "ts").map(({ text }) => text);
const expected = blocks.flatMap(({ language }, i) => {
  if (language !== "ts") return [];
  return [blocks[i + 1]?.language === "text" ? blocks[i + 1].text : ""];
});
const program = [...examples, "process.exit(0);"].join(`\nconsole.log(${JSON.stringify(separator)});\n`);
const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
  cwd: root,
  encoding: "utf8",
});
assert.equal(status, 0, stdout + stderr);
const printed = stdout.split(`${separator}\n`);
for (const [i, text] of expected.entries()) {
  const pattern = text.split("…").map((part) => part.trim().replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  assert.match(printed[i].trim(), new RegExp(`^${pattern.join(".*")}$`, "s"));
}
console.log(`${examples.length} examples printed what the page says`);
