// node containers.mjs SESSION [--config FILE] [--var NAME:VALUE]…: prepares the Docker images of sandboxes: those of
// wrangler.jsonc, and the network sidecar that workerd starts beside each container. Prints the input of
// workerd-config.mjs, as JSON. A restarted workerd finds the containers of its SESSION again.
// Exits with 3 and prints the reason if only wrangler can do it.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { onlyWrangler, readConfig } from "./wrangler-config.mjs";

const [session, ...options] = process.argv.slice(2);
const { file, config, at } = readConfig(options);
const environment = process.env;

const client = environment.WRANGLER_DOCKER_BIN ?? "docker";
const docker = (...args) =>
  execFileSync(client, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
// The output of long commands, and their errors, go to standard error.
const dockerAloud = (...args) => {
  const { status } = spawnSync(client, args, { stdio: ["ignore", 2, 2] });
  if (status !== 0) process.exit(1);
};
const find = (...args) => {
  try {
    return docker(...args);
  } catch {
    return undefined;
  }
};

const socketPath =
  environment.WRANGLER_DOCKER_HOST ?? environment.DOCKER_HOST ?? docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}");
if (!socketPath.startsWith("unix://")) onlyWrangler(`the Docker engine is at ${socketPath}`);

// The sidecar of this version of wrangler.
const wrangler = createRequire(import.meta.url).resolve("wrangler");
const sidecar =
  environment.MINIFLARE_CONTAINER_EGRESS_IMAGE ?? readFileSync(wrangler, "utf8").match(/"(cloudflare\/proxy-everything:[^"]+)"/)?.[1];
if (sidecar === undefined) onlyWrangler("the image of the network sidecar is not known");
if (!find("image", "inspect", sidecar)) dockerAloud("pull", "--platform", "linux/amd64", sidecar);

const images = {};
for (const { class_name, image, image_build_context, image_vars = {} } of config.containers ?? []) {
  const dockerfile = at(image);
  if (!statSync(dockerfile, { throwIfNoEntry: false })?.isFile()) onlyWrangler(`${file} names the image ${image}`);
  const name = `sandbar-dev:${createHash("sha256").update(`${dockerfile} ${class_name}`).digest("hex").slice(0, 16)}`;
  const before = find("image", "inspect", "--format", "{{.Id}}", name);
  const vars = Object.entries(image_vars).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]);
  const context = image_build_context === undefined ? dirname(dockerfile) : at(image_build_context);
  // As wrangler does: the platform is Cloudflare's.
  dockerAloud("build", "--load", "--provenance=false", "--platform", "linux/amd64", ...vars, "--tag", name, "--file", dockerfile, context);
  // No other name refers to the previous image. It stays while a container uses it.
  if (before !== undefined && before !== docker("image", "inspect", "--format", "{{.Id}}", name)) find("image", "rm", before);
  images[class_name] = name;
}
console.log(JSON.stringify({ images, engine: { socketPath, containerEgressInterceptorImage: sidecar, sessionId: session } }));
