// What a session of the bridge on this machine takes from wrangler.jsonc, and from the options that stand for wrangler's.
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";

// What workerd by itself is given of it.
const served = [
  "$schema", "name", "main", "compatibility_date", "compatibility_flags", "durable_objects", "assets", "migrations",
  "triggers", "containers", "vars", "observability",
];

// Exits with 3: the caller then has `wrangler dev` do it.
export const onlyWrangler = (why) => {
  console.error(`served by \`wrangler dev\`, which is slower: ${why}`);
  process.exit(3);
};

// The configuration that [--config FILE] [--var NAME:VALUE]… name, the variables of the options over its own, and `at`,
// which makes its paths absolute.
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
  const rest = Object.keys(config).filter((key) => !served.includes(key));
  if (rest.length > 0) onlyWrangler(`${file} has ${rest.join(", ")}`);
  return { file, config, overrides, at: (path) => resolve(dirname(file), path) };
};
