import { Files } from "./files.js";
import { segment } from "./http.js";
import { dispatch, type Emit, toStream } from "./stream.js";
import { defined, type Schemas, type Variables } from "./target.js";

export interface CodeContext extends Readonly<Pick<Schemas["Context"], "id" | "language" | "cwd">> {
  readonly createdAt: Date;
  readonly lastUsed: Date;
}

export interface CreateContextOptions {
  /** Default: `python`. */
  language?: string;
  cwd?: string;
  envVars?: Variables;
}

export interface ExecutionError extends Omit<Schemas["Exception"], "line" | "tracebackAnsi"> {
  lineNumber?: number;
}

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
    const json = { language, cwd, env: envVars && defined(envVars) };
    return toContext(await this.call("POST", "/context", { json }));
  }

  async listCodeContexts(): Promise<CodeContext[]> {
    return (await this.call<Schemas["ContextList"]>("GET", "/context")).contexts.map(toContext);
  }

  deleteCodeContext = async (id: string) => this.perform("DELETE", `/context/${segment(id)}`);

  /** Runs code. An exception of the code is `error` of what this resolves to. */
  async runCode(code: string, options: RunCodeOptions = {}): Promise<Execution> {
    const execution: Execution = { code, success: false, logs: { stdout: [], stderr: [] }, results: [] };
    await dispatch(this.#run(code, options, options.signal), {
      async output({ type, text }) {
        execution.logs[type].push(text);
        await options[type === "stdout" ? "onStdout" : "onStderr"]?.({ text, timestamp: Date.now() });
      },
      async result({ result }) {
        execution.results.push(toResult(result));
        await options.onResult?.(execution.results.at(-1)!);
      },
      async exception({ exception: { name, message, traceback, line } }) {
        execution.error = { name, message, traceback, lineNumber: line ?? undefined };
        await options.onError?.(execution.error);
      },
      exit({ exit }) {
        execution.success = exit.exit_code === 0;
        execution.executionCount = exit.execution_count ?? undefined;
      },
    });
    return execution;
  }

  /** Runs code: `parseSSEStream` reads the events. Cancelling the stream interrupts the code. */
  runCodeStream(code: string, options: RunCodeOptions = {}): Promise<ReadableStream<Uint8Array>> {
    const produce = (emit: Emit, signal: AbortSignal) =>
      dispatch(this.#run(code, options, signal), {
        open: () => emit(),
        output: ({ type, text }) => emit({ type, text }),
        result: ({ result }) => emit({ ...result, type: "result" }),
        exception: ({ exception: { name: ename, message: evalue, traceback } }) =>
          emit({ type: "error", ename, evalue, traceback }),
        exit: ({ exit }) => emit({ type: "execution_complete", execution_count: exit.execution_count }),
      });
    return toStream(produce, options.signal);
  }

  #run(code: string, options: RunCodeOptions, signal?: AbortSignal) {
    const { context, language, cwd, envVars, timeout: timeout_ms } = options;
    const id = typeof context === "object" ? context.id : context;
    const env = envVars && defined(envVars);
    const body = { code, context: id, language: id ? undefined : language, cwd, env, timeout_ms };
    return this.resumable("/run-code", body, undefined, signal);
  }
}

function toContext({ id, language, cwd, createdAt, lastUsedAt }: Schemas["Context"]): CodeContext {
  return { id, language, cwd, createdAt: new Date(createdAt), lastUsed: new Date(lastUsedAt) };
}

function toResult(bundle: Schemas["Bundle"]): Result {
  const forms = [...TEXTS, ...VALUES].filter((name) => name in bundle);
  // Not a part of its JSON.
  return Object.defineProperty({ ...bundle } as object as Result, "formats", { value: () => forms });
}
