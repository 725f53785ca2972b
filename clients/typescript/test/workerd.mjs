// Runs the suite in workerd. Environment: SANDBOX_URL, SANDBOX_API_KEY.
import { bundle } from "./bundle.mjs";
import { serve } from "./serve.mjs";

const [url, key] = [process.env.SANDBOX_URL, process.env.SANDBOX_API_KEY];
const worker = await serve(await bundle("worker.mjs"), { url, key });
try {
  const { passed, failed } = await (await fetch(worker.url)).json();
  for (const name of passed) console.log(`passed: ${name}`);
  for (const text of failed) console.log(`FAILED: ${text}`);
  process.exitCode = failed.length > 0 || passed.length === 0 ? 1 : 0;
} finally {
  worker.end();
}
