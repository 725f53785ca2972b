//! Every line of the table, with its limits: where two hold, the stricter one. docs/performance.md
//! says what each means.

use crate::line::Line;
use crate::line::Unit::{BytesPerCall, ExecPerS, Kb, Mb, MbPerS, MiB, Ms, Percent, Times};

// The size of the build.
pub static WORKER_SIZE: Line = Line::new("Worker, JS and Wasm, gzip", Kb).limit(1000.0);
pub static SANDBOXD_SIZE: Line = Line::new("sandboxd, stripped", Mb).limit(8.0);

// The machine's own limits.
pub static FORK_EXEC: Line = Line::new("machine: fork+exec of `true`, 2 threads", ExecPerS);
pub static PIPE: Line = Line::new("machine: pipe", MbPerS);
pub static LOOPBACK: Line = Line::new("machine: loopback HTTP, one answer", Ms);
pub static LOOPBACK_BODY: Line = Line::new("machine: loopback HTTP, 128 MiB", MbPerS);
pub static RAW_PTY_ECHO: Line = Line::new("machine: pty, echo by `cat`", Ms);
pub static RAW_PTY_CAT: Line = Line::new("machine: pty, cat of 20 MiB", MbPerS);

// sandboxd alone, outside any sandbox.
pub static SANDBOXD_START: Line = Line::new("sandboxd: start to first answer", Ms).limit(15.0);
pub static SANDBOXD_IDLE: Line = Line::new("sandboxd: RSS idle", MiB).limit(10.0);
pub static SANDBOXD_UNREAD: Line =
    Line::new("sandboxd: RSS, most while a client reads nothing from `yes`", MiB).limit(40.0);
pub static SANDBOXD_EXEC: Line = Line::new("sandboxd: exec `true`", Ms);
/// Its limit is half of [`FORK_EXEC`] in the same run.
pub static SANDBOXD_32: Line = Line::new("sandboxd: exec, 32 clients", ExecPerS);
pub static SANDBOXD_LOAD: Line = Line::new("sandboxd: RSS, most with 32 clients", MiB);
pub static SANDBOXD_AFTER: Line = Line::new("sandboxd: RSS after them", MiB);

// One request at a time.
pub static HEALTH: Line = Line::new("GET /health", Ms);
pub static RUNNING: Line = Line::new("GET running", Ms);
pub static EXEC: Line = Line::new("exec `true`", Ms);
pub static EXEC_ABOVE: Line = Line::new("exec `true` above /health", Ms)
    .local(1.5)
    .containers(2.0);
pub static FIRST_BYTE: Line = Line::new("exec `echo x` to its first byte", Ms);
pub static SESSION: Line = Line::new("exec `true` in a session", Ms);
pub static SESSION_ABOVE: Line = Line::new("exec `true` in a session above without", Ms).limit(4.0);
pub static BASH: Line = Line::new("exec `bash -c :`", Ms);
pub static SESSION_BASH: Line = Line::new("exec `bash -c :` in a session", Ms);
pub static SESSION_BASH_ABOVE: Line = Line::new("exec `bash -c :` in a session above without", Ms).limit(4.0);

// Where the time of one exec goes; see measure/breakdown.rs.
pub static WORKER: Line = Line::new("of one exec: worker", Ms);
pub static OBJECT: Line = Line::new("of one exec: object", Ms);
pub static TUNNEL: Line = Line::new("of one exec: tunnel", Ms);
pub static SPAWN: Line = Line::new("of one exec: spawn", Ms);
pub static STREAM: Line = Line::new("of one exec: stream, and the rest", Ms);

// Many at a time, in one sandbox.
pub static RATE_1: Line = Line::new("exec `true`, 1 client", ExecPerS);
pub static RATE_32: Line = Line::new("exec `true`, 32 clients", ExecPerS).limit(500.0);
pub static LATENCY_32: Line = Line::new("exec `true`, 32 clients, each", Ms);
pub static RATE_512: Line = Line::new("exec `true`, 512 clients", ExecPerS);
pub static LATENCY_512: Line = Line::new("exec `true`, 512 clients, each", Ms);
pub static SPREAD_512: Line = Line::new("exec `true`, 512 clients, p99 / p50", Times).limit(8.0);

// Output.
pub static STDOUT_128M: Line = Line::new("stdout 128 MiB", MbPerS).local(250.0).containers(140.0);
pub static STDOUT_SHARE: Line =
    Line::new("stdout 128 MiB, of what the same bytes reach as a file", Percent).limit(60.0);
