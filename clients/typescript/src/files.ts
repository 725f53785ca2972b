import { makeError } from "./errors.js";
import { insist } from "./http.js";
import { Processes } from "./processes.js";
import { decodeBase64, encodeBase64, follow, toStream } from "./stream.js";
import { now, type Schemas } from "./target.js";

export interface FileInfo extends Pick<Schemas["Entry"], "name" | "size" | "type" | "modifiedAt"> {
  absolutePath: string;
  relativePath: string;
  /** Like `rw-r--r--`. */
  mode: string;
  /** Those of the owner. */
  permissions: { readable: boolean; writable: boolean; executable: boolean };
}

export interface ReadFileResult {
  success: boolean;
  path: string;
  content: string;
  timestamp: string;
  /** `base64` if it was asked for, or if the bytes are not UTF-8. */
  encoding: "utf-8" | "base64";
  isBinary: boolean;
  mimeType: string;
  size: number;
}

export interface WatchOptions {
  /** Default: true. */
  recursive?: boolean;
  /** Globs. */
  include?: string[];
  /** Globs. Default: `.git`, `node_modules`, `.DS_Store`. */
  exclude?: string[];
}

/** The types of events of `watch`, by the names of the bridge. */
const CHANGES: Record<string, string> = {
  created: "create",
  modified: "modify",
  deleted: "delete",
  moved: "move_to",
  attributes: "attrib",
};

