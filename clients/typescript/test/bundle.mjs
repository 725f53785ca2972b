// Bundles files of the tests with the client, for runtimes that load one file.
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const directory = fileURLToPath(new URL(".", import.meta.url));

/** The text of a module, minified as an application would have it. */
export async function bundle(entry, options = {}) {
  const common = { bundle: true, format: "esm", minify: true, write: false, absWorkingDir: directory };
  const { outputFiles } = await build({ ...common, entryPoints: [entry], ...options });
  return outputFiles[0].text;
}
