//! A `sandboxd` with a workspace, and archives to give it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Response;
use reqwest::header::HeaderName;
use sandbox_protocol::{Activity, ErrorBody, ErrorCode};
use tempfile::TempDir;

/// The timeout for anything that should happen.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A `sandboxd` of its own, ended with the test. Beside its workspace there is a directory
/// `outside`.
pub struct Sandboxd {
    process: Child,
    pub address: SocketAddr,
    pub parent: TempDir,
    pub client: reqwest::Client,
}

pub fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_sandboxd").into()
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Sandboxd {
    pub fn start() -> Self {
        Self::start_in(Self::directories(), |_| Command::new(program()))
    }

    /// The directories of a `sandboxd` that is yet to be started.
    pub fn directories() -> TempDir {
        let parent = TempDir::new().unwrap();
        fs::create_dir(parent.path().join("workspace")).unwrap();
        fs::create_dir(parent.path().join("outside")).unwrap();
        fs::write(parent.path().join("outside/secret"), "secret").unwrap();
        parent
    }

    /// Starts one in these directories, with the command that `command` makes for the workspace's
    /// path.
    pub fn start_in(parent: TempDir, command: impl FnOnce(&Path) -> Command) -> Self {
        let workspace = parent.path().join("workspace");
        let mut command = command(&workspace);
        command
            .args(["--listen", "127.0.0.1:0", "--workspace"])
            .arg(&workspace);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut lines = String::new();
        let address = loop {
            assert_ne!(log.read_line(&mut lines).unwrap(), 0, "not ready: {lines}");
            if let Some((_, address)) = lines.rsplit_once("address=") {
                break address.trim().parse().unwrap();
            }
        };
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::stderr()));
        Self {
            process,
            address,
            parent,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// The path of `name` in the workspace.
    pub fn inside(&self, name: &str) -> PathBuf {
        self.parent.path().join("workspace").join(name)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    /// The archive that a query asks for.
    pub async fn persist(&self, query: &str) -> Vec<u8> {
        let response = self.get(&format!("/persist?{query}")).await;
        assert_eq!(response.status(), 200, "{query}");
        assert_eq!(response.headers()["content-type"], "application/octet-stream");
        response.bytes().await.unwrap().to_vec()
    }

    pub async fn send(
        &self,
        archive: impl Into<reqwest::Body>,
        headers: &[(&'static str, &str)],
    ) -> Response {
        let mut request = self.client.post(self.url("/hydrate"));
        for (name, value) in headers {
            request = request.header(HeaderName::from_static(name), *value);
        }
        request.body(archive).send().await.unwrap()
    }

    /// Unpacks an archive, which must succeed.
    pub async fn hydrate(&self, archive: impl Into<reqwest::Body>) {
        let response = self.send(archive, &[]).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!((status.as_u16(), text.as_str()), (200, r#"{"ok":true}"#));
        self.assert_clean();
    }

    /// The status, code and text of the error for an archive.
    pub async fn error_of(&self, archive: impl Into<reqwest::Body>) -> (u16, ErrorCode, String) {
        error_of(self.send(archive, &[]).await).await
    }

    /// Nothing of a hydrate is left, beside the workspace or in it.
    pub fn assert_clean(&self) {
        assert_eq!(names(self.parent.path()), ["outside", "workspace"]);
        assert_eq!(names(&self.parent.path().join("outside")), ["secret"]);
        let hidden = |name: &String| name.starts_with(".sandbar");
        assert_eq!(names(&self.inside("")).into_iter().find(hidden), None);
    }

    /// Waits until nothing of a hydrate is left.
    pub fn wait_until_clean(&self) {
        eventually("nothing is left", || {
            names(self.parent.path()) == ["outside", "workspace"]
        });
    }

    /// Sends a request of exactly these bytes, on a connection of its own.
    pub fn raw(&self, head: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
            .write_all(format!("{head}\r\nHost: x\r\n\r\n").as_bytes())
            .unwrap();
        stream.write_all(body).unwrap();
        stream
    }

    pub async fn activity(&self) -> Activity {
        let text = self.get("/activity").await.text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// A path in /proc of the process, or of its only child if it waits for one.
    pub fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.process.id()))
    }

    /// A line of the process's status in kB, like `VmRSS`.
    pub fn memory_kib(&self, line: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let value = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
        value.trim_matches([':', '\t', ' ', 'k', 'B']).parse().unwrap()
    }
}

impl Drop for Sandboxd {
    fn drop(&mut self) {
        let pid = self.process.id().to_string();
        Command::new("kill").arg(&pid).status().unwrap();
        self.process.wait().unwrap();
    }
}

pub async fn error_of(response: Response) -> (u16, ErrorCode, String) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body: ErrorBody = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}"));
    (status, body.code, body.error)
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The content of a tree: the name of each file with its kind, mode, time and content.
pub fn snapshot(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut seen = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let (mode, mtime) = (metadata.mode() & 0o7777, metadata.mtime());
        let text = if kind.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            format!("directory {mode:o} {mtime}")
        } else if kind.is_symlink() {
            format!("link to {:?} {mtime}", fs::read_link(&path).unwrap())
        } else if kind.is_file() {
            format!("file {mode:o} {mtime} {}", digest(&path))
        } else {
            format!("special, a FIFO: {}", kind.is_fifo())
        };
        let name = path.strip_prefix(root).unwrap().as_os_str();
        seen.insert(name.as_bytes().to_vec(), text);
    }
    seen
}

/// The size of a file and a hash of its bytes.
fn digest(path: &Path) -> String {
    let output = Command::new("cksum")
        .stdin(File::open(path).unwrap())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Runs GNU tar in `directory` with an archive on its standard input; gives its standard output.
pub fn gnu_tar(directory: &Path, args: &[&str], archive: &[u8]) -> Vec<u8> {
    let mut command = Command::new("tar");
    command.args(args).current_dir(directory).env("LC_ALL", "C.UTF-8");
    let mut tar = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = tar.stdin.take().unwrap();
    let archive = archive.to_vec();
    // One that lists nothing reads nothing.
    let writer = thread::spawn(move || drop(input.write_all(&archive)));
    let output = tar.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "tar {args:?}: {}", output.status);
    output.stdout
}

/// A name that is not UTF-8.
pub fn no_text() -> PathBuf {
    std::ffi::OsString::from_vec(b"not \xff UTF-8".to_vec()).into()
}
