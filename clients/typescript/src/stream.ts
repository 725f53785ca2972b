import { ConnectionLostError, errorIn, hasCode, makeError } from "./errors.js";
import { sleep } from "./http.js";
import type { Schemas } from "./target.js";

/** An event of a stream. `id` is empty if it has none. */
interface ServerEvent {
  id: string;
  event: string;
  data: string;
}

/** The bridge sends a comment every 5 s, so a connection that is silent for this long is dead. */
const IDLE_MS = 30_000;

/** The events of a response. Ends with the connection, also when that breaks: an event is whole or not there. */
async function* parse(body: ReadableStream<Uint8Array>, alive = () => {}): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const { value } = await reader.read().catch(() => ({ value: undefined }));
      if (!value) return;
      alive();
      const blocks = (text + decoder.decode(value, { stream: true })).split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) {
        const event: ServerEvent = { id: "", event: "message", data: "" };
        for (const line of block.split("\n")) {
          const [, field, value] = /^(id|event|data): ?(.*)$/.exec(line) ?? [];
          if (field) event[field as keyof ServerEvent] = value!;
        }
        if (event.data) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

const either = (first: AbortSignal, second?: AbortSignal): AbortSignal =>
  second ? AbortSignal.any([first, second]) : first;

/** A stream that can be opened again behind an event. */
export interface Source {
  /** Opens the stream behind the event `lastId`; undefined: no event has arrived yet. */
  open(lastId: string | undefined, signal: AbortSignal): Promise<Response>;
  signal?: AbortSignal;
  /** How long it is tried to open again. */
  patienceMs: number;
}

/**
 * The events of a stream, each once, over as many connections as it takes, up to `exit`. The first one is
 * `open`: the stream was opened. An event `error` is thrown.
 */
export async function* follow(source: Source): AsyncGenerator<ServerEvent> {
  let [lastId, lastProgress, failures]: [string | undefined, number, number] = [undefined, Date.now(), 0];
  for (let isOpen = false; ;) {
    const connection = new AbortController();
    const signal = either(connection.signal, source.signal);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const alive = () => {
      [lastProgress, failures] = [Date.now(), 0];
      clearTimeout(timer);
      timer = setTimeout(() => connection.abort(), IDLE_MS);
    };
    let lost: unknown = makeError("connection_lost", "the stream broke off");
    try {
      const response = await source.open(lastId, signal);
      if (!isOpen) yield { id: "", event: "open", data: "{}" };
      isOpen = true;
      alive();
      for await (const event of parse(response.body!, alive)) {
        if (event.event === "error") throw errorIn(JSON.parse(event.data));
        if (event.id) lastId = event.id;
        yield event;
        if (event.event === "exit") return;
      }
    } catch (error) {
      // The sandbox and its log may be there, though they cannot be reached now.
      if (!(error instanceof ConnectionLostError) || (!isOpen && hasCode(error, "unreachable"))) throw error;
      lost = error;
    } finally {
      clearTimeout(timer);
      connection.abort();
    }
    source.signal?.throwIfAborted();
    if (Date.now() - lastProgress > source.patienceMs) throw lost;
    await sleep(Math.min(50 * 2 ** failures++, 2000));
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

type Handler<E extends RawEvent> = E["type"] extends "stdout" | "stderr" ? "output" : E["type"];

/** Awaits the handler of each event, if there is one. `output` is that of both outputs. */
export async function dispatch(
  events: AsyncIterable<RawEvent>,
  handlers: { [E in RawEvent as Handler<E>]?: (event: E) => unknown },
): Promise<void> {
  for await (const event of events) {
    const name = event.type === "stdout" || event.type === "stderr" ? "output" : event.type;
    await (handlers[name] as undefined | ((event: RawEvent) => unknown))?.(event);
  }
}

const encoder = new TextEncoder();
// A byte order mark is output like any other. The bridge divides text between characters.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export const decodeText = (bytes: Uint8Array): string => decoder.decode(bytes);

/** [`follow`] for these streams. */
export async function* followOutput(source: Source): AsyncGenerator<RawEvent> {
  for await (const { event, data } of follow(source)) {
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
export type Emit = (event?: object) => void | Promise<void>;

/**
 * Server-sent events whose data is JSON, as methods of the Sandbox SDK return them; `parseSSEStream` reads
 * them. Resolves once the stream is open, and throws what fails before. Cancelling it aborts the signal.
 */
export function toStream(
  produce: (emit: Emit, signal: AbortSignal) => Promise<unknown>,
  signal?: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
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
export async function* parseSSEStream<T>(
  body: ReadableStream<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<T> {
  const events = parse(signal ? body.pipeThrough(new TransformStream(), { signal }) : body);
  for await (const { data } of events) yield JSON.parse(data) as T;
  signal?.throwIfAborted();
}
