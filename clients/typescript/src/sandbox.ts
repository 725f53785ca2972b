import { Code } from "./code.js";
import { type Connection, Http, listPages, segment } from "./http.js";
import { Box, defined, newId, now, type Schemas, type Variables } from "./target.js";

/** Settings of a sandbox: those of the Sandbox SDK, and the bridge's own. */
export interface SandboxOptions extends Partial<Omit<Schemas["SandboxSettings"], "name" | "sleepAfter">> {
  /** Idle time after which it sleeps: seconds, or a text like `10m`. */
  sleepAfter?: string | number;
  /** Starts it from a snapshot. */
  snapshot?: string;
  /** Whether commands without a session share the session `default`. Default: true. */
  enableDefaultSession?: boolean;
  /** Whether the name is taken in lower case. */
  normalizeId?: boolean;
  /** Settings of the Sandbox SDK that the bridge has no use for. */
  transport?: string;
  containerTimeouts?: object;
}

export interface SessionOptions {
  id?: string;
  cwd?: string;
  env?: Variables;
  /** The timeout of commands that have none of their own. */
  commandTimeoutMs?: number;
  /** Without a meaning here. */
  name?: string;
  isolation?: boolean;
}

export interface TerminalOptions {
  cols?: number;
  rows?: number;
  shell?: string;
  mode?: "auto" | "shell" | "command";
}

export interface BackupOptions {
  dir: string;
  name?: string;
  /** In seconds. */
  ttl?: number;
  excludes?: string[];
}

/** A session: commands whose shell state stays, and all of the sandbox's files, processes and contexts. */
export class Session extends Code {
  /** The id of the session. */
  get id(): string {
    return this.session ?? "default";
  }

  /** Sets variables of later commands; undefined and null remove one. */
  async setEnvVars(variables: Variables): Promise<void> {
    const set = Object.entries(defined(variables));
    const unset = Object.keys(variables).filter((name) => variables[name] == null);
    if (set.length > 0) await this.exec(["export", ...set.map((pair) => pair.join("="))]);
    if (unset.length > 0) await this.exec(["unset", ...unset]);
  }

  /** Checks out a repository. `ref` is a branch, a tag or a commit; `auth` is for this checkout alone. */
  async gitCheckout(
    repoUrl: string,
    options: Partial<Omit<Schemas["CheckoutRequest"], "repoUrl">> & { cloneTimeoutMs?: number } = {},
  ) {
    const { cloneTimeoutMs, ...rest } = options;
    const json = { timeout_ms: cloneTimeoutMs, ...rest, repoUrl };
    return { timestamp: now(), ...(await this.call<Schemas["Checkout"]>("POST", "/git/checkout", { json })) };
  }

  /** Mounts a bucket. Without an endpoint, `bucket` is the name of a bucket that is bound to the Worker. */
  async mountBucket(
    bucket: string,
    mountPath: string,
    options: Partial<Schemas["MountBucketRequestOptions"]> = {},
  ) {
    const named = options.endpoint || options.credentials ? { bucket } : { binding: bucket };
    await this.perform("POST", "/mount", { ...named, mountPath, options });
  }

  unmountBucket = (mountPath: string) => this.perform("POST", "/unmount", { mountPath });

  /** Makes a snapshot of a directory. */
  async createBackup({ dir, name, ttl, excludes }: BackupOptions): Promise<Schemas["Snapshot"]> {
    const json = { dir, name, ttl: ttl === undefined ? undefined : `${ttl}s`, excludes };
    return this.call("POST", "/snapshot", { json });
  }

  /** Restores a snapshot: the whole of it, or nothing. */
  async restoreBackup({ id, dir }: { id: string; dir: string }) {
    await this.perform("POST", "/restore", { snapshot: id });
    return { success: true, dir, id };
  }

  /** A terminal as a WebSocket: see terminals.md. Node has `WebSocket` from version 22 on. */
  async terminal(options?: TerminalOptions): Promise<WebSocket>;
  /** In a Worker: the answer to a client's request for a WebSocket. */
  async terminal(request: Request, options?: TerminalOptions): Promise<Response>;
  async terminal(first?: Request | TerminalOptions, options?: TerminalOptions) {
    const request = first instanceof Request ? first : undefined;
    const given = request ? options : (first as TerminalOptions);
    const query = { cols: 80, rows: 24, mode: "shell", session: this.session, ...given };
    const path = await this.path("/pty");
    if (request)
      return this.http.sendOnce("GET", path, { headers: Object.fromEntries(request.headers), query });
    const socket = new WebSocket(this.http.socketUrl(path, query));
    socket.binaryType = "arraybuffer";
    return socket;
  }
}

/** A sandbox. `getSandbox` makes it. */
export class Sandbox extends Session {
  /** Tunnels: public addresses of ports. */
  readonly tunnels = {
    get: (port: number, options: { name?: string } = {}) =>
      this.call<Schemas["Tunnel"]>("POST", `/tunnel/${port}`, { json: options }),
    list: async () => (await this.info()).tunnels ?? [],
    destroy: (port: number) => this.perform("DELETE", `/tunnel/${port}`),
  };

