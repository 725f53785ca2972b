import { hasCode, type SandboxError } from "./errors.js";
import { type Http, retryIfLost } from "./http.js";
import type { Schemas } from "./target.js";

/** The most bytes of one request. */
const MAX_BODY = 1 << 20;

/** The standard input of a process. Each byte is written exactly once, in the order of the calls. */
export class Stdin {
  /** The last call. Each waits for the one before it. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly http: Http,
    private readonly path: Promise<string>,
    /** The offset of the next byte; undefined: the bridge is asked for it. */
    private offset?: number,
  ) {}

  /** Resolves once the pipe has all bytes; the process may not have read them yet. */
  write(data: string | Uint8Array, { close = false } = {}): Promise<void> {
    const written = this.#last.then(async () => {
      // Nothing is written.
      this.offset ??= (
        await retryIfLost(() => this.#post(new Uint8Array(), false), this.http.lingerMs)
      ).offset;
      let rest = typeof data === "string" ? new TextEncoder().encode(data) : data;
      for (; rest.length > MAX_BODY; rest = rest.subarray(MAX_BODY)) {
        await this.#send(rest.subarray(0, MAX_BODY), false);
      }
      if (rest.length > 0 || close) await this.#send(rest, close);
    });
    this.#last = written.catch(() => {});
    return written;
  }

  /** Writes, and closes the standard input. */
  end(data: string | Uint8Array = ""): Promise<void> {
    return this.write(data, { close: true });
  }

  async #send(bytes: Uint8Array, close: boolean): Promise<void> {
    const begin = this.offset!;
    const end = begin + bytes.length;
    // As long as a stream would be opened again.
    await retryIfLost(async (failures) => {
      try {
        this.offset = (await this.#post(bytes.subarray(this.offset! - begin), close, this.offset)).offset;
      } catch (error) {
        // After a lost answer, the right offset says what was written.
        const offset = Number((error as SandboxError).details?.offset);
        if (failures === 0 || !(offset >= begin && offset <= end)) throw error;
        this.offset = offset;
        const isClosed = hasCode(error, "stdin_closed");
        if (offset === end && isClosed === close) return;
        if (isClosed) throw error;
        this.offset = (await this.#post(bytes.subarray(offset - begin), close, offset)).offset;
      }
    }, this.http.lingerMs);
  }

  async #post(bytes: Uint8Array, close: boolean, offset?: number): Promise<Schemas["StdinWritten"]> {
    const headers = { "Content-Type": "application/octet-stream", "Stdin-Offset": offset?.toString() };
    const parts = { query: { close }, headers, body: bytes as Uint8Array<ArrayBuffer> };
    return this.http.json("POST", await this.path, parts);
  }
}
