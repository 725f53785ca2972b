// node client.ts PROMPT…: a coding agent in a sandbox, spoken with in lines of JSON. AGENT is its command.
import { readFile } from "node:fs/promises";
import { createSandbox } from "sandbar";
import { Stdio } from "./stdio.ts";

/** What the agent says about the prompt with this id. */
type Message = { id: number; event: "progress" | "done"; text: string };

const connection = { url: process.env.SANDBOX_URL ?? "", key: process.env.SANDBOX_API_KEY };
const sandbox = await createSandbox(connection);
try {
  await sandbox.writeFile("small_agent.py", await readFile(new URL("small_agent.py", import.meta.url)));
  const agent = await Stdio.start(sandbox, process.env.AGENT ?? "exec python3 small_agent.py");
  const waiting = new Map<number, (text: string) => void>();
  agent.onLine = (line) => {
    const { id, event, text } = JSON.parse(line) as Message;
    if (event === "done") waiting.get(id)?.(text);
    else console.log(`  ${text}`);
  };
  for (const [id, prompt] of process.argv.slice(2).entries()) {
    const done = new Promise<string>((resolve) => waiting.set(id, resolve));
    agent.write(JSON.stringify({ id, prompt }));
    const ended = agent.exited.then((code) =>
      Promise.reject(new Error(`the agent ended with exit code ${code}`)),
    );
    console.log(`${prompt}: ${await Promise.race([done, ended])}`);
  }
  await agent.stop();
} finally {
  await sandbox.destroy();
}
process.exit(0);
