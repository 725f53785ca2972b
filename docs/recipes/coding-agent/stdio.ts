// The standard streams of a process in a sandbox, over as many connections as it takes.
import type { Sandbox } from "sandbar";

const { SANDBOX_URL = "", SANDBOX_API_KEY = "" } = process.env;

/** How long it is tried to connect again, in milliseconds. */
const RECONNECT_TIMEOUT_MS = 60_000;

/** The bytes of output that the bridge keeps for a client that comes back, of the beginning and of the end. */
const LOG_BYTES = 16 * 1024 * 1024;

/** Posts to the bridge. Resolves to the JSON of the answer. */
async function post<T>(
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  more: HeadersInit = {},
): Promise<T> {
  const headers = { Authorization: `Bearer ${SANDBOX_API_KEY}`, ...more };
  const response = await fetch(SANDBOX_URL + path, { method: "POST", headers, body });
  const answer = JSON.parse((await response.text()) || "{}") as T & { error?: string };
  if (answer.error) throw new Error(answer.error);
  return answer;
}

/**
 * A process that speaks in lines. Each line is written exactly once and arrives exactly once, also over connections that
 * break, as long as the process has written no more than `LOG_BYTES`.
 */
export class Stdio {
  /** Called with each line of standard output. */
  onLine: (line: string) => void = () => {};
  /** Called with what the process writes to standard error. */
  onStderr: (text: string) => void = (text) => process.stderr.write(text);
  /** The exit code of the process. Rejects when the process is out of reach. */
  readonly exited: Promise<number>;

  readonly #path: string;
  #socket: WebSocket | undefined;
  /** The bytes that have arrived, by stream: 1 is standard output, 2 standard error. */
  readonly #received = [0, 0, 0];
  /** The time at which there was last a connection, in milliseconds since 1970. */
  #lastOpen = Date.now();
  /** The beginning of a line. */
  #begun = Buffer.alloc(0);
  /** What the process may not have got yet, and the offset in its input at which that begins. */
  #unconfirmed: Uint8Array<ArrayBuffer>[] = [];
  #offset = 0;

  private constructor(path: string) {
    this.#path = path;
    this.exited = this.#run();
  }

  /** Starts a command in a sandbox. */
  static async start(sandbox: Sandbox, command: string): Promise<Stdio> {
    const path = `/v1/sandbox/${await sandbox.sandboxId()}/process`;
    const id = `stdio-${crypto.randomUUID()}`;
    await post(path, JSON.stringify({ id, command, stdin_open: true, log_bytes: LOG_BYTES }));
    return new Stdio(`${path}/${id}`);
  }

  /** Writes a line. It is on its way when this returns, or will be once there is a connection again. */
  write(line: string): void {
    const bytes = new TextEncoder().encode(`${line}\n`);
    this.#unconfirmed.push(bytes);
    this.#socket?.send(bytes);
  }

  /** Ends the process with its children. */
  async stop(): Promise<void> {
    await post(`${this.#path}/signal`, '{"signal":"SIGTERM"}');
  }

  async #run(): Promise<number> {
    while (Date.now() - this.#lastOpen < RECONNECT_TIMEOUT_MS) {
      const exitCode = await this.#attach();
      if (exitCode !== undefined) return exitCode;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error("the process is out of reach");
  }

  /** Attaches until the process has ended or the connection has. Resolves to the exit code, if there is one. */
  #attach(): Promise<number | undefined> {
    const query = `?authorization=${encodeURIComponent(`Bearer ${SANDBOX_API_KEY}`)}`;
    const socket = new WebSocket(SANDBOX_URL.replace(/^http/, "ws") + this.#path + "/attach" + query);
    socket.binaryType = "arraybuffer";
    // The output begins with its first byte again.
    const skip = [...this.#received];
    return new Promise((resolve, reject) => {
      let exitCode: number | undefined;
      socket.onopen = () => this.#resend(socket).catch(() => socket.close());
      socket.onmessage = ({ data }) => {
        if (typeof data !== "string") return this.#take(Buffer.from(data as ArrayBuffer), skip);
        const { type, exit_code, message } = JSON.parse(data) as {
          type: string;
          exit_code: number;
          message?: string;
        };
        if (type === "exit") exitCode = exit_code;
        else reject(new Error(message ?? "output was dropped before it was read"));
      };
      socket.onclose = () => {
        if (this.#socket) this.#lastOpen = Date.now();
        this.#socket = undefined;
        resolve(exitCode);
      };
    });
  }

  /** Asks how much of the input has arrived, sends the rest, and lets `write` use the connection. */
  async #resend(socket: WebSocket): Promise<void> {
    const stdin = `${this.#path}/stdin`;
    const { offset } = await post<{ offset: number }>(stdin, "");
    const rest = new Uint8Array(Buffer.concat(this.#unconfirmed)).slice(offset - this.#offset);
    [this.#unconfirmed, this.#offset] = [[rest], offset];
    // With its offset, it is not written twice.
    if (rest.length > 0) await post(stdin, rest, { "Stdin-Offset": String(offset) });
    for (const bytes of this.#unconfirmed.slice(1)) socket.send(bytes);
    this.#socket = socket;
  }

  /** Takes a frame: one byte for the stream, then its bytes, of which the first `skip` are known. */
  #take(frame: Buffer, skip: number[]): void {
    const stream = frame[0]!;
    const known = Math.min(skip[stream]!, frame.length - 1);
    skip[stream]! -= known;
    const bytes = frame.subarray(1 + known);
    this.#received[stream]! += bytes.length;
    if (stream === 2) {
      if (bytes.length > 0) this.onStderr(bytes.toString());
      return;
    }
    const lines = Buffer.concat([this.#begun, bytes]);
    let begin = 0;
    for (let end; (end = lines.indexOf("\n", begin)) >= 0; begin = end + 1) {
      this.onLine(lines.subarray(begin, end).toString());
    }
    this.#begun = lines.subarray(begin);
  }
}
