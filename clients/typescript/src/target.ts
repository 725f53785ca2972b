import { hasCode } from "./errors.js";
import { type Http, listPages, type Parts, segment } from "./http.js";
import type { components } from "./openapi.js";

/** The types of the bridge's JSON. */
export type Schemas = components["schemas"];

/** The id of a sandbox. That of a name is asked for once; this also gives the sandbox its settings. */
export class Box {
  #id: Promise<string> | undefined;

  // Settings have the values of variables, which no log is to show.
  readonly #named: { name: string } | { id: string };
  readonly #settings: object;

  constructor(
    readonly http: Http,
    named: { name: string } | { id: string },
    settings: object,
  ) {
    this.#named = named;
    this.#settings = settings;
  }

  id(): Promise<string> {
    return (this.#id ??= this.#find());
  }

  /** After the end of the sandbox: its settings are gone, too. */
  forget(): void {
    this.#id = undefined;
  }

  async #find(): Promise<string> {
    if ("id" in this.#named && Object.keys(this.#settings).length === 0) return this.#named.id;
    try {
      const json = { ...this.#named, ...this.#settings };
      return (await this.http.json<Schemas["SandboxCreated"]>("POST", "/v1/sandbox", { json })).id;
    } catch (error) {
      this.forget();
      throw error;
    }
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

  protected async list<T>(rest: string, name: string, query?: Parts["query"]): Promise<T[]> {
    return listPages(this.http, await this.path(rest), name, query);
  }

  /** What a GET returns; undefined for an error of these codes. */
  protected async find<T>(rest: string, ...absent: string[]): Promise<T | undefined> {
    try {
      return await this.call<T>("GET", rest);
    } catch (error) {
      if (!hasCode(error, ...absent)) throw error;
      return undefined;
    }
  }
}

/** Variables, without those that the Sandbox SDK takes as not there. */
export const defined = (variables: Record<string, string | null | undefined> = {}) =>
  Object.fromEntries(Object.entries(variables).filter(([, value]) => value != null)) as Record<
    string,
    string
  >;

export const now = (): string => new Date().toISOString();

/** A random id. Pages that came over plain HTTP have no `crypto.randomUUID`. */
export function newId(prefix: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return prefix + Array.from(bytes, (byte) => byte.toString(36).padStart(2, "0")).join("");
}
