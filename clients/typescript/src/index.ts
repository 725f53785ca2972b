export * from "./errors.js";
export {
  createSandbox,
  createToken,
  deleteSnapshot,
  getSandbox,
  listSandboxes,
  listSnapshots,
} from "./sandbox.js";
export { Sandbox, Session } from "./sandbox.js";
export { parseSSEStream, type RawEvent } from "./stream.js";
export { Process, type ProcessStatus } from "./process.js";
export type { Connection } from "./http.js";
export type { BackupOptions, SandboxOptions, SessionOptions } from "./sandbox.js";
export type { Command, ExecEvent, ExecOptions, ExecResult, StreamOptions } from "./commands.js";
export type { LogEvent, ProcessOptions, WaitForPortOptions } from "./processes.js";
export type { FileInfo, ReadFileResult, WatchOptions } from "./files.js";
export type { CodeContext, CreateContextOptions, Execution, ExecutionError } from "./code.js";
export type { Result, RunCodeOptions } from "./code.js";
export type { Schemas } from "./target.js";
