import { type CommandResult, defineProvider, type RunCommandOptions } from "@computesdk/provider";
import * as sandbar from "../src/index.js";

/** Where the bridge is, and what all sandboxes begin with. */
export interface SandbarConfig extends sandbar.Connection {
  /** Settings of all new sandboxes: those of `create` take precedence. */
  options?: sandbar.SandboxOptions;
}

/** The sandboxes of this provider have this label, and `list` returns those that do. */
const LABEL = "provider";
const VALUE = "computesdk";
const NAME = "sandbar";

const UNITS_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

const open = (config: SandbarConfig, id: string) =>
  sandbar.getSandbox(config, { id }, { enableDefaultSession: false });

const isMissing = (error: unknown, ...codes: string[]) =>
  codes.includes((error as sandbar.SandboxError).code);

async function runCommand(
  sandbox: sandbar.Sandbox,
  command: string,
  { background, ...options }: RunCommandOptions = {},
): Promise<CommandResult> {
  const begin = Date.now();
  const end = (stdout: string, stderr: string, exitCode: number) => ({
    ...{ stdout, stderr, exitCode, durationMs: Date.now() - begin },
  });
  if (background) {
    const { cwd, env, timeout } = options;
    await sandbox.startProcess(command, { cwd, env, timeout });
    return end("", "", 0);
  }
  try {
    const { stdout, stderr, exitCode } = await sandbox.exec(command, options);
    return end(stdout, stderr, exitCode);
  } catch (error) {
    const { code, details } = error as sandbar.SandboxError;
    if (code !== "command_timeout") throw error;
    const { stdout, stderr, exitCode } = details as unknown as CommandResult;
    return end(stdout, stderr, exitCode);
  }
}

/** The provider of ComputeSDK for Sandbar. */
export const sandbarProvider = defineProvider<
  sandbar.Sandbox,
  SandbarConfig,
  never,
  sandbar.Schemas["Snapshot"]
>({
  name: NAME,
  methods: {
    sandbox: {
      async create(config, { timeout, envs, name, metadata, snapshotId, image } = {}) {
        const labels = Object.entries(metadata ?? {}).map(([key, value]) => [key, String(value)]);
        const sandbox = await sandbar.createSandbox(config, {
          ...config.options,
          ...(name && { name }),
          ...(timeout && { sleepAfter: Math.ceil(timeout / 1000) }),
          ...(snapshotId && { snapshot: snapshotId }),
          ...(image && { image }),
          env: { ...config.options?.env, ...envs },
          labels: { ...config.options?.labels, ...Object.fromEntries(labels), [LABEL]: VALUE },
          enableDefaultSession: false,
        });
        return { sandbox, sandboxId: await sandbox.sandboxId() };
      },

      async getById(config, sandboxId) {
        const sandbox = open(config, sandboxId);
        try {
          await sandbox.info();
        } catch (error) {
          if (isMissing(error, "sandbox_not_found")) return null;
          throw error;
        }
        return { sandbox, sandboxId };
      },

      async list(config) {
        const found = await sandbar.listSandboxes(config, { label: `${LABEL}:${VALUE}` });
        return found.map(({ id }) => ({ sandbox: open(config, id), sandboxId: id }));
      },

      destroy: (config, sandboxId) => open(config, sandboxId).destroy(),

      runCommand,
      // The output of every command is streamed.
      streamCommand: runCommand,

      async getInfo(sandbox) {
        const { id, state, createdAt, labels, settings } = await sandbox.info();
        // Absent: `never`.
        const [, number, unit] = /^(\d+)(\w+)$/.exec(settings.sleepAfter ?? "") ?? [];
        const timeout = number ? Number(number) * UNITS_MS[unit!]! : Infinity;
        const status = state === "running" ? "running" : "stopped";
        const times = { createdAt: new Date(createdAt), timeout };
        return { id, provider: NAME, status, ...times, metadata: labels };
      },

      /** An address for browsers; a tunnel where the deployment has no host for these. */
      async getUrl(sandbox, { port, protocol }) {
        let url: string;
        try {
          // The bridge exposes no ports of a sandbox that it does not know yet.
          await sandbox.start();
          ({ url } = await sandbox.exposePort(port));
        } catch (error) {
          if (!isMissing(error, "not_supported")) throw error;
          ({ url } = await sandbox.tunnels.get(port));
        }
        url = url.replace(/\/$/, "");
        if (!protocol) return url;
        return url.replace(/^https?/, url.startsWith("https") ? protocol : protocol.replace(/s$/, ""));
      },

      filesystem: {
        readFile: async (sandbox, path) => (await sandbox.readFile(path, { encoding: "utf-8" })).content,
        writeFile: async (sandbox, path, content) => void (await sandbox.writeFile(path, content)),
        mkdir: async (sandbox, path) => void (await sandbox.mkdir(path, { recursive: true })),
        exists: async (sandbox, path) => (await sandbox.exists(path)).exists,
        remove: async (sandbox, path) => void (await sandbox.deleteFile(path, { recursive: true })),
        async readdir(sandbox, path) {
          const { files } = await sandbox.listFiles(path, { includeHidden: true });
          return files.map(({ name, type, size, modifiedAt }) => ({
            ...{ name, size, modified: new Date(modifiedAt) },
            type: type === "directory" ? ("directory" as const) : ("file" as const),
          }));
        },
      },
    },

    snapshot: {
      async create(config, sandboxId, options) {
        return open(config, sandboxId).createBackup({ dir: "/workspace", name: options?.name });
      },
      async list(config, { sandboxId, limit } = {}) {
        const all = await sandbar.listSnapshots(config);
        return all.filter(({ sandbox }) => !sandboxId || sandbox === sandboxId).slice(0, limit);
      },
      delete: (config, snapshotId) => sandbar.deleteSnapshot(config, snapshotId),
    },
  },
});
