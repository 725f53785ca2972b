import { type BaseExecOptions, type Command, COMMAND_PREFIX, commandBody, Commands } from "./commands.js";
import { ConnectionLostError, hasCode } from "./errors.js";
import { insist, segment } from "./http.js";
import { Process } from "./process.js";
import { Stdin } from "./stdin.js";
import { type Emit, followOutput, type RawEvent, toStream } from "./stream.js";
import { newId, type Schemas } from "./target.js";

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
      record = await this.find(`/process/${json.id}`, "process_not_found");
      if (!record) throw error;
    }
    const process = this.#handle(record, 0);
    onStart?.(process);
    const emit = (event?: object) => {
      const { type, data, exitCode } = { ...event } as Partial<LogEvent>;
      if (type === "stdout" || type === "stderr") onOutput?.(type, data!);
      else if (type === "exit") onExit?.(exitCode!);
    };
    if (onOutput || onExit) this.#report(process.id, emit).catch((error) => options.onError?.(error));
    return process;
  }

  /** The processes of `startProcess`, the newest first, also those that have ended. */
  async listProcesses(): Promise<Process[]> {
    const records = await this.list<Schemas["Process"]>("/process", "processes");
    return records.filter(({ id }) => !id.startsWith(COMMAND_PREFIX)).map((record) => this.#handle(record));
  }

  async getProcess(id: string): Promise<Process | null> {
    const record = await this.find<Schemas["Process"]>(`/process/${segment(id)}`, "process_not_found");
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
    for (const { id } of ended) await this.call("DELETE", `/process/${segment(id)}`);
    return ended.length;
  }

  async getProcessLogs(id: string): Promise<{ stdout: string; stderr: string; processId: string }> {
    const read = (stream: string) => {
      const parts = { query: { stream }, headers: { Accept: "text/plain" } };
      return insist(async () => (await this.send("GET", `/process/${segment(id)}/log`, parts)).text());
    };
    const [stdout, stderr] = await Promise.all([read("stdout"), read("stderr")]);
    return { stdout, stderr, processId: id };
  }

  /** The output of a process from its beginning, and its end: `parseSSEStream` reads the `LogEvent`s. */
  streamProcessLogs(id: string, options: { signal?: AbortSignal } = {}): Promise<ReadableStream<Uint8Array>> {
    return toStream((emit, signal) => this.#report(id, emit, signal), options.signal);
  }

  async #report(processId: string, emit: Emit, signal?: AbortSignal): Promise<void> {
    for await (const event of this.log(processId, signal)) {
      const { type } = event;
      if (type === "open") await emit();
      else if (type === "stdout" || type === "stderr") await emit({ type, data: event.text, processId });
      else if (type === "exit") await emit({ type, data: "", exitCode: event.exit.exit_code, processId });
      // A follower that is slower than the process misses the middle of its output.
      else await emit({ type: "error", data: "output was dropped before it was read", processId });
    }
  }

  /** The output of a process as bytes and as text, and its end, over as many connections as it takes. */
  log(id: string, signal?: AbortSignal): AsyncGenerator<RawEvent> {
    const path = this.path(`/process/${segment(id)}/log`);
    const open = async (lastId: string | undefined, signal: AbortSignal) => {
      const headers = { Accept: "text/event-stream", "Last-Event-ID": lastId };
      return this.http.send("GET", await path, { query: { follow: true }, headers, signal });
    };
    return followOutput({ open, signal, patienceMs: this.http.lingerMs });
  }

  /** Waits as the bridge's `wait` does. A wait changes nothing, so one whose connection breaks is repeated. */
  wait(id: string, json: Schemas["WaitRequest"]): Promise<Schemas["WaitResult"]> {
    const deadline = Date.now() + (json.timeout_ms ?? Infinity);
    const path = this.path(`/process/${segment(id)}/wait`);
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
    const path = this.path(`/process/${segment(record.id)}/stdin`);
    return new Process(this, record, new Stdin(this.http, path, offset));
  }

  async #signal(id: string, signal: string): Promise<void> {
    try {
      await this.call("POST", `/process/${segment(id)}/signal`, {
        json: { signal: Number(signal) || signal },
      });
    } catch (error) {
      if (!hasCode(error, "process_ended")) throw error;
    }
  }
}
