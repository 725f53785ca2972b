// node agent.ts TASK: a model writes a program, the sandbox runs it, and the model repairs it by its errors.
import { CommandError, createSandbox } from "sandbar";

type Message = { role: "system" | "user" | "assistant"; content: string };
type Run = { succeeded: boolean; output: string };

const { SANDBOX_URL = "", SANDBOX_API_KEY, MODEL_URL, MODEL_API_KEY, MODEL = "gpt-5" } = process.env;
const MAX_RUNS = 5;
const INSTRUCTIONS =
  "Write a Python program that prints the answer. Reply with one block of code, and nothing else.";

/** The model's reply, from any server that speaks OpenAI's chat format. */
async function model(messages: Message[]): Promise<string> {
  const headers = new Headers({ "Content-Type": "application/json" });
  if (MODEL_API_KEY) headers.set("Authorization", `Bearer ${MODEL_API_KEY}`);
  const body = JSON.stringify({ model: MODEL, messages });
  const response = await fetch(`${MODEL_URL}/chat/completions`, { method: "POST", headers, body });
  if (!response.ok) throw new Error(`the model answered ${response.status}: ${await response.text()}`);
  const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
  return choices[0]?.message.content ?? "";
}

const codeIn = (reply: string): string => /```\w*\n(.*?)```/s.exec(reply)?.[1] ?? reply;

/** A long output without its middle: errors stand at the end. */
const shorten = (text: string): string =>
  text.length <= 4000 ? text : `${text.slice(0, 1000)}\n[…]\n${text.slice(-3000)}`;

/** Has the task solved in a sandbox of its own. Resolves to the output of the first program that succeeds. */
async function solve(task: string): Promise<string> {
  const sandbox = await createSandbox({ url: SANDBOX_URL, key: SANDBOX_API_KEY }, { sleepAfter: "10m" });

  async function run(code: string): Promise<Run> {
    await sandbox.writeFile("program.py", code);
    try {
      const { success, stdout, stderr, exitCode } = await sandbox.exec("python3 program.py", {
        timeout: 30_000,
      });
      if (success) return { succeeded: true, output: stdout };
      return { succeeded: false, output: `${stdout}${stderr}[exit code ${exitCode}]` };
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      return { succeeded: false, output: `${error.details.stdout ?? ""}[ended after 30 seconds]` };
    }
  }

  try {
    const messages: Message[] = [
      { role: "system", content: INSTRUCTIONS },
      { role: "user", content: task },
    ];
    for (let i = 1; i <= MAX_RUNS; i++) {
      const reply = await model(messages);
      const { succeeded, output } = await run(codeIn(reply));
      console.error(`run ${i}: ${succeeded ? "succeeded" : "failed"}`);
      if (succeeded) return output;
      const report = `The program failed. Repair it.\n\n${shorten(output)}`;
      messages.push({ role: "assistant", content: reply }, { role: "user", content: report });
    }
    throw new Error(`no program succeeded in ${MAX_RUNS} runs`);
  } finally {
    await sandbox.destroy();
  }
}

process.stdout.write(await solve(process.argv.slice(2).join(" ")));
