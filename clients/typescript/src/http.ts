import { ConnectionLostError, errorIn, hasCode, makeError, tolerate } from "./errors.js";

/** Where a bridge answers. */
export interface Connection {
  /** Its address, such as `https://sandbar.example.workers.dev`. */
  url: string;
  /** A key or a token of the bridge. A bridge on a laptop may need none. */
  key?: string;
  /** Sends the requests in the place of the global `fetch`. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** How long a command continues without its client when the connection breaks. Default: 60000. */
  lingerMs?: number;
}

type Query = Record<string, string | number | boolean | null | undefined>;

/** What a request consists of, beside its method and path. */
export interface Parts extends Omit<RequestInit, "headers"> {
  /** Sent as JSON. */
  json?: unknown;
  headers?: Record<string, string | undefined>;
  query?: Query;
}

/** How often a 503 with `Retry-After` is repeated. */
const MAX_REPEATS = 6;

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** One segment of a path. */
export function segment(id: string | number): string {
  // Every URL parser takes these for steps in the path, also when they are percent-encoded.
  if (["", ".", ".."].includes(String(id))) throw makeError("invalid_request", `not an id: "${id}"`);
  return encodeURIComponent(id);
}

/** The time before another attempt. */
export const backoff = (failures: number): Promise<void> => sleep(Math.min(50 * 2 ** failures, 2000));

/** Repeats what changes nothing, or is idempotent, while its connection breaks, for some time. */
export async function retryIfLost<T>(
  attempt: (failures: number) => Promise<T>,
  timeoutMs = 6_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let lost: unknown;
  for (let failures = 0; ; failures++) {
    try {
      return await attempt(failures);
    } catch (error) {
      if (!(error instanceof ConnectionLostError)) throw error;
      // One of the attempts may have been carried out.
      if (!hasCode(lost, "connection_lost")) lost = error;
      // An attempt that waits can be longer than all of the time.
      if (Date.now() >= deadline && failures > MAX_REPEATS) throw lost;
      await backoff(failures);
    }
  }
}

/** The requests to one bridge. The key is in no property that `JSON.stringify` or a log shows. */
export class Http {
  readonly url: string;
  readonly lingerMs: number;
  readonly #key: string | undefined;
  readonly #fetch: NonNullable<Connection["fetch"]>;

  constructor({ url, key, fetch, lingerMs = 60_000 }: Connection) {
    // The error of `Headers` would quote it.
    if (key && !/^[!-~]+$/.test(key)) throw makeError("invalid_request", "the key has a wrong character");
    this.url = url.replace(/\/+$/, "");
    this.#key = key;
    this.#fetch = fetch ?? ((url, init) => globalThis.fetch(url, init));
    this.lingerMs = lingerMs;
  }

  /** The URL of a WebSocket, with the key in its query, as browsers need it. */
  socketUrl(path: string, query: Query): string {
    const authorization = this.#key && `Bearer ${this.#key}`;
    return this.url.replace(/^http/, "ws") + path + queryText({ ...query, authorization });
  }

