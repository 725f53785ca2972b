import { hasCode, makeError, SandboxError } from "./errors.js";
import { sleep } from "./http.js";
import { DROPPED, encodeBase64, follow, type RawEvent, toRawEvents, toStream } from "./stream.js";
import { defined, newId, now, Target, type Variables } from "./target.js";

/** The ids of commands, which `listProcesses` leaves out, begin with this. */
export const COMMAND_PREFIX = "exec-";

/** A command line for a shell, or a program with its arguments. */
export type Command = string | readonly string[];

export interface StreamOptions {
  /** Ends the command after this time, in milliseconds. */
  timeout?: number;
  /** Variables for this command alone. */
  env?: Variables;
  /** A directory within /workspace. */
  cwd?: string;
  /** Text is UTF-8: other values of the Sandbox SDK change nothing. */
  encoding?: string;
  /** The session to run in, in the place of this one. */
  sessionId?: string;
  /** The standard input. */
  stdin?: string | Uint8Array;
  /** Ends the command when it is aborted. */
  signal?: AbortSignal;
}

export interface ExecOptions extends StreamOptions {
  /** The callbacks get output as it arrives, whether or not this is set. */
  stream?: boolean;
  onStdout?: (data: string) => void;
  onStderr?: (data: string) => void;
  onOutput?: (stream: "stdout" | "stderr", data: string) => void;
  onComplete?: (result: ExecResult) => void;
  onError?: (error: Error) => void;
}

export interface ExecResult {
  success: boolean;
  exitCode: number;
  stdout: string;
  stderr: string;
  command: string;
  /** In milliseconds. */
  duration: number;
  timestamp: string;
  sessionId?: string;
}

/** An event of `execStream`. */
export interface ExecEvent extends Partial<Pick<ExecResult, "command" | "exitCode" | "sessionId">> {
  type: "start" | "stdout" | "stderr" | "complete" | "error";
  timestamp: string;
  data?: string;
  result?: ExecResult;
  error?: string;
}

/** The fields of a body that say what runs. */
export const commandBody = (command: Command, options: StreamOptions) => ({
  ...(typeof command === "string" ? { command } : { argv: command }),
  cwd: options.cwd,
  env: defined(options.env),
  timeout_ms: options.timeout,
  stdin: options.stdin instanceof Uint8Array ? { base64: encodeBase64(options.stdin) } : options.stdin,
});

/** Commands: `exec`, `execStream`, `execBytes`. */
export class Commands extends Target {
  /**
   * Runs a command to its end. A command that its timeout ends throws `CommandError` with the code
   * `command_timeout`, and with the output until then in `details`.
   */
  async exec(command: Command, options: ExecOptions = {}): Promise<ExecResult> {
    const output = { stdout: "", stderr: "" };
    try {
      for await (const { type, data = "", result } of this.#run(command, options, output)) {
        if (type === "stdout" || type === "stderr") {
          output[type] += data;
          options.onOutput?.(type, data);
          options[type === "stdout" ? "onStdout" : "onStderr"]?.(data);
        }
        if (!result) continue;
        options.onComplete?.(result);
        return result;
      }
      throw makeError("operation_interrupted", "the command has no end");
    } catch (error) {
      options.onError?.(error as Error);
      throw error;
    }
  }

  /** Runs a command. `parseSSEStream` reads the `ExecEvent`s of the stream. Cancelling it ends the command. */
  execStream(command: Command, options: StreamOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return toStream(async (emit, signal) => {
      let isOpen = false;
      try {
        for await (const event of this.#run(command, { ...options, signal })) {
          isOpen = true;
          await emit(event);
        }
      } catch (error) {
        if (!isOpen || signal.aborted) throw error;
        const { sessionId = this.session } = options;
        await emit({ type: "error", error: (error as Error).message, sessionId });
      }
    }, options.signal);
  }

  /** The events of a command. Its end has the output that the caller has put together, if it does so. */
  async *#run(
    command: Command,
    options: StreamOptions,
    output = { stdout: "", stderr: "" },
  ): AsyncGenerator<Omit<ExecEvent, "timestamp">> {
    const [begin, timestamp] = [Date.now(), now()];
    const { sessionId = this.session } = options;
    const text = typeof command === "string" ? command : command.join(" ");
    for await (const event of this.execBytes(command, options)) {
      if (event.type === "open") yield { type: "start", command: text, sessionId };
      else if (event.type === "exit") {
        const { exit_code: exitCode, timed_out } = event.exit;
        const ended = { exitCode, ...output };
        if (timed_out) throw makeError("command_timeout", "command timeout: it was ended", ended);
        const [success, duration] = [exitCode === 0, Date.now() - begin];
        const result = { success, ...ended, command: text, duration, timestamp, sessionId };
        yield { type: "complete", exitCode, result, sessionId };
      } else if ("text" in event) yield { type: event.type, data: event.text, sessionId };
    }
  }

  /** Runs a command, with its output as bytes and as text. Leaving the loop over the events ends it. */
  execBytes(command: Command, options: StreamOptions = {}): AsyncGenerator<RawEvent> {
    const body = commandBody(command, options);
    return this.resumable("/exec", body, options.sessionId ?? this.session, options.signal);
  }

  /**
   * The events of a request that begins a process under an id of its own, over as many connections as it
   * takes. It is sent again only to a process that exists: nothing runs twice. Output that was lost throws.
   */
  protected async *resumable(rest: string, body: object, session?: string, signal?: AbortSignal) {
    const json = { ...body, id: newId(COMMAND_PREFIX), linger_ms: this.http.lingerMs };
    // After the end of the sandbox, its name leads to another one.
    const box = await this.path("");
    const process = `${box}/process/${json.id}`;
    const mayRepeat = (isOpen: boolean) => this.#findLost(process, isOpen ? 1 : 4);
    const request = { json, headers: { "Session-Id": session }, signal, mayRepeat };
    let hasEnded = false;
    try {
      for await (const event of toRawEvents(follow(this.http, "POST", box + rest, request))) {
        if (event.type === "gap") throw makeError("output_lost", DROPPED, event);
        hasEnded = event.type === "exit";
        yield event;
      }
    } catch (error) {
      if (hasCode(error, "process_not_found")) {
        throw makeError("operation_interrupted", "the sandbox was replaced, and its processes are gone");
      }
      // A command that the bridge has refused does not run.
      hasEnded ||= error instanceof SandboxError && error.status !== undefined;
      throw error;
    } finally {
      if (!hasEnded) this.http.sendOnce("DELETE", process, { query: { grace_ms: 0 } }).catch(() => {});
    }
  }

  /** Looks for a process when the answer to its start was lost, and the start maybe, too. Starts nothing. */
  async #findLost(process: string, tries: number): Promise<void> {
    for (let i = 0; i < tries; i++) {
      if (await this.http.find(process, "process_not_found")) return;
      await sleep(250 * 2 ** i);
    }
    throw makeError("operation_interrupted", "the connection was lost, and the command is not there");
  }
}
