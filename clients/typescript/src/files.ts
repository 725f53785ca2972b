import { makeError } from "./errors.js";
import { Processes } from "./processes.js";
import { decodeBase64, decodeText, encodeBase64, toStream } from "./stream.js";
import { now, type Schemas } from "./target.js";

export type FileInfo = ReturnType<typeof fileInfo>;
export type ReadFileResult = ReturnType<typeof readResult>;

/** A file whose content is read as it arrives. */
export interface OpenFile extends Omit<ReadFileResult, "content" | "encoding" | "isBinary"> {
  content: ReadableStream<Uint8Array>;
}

export interface WatchOptions {
  /** Default: true. */
  recursive?: boolean;
  /** Globs. */
  include?: string[];
  /** Globs. Default: `.git`, `node_modules`, `.DS_Store`. */
  exclude?: string[];
}

type Content = string | Uint8Array | Blob | ReadableStream<Uint8Array>;

/** The types of events of `watch`, by the names of the bridge. */
const CHANGES: Record<string, string> = {
  ...{ created: "create", modified: "modify", deleted: "delete", moved: "move_to", attributes: "attrib" },
};

const BINARY = "application/octet-stream";

/** The types of files by the ends of their names. */
const TYPES: Record<string, string> = {
  ...{ json: "application/json", pdf: "application/pdf", zip: "application/zip", xml: "application/xml" },
  ...{ png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", svg: "image/svg+xml" },
  ...{ html: "text/html", css: "text/css", csv: "text/csv", md: "text/markdown", js: "text/javascript" },
};

const typeOf = (path: string) => TYPES[/\.(\w+)$/.exec(path)?.[1]?.toLowerCase() ?? ""];

/** What the methods for files resolve to, at least. */
const result = (path: string) => ({ success: true, path, timestamp: now() });

/** The path in a URL: absolute, without steps such as `..`, which URL parsers would take out of it. */
function routePath(path: string): string {
  const steps: string[] = path.startsWith("/") ? [] : ["workspace"];
  for (const step of path.split("/")) {
    if (step === "..") steps.pop();
    else if (step !== "" && step !== ".") steps.push(encodeURIComponent(step));
  }
  return `/${steps.join("/")}`;
}

const decodedPath = (path: string) => decodeURIComponent(routePath(path));

/** Bytes as text; undefined if they are none. `isCut`: the last character may be incomplete. */
function textOf(bytes: Uint8Array, isCut = false): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream: isCut });
    return text.includes("\0") ? undefined : text;
  } catch {
    return undefined;
  }
}

/** A file that was read. It is base64 if that was asked for, or if the bytes are not UTF-8. */
function readResult(path: string, bytes: Uint8Array, encoding?: string) {
  const [type, text] = [typeOf(path), textOf(bytes)];
  const isBinary = text === undefined || /^(image\/(?!svg)|application\/(pdf|zip))/.test(type ?? "");
  const isBase64 = encoding === "base64" || (encoding === undefined && isBinary);
  return {
    ...result(path),
    content: isBase64 ? encodeBase64(bytes) : (text ?? decodeText(bytes)),
    encoding: isBase64 ? ("base64" as const) : ("utf-8" as const),
    isBinary,
    mimeType: type ?? (isBinary ? BINARY : "text/plain"),
    size: bytes.length,
  };
}

/** Files and directories. Paths are absolute, or relative to /workspace. */
export class Files extends Processes {
  /** Writes a file, and creates the directories above it. */
  async writeFile(path: string, content: Content, { encoding }: { encoding?: string } = {}) {
    const isBase64 = encoding === "base64" && typeof content === "string";
    const body = (isBase64 ? decodeBase64(content) : content) as BodyInit;
    const headers = { "Content-Type": "application/octet-stream" };
    await this.call("PUT", `/file${routePath(path)}`, { body, headers });
    return result(path);
  }

