import { makeError } from "./errors.js";
import type { Processes, WaitForPortOptions } from "./processes.js";
import { Stdin } from "./stdin.js";
import type { Schemas } from "./target.js";

export type ProcessStatus = "starting" | "running" | "completed" | "failed" | "killed" | "error";

type LogMatch = { line: string; match?: RegExpMatchArray };

/** What a record of the bridge says, in the words of the Sandbox SDK. */
function describe(record: Schemas["Process"]) {
  const { id, pid, argv, startedAt, endedAt, exit, sessionId } = record;
  const isLine = argv.length === 3 && argv[1] === "-c" && /(^|\/)(ba)?sh$/.test(argv[0]!);
  return {
    id,
    pid: pid ?? undefined,
    command: isLine ? argv[2]! : argv.join(" "),
    status: statusOf(record),
    startTime: new Date(startedAt),
    endTime: endedAt ? new Date(endedAt) : undefined,
    exitCode: exit?.exit_code,
    sessionId: sessionId ?? undefined,
  };
}

export interface Process extends Readonly<ReturnType<typeof describe>> {}

/** A process, as it was when this was made. The methods ask the bridge. */
export class Process {
  readonly #owner: Processes;
  readonly #stdin: Stdin;

  constructor(owner: Processes, record: Schemas["Process"], stdin: Stdin) {
    this.#owner = owner;
    this.#stdin = stdin;
    Object.assign(this, describe(record));
  }

  /** The standard input of a process that was started with `stdin: "open"`. */
  get stdin(): Stdin {
    return this.#stdin;
  }

  kill = (signal?: string) => this.#owner.killProcess(this.id, signal);

  getStatus = async (): Promise<ProcessStatus> => (await this.#owner.getProcess(this.id))?.status ?? "error";

  async getLogs() {
    const { stdout, stderr } = await this.#owner.getProcessLogs(this.id);
    return { stdout, stderr };
  }

  /** Waits for output that has a text or matches a pattern. Output from before counts. */
  async waitForLog(pattern: string | RegExp, timeout?: number): Promise<LogMatch> {
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
    const json = { for: "port" as const, port, timeout_ms: timeout, ...http };
    const { state, exit } = await this.#owner.wait(this.id, json);
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