const TYPES: Record<string, string> = {
  ...{ json: "application/json", pdf: "application/pdf", zip: "application/zip", xml: "application/xml" },
  ...{ png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", svg: "image/svg+xml" },
  ...{ html: "text/html", css: "text/css", csv: "text/csv", md: "text/markdown", js: "text/javascript" },
};

const result = (path: string) => ({ success: true, path, timestamp: now() });

/** The path in a URL: absolute, without steps such as `..`, which URL parsers would take out of it. */
export function routePath(path: string): string {
  const steps: string[] = path.startsWith("/") ? [] : ["workspace"];
  for (const step of path.split("/")) {
    if (step === "..") steps.pop();
    else if (step !== "" && step !== ".") steps.push(encodeURIComponent(step));
  }
  return `/${steps.join("/")}`;
}

/** Files and directories. Paths are absolute, or relative to /workspace. */
export class Files extends Processes {
  /** Writes a file, and creates the directories above it. */
  async writeFile(
    path: string,
    content: string | Uint8Array | Blob | ReadableStream<Uint8Array>,
    options: { encoding?: string } = {},
  ) {
    const isBase64 = options.encoding === "base64" && typeof content === "string";
    const body = (isBase64 ? decodeBase64(content) : content) as BodyInit;
    const headers = { "Content-Type": "application/octet-stream" };
    await this.call("PUT", `/file${routePath(path)}`, { body, headers });
    return result(path);
  }

  async readFile(
    path: string,
    options: { encoding: "none" },
  ): Promise<
    Omit<ReadFileResult, "content" | "encoding" | "isBinary"> & { content: ReadableStream<Uint8Array> }
  >;
  async readFile(path: string, options?: { encoding?: string }): Promise<ReadFileResult>;
  async readFile(path: string, { encoding }: { encoding?: string } = {}): Promise<any> {
    const mimeType = TYPES[/\.(\w+)$/.exec(path)?.[1]?.toLowerCase() ?? ""];
    if (encoding === "none") {
      const { headers, body } = await this.send("GET", `/file${routePath(path)}`);
      const type = mimeType ?? "application/octet-stream";
      return { ...result(path), content: body!, size: Number(headers.get("Content-Length")), mimeType: type };
    }
    const bytes = await insist(async () => {
      const response = await this.send("GET", `/file${routePath(path)}`);
      return new Uint8Array(await this.http.received({}, response.arrayBuffer()));
    });
    let text: string | undefined;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      // It is not UTF-8.
    }
    const isBinary = text === undefined || text.includes("\0");
    const isBase64 = encoding === "base64" || (encoding === undefined && isBinary) || text === undefined;
    return {
      ...result(path),
      content: isBase64 ? encodeBase64(bytes) : text!,
      encoding: isBase64 ? ("base64" as const) : ("utf-8" as const),
      isBinary,
      mimeType: mimeType ?? (isBinary ? "application/octet-stream" : "text/plain"),
      size: bytes.length,
    };
  }

  /** The events of the Sandbox SDK for a file, `metadata`, `chunk` and `complete`: `parseSSEStream` reads them. */
  readFileStream(path: string): Promise<ReadableStream<Uint8Array>> {
    return toStream(async (emit) => {
      const { content, size, mimeType } = await this.readFile(path, { encoding: "none" });
      await emit({ type: "metadata", mimeType, size, isBinary: true, encoding: "base64" });
      let bytesRead = 0;
      const write = async (bytes: Uint8Array) => {
        bytesRead += bytes.length;
        await emit({ type: "chunk", data: encodeBase64(bytes) });
      };
      await content.pipeTo(new WritableStream({ write }));
      await emit({ type: "complete", bytesRead });
    });
  }

  async listFiles(path: string, options: { recursive?: boolean; includeHidden?: boolean } = {}) {
    const root = decodeURIComponent(routePath(path));
    const query = { depth: options.recursive ? 4096 : 1, hidden: options.includeHidden };
    const entries = await this.list<Schemas["Entry"]>(`/directory${routePath(path)}`, "entries", query);
    const files = entries.map((entry) => fileInfo(entry, root));
    return { ...result(root), files, count: files.length };
  }

  /** Creates a directory. Without `recursive`, its parent must exist, and it must not. */
  async mkdir(path: string, { recursive = false }: { recursive?: boolean } = {}) {
    if (!recursive) await this.call("GET", `/stat${routePath(`${path}/..`)}`, { query: { follow: true } });
    const { created } = await this.call<Schemas["DirectoryCreated"]>("PUT", `/directory${routePath(path)}`);
    if (!created && !recursive) throw makeError("file_exists", `${path} exists`);
    return { ...result(path), recursive };
  }

  /** Removes a file, or with `recursive` a directory and what is in it. */
  async deleteFile(path: string, { recursive = false }: { recursive?: boolean } = {}) {
    await this.call("DELETE", `/file${routePath(path)}`, { query: { recursive } });
    return result(path);
  }

  async renameFile(path: string, newPath: string) {
    const [from, to] = [path, newPath].map((path) => decodeURIComponent(routePath(path)));
    await this.call("POST", "/move", { json: { from, to } });
    return { ...result(path), newPath };
  }

  moveFile(path: string, newPath: string) {
    return this.renameFile(path, newPath);
  }

  async exists(path: string) {
    const rest = `/stat${routePath(path)}?follow=true`;
    const entry = await this.find<Schemas["Entry"]>(rest, "file_not_found");
    return { ...result(path), exists: entry !== undefined };
  }

  /** The changes below a path, from now on: `parseSSEStream` reads the events. */
  watch(path: string, options: WatchOptions = {}): Promise<ReadableStream<Uint8Array>> {
    const { recursive = true, include, exclude = [".git", "node_modules", ".DS_Store"] } = options;
    const query = { recursive, include: include?.join(","), exclude: exclude.join(",") || undefined };
    const route = this.path(`/watch${routePath(path)}`);
    const open = async (lastId: string | undefined, signal: AbortSignal) => {
      const headers = { Accept: "text/event-stream", "Last-Event-ID": lastId };
      return this.http.send("GET", await route, { query, headers, signal });
    };
    return toStream(async (emit, signal) => {
      let isWatching = false;
      for await (const { event, data } of follow({ open, signal, patienceMs: this.http.lingerMs })) {
        const { from, ...change } = JSON.parse(data) as Partial<Schemas["WatchEvent"]>;
        if (event === "watching" && !isWatching) {
          await emit({ type: event, path: change.path, watchId: path });
          isWatching = true;
        } else if (event === "overflow") await emit({ type: "error", error: "events are missing" });
        else if (event in CHANGES) {
          if (from) await emit({ ...change, type: "event", eventType: "move_from", path: from });
          await emit({ ...change, type: "event", eventType: CHANGES[event] });
        }
      }
    });
  }

  /** Whether something below a directory has changed since a version. */
  async checkChanges(path: string, options: { since?: string } = {}) {
    const query = { since: options.since };
    const changes = await this.call<Schemas["Changes"]>("GET", `/changes${routePath(path)}`, { query });
    return { success: true, timestamp: now(), ...changes };
  }
}

function fileInfo({ name, path, type, size, mode, modifiedAt }: Schemas["Entry"], root: string): FileInfo {
  const bits = parseInt(mode, 8);
  const flags = Array.from("rwxrwxrwx", (flag, i) => (bits & (0o400 >> i) ? flag : "-")).join("");
  const has = (bit: number) => (bits & bit) !== 0;
  return {
    ...{ name, type, size, modifiedAt, mode: flags },
    absolutePath: path,
    relativePath: path.slice(root === "/" ? 1 : root.length + 1),
    permissions: { readable: has(0o400), writable: has(0o200), executable: has(0o100) },
  };
}
