import { type Command, COMMAND_PREFIX, commandBody, Commands, type StreamOptions } from "./commands.js";
import { makeError, tolerate } from "./errors.js";
import { retryIfLost, segment } from "./http.js";
import { Stdin } from "./stdin.js";
import { decodeText, DROPPED, type RawEvent, toRawEvents, toStream } from "./stream.js";
import { newId, type Schemas } from "./target.js";

const route = (id: string, rest = "") => `/process/${segment(id)}${rest}`;

export interface ProcessOptions extends Omit<StreamOptions, "stdin" | "signal"> {
  /** Its id. A process that has ended under this id is forgotten. Default: a random id. */
  processId?: string;
  /** `"open"`: `process.stdin` writes to it. Bytes: the whole input. Default: none. */
  stdin?: "open" | Uint8Array;
  /** Whether the sandbox stays awake while it runs. Default: true. */
  keepAwake?: boolean;
  /** No setting: the last 1000 processes that have ended stay in the list. */
  autoCleanup?: boolean;
  onStart?: (process: Process) => void;
  onOutput?: (stream: "stdout" | "stderr", data: string) => void;
  onExit?: (code: number | null) => void;
  onError?: (error: Error) => void;
}

export interface WaitForPortOptions {
  /** Default: `http`. */
  mode?: "http" | "tcp";
  /** Default: `/`. */
  path?: string;
  /** Default: 200 to 399. */
  status?: number | { min: number; max: number };
  /** In milliseconds. Default: until the process ends. */
  timeout?: number;
  /** Between two requests for a range of status, in milliseconds. Default: 500. */
  interval?: number;
}

/** An event of `streamProcessLogs`. */
export interface LogEvent {
  type: "stdout" | "stderr" | "exit" | "error";
  timestamp: string;
  data: string;
  processId: string;
  exitCode?: number;
}

export type ProcessStatus = "starting" | "running" | "completed" | "failed" | "killed" | "error";

type LogMatch = { line: string; match?: RegExpMatchArray };

/** Processes: commands that do not depend on their client. */
export class Processes extends Commands {
  async startProcess(command: Command, options: ProcessOptions = {}): Promise<Process> {
    const { processId, stdin, keepAwake, onStart, onOutput, onExit } = options;
    const json = {
      ...commandBody(command, { ...options, stdin: stdin === "open" ? undefined : stdin }),
      id: processId ?? newId("proc-"),
      replace: processId !== undefined,
      stdin_open: stdin === "open",
      keep_awake: keepAwake,
    };
    const headers = { "Session-Id": options.sessionId ?? this.session };
    const start = () => this.call<Schemas["Process"]>("POST", "/process", { json, headers });
    // Under an id that no other has, nothing runs twice.
    const process = this.#handle(await (processId === undefined ? retryIfLost(start) : start()), 0);
    onStart?.(process);
    const report = async ({ id }: Process) => {
      for await (const event of this.log(id)) {
        if ("text" in event) await onOutput?.(event.type, event.text);
        else if (event.type === "exit") await onExit?.(event.exit.exit_code);
      }
    };
    if (onOutput || onExit) report(process).catch((error) => options.onError?.(error));
    return process;
  }

