import { type BaseExecOptions, type Command, COMMAND_PREFIX, commandBody, Commands } from "./commands.js";
import { ConnectionLostError, hasCode } from "./errors.js";
import { insist, segment } from "./http.js";
import { Process } from "./process.js";
import { Stdin } from "./stdin.js";
import { decodeText, dispatch, type Emit, followOutput, type RawEvent, toStream } from "./stream.js";
import { newId, type Schemas } from "./target.js";

const route = (id: string, rest = "") => `/process/${segment(id)}${rest}`;

export interface ProcessOptions extends BaseExecOptions {
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

/** Processes: commands that do not depend on their client. */
export class Processes extends Commands {
  async startProcess(command: Command, options: ProcessOptions = {}): Promise<Process> {
    const { processId, stdin, keepAwake, onStart, onOutput, onExit, ...rest } = options;
    const isOpen = stdin === "open";
    const json = {
      ...commandBody(command, isOpen ? rest : { ...rest, stdin }),
      id: processId ?? newId("proc-"),
      replace: processId !== undefined,
      stdin_open: isOpen,
      keep_awake: keepAwake,
    };
    const headers = { "Session-Id": options.sessionId ?? this.session };
    let record: Schemas["Process"] | undefined;
    try {
      record = await this.call<Schemas["Process"]>("POST", "/process", { json, headers });
    } catch (error) {
      if (!(error instanceof ConnectionLostError) || processId !== undefined) throw error;
      // It may run, under an id that no other has.
      record = await this.find(route(json.id), "process_not_found");
      if (!record) throw error;
    }
    const process = this.#handle(record, 0);
    onStart?.(process);
    if (onOutput || onExit) {
      const output = (event: { type: "stdout" | "stderr"; text: string }) =>
        onOutput?.(event.type, event.text);
      const exit = (event: { exit: Schemas["Exit"] }) => onExit?.(event.exit.exit_code);
      dispatch(this.log(process.id), { output, exit }).catch((error) => options.onError?.(error));
    }
    return process;
  }

  /** The processes of `startProcess`, the newest first, also those that have ended. */
  async listProcesses(): Promise<Process[]> {
    const records = await this.list<Schemas["Process"]>("/process", "processes");
    return records.filter(({ id }) => !id.startsWith(COMMAND_PREFIX)).map((record) => this.#handle(record));
  }

  async getProcess(id: string): Promise<Process | null> {
    const record = await this.find<Schemas["Process"]>(route(id), "process_not_found");
    return record ? this.#handle(record) : null;
  }

  /** Sends a signal to the process and its children. Without one: SIGTERM, SIGKILL after 5 s, and their end. */
  async killProcess(id: string, signal?: string): Promise<void> {
    await this.#signal(id, signal ?? "SIGTERM");
    if (signal || (await this.wait(id, { for: "exit", timeout_ms: 5000 })).state !== "timed_out") return;
    await this.#signal(id, "SIGKILL");
    await this.wait(id, { for: "exit" });
  }

  /** Ends all processes and commands, and forgets them. Returns how many ran. */
  async killAllProcesses(): Promise<number> {
    return (await this.call<Schemas["ProcessesEnded"]>("DELETE", "/process")).ended;
  }

  /** Forgets the processes that have ended. Returns how many there were. */
  async cleanupCompletedProcesses(): Promise<number> {
    const ended = (await this.listProcesses()).filter(({ status }) => status !== "running");
    for (const { id } of ended) await this.perform("DELETE", route(id));
    return ended.length;
  }

  async getProcessLogs(processId: string) {
    const read = async (stream: string) => {
      const parts = { query: { stream }, headers: { Accept: "text/plain" } };
      return decodeText(await this.bytes(route(processId, "/log"), parts));
    };
    const [stdout, stderr] = await Promise.all([read("stdout"), read("stderr")]);
    return { stdout, stderr, processId };
  }

  /** The output of a process from its beginning, and its end: `parseSSEStream` reads the `LogEvent`s. */
  streamProcessLogs(processId: string, options: { signal?: AbortSignal } = {}) {
    const produce = (emit: Emit, signal: AbortSignal) =>
      dispatch(this.log(processId, signal), {
        open: () => emit(),
        output: ({ type, text }) => emit({ type, data: text, processId }),
        exit: ({ type, exit }) => emit({ type, data: "", exitCode: exit.exit_code, processId }),
        // A follower that is slower than the process misses the middle of its output.
        gap: () => emit({ type: "error", data: "output was dropped before it was read", processId }),
      });
    return toStream(produce, options.signal);
  }

  /** The output of a process as bytes and as text, and its end, over as many connections as it takes. */
  log(id: string, signal?: AbortSignal): AsyncGenerator<RawEvent> {
    return followOutput(this.source(route(id, "/log"), { follow: true }, signal));
  }

  /** Waits as the bridge's `wait` does. A wait changes nothing, so one whose connection breaks is repeated. */
  wait(id: string, json: Schemas["WaitRequest"]): Promise<Schemas["WaitResult"]> {
    const deadline = Date.now() + (json.timeout_ms ?? Infinity);
    const path = this.path(route(id, "/wait"));
    return insist(async () => {
      const timeout_ms = json.timeout_ms && Math.max(1, deadline - Date.now());
      return this.http.json("POST", await path, { json: { ...json, timeout_ms } });
    });
  }

  /** The status of the answer to GET of a server in the sandbox; 0 if it does not answer. */
  async statusOfPort(port: number, path: string): Promise<number> {
    const response = await this.http.sendOnce("GET", await this.path(`/port/${port}${path}`));
    await response.body?.cancel();
    return response.headers.has("Sandbox-Error") ? 0 : response.status;
  }

  #handle(record: Schemas["Process"], offset?: number): Process {
    const path = this.path(route(record.id, "/stdin"));
    return new Process(this, record, new Stdin(this.http, path, offset));
  }

  async #signal(id: string, signal: string): Promise<void> {
    try {
      await this.perform("POST", route(id, "/signal"), { signal: Number(signal) || signal });
    } catch (error) {
      if (!hasCode(error, "process_ended")) throw error;
    }
  }
}