  async readFile(path: string, options: { encoding: "none" }): Promise<OpenFile>;
  async readFile(path: string, options?: { encoding?: string }): Promise<ReadFileResult>;
  async readFile(path: string, { encoding }: { encoding?: string } = {}): Promise<OpenFile | ReadFileResult> {
    const route = await this.path(`/file${routePath(path)}`);
    if (encoding !== "none") return readResult(path, await this.http.bytes(route), encoding);
    const { headers, body } = await this.http.send("GET", route);
    const size = Number(headers.get("Content-Length"));
    return { ...result(path), content: body!, size, mimeType: typeOf(path) ?? BINARY };
  }

  /** The events of the Sandbox SDK for a file, `metadata`, `chunk` and `complete`: `parseSSEStream` reads them. */
  readFileStream(path: string) {
    return toStream(async (emit) => {
      const { content, size, mimeType } = await this.readFile(path, { encoding: "none" });
      const text = new TextDecoder("utf-8", { ignoreBOM: true });
      let [isBinary, bytesRead]: [boolean | undefined, number] = [undefined, 0];
      const write = async (bytes: Uint8Array) => {
        if (isBinary === undefined) {
          isBinary = textOf(bytes, true) === undefined;
          const type = !isBinary && mimeType === BINARY ? "text/plain" : mimeType;
          const encoding = isBinary ? "base64" : "utf-8";
          await emit({ type: "metadata", mimeType: type, size, isBinary, encoding });
        }
        bytesRead += bytes.length;
        const data = isBinary ? encodeBase64(bytes) : text.decode(bytes, { stream: true });
        if (bytes.length > 0) await emit({ type: "chunk", data });
      };
      await content.pipeTo(new WritableStream({ write }));
      // An empty file has metadata, too.
      if (isBinary === undefined) await write(new Uint8Array());
      await emit({ type: "complete", bytesRead });
    });
  }

  async listFiles(path: string, options: { recursive?: boolean; includeHidden?: boolean } = {}) {
    const root = decodedPath(path);
    const query = { depth: options.recursive ? 4096 : 1, hidden: options.includeHidden };
    const route = await this.path(`/directory${routePath(path)}`);
    const entries = await this.http.list<Schemas["Entry"]>(route, "entries", query);
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
    await this.perform("POST", "/move", { from: decodedPath(path), to: decodedPath(newPath) });
    return { ...result(path), newPath };
  }

  moveFile = (path: string, newPath: string) => this.renameFile(path, newPath);

  async exists(path: string) {
    const route = await this.path(`/stat${routePath(path)}?follow=true`);
    return { ...result(path), exists: !!(await this.http.find(route, "file_not_found")) };
  }

  /** The changes below a path, from now on: `parseSSEStream` reads the events. */
  watch(path: string, options: WatchOptions = {}) {
    const { recursive = true, include, exclude = [".git", "node_modules", ".DS_Store"] } = options;
    const query = { recursive, include: include?.join(","), exclude: exclude.join(",") || undefined };
    return toStream(async (emit, signal) => {
      let isWatching = false;
      for await (const { event, data } of this.events(`/watch${routePath(path)}`, query, signal)) {
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
  async checkChanges(path: string, { since }: { since?: string } = {}) {
    const query = { since };
    const changes = await this.call<Schemas["Changes"]>("GET", `/changes${routePath(path)}`, { query });
    // Without a version, nothing has changed since.
    if (since === undefined) changes.status = "unchanged";
    return { success: true, timestamp: now(), ...changes };
  }
}

function fileInfo({ name, path, type, size, mode, modifiedAt }: Schemas["Entry"], root: string) {
  const bits = parseInt(mode, 8);
  const has = (bit: number) => (bits & bit) !== 0;
  return {
    ...{ name, type, size, modifiedAt },
    absolutePath: path,
    relativePath: path.slice(root === "/" ? 1 : root.length + 1),
    /** Like `rw-r--r--`. */
    mode: Array.from("rwxrwxrwx", (flag, i) => (has(0o400 >> i) ? flag : "-")).join(""),
    /** Those of the owner. */
    permissions: { readable: has(0o400), writable: has(0o200), executable: has(0o100) },
  };
}
