// Runs the suite in this runtime, Node or Bun. Environment: SANDBOX_URL, SANDBOX_API_KEY.
import * as sandbar from "sandbar";
import { runAll } from "./suite.mjs";

const [url, key] = [process.env.SANDBOX_URL, process.env.SANDBOX_API_KEY];
const sandbox = sandbar.getSandbox({ url, key }, `suite-${Math.random()}`);
const { failed } = await runAll({ ...sandbar, sandbox, key }, console.log);
await sandbox.destroy();
process.exit(failed.length > 0 ? 1 : 0);
