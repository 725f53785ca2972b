// node explorer.mjs URL <<<KEY: does in a browser what a person does on the explorer's page. Prints a line for
// each step; fails at the first that is not as it should be.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [url] = process.argv.slice(2);
const key = readFileSync(0, "utf8").trim();

const browser = await chromium.launch({
  executablePath: execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim(),
  // Chromium's own sandbox does not run as root.
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});
try {
  await calls(await open(`/v1/openapi.html?token=${key}`));
  await authorizes(await open(`/v1/openapi?token=${key}`));
} finally {
  await browser.close();
}

// Opens a page of the bridge that must not complain, and must not talk to anybody else.
async function open(path) {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  page.problems = [];
  page.on("console", (message) => {
    // The browser itself says this of every answer that is an error; some here are meant to be.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
      page.problems.push(message.text());
    }
  });
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("request", (request) => {
    const target = new URL(request.url());
    if (target.origin !== new URL(url).origin && target.protocol !== "data:" && target.protocol !== "blob:") {
      page.problems.push(`it loads ${target}`);
    }
    const { referer } = request.headers();
    if (referer?.includes(key)) page.problems.push(`${target} is told the key`);
  });
  await page.goto(url + path);
  assert(!page.url().includes("token"), `the key is still in the address: ${page.url()}`);
  return page;
}

// The block of an operation, open.
async function operation(page, id) {
  const block = page.locator(`.opblock[id$="-${id}"]`);
  if (!(await block.getAttribute("class")).includes("is-open")) await block.locator(".opblock-summary").click();
  return block;
}

// Fills in an operation's parameters and body and executes it; gives the status and the body that the page shows.
async function execute(page, id, parameters = {}, body = undefined) {
  const block = await operation(page, id);
  for (const [name, value] of Object.entries(parameters)) {
    await block.locator(`tr[data-param-name="${name}"] input`).fill(value);
  }
  if (body !== undefined) await block.locator("textarea.body-param__text").fill(body);
  // The answer of an earlier call goes first.
  const clear = block.locator("button.btn-clear");
  if ((await clear.count()) > 0) await clear.click();
  await block.locator("button.execute").click();
  const response = block.locator(".live-responses-table .response");
  const status = Number(await response.locator(".response-col_status").innerText());
  const shown = response.locator(".response-col_description .highlight-code code").first();
  const text = (await shown.count()) > 0 ? await shown.innerText() : "";
  return { status, text, block };
}

async function calls(page) {
  const created = await execute(page, "createSandbox");
  assert.equal(created.status, 200, created.text);
  const { id } = JSON.parse(created.text);
  console.log(`created ${id}`);

  const argv = ["sh", "-c", "printf 'grüße '; printf ' oops' >&2; cat; exit 3"];
  const command = await execute(page, "execCommand", { id }, JSON.stringify({ argv, stdin: "from the page\n" }));
  assert.equal(command.status, 200, command.text);
  for (const part of ["── stdout ──", "grüße", "from the page", "── stderr ──", "oops", '{"exit_code":3}']) {
    assert(command.text.includes(part), `${part} is not in ${command.text}`);
  }
  console.log("ran a command");

  const path = "workspace/made by a page/ä.txt";
  const file = await operation(page, "writeFile");
  await file.locator('input[type="file"]').setInputFiles({
    name: "x",
    mimeType: "application/octet-stream",
    buffer: Buffer.from("bytes"),
  });
  const written = await execute(page, "writeFile", { id, path });
  assert.equal(written.status, 200, written.text);
  const look = JSON.stringify({ argv: ["cat", `/${path}`] });
  const found = await execute(page, "execCommand", { id }, look);
  assert(found.text.includes("bytes"), found.text);
  console.log("wrote a file");

  const refused = await execute(page, "execCommand", { id }, "{}");
  assert.equal(refused.status, 400, refused.text);
  assert(refused.text.includes("argv must be a non-empty array"), refused.text);
  console.log("was refused");

  const block = await operation(page, "execCommand");
  const forever = JSON.stringify({ argv: ["sh", "-c", "echo forever; exec sleep 1000"] });
  await block.locator("textarea.body-param__text").fill(forever);
  await block.locator("button.execute").click();
  await page.locator("#output", { hasText: "forever" }).waitFor();
  await page.locator("#stop").click();
  await page.locator("#command").waitFor({ state: "hidden" });
  console.log("left a command");

  const pixel =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  const code = `import base64\nfrom IPython.display import Image\nImage(base64.b64decode("${pixel}"))`;
  const ran = await execute(page, "runCode", { id }, JSON.stringify({ code }));
  assert.equal(ran.status, 200, ran.text);
  const picture = page.locator("#pictures img");
  await picture.waitFor();
  assert.equal(await picture.evaluate((image) => image.decode().then(() => image.naturalWidth)), 1);
  console.log("saw a picture");

  const destroyed = await execute(page, "deleteSandbox", { id });
  assert.equal(destroyed.status, 204, destroyed.text);
  console.log("destroyed it");
  assert.deepEqual(page.problems, []);
}

// Forgets the key and gives it again by hand.
async function authorizes(page) {
  const dialog = page.locator(".modal-ux");
  const bearer = dialog.locator(".auth-container", { hasText: "BearerAuth" });
  await page.locator(".auth-wrapper .authorize").click();
  await bearer.getByRole("button", { name: "Remove authorization" }).click();
  await bearer.locator(".btn-done").click();
  assert.equal((await execute(page, "createSandbox")).status, 401);

  await page.locator(".auth-wrapper .authorize").click();
  await bearer.locator("input").fill(key);
  await bearer.getByRole("button", { name: "Apply credentials" }).click();
  await bearer.locator(".btn-done").click();
  const block = await operation(page, "createSandbox");
  await block.locator("button.execute").click();
  await block.locator(".live-responses-table .response-col_status", { hasText: "200" }).waitFor();
  console.log("authorized by hand");
  assert.deepEqual(page.problems, []);
}
