//! A git server: `git http-backend` behind HTTP, with basic authentication for some repositories, and
//! with the faults that servers have.

mod backend;

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use tokio::sync::watch;

use self::backend::http_backend;
use crate::bridge::free_port;

/// The user name that the server takes.
pub const USERNAME: &str = "git-user";
/// The password that it takes.
pub const TOKEN: &str = "t0ken+of/the=git.server";

/// The largest body of a request, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// A server on a port of this machine, for as long as the process lives.
#[derive(Debug, Clone)]
pub struct GitServer {
    /// Its port, on every address of the machine.
    pub port: u16,
    /// The directory of its repositories.
    pub root: PathBuf,
    state: Arc<Served>,
}

#[derive(Debug)]
struct Served {
    root: PathBuf,
    /// The header `Authorization` of every request that had one.
    authorizations: Mutex<Vec<String>>,
    /// Whether repositories called `held…` send packs.
    is_released: watch::Sender<bool>,
    /// The server that `/moved/…` leads to.
    moved_to: Mutex<String>,
}

impl GitServer {
    /// Starts a server without repositories. What it does depends on the beginning of their names:
    /// `private…` and `held…` take [`USERNAME`] with [`TOKEN`] only, `held…` sends no pack before
    /// [`release`](Self::release), `stalled…` never answers, and `broken…` breaks off in the pack.
    pub fn start() -> Self {
        static STARTED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = STARTED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("sandbar-git-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).expect("a directory");
        let port = free_port();
        let listener = TcpListener::bind(("0.0.0.0", port)).expect("the port");
        listener.set_nonblocking(true).expect("a listener");
        let state = Arc::new(Served {
            root: root.clone(),
            authorizations: Mutex::default(),
            is_released: watch::Sender::new(false),
            moved_to: Mutex::default(),
        });
        let served = Arc::clone(&state);
        // On a runtime of its own: that of a test ends with the test.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let router = Router::new().fallback(answer).with_state(served);
                axum::serve(listener, router).await
            })
        });
        Self { port, root, state }
    }

    /// The headers `Authorization` so far.
    pub fn authorizations(&self) -> Vec<String> {
        lock(&self.state.authorizations).clone()
    }

    /// Lets `held…` repositories send their packs.
    pub fn release(&self) {
        self.state.is_released.send_replace(true);
    }

    /// Lets `/moved/…` lead to the server with this URL.
    pub fn move_to(&self, url: &str) {
        url.clone_into(&mut lock(&self.state.moved_to));
    }

    /// Makes the repository `name.git` with three commits on `main`, the tag `v1` at the first, the
    /// branch `feature/x`, and `refs/pull/1/head`, which no branch contains. Returns their ids.
    pub fn add(&self, name: &str) -> Commits {
        let work = self.root.join(format!("{name}.work"));
        std::fs::create_dir_all(&work).expect("a directory");
        let run = |arguments: &[&str]| git(&work, arguments);
        run(&["init", "--quiet", "--initial-branch=main"]);
        let commit = |text: &str| {
            std::fs::write(work.join("file.txt"), format!("{text}\n")).expect("a file");
            run(&["add", "."]);
            run(&["commit", "--quiet", "--message", text]);
            run(&["rev-parse", "HEAD"])
        };
        let first = commit("one");
        run(&["tag", "--annotate", "--message", "one", "v1"]);
        commit("two");
        let main = commit("three");
        run(&["checkout", "--quiet", "-b", "feature/x", "v1"]);
        let feature = commit("feature");
        run(&["checkout", "--quiet", "--detach"]);
        let pull = commit("pull");
        run(&["update-ref", "refs/pull/1/head", "HEAD"]);
        run(&["checkout", "--quiet", "main"]);
        let bare = self.publish(name, &work);
        git(&bare, &["fetch", "--quiet", "origin", "+refs/pull/*:refs/pull/*"]);
        Commits {
            first,
            main,
            feature,
            pull,
        }
    }

    /// Adds a commit to the branch `main` of `name.git`. Returns its id.
    pub fn commit(&self, name: &str, text: &str) -> String {
        let work = self.root.join(format!("{name}.work"));
        std::fs::write(work.join("file.txt"), format!("{text}\n")).expect("a file");
        git(&work, &["commit", "--quiet", "--all", "--message", text]);
        let bare = self.root.join(format!("{name}.git"));
        let bare = bare.to_str().expect("UTF-8");
        git(&work, &["push", "--quiet", bare, "main"]);
        git(&work, &["rev-parse", "HEAD"])
    }

    /// Makes the repository `name.git` with the repository `inner.git` of this server as its submodule
    /// `sub`.
    pub fn add_with_submodule(&self, name: &str, inner: &str, commit: &str) {
        let work = self.root.join(format!("{name}.work"));
        std::fs::create_dir_all(&work).expect("a directory");
        git(&work, &["init", "--quiet", "--initial-branch=main"]);
        let modules = format!("[submodule \"sub\"]\n\tpath = sub\n\turl = ../{inner}.git\n");
        std::fs::write(work.join(".gitmodules"), modules).expect("a file");
        git(&work, &["add", "."]);
        let entry = format!("160000,{commit},sub");
        git(&work, &["update-index", "--add", "--cacheinfo", &entry]);
        git(&work, &["commit", "--quiet", "--message", "outer"]);
        self.publish(name, &work);
    }

    /// Makes the repository `name.git` with these files, by path and text, in one commit. Returns its id.
    pub fn add_project(&self, name: &str, files: &[(&str, &str)]) -> String {
        let work = self.root.join(format!("{name}.work"));
        std::fs::create_dir_all(&work).expect("a directory");
        git(&work, &["init", "--quiet", "--initial-branch=main"]);
        for (path, text) in files {
            let path = work.join(path);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        }
        git(&work, &["add", "."]);
        git(&work, &["commit", "--quiet", "--message", "all"]);
        self.publish(name, &work);
        git(&work, &["rev-parse", "HEAD"])
    }

    /// Makes the repository `name.git` with `count` files in one commit.
    pub fn add_with_files(&self, name: &str, count: usize) {
        let bare = self.root.join(format!("{name}.git"));
        git(
            &self.root,
            &[
                "init",
                "--quiet",
                "--bare",
                "--initial-branch=main",
                &format!("{name}.git"),
            ],
        );
        let mut import =
            String::from("commit refs/heads/main\ncommitter T <t@example.com> 0 +0000\ndata 4\nmany\n");
        for number in 0..count {
            let text = format!("file {number}\n");
            let directory = number / 500;
            import += &format!(
                "M 644 inline d{directory}/f{number}\ndata {}\n{text}\n",
                text.len()
            );
        }
        let mut child = command(&bare, &["fast-import", "--quiet"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("git");
        let mut input = child.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut input, import.as_bytes()).expect("git reads");
        drop(input);
        assert!(child.wait().expect("git").success());
        git(&bare, &["repack", "-a", "-d", "--quiet"]);
    }

    fn publish(&self, name: &str, work: &Path) -> PathBuf {
        let bare = self.root.join(format!("{name}.git"));
        let work = work.to_str().expect("UTF-8");
        git(
            &self.root,
            &["clone", "--quiet", "--bare", work, &format!("{name}.git")],
        );
        git(&bare, &["config", "uploadpack.allowFilter", "true"]);
        bare
    }
}

