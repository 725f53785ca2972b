import { hasCode } from "./errors.js";
import { type Http, insist, listPages, type Parts, segment } from "./http.js";
import type { components } from "./openapi.js";
import type { Source } from "./stream.js";

/** The types of the bridge's JSON. */
export type Schemas = components["schemas"];

/** Variables of an environment. Undefined and null are skipped. */
export type Variables = Record<string, string | null | undefined>;

/** The id of a sandbox. That of a name is asked for once; this also gives the sandbox its settings. */
export class Box {
  #id: Promise<string> | undefined;
  // Settings have the values of variables, which no log is to show.
  readonly #json: { id?: string; name?: string };

  constructor(
    readonly http: Http,
    named: { name: string } | { id: string },
    settings: object,
  ) {
    this.#json = { ...named, ...settings };
  }

  id(): Promise<string> {
    const failed = (error: unknown) => {
      this.forget();
      throw error;
    };
    return (this.#id ??= this.#find().catch(failed));
  }

  /** After the end of the sandbox: its settings are gone, too. */
  forget(): void {
    this.#id = undefined;
  }

  async #find(): Promise<string> {
    const { id, ...rest } = this.#json;
    if (id && Object.keys(rest).length === 0) return id;
    return (await this.http.json<Schemas["SandboxCreated"]>("POST", "/v1/sandbox", { json: this.#json })).id;
  }
}

/** A sandbox, or a session in it, with the requests to its routes. */
export class Target {
  constructor(
    protected readonly box: Box,
    /** The session of its commands, if they have one. */
    protected readonly session?: string,
    /** The timeout of commands that have none of their own, in milliseconds. */
    protected readonly timeout?: number,
  ) {}

  protected get http(): Http {
    return this.box.http;
  }

  /** The id of the sandbox in URLs. */
  sandboxId(): Promise<string> {
    return this.box.id();
  }

  protected async path(rest: string): Promise<string> {
    return `/v1/sandbox/${segment(await this.box.id())}${rest}`;
  }

  protected async send(method: string, rest: string, parts?: Parts): Promise<Response> {
    return this.http.send(method, await this.path(rest), parts);
  }

  protected async call<T>(method: string, rest: string, parts?: Parts): Promise<T> {
    return this.http.json<T>(method, await this.path(rest), parts);
  }

  /** A call whose answer is not looked at. */
  protected async perform(method: string, rest: string, json?: object): Promise<void> {
    await this.call(method, rest, { json });
  }

  /** The body that a GET returns. */
  protected bytes(rest: string, parts?: Parts): Promise<Uint8Array> {
    return insist(async () => {
      const response = await this.send("GET", rest, parts);
      return new Uint8Array(await this.http.received({}, response.arrayBuffer()));
    });
  }

  protected async list<T>(rest: string, name: string, query?: Parts["query"]): Promise<T[]> {
    return listPages(this.http, await this.path(rest), name, query);
  }

  /** What a GET returns; undefined for an error of this code. */
  protected async find<T>(rest: string, absent: string): Promise<T | undefined> {
    try {
      return await this.call<T>("GET", rest);
    } catch (error) {
      if (!hasCode(error, absent)) throw error;
      return undefined;
    }
  }

  /** A stream of events that a GET opens. */
  protected source(rest: string, query: Parts["query"], signal?: AbortSignal): Source {
    // After the end of the sandbox, its name leads to another one.
    const path = this.path(rest);
    const open = async (lastId: string | undefined, signal: AbortSignal) => {
      const headers = { Accept: "text/event-stream", "Last-Event-ID": lastId };
      return this.http.send("GET", await path, { query, headers, signal });
    };
    return { open, signal, patienceMs: this.http.lingerMs };
  }
}

export const defined = (variables: Variables = {}) =>
  Object.fromEntries(Object.entries(variables).filter(([, value]) => value != null));

export const now = (): string => new Date().toISOString();

/** A random id. Pages that came over plain HTTP have no `crypto.randomUUID`. */
export function newId(prefix: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return prefix + Array.from(bytes, (byte) => byte.toString(36).padStart(2, "0")).join("");
}
