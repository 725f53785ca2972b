// Cases that run in every runtime: Node, Bun, workerd and Chromium. Each gets a sandbox and the client.
import { cases as commands } from "./suite-commands.mjs";
import { cases as files } from "./suite-files.mjs";

export const cases = { ...commands, ...files };

/** Runs all cases on a sandbox. Returns the names of those that passed, and the errors of the others. */
export async function runAll(context, log = () => {}) {
  const [passed, failed] = [[], []];
  for (const [name, run] of Object.entries(cases)) {
    const begin = Date.now();
    try {
      await run(context);
      passed.push(name);
      log(`passed: ${name} (${Date.now() - begin} ms)`);
    } catch (error) {
      failed.push(`${name}: ${error.stack ?? error}`);
      log(`FAILED: ${name}: ${error.stack ?? error}`);
    }
  }
  return { passed, failed };
}
