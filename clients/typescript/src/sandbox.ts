import { Code } from "./code.js";
import { makeError } from "./errors.js";
import { type Connection, Http, segment } from "./http.js";
import type { operations } from "./openapi.js";
import { Box, defined, newId, now, type Schemas, type Variables } from "./target.js";

/** Settings of a sandbox: those of the Sandbox SDK, and the bridge's own. */
export interface SandboxOptions extends Omit<Schemas["SandboxSettings"], "name" | "sleepAfter"> {
  /** Idle time after which it sleeps: seconds, or a text like `10m`. */
  sleepAfter?: string | number;
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

type TerminalQuery = NonNullable<operations["ptyTerminal"]["parameters"]["query"]>;

export type TerminalOptions = Omit<TerminalQuery, "session">;

export interface BackupOptions extends Omit<Schemas["SnapshotRequest"], "dir" | "ttl"> {
  dir: string;
  /** In seconds. */
  ttl?: number;
  /** Whether files that git ignores are left out. Default: false. */
  gitignore?: boolean;
}

export interface CheckoutOptions extends Omit<Schemas["CheckoutRequest"], "repoUrl"> {
  cloneTimeoutMs?: number;
}

/** A session: commands whose shell state stays, and all of the sandbox's files, processes and contexts. */
export class Session extends Code {
  /** The id of the session. */
  get id(): string {
    return this.session ?? "default";
  }

  /** Sets variables of later commands; undefined and null remove one. */
  async setEnvVars(variables: Variables): Promise<void> {
    const set = Object.entries(variables).filter(([, value]) => value != null);
    const unset = Object.keys(variables).filter((name) => variables[name] == null);
    const commands = [
      ["export", ...set.map((pair) => pair.join("="))],
      ["unset", ...unset],
    ];
    for (const command of commands.filter(({ length }) => length > 1)) {
      const { success, stderr } = await this.exec(command);
      if (!success) throw makeError("session_error", stderr);
    }
  }

  /** Checks out a repository. `ref` is a branch, a tag or a commit; `auth` is for this checkout alone. */
  async gitCheckout(repoUrl: string, { cloneTimeoutMs, ...options }: CheckoutOptions = {}) {
    const json = { timeout_ms: cloneTimeoutMs, ...options, repoUrl };
    return { timestamp: now(), ...(await this.call<Schemas["Checkout"]>("POST", "/git/checkout", { json })) };
  }

  /** Mounts a bucket. Without an endpoint, `bucket` is the name of a bucket that is bound to the Worker. */
  async mountBucket(bucket: string, mountPath: string, options: Schemas["MountBucketRequestOptions"] = {}) {
    const named = options.endpoint || options.credentials ? { bucket } : { binding: bucket };
    await this.perform("POST", "/mount", { ...named, mountPath, options });
  }

  unmountBucket = (mountPath: string) => this.perform("POST", "/unmount", { mountPath });

  /** Makes a snapshot of a directory. */
  async createBackup({ ttl, dir, name, excludes, gitignore }: BackupOptions): Promise<Schemas["Snapshot"]> {
    const ignored = gitignore ? await this.#ignored(dir) : [];
    const json = { dir, name, ttl: duration(ttl), excludes: [...(excludes ?? []), ...ignored] };
    return this.call("POST", "/snapshot", { json });
  }

  /** Patterns of what git ignores below a directory; none outside of a repository. */
  async #ignored(dir: string): Promise<string[]> {
    const list = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"];
    const { stdout } = await new Session(this.http).exec(["git", "-C", dir, ...list]);
    const paths = stdout.split("\0").filter(Boolean);
    return paths.map((path) => path.replace(/[\\*?[]/g, "\\$&"));
  }

  /** Restores a snapshot into a directory: the whole of it, or nothing. */
  async restoreBackup({ id, dir }: { id: string; dir: string }) {
    await this.perform("POST", "/restore", { snapshot: id, dir });
    return { success: true, dir, id };
  }

