/**
 * An error of the bridge, or of the connection to it. `code` is for programs: a code of the API
 * (`/v1/openapi.json` has the list), or one of the client's own: `connection_lost`,
 * `unreachable`, `operation_interrupted`, `output_lost`, `command_timeout`, `process_ready_timeout`,
 * `process_exited_before_ready`. No error has the key, neither in its message nor in its JSON.
 */
export class SandboxError extends Error {
  override name = "SandboxError";

  constructor(
    message: string,
    readonly code: string,
    /** The status of the HTTP response; undefined if there was none. */
    readonly status?: number,
    /** The other fields of the error's body, or what is known of the failed operation. */
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }

  toJSON() {
    const { name, message, code, status, details } = this;
    return { name, message, code, status, ...details };
  }
}

const classes = new Map<string, typeof SandboxError>();

/** A class of errors with these codes. Its name is a text, because minifiers rename classes. */
function named(name: string, codes: string, base = SandboxError): typeof SandboxError {
  const Named = class extends base {
    override name = name;
  };
  Object.defineProperty(Named, "name", { value: name });
  for (const code of codes.split(" ")) classes.set(code, Named);
  return Named;
}

export const UnauthorizedError = named("UnauthorizedError", "unauthorized");
export const ForbiddenError = named("ForbiddenError", "forbidden");
export const InvalidRequestError = named("InvalidRequestError", "invalid_request");
export const NotSupportedError = named("NotSupportedError", "not_supported");
/** 503: nothing was started, also not by the repetitions of the client. */
export const SandboxUnavailableError = named(
  "SandboxUnavailableError",
  "sandbox_unavailable capacity_exceeded sandbox_not_running limit_exceeded",
);
export const SandboxNotFoundError = named("SandboxNotFoundError", "sandbox_not_found");
/** There was no response, or not all of it. A request that changes something may have been carried out. */
export const ConnectionLostError = named(
  "ConnectionLostError",
  "connection_lost unreachable exec_transport_error",
);
/** The end of the operation is unknown: the sandbox was replaced, or the connection lost at its start. */
export const OperationInterruptedError = named(
  "OperationInterruptedError",
  "operation_interrupted sandbox_expired",
);
export const FileNotFoundError = named("FileNotFoundError", "file_not_found workspace_read_not_found");
export const FileExistsError = named("FileExistsError", "file_exists");
export const CommandError = named("CommandError", "exec_error output_lost command_timeout");
export const ProcessNotFoundError = named("ProcessNotFoundError", "process_not_found");
export const ProcessReadyTimeoutError = named("ProcessReadyTimeoutError", "process_ready_timeout");
export const ProcessExitedBeforeReadyError = named(
  "ProcessExitedBeforeReadyError",
  "process_exited_before_ready",
);
export const StdinError = named("StdinError", "stdin_offset stdin_closed");
export const SessionError = named("SessionError", "session_error session_exists session_not_found");
export const ContextNotFoundError = named("ContextNotFoundError", "context_not_found");
export const ContextLostError = named("ContextLostError", "context_lost");
export const PortError = named("PortError", "port_error port_not_listening");
export const GitError = named("GitError", "git_error git_target_exists");
export const GitAuthenticationError = named("GitAuthenticationError", "git_auth_failed", GitError);
export const GitRepositoryNotFoundError = named(
  "GitRepositoryNotFoundError",
  "git_repository_not_found",
  GitError,
);
export const GitBranchNotFoundError = named("GitBranchNotFoundError", "git_ref_not_found", GitError);
export const GitNetworkError = named("GitNetworkError", "git_network_error", GitError);
export const BucketMountError = named("BucketMountError", "mount_error");
export const BucketUnmountError = named("BucketUnmountError", "unmount_error");
export const BackupNotFoundError = named("BackupNotFoundError", "snapshot_not_found");
export const BackupRestoreError = named("BackupRestoreError", "restore_incomplete restore_conflict");
export const BackupCreateError = named("BackupCreateError", "snapshot_error");

/** An error of the class of its code. */
export function makeError(code: string, message: string, details?: object, status?: number): SandboxError {
  return new (classes.get(code) ?? SandboxError)(message, code, status, { ...details });
}

/** The error of something that is an error's body, as also answers with status 200 can be. */
export function errorIn(body: unknown, status?: number): SandboxError | undefined {
  const { error, code, ...details } = (body ?? {}) as Record<string, unknown>;
  const isError = typeof error === "string" && typeof code === "string";
  return isError ? makeError(code, error, details, status) : undefined;
}

/** Whether an error has one of these codes. */
export const hasCode = (error: unknown, ...codes: string[]): boolean =>
  codes.includes((error as SandboxError | undefined)?.code ?? "");
