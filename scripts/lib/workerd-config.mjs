// node workerd-config.mjs PORT DIRECTORY VARIABLES [--config FILE] [--var NAME:VALUE]…: prints the configuration with
// which `workerd` alone serves the Worker of wrangler.jsonc, without wrangler's proxies, inspector and log, which take
// most of the time of a request under `wrangler dev`. The output must be a file in DIRECTORY, which also has the state;
// containers.json there is the output of containers.mjs, if sandboxes are containers. The Worker's variables are those
// of wrangler.jsonc, then those of the env file VARIABLES, then --var. Exits with 3 and prints the reason if only
// wrangler can serve it.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { onlyWrangler, readConfig } from "./wrangler-config.mjs";

const [port, directory, variables, ...options] = process.argv.slice(2);

const { config, overrides, at } = readConfig(options);
const containersFile = join(directory, "containers.json");
const containers = existsSync(containersFile) ? JSON.parse(readFileSync(containersFile, "utf8")) : { images: {} };

const fromFile = readFileSync(variables, "utf8")
  .split("\n")
  .filter((line) => line.includes("="))
  .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]);
const vars = { ...config.vars, ...Object.fromEntries(fromFile), ...overrides };

// A string of Cap'n Proto, with C's escapes.
const quoted = (value) =>
  `"${[...Buffer.from(String(value))]
    .map((byte) => (byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, "0")}`))
    .join("")}"`;
// The bytes of a file. Cap'n Proto resolves an absolute path in its own library.
const embed = (path) => `embed ${quoted(relative(directory, path))}`;
const list = (items) => `[${items.join(", ")}]`;
const struct = (fields) => `(${Object.entries(fields).map(([name, value]) => `${name} = ${value}`).join(", ")})`;

const types = {
  css: "text/css; charset=utf-8", html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8",
  json: "application/json", txt: "text/plain; charset=utf-8",
};
const root = at(config.assets.directory);
const assets = readdirSync(root, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name))
  .map((path) => ({
    path,
    name: path.slice(root.length),
    type: types[path.split(".").pop()] ?? "application/octet-stream",
    etag: `"${createHash("sha256").update(readFileSync(path)).digest("hex").slice(0, 32)}"`,
  }));
// The platform's serving of static assets, as far as the Worker uses it.
const assetsWorker = `
${assets.map((_, i) => `import file${i} from "./file${i}";`).join("\n")}
const files = { ${assets.map(({ name, type, etag }, i) => `${JSON.stringify(name)}: { type: ${JSON.stringify(type)}, etag: ${JSON.stringify(etag)}, body: file${i} }`).join(", ")} };
export default { fetch(request) {
  const file = files[new URL(request.url).pathname];
  if (file === undefined) return new Response(null, { status: 404 });
  const headers = { "content-type": file.type, etag: file.etag };
  if (request.headers.get("if-none-match") === file.etag) return new Response(null, { status: 304, headers });
  return new Response(file.body, { headers });
} };`;

const main = at(config.main);
const wasm = join(dirname(main), "index_bg.wasm");
if (!existsSync(wasm)) onlyWrangler(`there is no ${wasm}`);
const objects = config.durable_objects.bindings;
mkdirSync(join(directory, "objects"), { recursive: true });

const date = quoted(config.compatibility_date);
const bindings = [
  ...Object.entries(vars).map(([name, value]) => `(name = ${quoted(name)}, text = ${quoted(value)})`),
  ...objects.map(({ name, class_name }) => `(name = ${quoted(name)}, durableObjectNamespace = ${quoted(class_name)})`),
  `(name = ${quoted(config.assets.binding)}, service = "assets")`,
];
const containerOptions = ({ one, named = [] }) =>
  one === undefined
    ? struct({ images: list(named.map(({ name, image }) => struct({ name: quoted(name), image: quoted(image) }))) })
    : struct({ imageName: quoted(one) });
const namespaces = objects.map(({ class_name }) => {
  const images = containers.images[class_name];
  return struct({
    className: quoted(class_name),
    uniqueKey: quoted(class_name),
    enableSql: true,
    ...(images === undefined ? {} : { container: containerOptions(images) }),
  });
});
const engine = Object.entries(containers.engine ?? {}).map(([name, value]) => [name, quoted(value)]);
console.log(`using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "bridge", worker = .bridge),
    (name = "assets", worker = .assets),
    (name = "objects", disk = (path = ${quoted(resolve(directory, "objects"))}, writable = true)),
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = ${quoted(`localhost:${port}`)}, http = (), service = "bridge")],
);
const bridge :Workerd.Worker = (
  modules = [
    (name = "index.js", esModule = ${embed(main)}),
    (name = "./index_bg.wasm", wasm = ${embed(wasm)}),
  ],
  compatibilityDate = ${date},
  compatibilityFlags = ${list(config.compatibility_flags.map(quoted))},
  bindings = ${list(bindings)},
  durableObjectNamespaces = ${list(namespaces)},
  durableObjectStorage = (localDisk = "objects"),
  ${engine.length > 0 ? `containerEngine = (localDocker = ${struct(Object.fromEntries(engine))}),` : ""}
);
const assets :Workerd.Worker = (
  modules = [
    (name = "assets.js", esModule = ${quoted(assetsWorker)}),
    ${assets.map(({ path }, i) => `(name = "./file${i}", data = ${embed(path)}),`).join("\n    ")}
  ],
  compatibilityDate = ${date},
);`);
