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

/** The class of errors with the code `a_b` for `AB`, and with these. Minifiers rename classes, not texts. */
function named(kind: string, codes = "", base = SandboxError): typeof SandboxError {
  const name = `${kind}Error`;
  const Named = class extends base {
    override name = name;
  };
  Object.defineProperty(Named, "name", { value: name });
  const own = kind.replace(/\B[A-Z]/g, "_$&").toLowerCase();
  for (const code of `${own} ${codes}`.trim().split(" ")) classes.set(code, Named);
  return Named;
}

export const UnauthorizedError = named("Unauthorized");
export const ForbiddenError = named("Forbidden");
export const InvalidRequestError = named("InvalidRequest");
export const NotSupportedError = named("NotSupported");
/** 503: nothing was started, also not by the repetitions of the client. */
export const SandboxUnavailableError = named(
  "SandboxUnavailable",
  "capacity_exceeded sandbox_not_running limit_exceeded",
);
export const SandboxNotFoundError = named("SandboxNotFound");
/** There was no response, or not all of it. A request that changes something may have been carried out. */
export const ConnectionLostError = named("ConnectionLost", "unreachable exec_transport_error");
/** The end of the operation is unknown: the sandbox was replaced, or the connection lost at its start. */
export const OperationInterruptedError = named("OperationInterrupted", "sandbox_expired");
export const FileNotFoundError = named("FileNotFound", "workspace_read_not_found");
export const FileExistsError = named("FileExists");
export const CommandError = named("Command", "exec_error output_lost command_timeout");
export const ProcessNotFoundError = named("ProcessNotFound");
export const ProcessReadyTimeoutError = named("ProcessReadyTimeout");
export const ProcessExitedBeforeReadyError = named("ProcessExitedBeforeReady");
export const StdinError = named("Stdin", "stdin_offset stdin_closed");
export const SessionError = named("Session", "session_error session_exists session_not_found");
export const ContextNotFoundError = named("ContextNotFound");
export const ContextLostError = named("ContextLost");
export const PortError = named("Port", "port_error port_not_listening");
export const GitError = named("Git", "git_error git_target_exists");
export const GitAuthenticationError = named("GitAuthentication", "git_auth_failed", GitError);
export const GitRepositoryNotFoundError = named("GitRepositoryNotFound", "", GitError);
export const GitBranchNotFoundError = named("GitBranchNotFound", "git_ref_not_found", GitError);
export const GitNetworkError = named("GitNetwork", "git_network_error", GitError);
export const BucketMountError = named("BucketMount", "mount_error");
export const BucketUnmountError = named("BucketUnmount", "unmount_error");
export const BackupNotFoundError = named("BackupNotFound", "snapshot_not_found");
export const BackupRestoreError = named("BackupRestore", "restore_incomplete restore_conflict");
export const BackupCreateError = named("BackupCreate", "snapshot_error");

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

export const hasCode = (error: unknown, code: string): boolean =>
  (error as SandboxError | undefined)?.code === code;

/** For `catch`: undefined in the place of an error with this code. */
export const tolerate = (code: string) => (error: unknown) => {
  if (!hasCode(error, code)) throw error;
  return undefined;
};
