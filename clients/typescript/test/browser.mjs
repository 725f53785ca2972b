// Runs the suite in Chromium, on a page of an origin that the bridge allows, with a token. Environment:
// SANDBOX_URL, SANDBOX_API_KEY, and PAGE_PORT, on which the page is served.
import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { getSandbox } from "sandbar";
import { bundle } from "./bundle.mjs";

const { chromium } = createRequire(new URL("../../../tests/package.json", import.meta.url))(
  "playwright-core",
);
const [url, key] = [process.env.SANDBOX_URL, process.env.SANDBOX_API_KEY];
const sandbox = getSandbox({ url, key }, `browser-${Math.random()}`);
const id = await sandbox.sandboxId();
const answer = await fetch(`${url}/v1/token`, {
  method: "POST",
  headers: { Authorization: `Bearer ${key}` },
  body: JSON.stringify({
    sandbox: id,
    scopes: ["exec", "files:read", "files:write", "ports", "manage"],
    expiresIn: "10m",
  }),
});
const { token } = await answer.json();

const script = await bundle(undefined, {
  entryPoints: undefined,
  stdin: {
    contents: `import * as sandbar from "sandbar";
      import { runAll } from "./suite.mjs";
      const [url, key, id] = ${JSON.stringify([url, token, id])};
      const sandbox = sandbar.getSandbox({ url, key }, { id });
      window.result = runAll({ ...sandbar, sandbox, key }, (line) => console.log(line));`,
    resolveDir: new URL(".", import.meta.url).pathname,
  },
});
const server = createServer((request, response) => {
  response.setHeader("Content-Type", request.url === "/" ? "text/html" : "text/javascript");
  response.end(
    request.url === "/" ? '<!doctype html><script type="module" src="/script.js"></script>' : script,
  );
});
await new Promise((resolve) => server.listen(Number(process.env.PAGE_PORT), "127.0.0.1", resolve));

const browser = await chromium.launch({
  executablePath: execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim(),
  // Chromium's own sandbox does not run as root.
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});
try {
  const page = await browser.newPage();
  page.on("console", (message) => console.log(message.text()));
  page.on("pageerror", (error) => console.log(String(error)));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => window.result !== undefined);
  const { passed, failed } = await page.evaluate(() => window.result);
  process.exitCode = failed.length > 0 || passed.length === 0 ? 1 : 0;
} finally {
  await browser.close();
  server.close();
  await sandbox.destroy();
}
