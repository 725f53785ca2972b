import { type Connection, Http, type Parts, segment } from "./http.js";
import type { components } from "./openapi.js";
import { follow } from "./stream.js";

/** The types of the bridge's JSON. */
export type Schemas = components["schemas"];

/** Variables of an environment. Undefined and null are skipped. */
export type Variables = Record<string, string | null | undefined>;

/** What a new sandbox is created with. */
type Creation = { id?: string; name?: string };

/** The requests to one sandbox. */
export class Box extends Http {
  #created: Promise<Schemas["SandboxCreated"]> | undefined;
  // Settings have the values of variables, which no log is to show.
  readonly #json: Creation;

  constructor(connection: Connection, json: Creation) {
    super(connection);
    this.#json = json;
  }

  /** The id of the sandbox. That of a name is asked for once; this also gives the sandbox its settings. */
  async id(): Promise<string> {
    const { id, ...settings } = this.#json;
    if (id && Object.keys(settings).length === 0) return id;
    const created = (this.#created ??= this.json("POST", "/v1/sandbox", { json: this.#json }));
    created.catch(() => this.forget());
    return (await created).id;
  }

  /** After the end of the sandbox: its settings are gone, too. */
  forget(): void {
    this.#created = undefined;
  }
}

/** A sandbox, or a session in it, with the requests to its routes. */
export class Target {
  constructor(
    protected readonly http: Box,
    /** The session of its commands, if they have one. */
    protected readonly session?: string,
  ) {}

  /** The id of the sandbox in URLs. */
  sandboxId = () => this.http.id();

  protected async path(rest: string): Promise<string> {
    return `/v1/sandbox/${segment(await this.http.id())}${rest}`;
  }

  protected async call<T>(method: string, rest: string, parts?: Parts): Promise<T> {
    return this.http.json<T>(method, await this.path(rest), parts);
  }

  /** A call whose answer is not looked at. */
  protected async perform(method: string, rest: string, json?: object): Promise<void> {
    await this.call(method, rest, { json });
  }

  /** The events of a stream that a GET opens. */
  protected async *events(rest: string, query: Parts["query"], signal?: AbortSignal) {
    yield* follow(this.http, "GET", await this.path(rest), { query, signal });
  }
}

export const defined = (variables?: Variables) =>
  variables && Object.fromEntries(Object.entries(variables).filter(([, value]) => value != null));

export const now = (): string => new Date().toISOString();

/** A random id. Pages that came over plain HTTP have no `crypto.randomUUID`. */
export function newId(prefix: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return prefix + Array.from(bytes, (byte) => byte.toString(36).padStart(2, "0")).join("");
}
