import { Files } from "./files.js";
import { segment } from "./http.js";
import { toStream } from "./stream.js";
import { defined, type Schemas } from "./target.js";

export interface CodeContext {
  readonly id: string;
  readonly language: string;
  readonly cwd: string;
  readonly createdAt: Date;
  readonly lastUsed: Date;
}

export interface CreateContextOptions {
  /** Default: `python`. */
  language?: string;
  cwd?: string;
  envVars?: Record<string, string | null | undefined>;
}

export interface ExecutionError {
  name: string;
  message: string;
  traceback: string[];
  lineNumber?: number;
}

/** One displayed value, in all its forms. */
export interface Result {
  text?: string;
  html?: string;
  png?: string;
  jpeg?: string;
  svg?: string;
  latex?: string;
  markdown?: string;
  javascript?: string;
  json?: unknown;
  chart?: unknown;
  /** The names of the forms that there are. */
  formats(): string[];
}

type Output = { text: string; timestamp: number };

export interface RunCodeOptions extends CreateContextOptions {
  /** A context, or its id. Default: the default context of the language. */
  context?: CodeContext | string;
  /** In milliseconds. Default: 60000. */
  timeout?: number;
  signal?: AbortSignal;
  onStdout?: (output: Output) => void | Promise<void>;
  onStderr?: (output: Output) => void | Promise<void>;
  onResult?: (result: Result) => void | Promise<void>;
  onError?: (error: ExecutionError) => void | Promise<void>;
}

export interface Execution {
  code: string;
  success: boolean;
  logs: { stdout: string[]; stderr: string[] };
  results: Result[];
  error?: ExecutionError;
  executionCount?: number;
}

const FORMATS = ["text", "html", "png", "jpeg", "svg", "latex", "markdown", "javascript", "json", "chart"];

/** Code in the kernels of the sandbox, whose contexts keep the variables. */
export class Code extends Files {
  async createCodeContext(options: CreateContextOptions = {}): Promise<CodeContext> {
    const json = {
      language: options.language,
      cwd: options.cwd,
      env: options.envVars && defined(options.envVars),
    };
    return toContext(await this.call("POST", "/context", { json }));
  }

  async listCodeContexts(): Promise<CodeContext[]> {
    return (await this.call<Schemas["ContextList"]>("GET", "/context")).contexts.map(toContext);
  }

  async deleteCodeContext(id: string): Promise<void> {
    await this.call("DELETE", `/context/${segment(id)}`);
  }

  /** Runs code. An exception of the code is `error` of what this resolves to. */
  async runCode(code: string, options: RunCodeOptions = {}): Promise<Execution> {
    const { onStdout, onStderr, onResult, onError } = options;
    const execution: Execution = { code, success: false, logs: { stdout: [], stderr: [] }, results: [] };
    for await (const event of this.#run(code, options, options.signal)) {
      if (event.type === "stdout" || event.type === "stderr") {
        execution.logs[event.type].push(event.text);
        const on = event.type === "stdout" ? onStdout : onStderr;
        await on?.({ text: event.text, timestamp: Date.now() });
      } else if (event.type === "result") {
        execution.results.push(toResult(event.result));
        await onResult?.(execution.results.at(-1)!);
      } else if (event.type === "exception") {
        const { name, message, traceback, line } = event.exception;
        execution.error = { name, message, traceback, lineNumber: line ?? undefined };
        await onError?.(execution.error);
      } else if (event.type === "exit") {
        execution.success = event.exit.exit_code === 0;
        execution.executionCount = event.exit.execution_count ?? undefined;
      }
    }
    return execution;
  }

  /** Runs code: `parseSSEStream` reads the events. Cancelling the stream interrupts the code. */
  runCodeStream(code: string, options: RunCodeOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return toStream(async (emit, signal) => {
      for await (const event of this.#run(code, options, signal)) {
        if (event.type === "open") await emit();
        else if (event.type === "stdout" || event.type === "stderr")
          await emit({ ...event, data: undefined });
        else if (event.type === "result") await emit({ ...event.result, type: "result" });
        else if (event.type === "exception") {
          const { name, message, traceback } = event.exception;
          await emit({ type: "error", ename: name, evalue: message, traceback });
        } else if (event.type === "exit") {
          await emit({ type: "execution_complete", execution_count: event.exit.execution_count });
        }
      }
    }, options.signal);
  }

  #run(code: string, options: RunCodeOptions, signal?: AbortSignal) {
    const { context, language, cwd, envVars, timeout: timeout_ms } = options;
    const id = typeof context === "object" ? context.id : context;
    const env = envVars && defined(envVars);
    const body = { code, context: id, language: id ? undefined : language, cwd, env, timeout_ms };
    return this.resumable("/run-code", body, undefined, signal);
  }
}

const toContext = ({ id, language, cwd, createdAt, lastUsedAt }: Schemas["Context"]): CodeContext => ({
  ...{ id, language, cwd, createdAt: new Date(createdAt), lastUsed: new Date(lastUsedAt) },
});

function toResult(bundle: Schemas["Bundle"]): Result {
  const forms = FORMATS.filter((name) => name in bundle);
  // Not a part of its JSON.
  return Object.defineProperty({ ...bundle } as object as Result, "formats", { value: () => forms });
}
