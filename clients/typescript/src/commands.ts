import { hasCode, makeError, SandboxError } from "./errors.js";
import { sleep } from "./http.js";
import { type Emit, encodeBase64, followOutput, type RawEvent, toStream } from "./stream.js";
import { defined, newId, now, Target, type Variables } from "./target.js";

/** The ids of commands, which `listProcesses` leaves out, begin with this. */
export const COMMAND_PREFIX = "exec-";

/** A command line for a shell, or a program with its arguments. */
export type Command = string | readonly string[];

export interface BaseExecOptions {
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
}

export interface StreamOptions extends BaseExecOptions {
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
export const commandBody = (command: Command, options: StreamOptions, timeout?: number) => ({
  ...(typeof command === "string" ? { command } : { argv: command }),
  cwd: options.cwd,
  env: defined(options.env),
  timeout_ms: options.timeout ?? timeout,
  stdin: options.stdin instanceof Uint8Array ? { base64: encodeBase64(options.stdin) } : options.stdin,
});

const text = (command: Command) => (typeof command === "string" ? command : command.join(" "));

/** Commands: `exec`, `execStream`, `execBytes`. */
export class Commands extends Target {
  /**
   * Runs a command to its end. A command that its timeout ends throws `CommandError` with the code
   * `command_timeout`, and with the output until then in `details`.
   */
  async exec(command: Command, options: ExecOptions = {}): Promise<ExecResult> {
    try {
      const result = await this.#exec(command, options, (stream, data) => {
        options.onOutput?.(stream, data);
        options[stream === "stdout" ? "onStdout" : "onStderr"]?.(data);
      });
      options.onComplete?.(result);
      return result;
    } catch (error) {
      options.onError?.(error as Error);
      throw error;
    }
  }

  async #exec(
    command: Command,
    options: StreamOptions,
    onOutput: (stream: "stdout" | "stderr", data: string) => void | Promise<void>,
    onOpen?: Emit,
  ): Promise<ExecResult> {
    const [begin, timestamp, output] = [Date.now(), now(), { stdout: "", stderr: "" }];
    for await (const event of this.execBytes(command, options)) {
      if (event.type === "open") await onOpen?.();
      else if (event.type === "stdout" || event.type === "stderr") {
        // A stream has its output already.
        if (!onOpen) output[event.type] += event.text;
        await onOutput(event.type, event.text);
      } else if (event.type === "exit") {
        const { exit_code: exitCode, timed_out } = event.exit;
        const ended = { exitCode, ...output };
        if (timed_out) throw makeError("command_timeout", "command timeout: it was ended", ended);
        const { sessionId = this.session } = options;
        const duration = Date.now() - begin;
        return { success: exitCode === 0, ...ended, command: text(command), duration, timestamp, sessionId };
      }
    }
    throw makeError("operation_interrupted", "the command has no end");
  }

  /** Runs a command. `parseSSEStream` reads the `ExecEvent`s of the stream. Cancelling it ends the command. */
  execStream(command: Command, options: StreamOptions = {}): Promise<ReadableStream<Uint8Array>> {
    const { sessionId = this.session } = options;
    return toStream(async (emit, signal) => {
      let isOpen = false;
      const onOpen = () => {
        isOpen = true;
        return emit({ type: "start", command: text(command), sessionId });
      };
      const onOutput = (type: string, data: string) => emit({ type, data, sessionId });
      try {
        const result = await this.#exec(command, { ...options, signal }, onOutput, onOpen);
        await emit({ type: "complete", exitCode: result.exitCode, result, sessionId });
      } catch (error) {
        if (!isOpen || signal.aborted) throw error;
        await emit({ type: "error", error: (error as Error).message, sessionId });
      }
    }, options.signal);
  }

  /** Runs a command, with its output as bytes and as text. Leaving the loop over the events ends it. */
  execBytes(command: Command, options: StreamOptions = {}): AsyncGenerator<RawEvent> {
    const body = commandBody(command, options, this.timeout);
    return this.resumable("/exec", body, options.sessionId ?? this.session, options.signal);
  }

  /**
   * The events of a request that begins a process under an id of its own, over as many connections as it
   * takes. It is sent again only to a process that exists: nothing runs twice. Output that was lost throws.
   */
  protected async *resumable(
    rest: string,
    body: object,
    session?: string,
    signal?: AbortSignal,
  ): AsyncGenerator<RawEvent> {
    const json = { ...body, id: newId(COMMAND_PREFIX), linger_ms: this.http.lingerMs };
    // After the end of the sandbox, its name leads to another one.
    const box = await this.path("");
    const process = `${box}/process/${json.id}`;
    let [isSent, isSeen, hasEnded] = [false, false, false];
    const open = async (lastId: string | undefined, signal: AbortSignal) => {
      if (isSent && !lastId) await this.#findLost(process, isSeen ? 1 : 4);
      isSent = true;
      const headers = { Accept: "text/event-stream", "Session-Id": session, "Last-Event-ID": lastId };
      const response = await this.http.send("POST", box + rest, { json, headers, signal });
      isSeen = true;
      return response;
    };
    try {
      for await (const event of followOutput({ open, signal, patienceMs: this.http.lingerMs })) {
        if (event.type === "gap")
          throw makeError("output_lost", "output was dropped before it was read", event);
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
      if (isSent && !hasEnded) {
        this.http.sendOnce("DELETE", process, { query: { grace_ms: 0 } }).catch(() => {});
      }
    }
  }

  /** Looks for a process when the answer to its start was lost, and the start maybe, too. Starts nothing. */
  async #findLost(process: string, tries: number): Promise<void> {
    for (let i = 0; i < tries; i++) {
      try {
        return await this.http.json("GET", process);
      } catch (error) {
        if (!hasCode(error, "process_not_found")) throw error;
      }
      await sleep(250 * 2 ** i);
    }
    throw makeError("operation_interrupted", "the connection was lost, and the command is not there");
  }
}