pub static STDOUT_1G: Line = Line::new("stdout 1 GiB", MbPerS);

// Files.
pub static PUT_1K: Line = Line::new("PUT 1 KiB", Ms);
pub static GET_1K: Line = Line::new("GET 1 KiB", Ms);
pub static PUT_1M: Line = Line::new("PUT 1 MiB", MbPerS);
pub static GET_1M: Line = Line::new("GET 1 MiB", MbPerS);
pub static PUT_30M: Line = Line::new("PUT 30 MiB", MbPerS).containers(150.0);
pub static GET_30M: Line = Line::new("GET 30 MiB", MbPerS).containers(150.0);
pub static PUT_256M: Line = Line::new("PUT 256 MiB", MbPerS).local(200.0);
pub static GET_256M: Line = Line::new("GET 256 MiB", MbPerS).local(200.0);
pub static PUT_1G: Line = Line::new("PUT 1 GiB", MbPerS);
pub static GET_1G: Line = Line::new("GET 1 GiB", MbPerS);

// Directories and trees.
pub static STAT: Line = Line::new("GET stat", Ms);
pub static STAT_SHARE: Line = Line::new("GET stat, of the time of a GET of 1 byte", Times).limit(1.1);
pub static DIRECTORY_10K: Line = Line::new("GET directory, 10,000 entries as NDJSON", Ms).limit(40.0);
pub static DELETE_50K: Line = Line::new("DELETE of 50,000 files", Ms);
pub static DELETE_50K_SHARE: Line =
    Line::new("DELETE of 50,000 files, of the time of `rm -rf`", Times).limit(1.0);
pub static SEARCH: Line = Line::new("search, 1 GiB in 16,384 files", MbPerS);
/// Where the image has `rg`.
pub static SEARCH_SHARE: Line = Line::new("search, of the rate of `rg`", Percent).limit(80.0);
pub static WATCH: Line = Line::new("watch: PUT of a file to its event", Ms).limit(5.0);

// Archives.
pub static PERSIST_25M: Line = Line::new("persist 25 MiB, 500 files", MbPerS);
pub static HYDRATE_25M: Line = Line::new("hydrate 25 MiB, 500 files", MbPerS);
pub static PERSIST_200M: Line = Line::new("persist 200 MiB, 200 files", MbPerS).limit(150.0);
pub static HYDRATE_200M: Line = Line::new("hydrate 200 MiB, 200 files", MbPerS).limit(150.0);
pub static PERSIST_1G: Line = Line::new("persist 1 GiB, 20,000 files", MbPerS);
pub static HYDRATE_1G: Line = Line::new("hydrate 1 GiB, 20,000 files", MbPerS);

// Terminals.
pub static PTY_OPEN: Line = Line::new("pty: request to `ready`", Ms);
pub static PTY_READY: Line = Line::new("pty: upgrade to `ready`", Ms).limit(12.0);
pub static PTY_ECHO: Line = Line::new("pty: echo of a key", Ms).limit(1.0);
pub static PTY_CAT: Line = Line::new("pty: cat of 20 MiB", MbPerS).limit(120.0);

// Processes.
pub static PROCESS_START: Line = Line::new("process: POST to its answer", Ms);
pub static PROCESS_FOLLOW: Line = Line::new("process: 128 MiB of output, followed", MbPerS);
pub static PROCESS_FOLLOW_SHARE: Line =
    Line::new("process: 128 MiB followed, of what exec reaches", Percent).limit(90.0);
pub static PROCESS_REPLAY: Line = Line::new("process: replay of a log of 2 MiB", Ms).limit(15.0);
pub static PROCESS_ATTACH_ECHO: Line = Line::new("process: echo by an attached `cat`", Ms);

// Ports.
pub static PORT_1K: Line = Line::new("port: GET 1 KiB", Ms);
pub static PORT_1K_ABOVE: Line = Line::new("port: GET 1 KiB above the same file", Ms).limit(0.5);
pub static PORT_256M: Line = Line::new("port: GET 256 MiB", MbPerS);
pub static PORT_256M_SHARE: Line =
    Line::new("port: GET 256 MiB, of what the same file reaches", Percent).limit(80.0);
/// Its limit is 0.1 ms above [`PTY_ECHO`] in the same run.
pub static PORT_ECHO: Line = Line::new("port: echo by a WebSocket", Ms);
pub static TCP_RATE: Line = Line::new("tcp: 256 MiB from a server", MbPerS).local(200.0);