  /** A terminal as a WebSocket: see terminals.md. Node has `WebSocket` from version 22 on. */
  async terminal(options?: TerminalOptions): Promise<WebSocket>;
  /** In a Worker: the answer to a client's request for a WebSocket. */
  async terminal(request: Request, options?: TerminalOptions): Promise<Response>;
  async terminal(first?: Request | TerminalOptions, second?: TerminalOptions) {
    const [request, options] = first instanceof Request ? [first, second] : [undefined, first];
    const query = { cols: 80, rows: 24, mode: "shell", session: this.session, ...options };
    const path = await this.path("/pty");
    const headers = request && Object.fromEntries(request.headers);
    if (headers) return this.http.sendOnce("GET", path, { headers, query });
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
    this.http.forget();
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

  isPortExposed = async (port: number) =>
    (await this.getExposedPorts()).some((exposed) => exposed.port === port);

  /** In a Worker: the answer of the server on a port to a client's request for a WebSocket. */
  wsConnect(request: Request, port: number): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    return this.fetchPort(port, pathname + search, { headers: request.headers });
  }

  async createSession({ id = newId("session-"), cwd, env, commandTimeoutMs }: SessionOptions = {}) {
    await this.perform("POST", "/session", { id, cwd, env: defined(env), timeout_ms: commandTimeoutMs });
    return new Session(this.http, id);
  }

  /** A session by its id. Its first command creates it if it is not there. */
  getSession = async (id: string) => new Session(this.http, id);

  /** Ends a session, and the processes that it has started. */
  async deleteSession(id: string): Promise<Schemas["SessionDeleted"] & { timestamp: string }> {
    const deleted = await this.call<Schemas["SessionDeleted"]>("DELETE", `/session/${segment(id)}`);
    const running = (await this.listProcesses()).filter(({ status }) => status === "running");
    await Promise.all(running.filter(({ sessionId }) => sessionId === id).map((process) => process.kill()));
    return { ...deleted, timestamp: now() };
  }
}

/** A name, or an id. Without either, the bridge chooses an id. */
type Named = string | { id?: string };
type CreateOptions = SandboxOptions & { name?: string };

/** A number is one of seconds. */
const duration = (value?: string | number) => (typeof value === "number" ? `${value}s` : value);

/**
 * The sandbox of a name, or of an id of `POST /v1/sandbox`. Sends nothing: the first method creates a sandbox
 * of this name with these settings, unless there is one.
 */
export function getSandbox(connection: Connection, named: Named, options: SandboxOptions = {}): Sandbox {
  // Without the settings of the client alone, and those of the Sandbox SDK that mean nothing here.
  const { enableDefaultSession, normalizeId, sleepAfter, transport, containerTimeouts, ...rest } = options;
  const name = normalizeId && typeof named === "string" ? named.toLowerCase() : named;
  const settings = sleepAfter === undefined ? rest : { ...rest, sleepAfter: duration(sleepAfter) };
  const box = new Box(connection, { ...(typeof name === "string" ? { name } : name), ...settings });
  return new Sandbox(box, enableDefaultSession === false ? undefined : "default");
}

/** Creates a sandbox with an id that the bridge chooses, or of a name. */
export async function createSandbox(connection: Connection, { name, ...options }: CreateOptions = {}) {
  const sandbox = getSandbox(connection, name || {}, options);
  await sandbox.sandboxId();
  return sandbox;
}

/** The sandboxes of a bridge that were created with settings or have run, the newest first. */
export const listSandboxes = (connection: Connection, query: { label?: string; state?: string } = {}) =>
  new Http(connection).list<Schemas["SandboxInfo"]>("/v1/sandbox", "sandboxes", query);

/** The snapshots of a bridge, of all sandboxes. */
export const listSnapshots = (connection: Connection) =>
  new Http(connection).list<Schemas["Snapshot"]>("/v1/snapshot", "snapshots");

export const deleteSnapshot = async (connection: Connection, id: string) =>
  new Http(connection).json<void>("DELETE", `/v1/snapshot/${segment(id)}`);

/** Creates a token: a credential for a part of what the key permits, until a time like `10m`. */
export const createToken = (connection: Connection, json: Schemas["TokenRequest"]) =>
  new Http(connection).json<Schemas["TokenCreated"]>("POST", "/v1/token", { json });
