import { ConnectionLostError, errorIn, hasCode, makeError } from "./errors.js";
import { backoff, type Http, type Parts } from "./http.js";
import type { Schemas } from "./target.js";

type ByteStream = ReadableStream<Uint8Array>;

/** An event of a stream. `id` is empty if it has none. */
type ServerEvent = { id: string; event: string; data: string };

/** The bridge sends a comment every 5 s, so a connection that is silent for this long is dead. */
const IDLE_MS = 30_000;

type Chunk = { value?: Uint8Array };

/** The events of a response, each whole or not there. `broken` is what to do when the connection breaks. */
async function* parse(body: ByteStream, alive = () => {}, broken?: () => Chunk): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const { value }: Chunk = await reader.read().catch(broken);
      if (!value) return;
      alive();
      const blocks = (text + decoder.decode(value, { stream: true })).split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) {
        const event: ServerEvent = { id: "", event: "message", data: "" };
        // For `.` and `$`, a line also ends at U+2028, which JSON can have.
        for (const [, field, value] of block.matchAll(/(?:^|\n)(id|event|data): ?([^\n]*)/g)) {
          event[field as keyof ServerEvent] = value!;
        }
        // The bridge ends so an event that broke off.
        if (event.data && event.event !== "incomplete") yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

const either = (first: AbortSignal, second?: AbortSignal | null): AbortSignal =>
  second ? AbortSignal.any([first, second]) : first;

/**
 * A request that is sent again when its connection breaks. `mayRepeat` is called if no event has arrived. It
 * is told whether the request was answered, and throws if it must not be sent again.
 */
type Resumable = Parts & { mayRepeat?: (isOpen: boolean) => Promise<void> };

/**
 * The events of a stream, each once, over as many connections as it takes, up to `exit`. The first one is
 * `open`: the stream was opened. An event `error` is thrown.
 */
export async function* follow(http: Http, method: string, path: string, request: Resumable) {
  const { mayRepeat, ...parts } = request;
  let lastId: string | undefined;
  /** Why the last request broke that may have been carried out. */
  let lost: unknown;
  let [isSent, isOpen, lastProgress, failures] = [false, false, Date.now(), 0];
  for (;;) {
    const connection = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const alive = () => {
      [lastProgress, failures] = [Date.now(), 0];
      clearTimeout(timer);
      timer = setTimeout(() => connection.abort(), IDLE_MS);
    };
    try {
      if (isSent && !lastId) await mayRepeat?.(isOpen);
      isSent = true;
      const headers = { ...parts.headers, Accept: "text/event-stream", "Last-Event-ID": lastId };
      const signal = either(connection.signal, parts.signal);
      if (isOpen) timer = setTimeout(() => connection.abort(), IDLE_MS);
      const response = await http.send(method, path, { ...parts, headers, signal });
      if (!isOpen) yield { id: "", event: "open", data: "{}" } as ServerEvent;
      isOpen = true;
      alive();
      for await (const event of parse(response.body!, alive, () => ({}))) {
        if (event.event === "error") throw errorIn(JSON.parse(event.data));
        if (event.id) lastId = event.id;
        // The time of the reader is not one of the connection.
        clearTimeout(timer);
        yield event;
        if (event.event === "exit") return;
        alive();
      }
      lost = makeError("connection_lost", "the stream broke off");
    } catch (error) {
      if (!(error instanceof ConnectionLostError)) throw error;
      // The sandbox and its log may be there, though they cannot be reached now.
      if (!hasCode(error, "unreachable")) lost = error;
      else if (!lost) throw error;
    } finally {
      clearTimeout(timer);
      connection.abort();
    }
    parts.signal?.throwIfAborted();
    if (Date.now() - lastProgress > http.lingerMs) throw lost;
    await backoff(failures++);
  }
}

/** An event of a command, a process or a run of code. */
export type RawEvent =
  | { type: "open" }
  | { type: "stdout" | "stderr"; data: Uint8Array; text: string }
  | { type: "gap"; first: number; last: number }
  | { type: "result"; result: Schemas["Bundle"] }
  | { type: "exception"; exception: Schemas["Exception"] }
  | { type: "exit"; exit: Schemas["Exit"] };

/** What a reader is told for whom a `gap` is an error. */
export const DROPPED = "output was dropped before it was read";

const encoder = new TextEncoder();
// A byte order mark is output like any other. The bridge divides text between characters.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export const decodeText = (bytes: Uint8Array): string => decoder.decode(bytes);

/** Events of [`follow`] as these. */
export async function* toRawEvents(events: AsyncIterable<ServerEvent>): AsyncGenerator<RawEvent> {
  for await (const { event, data } of events) {
    if (event === "stdout" || event === "stderr") {
      const bytes = decodeBase64(data);
      yield { type: event, data: bytes, text: decodeText(bytes) };
    } else if (event === "gap" || event === "open") yield { type: event, ...JSON.parse(data) };
    else yield { type: event, [event]: JSON.parse(data) } as RawEvent;
  }
}

export function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

export function encodeBase64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

/** Sends an event, and waits until the reader wants more. Without one: only says that the stream is open. */
type Emit = (event?: object) => void | Promise<void>;
type Produce = (emit: Emit, signal: AbortSignal) => Promise<unknown>;

/**
 * Server-sent events whose data is JSON, as methods of the Sandbox SDK return them; `parseSSEStream` reads
 * them. Resolves once the stream is open, and throws what fails before. Cancelling it aborts the signal.
 */
export function toStream(produce: Produce, signal?: AbortSignal): Promise<ByteStream> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const [writer, cancelled] = [writable.getWriter(), new AbortController()];
  writer.closed.catch(() => cancelled.abort());
  return new Promise((resolve, reject) => {
    const emit: Emit = (event) => {
      resolve(readable);
      const timestamp = new Date().toISOString();
      if (event) return writer.write(encoder.encode(`data: ${JSON.stringify({ timestamp, ...event })}\n\n`));
    };
    const failed = (error: unknown) => {
      reject(error);
      writer.abort(error).catch(() => {});
    };
    produce(emit, either(cancelled.signal, signal))
      .then(() => writer.close())
      .catch(failed);
  });
}

/** The events of a stream that `execStream`, `streamProcessLogs`, `watch` and others return. */
export async function* parseSSEStream<T>(body: ByteStream, signal?: AbortSignal): AsyncGenerator<T> {
  const events = parse(signal ? body.pipeThrough(new TransformStream(), { signal }) : body);
  for await (const { data } of events) yield JSON.parse(data) as T;
}