// Git.
pub static GIT_CHECKOUT: Line = Line::new("git: checkout of 2,000 files", Ms);
pub static GIT_CLONE: Line = Line::new("git: exec `git clone` of them", Ms);
pub static GIT_SHARE: Line = Line::new("git: checkout, of what `git clone` takes", Times).limit(1.1);

// Code.
pub static CODE_RUN: Line = Line::new("code: `1+1` in a warm context", Ms);
pub static CODE_KERNEL: Line = Line::new("code: the kernel's own answer to it", Ms);
pub static CODE_ABOVE: Line = Line::new("code: `1+1` above the kernel's own answer", Ms).limit(3.0);
pub static CODE_CONTEXT: Line = Line::new("code: a new Python context to its first result", Ms).local(1200.0);
pub static CODE_OUTPUT: Line = Line::new("code: 100 MB of output", MbPerS).limit(100.0);

// Snapshots.
pub static SNAPSHOT_SAVE: Line = Line::new("snapshot: save 1 GiB", MbPerS)
    .local(150.0)
    .containers(100.0);
pub static SNAPSHOT_RESTORE: Line = Line::new("snapshot: restore 1 GiB", MbPerS)
    .local(150.0)
    .containers(100.0);
pub static SNAPSHOT_TREE: Line = Line::new(
    "snapshot: restore of 20,000 files, of their hydrate's time",
    Times,
)
.limit(1.3);
pub static SNAPSHOT_MEMORY: Line = Line::new(
    "snapshot: workerd's RSS, most above idle while 1 GiB is saved and restored",
    MiB,
)
.limit(64.0);
pub static START_RESTORED: Line = Line::new("start with a restore of 50 MiB", Ms);
pub static START_STOPPED: Line = Line::new("start of a stopped sandbox", Ms);
pub static SNAPSHOT_START: Line =
    Line::new("start with a restore of 50 MiB above one without", Ms).limit(1000.0);
pub static SNAPSHOT_ASLEEP: Line = Line::new("GET of a small file of a sandbox that sleeps", Ms).local(30.0);

// ComputeSDK's definition of an exec.
pub static COMPUTE_25: Line = Line::new("ComputeSDK: `echo bench`, 25 one after another", Ms);
pub static COMPUTE_5: Line = Line::new("ComputeSDK: `echo bench`, 5 at once", Ms);

// The life of a sandbox.
pub static COLD: Line = Line::new("create + first exec", Ms).containers(400.0);
pub static DELETE: Line = Line::new("DELETE", Ms).containers(70.0);
pub static RESTART: Line = Line::new("first exec after DELETE, same id", Ms).containers(150.0);
pub static WARM: Line = Line::new("create + first exec, warm pool", Ms).containers(30.0);

// Sandboxes as their users manage them.
pub static CREATE: Line = Line::new("create, without settings", Ms);
pub static CREATE_SETTINGS: Line = Line::new("create, with settings", Ms);
pub static CREATE_SETTINGS_ABOVE: Line = Line::new("create with settings above without", Ms).limit(2.0);
pub static RUNNING_KEY: Line = Line::new("GET running, beside the next ones", Ms);
pub static SANDBOX: Line = Line::new("GET sandbox", Ms);
pub static SANDBOX_ABOVE: Line = Line::new("GET sandbox above GET running", Ms).limit(0.3);
pub static TOKEN: Line = Line::new("GET running, with a token", Ms);
pub static TOKEN_ABOVE: Line = Line::new("GET running with a token above the key", Ms).limit(0.1);
pub static LIST_1K: Line = Line::new("list: a page of 1,000 of 10,000", Ms).limit(150.0);

// Memory over 10,000 execs. Flat means: nothing that grows with their number, so no more than what
// an allocator's own noise amounts to. GET /health, before them, is what workerd takes for any
// request.
pub static WORKERD_BASE: Line = Line::new("10,000 GET /health: workerd's RSS, slope", BytesPerCall);
pub static WORKERD_RSS: Line = Line::new("10,000 execs: workerd's RSS", MiB);
pub static WORKERD_SLOPE: Line = Line::new("10,000 execs: workerd's RSS, slope", BytesPerCall).limit(100.0);
pub static SANDBOXD_RSS: Line = Line::new("10,000 execs: sandboxd's RSS", MiB);
pub static SANDBOXD_SLOPE: Line = Line::new("10,000 execs: sandboxd's RSS, slope", BytesPerCall).limit(100.0);

// Memory of one body: the Worker and the Sandbox object have it twice at most.
pub static WORKERD_BODY: Line = Line::new("exec with 32 MiB of stdin: workerd's RSS, most above idle", MiB);