/// The commits of a repository.
#[derive(Debug, Clone)]
pub struct Commits {
    /// The first commit, with the tag `v1`.
    pub first: String,
    /// The commit of the branch `main`.
    pub main: String,
    /// The commit of the branch `feature/x`.
    pub feature: String,
    /// The commit of `refs/pull/1/head`.
    pub pull: String,
}

/// The output of a git command of this machine, which must succeed.
pub fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments).output().expect("git");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn command(directory: &Path, arguments: &[impl AsRef<OsStr>]) -> std::process::Command {
    let mut command = std::process::Command::new("git");
    command
        .current_dir(directory)
        .args([
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.com",
            "-c",
            "safe.directory=*",
        ])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(served): State<Arc<Served>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().expect("ASCII").to_owned());
    lock(&served.authorizations).extend(authorization.clone());
    let name = path.trim_start_matches('/');
    if let Some(rest) = name.strip_prefix("moved/") {
        let query = request.uri().query().unwrap_or_default();
        let to = format!("{}/{rest}?{query}", lock(&served.moved_to));
        return (StatusCode::FOUND, [(header::LOCATION, to)]).into_response();
    }
    if name.starts_with("stalled") {
        std::future::pending::<()>().await;
    }
    let needs_key = name.starts_with("private") || name.starts_with("held");
    let key = format!("Basic {}", STANDARD.encode(format!("{USERNAME}:{TOKEN}")));
    if needs_key && authorization.as_deref() != Some(key.as_str()) {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    }
    let is_pack = name.ends_with("/git-upload-pack");
    if is_pack && name.starts_with("held") {
        // Cannot fail: the sender lives as long as the server.
        let _ = served
            .is_released
            .subscribe()
            .wait_for(|is_released| *is_released)
            .await;
    }
    let response = http_backend(&served.root, &path, request).await;
    if is_pack && name.starts_with("broken") {
        let (mut parts, body) = response.into_parts();
        parts.headers.clear();
        let whole = to_bytes(body, MAX_BODY).await.expect("a body");
        let half = whole.slice(..whole.len() / 2);
        let chunks = [Ok(half), Err(std::io::Error::other("broken off"))];
        return Response::from_parts(parts, Body::from_stream(stream::iter(chunks)));
    }
    response
}