  override async setEnvVars(variables: Variables): Promise<void> {
    const env = Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, value ?? null]));
    await this.update({ env });
    // Variables that a session has exported stay there.
    if (this.session) await super.setEnvVars(variables);
  }

  setKeepAlive = (keepAlive: boolean) => this.perform("PATCH", "", { keepAlive });

  setSleepAfter = (sleepAfter: string | number) =>
    this.perform("PATCH", "", { sleepAfter: duration(sleepAfter) });

  setLabels = (labels: Record<string, string | null>) => this.perform("PATCH", "", { labels });

  /** Changes settings: null sets one back to its default. */
  update = (json: object) => this.call<Schemas["SandboxInfo"]>("PATCH", "", { json });

  /** The sandbox as the bridge tells of it. Starts nothing. */
  info = () => this.call<Schemas["SandboxInfo"]>("GET", "");

  async getState(): Promise<{ status: "healthy" | "stopped"; lastChange: number }> {
    const { state, startedAt, createdAt } = await this.info();
    const status = state === "running" ? "healthy" : "stopped";
    return { status, lastChange: Date.parse(startedAt ?? createdAt) };
  }

  start = () => this.perform("POST", "/start");

  /** Puts it to sleep: what runs ends, and files are gone. */
  stop = () => this.perform("POST", "/stop");

  /** Ends it. Another use of this object begins with a new, empty sandbox. */
  async destroy(): Promise<void> {
    await this.perform("DELETE", "");
    this.box.forget();
  }

  /** Gives a port an address for browsers. The bridge decides on the host. */
  async exposePort(port: number, options: { hostname?: string; name?: string; token?: string } = {}) {
    const { hostname, ...json } = options;
    const { url, name } = await this.call<Schemas["ExposedPort"]>("PUT", `/port/${port}`, { json });
    return { url, port, name: name ?? undefined };
  }

  unexposePort = (port: number) => this.perform("DELETE", `/port/${port}`);

  async getExposedPorts(_hostname?: string) {
    const { ports } = await this.call<Schemas["PortList"]>("GET", "/port");
    return ports.flatMap(({ port, url, name }) =>
      url ? [{ port, url, name: name ?? undefined, status: "active" }] : [],
    );
  }

  async isPortExposed(port: number): Promise<boolean> {
    return (await this.getExposedPorts()).some((exposed) => exposed.port === port);
  }

  /** Sends a request to the server on a port. Returns its answer, whatever its status is. */
  async fetchPort(port: number, path = "/", init: RequestInit = {}): Promise<Response> {
    const headers = Object.fromEntries(new Headers(init.headers));
    const parts = { headers, body: init.body ?? undefined, signal: init.signal ?? undefined };
    return this.http.sendOnce(init.method ?? "GET", await this.path(`/port/${segment(port)}${path}`), parts);
  }

  /** In a Worker: the answer of the server on a port to a client's request for a WebSocket. */
  wsConnect(request: Request, port: number): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    return this.fetchPort(port, pathname + search, { headers: request.headers });
  }

  async createSession(options: SessionOptions = {}): Promise<Session> {
    const { id = newId("session-"), cwd, env } = options;
    await this.perform("POST", "/session", { id, cwd, env: env && defined(env) });
    return new Session(this.box, id, options.commandTimeoutMs);
  }

  /** A session by its id. Its first command creates it if it is not there. */
  getSession = async (id: string) => new Session(this.box, id);

  async deleteSession(id: string): Promise<Schemas["SessionDeleted"] & { timestamp: string }> {
    const deleted = await this.call<Schemas["SessionDeleted"]>("DELETE", `/session/${segment(id)}`);
    return { ...deleted, timestamp: now() };
  }
}

const duration = (value: string | number) => (typeof value === "number" ? `${value}s` : value);

/** The settings without those of the client alone, and without those of the Sandbox SDK that mean nothing here. */
function clean(options: SandboxOptions): object {
  const { enableDefaultSession, normalizeId, sleepAfter, transport, containerTimeouts, ...rest } = options;
  return { ...rest, ...(sleepAfter !== undefined && { sleepAfter: duration(sleepAfter) }) };
}

/**
 * The sandbox of a name, or of an id of `POST /v1/sandbox`. Sends nothing: the first method creates a sandbox
 * of this name with these settings, unless there is one.
 */
export function getSandbox(
  connection: Connection,
  named: string | { id: string },
  options: SandboxOptions = {},
): Sandbox {
  const name = options.normalizeId && typeof named === "string" ? named.toLowerCase() : named;
  const box = new Box(new Http(connection), typeof name === "string" ? { name } : name, clean(options));
  return new Sandbox(box, options.enableDefaultSession === false ? undefined : "default");
}

/** Creates a sandbox with an id that the bridge chooses, or of a name. */
export async function createSandbox(
  connection: Connection,
  options: SandboxOptions & { name?: string } = {},
): Promise<Sandbox> {
  const { name, enableDefaultSession, ...settings } = options;
  if (name) return getSandbox(connection, name, options);
  const json = clean(settings);
  const created = await new Http(connection).json<Schemas["SandboxCreated"]>("POST", "/v1/sandbox", { json });
  return getSandbox(connection, created, { enableDefaultSession });
}

/** The sandboxes of a bridge that were created with settings or have run, the newest first. */
export const listSandboxes = (connection: Connection, query: { label?: string; state?: string } = {}) =>
  listPages<Schemas["SandboxInfo"]>(new Http(connection), "/v1/sandbox", "sandboxes", query);

/** The snapshots of a bridge, of all sandboxes. */
export const listSnapshots = (connection: Connection) =>
  listPages<Schemas["Snapshot"]>(new Http(connection), "/v1/snapshot", "snapshots");

export const deleteSnapshot = async (connection: Connection, id: string) =>
  new Http(connection).json<void>("DELETE", `/v1/snapshot/${segment(id)}`);

/** Creates a token: a credential for a part of what the key permits, until a time like `10m`. */
export const createToken = (connection: Connection, json: Schemas["TokenRequest"]) =>
  new Http(connection).json<Schemas["TokenCreated"]>("POST", "/v1/token", { json });
