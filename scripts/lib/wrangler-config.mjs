// The part of wrangler.jsonc, and of wrangler's options, that a session of the bridge on this machine uses.
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";

// The keys that workerd alone supports.
const supported = [
  "$schema", "name", "main", "build", "compatibility_date", "compatibility_flags", "durable_objects", "assets",
  "migrations", "triggers", "containers", "vars", "observability",
];

// Exits with 3: the caller then runs `wrangler dev`.
export const onlyWrangler = (why) => {
  console.error(`served by \`wrangler dev\`, which is slower: ${why}`);
  process.exit(3);
};

// The configuration of [--config FILE] [--var NAME:VALUE]…, the variables of the options, which override its own, and
// `at`, which makes its paths absolute.
export const readConfig = (options) => {
  let file = "wrangler.jsonc";
  const overrides = {};
  for (let i = 0; i < options.length; i += 2) {
    const [option, value = ""] = options.slice(i);
    const colon = value.indexOf(":");
    if (option === "--config") file = value;
    else if (option === "--var" && colon > 0) overrides[value.slice(0, colon)] = value.slice(colon + 1);
    else onlyWrangler(`${option} is an option of wrangler`);
  }
  // Comments are on lines of their own.
  const config = JSON.parse(readFileSync(file, "utf8").replace(/^\s*\/\/.*$/gm, ""));
  const rest = Object.keys(config).filter((key) => !supported.includes(key));
  if (rest.length > 0) onlyWrangler(`${file} has ${rest.join(", ")}`);
  return { file, config, overrides, at: (path) => resolve(dirname(file), path) };
};