  /** Sends a request once, and returns the response whatever its status is. */
  async sendOnce(method: string, path: string, parts: Parts = {}): Promise<Response> {
    const { json, query, ...rest } = parts;
    const headers = new Headers();
    if (json !== undefined) headers.set("Content-Type", "application/json");
    for (const [name, value] of Object.entries(parts.headers ?? {})) if (value) headers.set(name, value);
    if (this.#key) headers.set("Authorization", `Bearer ${this.#key}`);
    const body = json === undefined ? parts.body : JSON.stringify(json);
    // A stream can only be sent with `duplex`.
    const init = { ...rest, method, headers, body, duplex: "half" };
    return this.received(parts, this.#fetch(this.url + path + queryText(query), init));
  }

  /**
   * Sends a request, and returns a response below 400; throws a `SandboxError` otherwise. Repeats it after
   * 503 with `Retry-After` alone, which says that nothing was started.
   */
  async send(method: string, path: string, parts: Parts = {}): Promise<Response> {
    for (let repeats = 0; ; repeats++) {
      const response = await this.sendOnce(method, path, parts);
      if (response.status < 400) return response;
      // One that breaks off says neither why nor, for an input, how much of it was written.
      const body = await this.received(parts, response.text()).catch((lost: unknown) => lost);
      const retryAfter = Number(response.headers.get("Retry-After"));
      const mayRepeat = repeats < MAX_REPEATS && !(parts.body instanceof ReadableStream);
      if (response.status !== 503 || !retryAfter || !mayRepeat) {
        if (typeof body !== "string") throw body;
        const text = `${method} was answered with ${response.status}`;
        throw errorIn(parse(body), response.status) ?? makeError("unknown", text, {}, response.status);
      }
      await sleep(Math.min(retryAfter, 10) * 1000);
      parts.signal?.throwIfAborted();
    }
  }

  /**
   * The JSON of an answer; undefined for an empty one. A GET, which changes nothing, is sent again when its
   * connection breaks.
   */
  json<T>(method: string, path: string, parts: Parts = {}): Promise<T> {
    const headers = { Accept: "application/json", ...parts.headers };
    const attempt = async () => {
      const response = await this.send(method, path, { ...parts, headers });
      const body = await this.received(parts, response.text());
      const answer = parse(body);
      if (body && answer === undefined) throw makeError("connection_lost", "the answer broke off");
      // A long wait begins with status 200 before its outcome is known.
      const failed = errorIn(answer, response.status);
      if (failed) throw failed;
      return answer as T;
    };
    return method === "GET" ? retryIfLost(attempt) : attempt();
  }

  /** The JSON that a GET returns; undefined for an error of this code. */
  find<T>(path: string, absent: string): Promise<T | undefined> {
    return this.json<T>("GET", path).catch(tolerate(absent));
  }

  /** All of a list that the bridge returns in pages. Throws when a part of the bridge does not answer. */
  async list<T>(path: string, name: string, query?: Query): Promise<T[]> {
    const parts = { query: { limit: 1000, ...query } };
    const page = await this.json<Record<string, T[]> & { cursor?: string }>("GET", path, parts);
    if (page.incomplete) throw makeError("sandbox_unavailable", "a part of the list is missing now", page);
    const rest = page.cursor ? await this.list<T>(path, name, { ...query, cursor: page.cursor }) : [];
    return [...page[name]!, ...rest];
  }

  /** The body that a GET returns. */
  bytes(path: string, parts: Parts = {}): Promise<Uint8Array> {
    return retryIfLost(async () => {
      const response = await this.send("GET", path, parts);
      return new Uint8Array(await this.received(parts, response.arrayBuffer()));
    });
  }

  /** What a promise of `fetch` resolves to. Throws `ConnectionLostError`. */
  async received<T>({ signal }: Parts, promise: Promise<T>): Promise<T> {
    try {
      return await promise;
    } catch (error) {
      signal?.throwIfAborted();
      const { message, cause } = error as { message?: string; cause?: { code?: string } };
      const text = `${message}${cause?.code ? ` (${cause.code})` : ""}`;
      const shown = this.#key ? text.replaceAll(this.#key, "…") : text;
      // Nothing was sent, as far as the runtime tells. Its text may quote the URL.
      if (/refused|notfound|unable to connect/i.test(text.replace(/https?:\S+/g, "")))
        throw makeError("unreachable", shown);
      throw makeError("connection_lost", `the connection was lost: ${shown}`);
    }
  }
}

/** The value of a JSON text; undefined if it is none, or empty. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function queryText(query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value != null && value !== false);
  // Not URLSearchParams: its `+` for a space would not be one everywhere.
  return given.map(([name, value], i) => `${i ? "&" : "?"}${name}=${encodeURIComponent(value!)}`).join("");
}
