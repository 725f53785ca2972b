import { Files } from "./files.js";
import { segment } from "./http.js";
import { toStream } from "./stream.js";
import { defined, type Schemas, type Variables } from "./target.js";

export interface CodeContext extends Readonly<ReturnType<typeof toContext>> {}

export interface CreateContextOptions extends Pick<Schemas["ContextRequest"], "language" | "cwd"> {
  envVars?: Variables;
}

export type ExecutionError = Pick<Schemas["Exception"], "name" | "message" | "traceback"> & {
  lineNumber?: number;
};

/** The forms of a displayed value, as texts, and as JSON. */
const TEXTS = ["text", "html", "png", "jpeg", "svg", "latex", "markdown", "javascript"] as const;
const VALUES = ["json", "chart"] as const;

/** One displayed value, in all its forms. */
export interface Result
  extends Partial<Record<(typeof TEXTS)[number], string>>, Partial<Record<(typeof VALUES)[number], unknown>> {
  /** The names of the forms that there are. */
  formats(): string[];
}

type Callback<T> = (value: T) => void | Promise<void>;
type Output = { text: string; timestamp: number };

export interface RunCodeOptions extends CreateContextOptions {
  /** A context, or its id. Default: the default context of the language. */
  context?: CodeContext | string;
  /** In milliseconds. Default: 60000. */
  timeout?: number;
  signal?: AbortSignal;
  onStdout?: Callback<Output>;
  onStderr?: Callback<Output>;
  onResult?: Callback<Result>;
  onError?: Callback<ExecutionError>;
}

export interface Execution {
  code: string;
  success: boolean;
  logs: { stdout: string[]; stderr: string[] };
  results: Result[];
  error?: ExecutionError;
  executionCount?: number;
}

/** Code in the kernels of the sandbox, whose contexts keep the variables. */
export class Code extends Files {
  async createCodeContext({ language, cwd, envVars }: CreateContextOptions = {}): Promise<CodeContext> {
    const json = { language, cwd, env: defined(envVars) };
    return toContext(await this.call("POST", "/context", { json }));
  }

  async listCodeContexts(): Promise<CodeContext[]> {
    return (await this.call<Schemas["ContextList"]>("GET", "/context")).contexts.map(toContext);
  }

  deleteCodeContext = async (id: string) => this.perform("DELETE", `/context/${segment(id)}`);

  /** Runs code. An exception of the code is `error` of what this resolves to. */
  async runCode(code: string, options: RunCodeOptions = {}): Promise<Execution> {
    const execution: Execution = { code, success: false, logs: { stdout: [], stderr: [] }, results: [] };
    for await (const event of this.#run(code, options, options.signal)) {
      if ("text" in event) {
        const { type, text } = event;
        execution.logs[type].push(text);
        await options[type === "stdout" ? "onStdout" : "onStderr"]?.({ text, timestamp: Date.now() });
      } else if (event.type === "result") {
        const result = toResult(event.result);
        execution.results.push(result);
        await options.onResult?.(result);
      } else if (event.type === "exception") {
        const { name, message, traceback, line } = event.exception;
        execution.error = { name, message, traceback, lineNumber: line ?? undefined };
        await options.onError?.(execution.error);
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
        else if ("text" in event) await emit({ type: event.type, text: event.text });
        else if (event.type === "result") await emit({ ...event.result, type: "result" });
        else if (event.type === "exception") {
          const { name: ename, message: evalue, traceback } = event.exception;
          await emit({ type: "error", ename, evalue, traceback });
        } else if (event.type === "exit") {
          await emit({ type: "execution_complete", execution_count: event.exit.execution_count });
        }
      }
    }, options.signal);
  }

  #run(code: string, options: RunCodeOptions, signal?: AbortSignal) {
    const { context, language, cwd, envVars, timeout: timeout_ms } = options;
    const id = typeof context === "object" ? context.id : context;
    const env = defined(envVars);
    const body = { code, context: id, language: id ? undefined : language, cwd, env, timeout_ms };
    return this.resumable("/run-code", body, undefined, signal);
  }
}

function toContext({ id, language, cwd, createdAt, lastUsedAt }: Schemas["Context"]) {
  return { id, language, cwd, createdAt: new Date(createdAt), lastUsed: new Date(lastUsedAt) };
}

function toResult(bundle: Schemas["Bundle"]): Result {
  const forms = [...TEXTS, ...VALUES].filter((name) => name in bundle);
  // Not a part of its JSON.
  return Object.defineProperty({ ...bundle } as object as Result, "formats", { value: () => forms });
}
