// node preview.mjs API <<<JSON: visits the address of an exposed port in a browser. The JSON has the URL of the page
// (`page`) and that of a preview whose sandbox sleeps (`asleep`). Prints a line for each step; fails at the first that
// is not as it should be.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [api] = process.argv.slice(2);
const { page: address, asleep } = JSON.parse(readFileSync(0, "utf8"));

const browser = await chromium.launch({
  executablePath: execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim(),
  // Chromium's own sandbox does not run as root.
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);

  const response = await page.goto(address);
  assert.equal(response.status(), 200);
  // A style sheet and a script, both by absolute paths.
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).color), "rgb(1, 2, 3)");
  await page.waitForFunction(() => document.title === "script ran");
  console.log("loaded what the page links to by absolute paths");

  await page.waitForFunction(() => document.body.dataset.echo === "frame of the page");
  console.log("exchanged frames over a WebSocket");

  await page.evaluate(() => (document.cookie = "own=1"));
  const seen = await page.evaluate(async () => (await fetch("/seen")).json());
  assert.ok(JSON.stringify(seen.headers).includes("own=1"));
  console.log("sent its cookies to the server");

  const answer = await page.evaluate(
    async (url) => (await fetch(url)).text().catch(() => "refused"),
    `${api}/v1/sandbox`,
  ).catch(() => "refused");
  assert.equal(answer, "refused");
  console.log("read nothing of the API");

  assert.equal((await page.goto(asleep)).status(), 503);
  assert.equal(await page.textContent("h1"), "The sandbox is not running");
  console.log("showed the page of a sandbox that sleeps");
} finally {
  await browser.close();
}
