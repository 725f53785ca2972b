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

// Builds the image of a Dockerfile. Returns its name.
const build = (purpose, dockerfile, contextPath, vars = {}) => {
  const path = at(dockerfile);
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) onlyWrangler(`${file} names the image ${dockerfile}`);
  const name = `sandbar-dev:${createHash("sha256").update(`${path} ${purpose}`).digest("hex").slice(0, 16)}`;
  const before = find("image", "inspect", "--format", "{{.Id}}", name);
  const args = Object.entries(vars).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]);
  const context = contextPath === undefined ? dirname(path) : at(contextPath);
  // As wrangler does: the platform is Cloudflare's.
  dockerAloud("build", "--load", "--provenance=false", "--platform", "linux/amd64", ...args, "--tag", name, "--file", path, context);
  // No other name refers to the previous image. It stays while a container uses it.
  if (before !== undefined && before !== docker("image", "inspect", "--format", "{{.Id}}", name)) find("image", "rm", before);
  return name;
};

// By class: the one image of the scheduling policy `default`, or the named ones of `durable_object`.
const images = {};
for (const { class_name, scheduling_policy, ...container } of config.containers ?? []) {
  if (scheduling_policy === "durable_object") {
    const named = Object.entries(container.images ?? {}).map(([name, { dockerfile, build_context, build_vars }]) => {
      if (dockerfile === undefined) onlyWrangler(`${file} names no Dockerfile for the image ${name}`);
      return { name, image: build(`${class_name} ${name}`, dockerfile, build_context, build_vars) };
    });
    images[class_name] = { named };
  } else {
    images[class_name] = { one: build(class_name, container.image, container.image_build_context, container.image_vars) };
  }
}
console.log(JSON.stringify({ images, engine: { socketPath, containerEgressInterceptorImage: sidecar, sessionId: session } }));
