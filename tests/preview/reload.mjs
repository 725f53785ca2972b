// node reload.mjs vite|next <<<JSON: opens the page of an application in tests/frameworks and edits its files. The JSON
// has the URL of the page (`page`), that of the directory of its files in the API (`files`), and the API's `key`. Prints
// a line for each step; fails at the first that is not as it should be.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [framework] = process.argv.slice(2);
const { page: address, files, key } = JSON.parse(readFileSync(0, "utf8"));

const headers = { Authorization: `Bearer ${key}` };
// Replaces a text in a file, again until the page shows it: Vite misses an edit in the first moments after its start.
async function edit(path, from, to, shown) {
  const text = await (await fetch(`${files}/${path}`, { headers })).text();
  assert.ok(text.includes(from), text);
  const body = text.replace(from, to);
  const deadline = Date.now() + 60_000;
  for (let isShown = false; !isShown; ) {
    assert.ok(Date.now() < deadline, `the page never showed the edit of ${path}`);
    const put = await fetch(`${files}/${path}`, { method: "PUT", headers, body });
    assert.equal(put.status, 200);
    isShown = await shown({ timeout: 5000 }).then(() => true, () => false);
  }
}

const browser = await chromium.launch({
  executablePath: execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim(),
  // Chromium's own sandbox does not run as root.
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});

async function vite(page) {
  await shows(page, "#text", "Text one")();
  await edit("src/text.js", "one", "two", shows(page, "#text", "Text two"));
  console.log("replaced a module");

  const isStyled = () => getComputedStyle(document.body).color === "rgb(4, 5, 6)";
  const styled = (options) => page.waitForFunction(isStyled, null, options);
  await edit("src/style.css", "rgb(1, 2, 3)", "rgb(4, 5, 6)", styled);
  assert.equal(await page.evaluate(() => window.kept), true);
  console.log("replaced a style");

  const isTitled = () => document.title === "Edited";
  const titled = (options) => page.waitForFunction(isTitled, null, options);
  await edit("index.html", "Vite</title>", "Edited</title>", titled);
  assert.equal(await page.evaluate(() => window.kept), undefined);
  console.log("reloaded for a change of the page itself");
}

async function next(page) {
  await shows(page, "h1", "Page one")();
  await page.click("button");
  await shows(page, "button", "clicked 1")();
  console.log("ran the scripts of the page");

  await edit("app/page.js", "one", "two", shows(page, "h1", "Page two"));
  // The state of the component is still there.
  await edit("app/counter.js", "clicked", "counted", shows(page, "button", "counted 1"));
  assert.equal(await page.evaluate(() => window.kept), true);
  console.log("replaced a component");
}

// A wait until an element has this text.
const shows = (page, selector, text) => (options) =>
  page.waitForFunction(
    ([selector, text]) => document.querySelector(selector)?.textContent === text,
    [selector, text],
    options,
  );

try {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  // An edit before the WebSocket is open would not be told. Vite and Next.js both say when it is.
  const connected = page.waitForEvent("console", (message) => /^\[(vite|HMR)\] connected/.test(message.text()));
  await page.goto(address);
  await connected;
  // A reload removes it.
  await page.evaluate(() => (window.kept = true));
  await { vite, next }[framework](page);
} finally {
  await browser.close();
}
