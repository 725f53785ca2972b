//! Starts `sandboxd` and looks at its processes.

pub mod hung;
mod stream;
mod terminal;
mod tunnels;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sandbox_protocol::Activity;
use serde_json::Value;
use tempfile::TempDir;

pub use stream::{Output, Stream};
pub use terminal::Terminal;
pub use tunnels::Tunnels;

/// The timeout for anything that should happen.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// A `sandboxd` of its own, ended with the test.
pub struct Sandboxd {
    pub process: Child,
    pub address: SocketAddr,
    pub workspace: TempDir,
    /// Its log so far.
    pub log: Arc<Mutex<String>>,
}

impl Sandboxd {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts it after `prepare` has changed its command line or environment.
    pub fn start_with(prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sandboxd"));
        command.args(["--listen", "127.0.0.1:0"]);
        Self::start_command(command, prepare)
    }

    /// Starts the `sandboxd` that `command` runs.
    pub fn start_command(mut command: Command, prepare: impl FnOnce(&mut Command)) -> Self {
        let workspace = tempfile::tempdir().unwrap();
        command.arg("--workspace").arg(workspace.path());
        prepare(&mut command);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut lines = String::new();
        let address = loop {
            assert_ne!(
                log.read_line(&mut lines).unwrap(),
                0,
                "sandboxd is not ready: {lines}"
            );
            if let Some((_, address)) = lines.rsplit_once("address=") {
                break address.trim().parse().unwrap();
            }
        };
        let log_text = Arc::new(Mutex::new(lines));
        let writer = Arc::clone(&log_text);
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                eprintln!("{line}");
                *writer.lock().unwrap() += &(line + "\n");
            }
        });
        Self {
            log: log_text,
            process,
            address,
            workspace,
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.address).unwrap();
        connection.set_read_timeout(Some(TIMEOUT)).unwrap();
        connection
    }

    /// Begins a command.
    pub fn begin(&self, body: &Value) -> Stream {
        Stream::begin(self.connect(), body.to_string().as_bytes())
    }

    /// Runs a command to its end.
    pub fn exec(&self, body: &Value) -> Output {
        self.begin(body).output()
    }

    /// Begins a command of a session.
    pub fn begin_in(&self, session: &str, body: &Value) -> Stream {
        let header = format!("session-id: {session}\r\n");
        Stream::begin_with(self.connect(), &header, body.to_string().as_bytes())
    }

    /// Runs a command of a session to its end.
    pub fn exec_in(&self, session: &str, body: &Value) -> Output {
        self.begin_in(session, body).output()
    }

    /// Runs a command line in a session: what it writes to both outputs, and its exit code.
    pub fn run_in(&self, session: &str, argv: &[&str]) -> (String, i32) {
        let output = self.exec_in(session, &serde_json::json!({ "argv": argv }));
        (output.text() + &output.stderr(), output.code())
    }

    /// Creates a session: the status and the body.
    pub fn create_session(&self, body: &str) -> (u16, Value) {
        status_and_json(&self.send("POST /session", body))
    }

    /// Deletes a session: the status and the body.
    pub fn delete_session(&self, id: &str) -> (u16, Value) {
        status_and_json(&self.request("DELETE", &format!("/session/{id}")))
    }

    /// How many descriptors `sandboxd` has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// The whole answer to a request without a body, headers in lower case first.
    pub fn request(&self, method: &str, path: &str) -> (String, String) {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n\r\n");
        self.raw_request(head.as_bytes())
    }

    /// The same for a request with a body; `line` is its method and path.
    pub fn send(&self, line: &str, body: impl AsRef<[u8]>) -> (String, String) {
        self.raw_request(&with_body(line, "", body))
    }

    pub fn raw_request(&self, request: &[u8]) -> (String, String) {
        let mut connection = self.connect();
        connection.write_all(request).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }

    pub fn activity(&self) -> Activity {
        serde_json::from_str(&self.request("GET", "/activity").1).unwrap()
    }

    /// The resident set of `sandboxd`, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The children of `sandboxd` that are dead and not collected.
    pub fn zombies(&self) -> usize {
        self.child_states().filter(|state| state == "Z").count()
    }

    /// The children of `sandboxd`, dead ones included.
    pub fn children(&self) -> usize {
        self.child_states().count()
    }

    fn child_states(&self) -> impl Iterator<Item = String> {
        let children = processes().filter_map(stat);
        children.filter_map(|(parent, state)| (parent == self.pid()).then_some(state))
    }

    pub fn signal(&self, signal: &str) {
        signal_process(self.pid(), signal);
    }
}

impl Drop for Sandboxd {
    fn drop(&mut self) {
        // It ends whatever the test left running.
        if self.process.try_wait().unwrap().is_none() {
            self.signal("TERM");
            self.process.wait().unwrap();
        }
    }
}

/// A request with a body, after whose answer the connection is closed. `line` is its method and
/// path, `headers` more lines of its head.
pub fn with_body(line: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let (body, length) = (body.as_ref(), body.as_ref().len());
    let head = format!("{line} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n{headers}");
    [format!("{head}content-length: {length}\r\n\r\n").as_bytes(), body].concat()
}

fn status_and_json((head, body): &(String, String)) -> (u16, Value) {
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

pub fn signal_process(pid: u32, signal: &str) {
    let sent = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// An argument of `sleep` that no other process has: long enough to outlive every test.
pub fn unique_sleep() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    format!("8640{}.{}", std::process::id(), number)
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
}

fn stat(pid: u32) -> Option<(u32, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned);
    let state = fields.next()?;
    Some((fields.next()?.parse().ok()?, state))
}

/// The processes called `sleep` with the argument `duration`.
pub fn sleeping(duration: &str) -> Vec<u32> {
    let cmdline = format!("sleep\0{duration}\0");
    let is = |pid: &u32, file: &str, text: &str| {
        fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|found| found == text.as_bytes())
    };
    // The command line of others may hang: see `hung.rs`.
    let is_it = |pid: &u32| is(pid, "comm", "sleep\n") && is(pid, "cmdline", &cmdline);
    processes().filter(is_it).collect()
}

/// Reports that the calling test is left out, and `why`, although the test harness hides the output
/// of tests that pass.
pub fn left_out(why: &str) {
    let test = thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "{test} is left out: {why}");
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether bubblewrap can make a pid namespace here.
pub fn has_bubblewrap() -> bool {
    let args = [
        "--unshare-pid",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "true",
    ];
    Command::new("bwrap")
        .args(args)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A command that runs `sandboxd` as the first process of a pid namespace that ends with the test,
/// as in a container.
pub fn namespaced() -> Command {
    let mut command = Command::new("bwrap");
    command
        .args(["--unshare-pid", "--as-pid-1", "--die-with-parent"])
        .args(["--bind", "/", "/", "--proc", "/proc", "--dev", "/dev"])
        .arg(sandboxd_path());
    command
}

pub fn sandboxd_path() -> PathBuf {
    env!("CARGO_BIN_EXE_sandboxd").into()
}
