import { applyDiff } from "@openai/agents";
import type { ApplyPatchOperation, ApplyPatchResult, ShellAction, ShellResult } from "@openai/agents";
import type { Editor as EditorInterface, Shell as ShellInterface } from "@openai/agents";
import { hasCode, type SandboxError } from "./errors.js";
import type { Session } from "./sandbox.js";

type Operation<T> = Extract<ApplyPatchOperation, { type: T }>;

type Output = ShellResult["output"][number];
type ShellRun = Pick<Output, "stdout" | "stderr"> & {
  command: string;
  exitCode: number | null;
  timestamp: number;
};
type Act = (file: string) => Promise<unknown>;
type Edit = { operation: string; path: string; status: string; output: string; error?: string };

/** The shell of an agent's `shellTool`. */
export class Shell implements ShellInterface {
  /** What ran, the oldest first. */
  readonly results: ShellRun[] = [];

  constructor(
    private readonly sandbox: Session,
    private readonly cwd = "/workspace",
  ) {}

  /** Runs the commands one after the other. One that its timeout ends is the last. */
  async run(action: ShellAction): Promise<ShellResult> {
    const output: Output[] = [];
    for (const command of action.commands) {
      const entry = await this.#runOne(command, action.timeoutMs);
      const { stdout, stderr, outcome } = entry;
      output.push(entry);
      const exitCode = outcome.type === "exit" ? outcome.exitCode : null;
      this.results.push({ command, stdout, stderr, exitCode, timestamp: Date.now() });
      if (outcome.type === "timeout") break;
    }
    return { output, providerData: { working_directory: this.cwd } };
  }

  async #runOne(command: string, timeout?: number): Promise<Output> {
    try {
      const { stdout, stderr, exitCode } = await this.sandbox.exec(command, { timeout, cwd: this.cwd });
      return { stdout, stderr, outcome: { type: "exit", exitCode } };
    } catch (error) {
      const { message, details } = error as SandboxError;
      const { stdout = "", stderr = message } = (details ?? {}) as { stdout?: string; stderr?: string };
      const isTimeout = hasCode(error, "command_timeout");
      return { stdout, stderr, outcome: isTimeout ? { type: "timeout" } : { type: "exit", exitCode: 1 } };
    }
  }
}

/** The editor of an agent's `applyPatchTool`. Paths are relative to the root and stay within it. */
export class Editor implements EditorInterface {
  /** What was done, the oldest first. */
  readonly results: Edit[] = [];

  constructor(
    private readonly sandbox: Session,
    private readonly root = "/workspace",
  ) {}

  createFile({ path, diff }: Operation<"create_file">): Promise<ApplyPatchResult> {
    return this.#record("create", path, (file) =>
      this.sandbox.writeFile(file, applyDiff("", diff, "create")),
    );
  }

  updateFile({ path, diff }: Operation<"update_file">): Promise<ApplyPatchResult> {
    return this.#record("update", path, async (file) => {
      const { content, encoding } = await this.sandbox.readFile(file);
      if (encoding === "base64") throw new Error(`not a text in UTF-8: ${path}`);
      await this.sandbox.writeFile(file, applyDiff(content, diff));
    });
  }

  deleteFile({ path }: Operation<"delete_file">): Promise<ApplyPatchResult> {
    return this.#record("delete", path, (file) => this.sandbox.deleteFile(file));
  }

  async #record(operation: string, path: string, act: Act): Promise<ApplyPatchResult> {
    try {
      await act(this.#resolve(path));
    } catch (error) {
      const failed = { status: "failed", output: `Failed to ${operation} ${path}` };
      this.results.push({ operation, path, ...failed, error: (error as Error).message });
      throw error;
    }
    const output = `${operation[0]!.toUpperCase()}${operation.slice(1)}d ${path}`;
    this.results.push({ operation, path, status: "completed", output });
    return { status: "completed", output };
  }

  #resolve(path: string): string {
    const steps: string[] = [];
    const isBelow = path === this.root || path.startsWith(`${this.root}/`);
    for (const step of (isBelow ? path.slice(this.root.length) : path).split("/")) {
      if (step === ".." && steps.pop() === undefined) throw new Error(`outside of ${this.root}: ${path}`);
      if (step !== "" && step !== "." && step !== "..") steps.push(step);
    }
    return [this.root, ...steps].join("/");
  }
}
