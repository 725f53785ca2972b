// Runs the end-to-end tests of Cloudflare's Sandbox SDK on a bridge. Their Worker gets this client in the place of the
// SDK, and workerd serves it. Fails for a case that fails and is not in docs/migrating.md. The arguments are the
// beginnings of the names of files to run; default: all that are about what the client has.
// Environment: SANDBOX_SDK, a copy of github.com/cloudflare/sandbox-sdk; SANDBOX_URL, SANDBOX_API_KEY; optionally
// SDK_ENV, variables of the sandboxes as JSON. Sandboxes need Bun and GitHub.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "./bundle.mjs";
import { serve } from "./serve.mjs";

const { SANDBOX_SDK, SANDBOX_URL: url, SANDBOX_API_KEY: key, SDK_ENV = "{}" } = process.env;
const root = fileURLToPath(new URL("../../..", import.meta.url));

/** The tests of what is not in the client: the transport and images of the SDK, and services that need an account. */
const LEFT_OUT = /^(bucket|musl|opencode|rpc-|standalone|tunnel)/;

/** What the test Worker imports from the SDK. */
const REPLACEMENTS = {
  "@cloudflare/sandbox": `export * from "sandbar";
    import { getSandbox as get } from "sandbar";
    // The names end in the transport of a request, which some cases leave out.
    export const getSandbox = (connection, id, options) =>
      get(connection, id.replace(/-(http|rpc)$/, ""), { ...options, env: ${SDK_ENV} });
    export class ContainerProxy {}
    export const isPlatformTransientError = () => false;
    // The bridge itself serves the addresses of ports.
    export const proxyToSandbox = () => null;`,
  "@cloudflare/sandbox/opencode": "export const createOpencodeServer = 0, proxyToOpencodeServer = 0;",
};

const replace = {
  name: "replace",
  setup(build) {
    build.onResolve({ filter: /^@cloudflare\/sandbox/ }, ({ path }) => ({ path, namespace: "replaced" }));
    build.onLoad({ filter: /.*/, namespace: "replaced" }, ({ path }) => ({
      contents: REPLACEMENTS[path],
      resolveDir: fileURLToPath(new URL(".", import.meta.url)),
    }));
  },
};

const work = mkdtempSync(join(tmpdir(), "sandbar-sdk-"));
// Without the settings of the compiler, which extend others.
const filter = (path) => !path.endsWith("tsconfig.json");
for (const part of ["tests/e2e", "packages/sandbox/src", "packages/shared/src"])
  cpSync(join(SANDBOX_SDK, part), join(work, part), { recursive: true, filter });
symlinkSync(join(root, ".tools/sdk/node_modules"), join(work, "node_modules"));

const wanted = process.argv.slice(2);
const isWanted = (name) =>
  wanted.length > 0 ? wanted.some((begin) => name.startsWith(begin)) : !LEFT_OUT.test(name);
const files = readdirSync(join(work, "tests/e2e")).filter(
  (name) => name.endsWith(".test.ts") && isWanted(name),
);
const config = {
  resolve: { alias: { "@repo/shared": join(work, "packages/shared/src/index.ts") } },
  test: {
    include: files.map((name) => `tests/e2e/${name}`),
    globals: true,
    setupFiles: ["localhost.mjs"],
    globalSetup: ["tests/e2e/global-setup.ts"],
    hookTimeout: 120_000,
    testTimeout: 120_000,
    maxWorkers: 3,
  },
};
// Not every system resolves names below localhost, which the addresses of ports have.
const localhost = `import dns from "node:dns";
const { lookup } = dns;
dns.lookup = (name, ...rest) => lookup(name.endsWith(".localhost") ? "localhost" : name, ...rest);`;
writeFileSync(join(work, "localhost.mjs"), localhost);
writeFileSync(join(work, "vitest.config.mjs"), `export default ${JSON.stringify(config)};`);

const source = await bundle(join(work, "tests/e2e/test-worker/index.ts"), { plugins: [replace] });
const worker = await serve(source, { Sandbox: { url, key }, SandboxPython: { url, key } });
const counts = { passed: 0, documented: 0, FAILED: 0, skipped: 0 };
try {
  const program = join(root, ".tools/sdk/node_modules/vitest/vitest.mjs");
  // `rpc` also runs the cases for streams of files. The client has one transport.
  const env = { ...process.env, TEST_WORKER_URL: worker.url, TEST_TRANSPORT: "rpc", TMPDIR: work };
  const options = ["run", "--silent", "--reporter=json", "--outputFile=result.json"];
  spawnSync(process.execPath, [program, ...options], { cwd: work, env, stdio: "inherit" });
  const documented = readFileSync(join(root, "docs/migrating.md"), "utf8");
  const { testResults } = JSON.parse(readFileSync(join(work, "result.json"), "utf8"));
  for (const { name, assertionResults, message } of testResults) {
    const file = name.slice(join(work, "tests/e2e/").length);
    // A file that cannot be run has none.
    if (assertionResults.length === 0)
      assertionResults.push({ status: "failed", title: "", failureMessages: [message] });
    for (const { status, title, failureMessages } of assertionResults) {
      const failed = documented.includes(`\`${title}\``) ? "documented" : "FAILED";
      const result = status === "failed" ? failed : status;
      counts[result]++;
      console.log(`${result}: ${file}: ${title}`);
      for (const text of failureMessages) console.log(`    ${text.split("\n    at ")[0]}`);
    }
  }
  console.log(counts);
} finally {
  worker.end();
  rmSync(work, { recursive: true, force: true });
}
process.exit(counts.FAILED > 0 || counts.passed === 0 ? 1 : 0);
