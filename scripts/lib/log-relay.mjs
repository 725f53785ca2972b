// node log-relay.mjs <LOG: copies a session's log to standard output and never stops reading it, so that no process
// blocks on its log line. Lines that are not read in time (a terminal after Ctrl-S, a pager) are lost, and counted.
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

// The time between two reads, in milliseconds. Without it each line would wake two processes, which takes time from the
// request that was logged.
const READ_INTERVAL_MS = 10;
// The maximum of bytes that wait to be written.
const BUFFER_BYTES = 256 * 1024;
const NEWLINE = 0x0a;
// The time for which the end of the session waits for the end of the log, in milliseconds.
const DRAIN_TIMEOUT_MS = 500;

// A write to a terminal or a pipe blocks, so a separate process does it. Ctrl-C does not reach it: the session's last
// lines come after that.
const writer = spawn("cat", { stdio: ["pipe", "inherit", "inherit"], detached: true });
// It exits when the reader is gone; the log is then discarded.
let hasReader = true;
writer.on("exit", () => (hasReader = false));
writer.stdin.on("error", () => {});

let lost = 0;
const write = (lines) => {
  if (!hasReader) return;
  if (writer.stdin.writableLength > BUFFER_BYTES) {
    lost += lines.filter((byte) => byte === NEWLINE).length;
    return;
  }
  if (lost > 0) writer.stdin.write(`log-relay: ${lost} lines of the log were lost, as nobody read them in time\n`);
  lost = 0;
  writer.stdin.write(lines);
};
// The part of the last line that was read.
let rest = Buffer.alloc(0);
process.stdin.on("data", (chunk) => {
  const bytes = Buffer.concat([rest, chunk]);
  const end = bytes.lastIndexOf(NEWLINE) + 1;
  rest = bytes.subarray(end);
  if (end > 0) write(bytes.subarray(0, end));
  process.stdin.pause();
  setTimeout(() => process.stdin.resume(), READ_INTERVAL_MS);
});

// The session ends this process last.
const end = async () => {
  await sleep(50);
  process.stdin.destroy();
  writer.stdin.end();
  await sleep(DRAIN_TIMEOUT_MS);
  writer.kill("SIGKILL");
};
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, end);