  /**
   * The processes, the newest first, also those that have ended. Commands of `exec` are not among them; kernels
   * of contexts are.
   */
  async listProcesses(): Promise<Process[]> {
    const records = await this.http.list<Schemas["Process"]>(await this.path("/process"), "processes");
    return records.filter(({ id }) => !id.startsWith(COMMAND_PREFIX)).map((record) => this.#handle(record));
  }

  async getProcess(id: string): Promise<Process | null> {
    const record = await this.http.find<Schemas["Process"]>(await this.path(route(id)), "process_not_found");
    return record ? this.#handle(record) : null;
  }

  /** Sends a signal to the process and its children. Without one: SIGTERM, SIGKILL after 5 s, and their end. */
  async killProcess(id: string, signal?: string): Promise<void> {
    await this.#signal(id, signal ?? "SIGTERM");
    if (signal || (await this.wait(id, { for: "exit", timeout_ms: 5000 })).state !== "timed_out") return;
    await this.#signal(id, "SIGKILL");
    await this.wait(id, { for: "exit" });
  }

  /**
   * Ends all that runs, and forgets it: processes, commands of all clients, and the kernels of contexts. Returns
   * how many ran.
   */
  killAllProcesses = async () => (await this.call<Schemas["ProcessesEnded"]>("DELETE", "/process")).ended;

  /** Forgets the processes that have ended, and ends what they left in the background. Returns their number. */
  async cleanupCompletedProcesses(): Promise<number> {
    const ended = (await this.listProcesses()).filter(({ status }) => status !== "running");
    for (const { id } of ended) await this.perform("DELETE", route(id));
    return ended.length;
  }

  async getProcessLogs(processId: string) {
    const read = async (stream: string) => {
      const parts = { query: { stream }, headers: { Accept: "text/plain" } };
      return decodeText(await this.http.bytes(await this.path(route(processId, "/log")), parts));
    };
    const [stdout, stderr] = await Promise.all([read("stdout"), read("stderr")]);
    return { stdout, stderr, processId };
  }

  /** The output of a process from its beginning, and its end: `parseSSEStream` reads the `LogEvent`s. */
  streamProcessLogs(processId: string, options: { signal?: AbortSignal } = {}) {
    return toStream(async (emit, signal) => {
      for await (const event of this.log(processId, signal)) {
        const { type } = event;
        if (type === "open") await emit();
        else if ("text" in event) await emit({ type, data: event.text, processId });
        else if (type === "exit") await emit({ type, data: "", exitCode: event.exit.exit_code, processId });
        // A follower that is slower than the process misses the middle of its output.
        else if (type === "gap") await emit({ type: "error", data: DROPPED, processId });
      }
    }, options.signal);
  }

  /** The output of a process as bytes and as text, and its end, over as many connections as it takes. */
  log(id: string, signal?: AbortSignal): AsyncGenerator<RawEvent> {
    return toRawEvents(this.events(route(id, "/log"), { follow: true }, signal));
  }

  /** Waits as the bridge's `wait` does. A wait changes nothing, so one whose connection breaks is repeated. */
  wait(id: string, json: Schemas["WaitRequest"]): Promise<Schemas["WaitResult"]> {
    const deadline = Date.now() + (json.timeout_ms ?? Infinity);
    const path = this.path(route(id, "/wait"));
    return retryIfLost(async () => {
      const timeout_ms = json.timeout_ms && Math.max(1, deadline - Date.now());
      return this.http.json("POST", await path, { json: { ...json, timeout_ms } });
    });
  }

  /** Sends a request to the server on a port. Returns its answer, whatever its status is. */
  async fetchPort(port: number, path = "/", init: RequestInit = {}): Promise<Response> {
    const parts = { ...init, headers: Object.fromEntries(new Headers(init.headers)) };
    // Steps such as `..` lead nowhere outside of the server.
    const { pathname, search } = new URL(`http://server${path.replace(/^(?!\/)/, "/")}`);
    const route = await this.path(`/port/${segment(port)}${pathname}${search}`);
    return this.http.sendOnce(init.method ?? "GET", route, parts);
  }

  #handle(record: Schemas["Process"], offset?: number): Process {
    const path = this.path(route(record.id, "/stdin"));
    return new Process(this, record, new Stdin(this.http, path, offset));
  }

  #signal(id: string, signal: string): Promise<void> {
    const sent = this.perform("POST", route(id, "/signal"), { signal: Number(signal) || signal });
    return sent.catch(tolerate("process_ended"));
  }
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
    let wait = await this.#owner.wait(this.id, { for: "port", port, timeout_ms: timeout, ...http });
    // The bridge itself waits for one status, or for any from 200 to 399.
    while (range && wait.state === "ready") {
      const signal =
        timeout === undefined ? undefined : AbortSignal.timeout(Math.max(0, deadline - Date.now()));
      const answer = await this.#owner.fetchPort(port, path, { signal }).catch((error) => {
        throw signal?.aborted ? this.#timedOut(`port ${port}`, timeout) : error;
      });
      const { body, headers, status } = answer;
      await body?.cancel();
      if (!headers.has("Sandbox-Error") && status >= range.min && status <= range.max) return;
      wait = await this.#owner.wait(this.id, { for: "exit", timeout_ms: interval });
      if (wait.state === "timed_out" && Date.now() < deadline) wait.state = "ready";
    }
    if (wait.state === "exited") throw this.#exited(`port ${port}`, wait.exit?.exit_code);
    if (wait.state === "timed_out") throw this.#timedOut(`port ${port}`, timeout);
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

function statusOf({ state, exit }: Schemas["Process"]): ProcessStatus {
  if (state === "running") return "running";
  if (state === "failed" || !exit) return "error";
  if (exit.signal || exit.timed_out) return "killed";
  return exit.exit_code === 0 ? "completed" : "failed";
}
