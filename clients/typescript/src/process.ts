import { makeError } from "./errors.js";
import type { Processes, WaitForPortOptions } from "./processes.js";
import { Stdin } from "./stdin.js";
import type { Schemas } from "./target.js";

export type ProcessStatus = "starting" | "running" | "completed" | "failed" | "killed" | "error";

/** A process, as it was when this was made. The methods ask the bridge. */
export class Process {
  readonly id: string;
  readonly pid?: number;
  readonly command: string;
  readonly status: ProcessStatus;
  readonly startTime: Date;
  readonly endTime?: Date;
  readonly exitCode?: number;
  readonly sessionId?: string;
  readonly #owner: Processes;
  readonly #stdin: Stdin;

  constructor(owner: Processes, record: Schemas["Process"], stdin: Stdin) {
    this.#owner = owner;
    this.#stdin = stdin;
    this.id = record.id;
    this.pid = record.pid ?? undefined;
    const [shell, flag, line] = record.argv;
    const isLine = record.argv.length === 3 && flag === "-c" && /(^|\/)(ba)?sh$/.test(shell!);
    this.command = isLine ? line! : record.argv.join(" ");
    this.status = statusOf(record);
    this.startTime = new Date(record.startedAt);
    if (record.endedAt) this.endTime = new Date(record.endedAt);
    this.exitCode = record.exit?.exit_code;
    this.sessionId = record.sessionId ?? undefined;
  }

  /** The standard input of a process that was started with `stdin: "open"`. */
  get stdin(): Stdin {
    return this.#stdin;
  }

  kill(signal?: string): Promise<void> {
    return this.#owner.killProcess(this.id, signal);
  }

  async getStatus(): Promise<ProcessStatus> {
    return (await this.#owner.getProcess(this.id))?.status ?? "error";
  }

  async getLogs(): Promise<{ stdout: string; stderr: string }> {
    const { stdout, stderr } = await this.#owner.getProcessLogs(this.id);
    return { stdout, stderr };
  }

  /** Waits for output that has a text or matches a pattern. Output from before counts. */
  async waitForLog(
    pattern: string | RegExp,
    timeout?: number,
  ): Promise<{ line: string; match?: RegExpMatchArray }> {
    const isText = typeof pattern === "string";
    const source = isText ? pattern.replace(/[.*+?^${}()|[\]\\]/g, "\\$&") : pattern.source;
    const expression = new RegExp(source, isText ? "" : pattern.flags.replace(/[gy]/g, ""));
    const seen = { stdout: "", stderr: "" };
    const signal = timeout === undefined ? undefined : AbortSignal.timeout(timeout);
    try {
      for await (const event of this.#owner.log(this.id, signal)) {
        if (event.type === "exit") throw this.#exited(`the output ${pattern}`, event.exit.exit_code);
        if (event.type !== "stdout" && event.type !== "stderr") continue;
        const text = (seen[event.type] += event.text);
        const match = text.match(expression);
        if (match) {
          const begin = text.slice(0, match.index).lastIndexOf("\n") + 1;
          const line = /^.*/.exec(text.slice(begin))![0];
          return isText ? { line } : { line, match };
        }
        // A match spans at most this much of the text before.
        seen[event.type] = text.slice(-65536);
      }
    } catch (error) {
      throw signal?.aborted ? this.#timedOut(`the output ${pattern}`, timeout) : error;
    }
    throw this.#exited(`the output ${pattern}`);
  }

  /** Waits until this process or one of its children listens, and with the mode `http` until it answers. */
  async waitForPort(port: number, options: WaitForPortOptions = {}): Promise<void> {
    const { mode = "http", path = "/", status, timeout, interval = 500 } = options;
    const range = mode === "http" && typeof status === "object" ? status : undefined;
    const http = mode === "http" && !range ? { path, status: status as number | undefined } : {};
    const deadline = Date.now() + (timeout ?? Infinity);
    const { state, exit } = await this.#owner.wait(this.id, {
      for: "port",
      port,
      timeout_ms: timeout,
      ...http,
    });
    if (state === "exited") throw this.#exited(`port ${port}`, exit?.exit_code);
    if (state === "timed_out") throw this.#timedOut(`port ${port}`, timeout);
    // The bridge itself waits for one status, or for any from 200 to 399.
    while (range) {
      const answered = await this.#owner.statusOfPort(port, path);
      if (answered >= range.min && answered <= range.max) return;
      if (Date.now() > deadline) throw this.#timedOut(`port ${port}`, timeout);
      const { state, exit } = await this.#owner.wait(this.id, { for: "exit", timeout_ms: interval });
      if (state === "exited") throw this.#exited(`port ${port}`, exit?.exit_code);
    }
  }

  async waitForExit(timeout?: number): Promise<{ exitCode: number }> {
    const { state, exit, error } = await this.#owner.wait(this.id, { for: "exit", timeout_ms: timeout });
    if (state === "timed_out") throw this.#timedOut("its end", timeout);
    if (!exit) throw makeError(error?.code ?? "exec_error", error?.error ?? "its end is not known");
    return { exitCode: exit.exit_code };
  }

  #timedOut(condition: string, timeout?: number) {
    const text = `timeout of ${timeout} ms: process ${this.id}, ${condition}`;
    return makeError("process_ready_timeout", text, { processId: this.id });
  }

  #exited(condition: string, exitCode?: number) {
    const text = `process ${this.id} ended with exit code ${exitCode} before ${condition}`;
    return makeError("process_exited_before_ready", text, { processId: this.id, exitCode });
  }
}

function statusOf({ state, exit }: Schemas["Process"]): ProcessStatus {
  if (state === "running") return "running";
  if (state === "failed" || !exit) return "error";
  if (exit.signal || exit.timed_out) return "killed";
  return exit.exit_code === 0 ? "completed" : "failed";
}
