//! A workspace in a temporary directory, served on a TCP port of this machine.

// Each test binary uses its own part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::serve::ListenerExt;
use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Response, StatusCode};
use rustix::fs::{Gid, Uid};
use sandbox_protocol::{ErrorBody, ErrorCode, FilePath, FileRoots, sandboxd as paths};
use sandboxd::files::{self, Workspace};
use tempfile::TempDir;

pub struct Served {
    parent: TempDir,
    pub address: SocketAddr,
    pub client: reqwest::Client,
}

impl Served {
    /// Serves a new, empty workspace on the runtime of the caller.
    pub async fn start() -> Self {
        Self::start_owned_by(None).await
    }

    pub async fn start_owned_by(owner: Option<(Uid, Gid)>) -> Self {
        let parent = TempDir::new().unwrap();
        fs::create_dir(parent.path().join("workspace")).unwrap();
        fs::create_dir(parent.path().join("outside")).unwrap();
        let workspace = Workspace::open(&parent.path().join("workspace"), owner).unwrap();
        Self {
            parent,
            address: serve(workspace).await,
            client: reqwest::Client::new(),
        }
    }

    /// The path of `name` in the workspace.
    pub fn inside(&self, name: &str) -> PathBuf {
        self.parent.path().join("workspace").join(name)
    }

    /// The path of `name` beside the workspace.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.parent.path().join("outside").join(name)
    }

    pub fn url(&self, name: &str) -> String {
        self.url_of(paths::FILE, name)
    }

    /// The URL of an operation on a file of the workspace.
    pub fn url_of(&self, prefix: &str, name: &str) -> String {
        let path = FilePath::parse("path", &format!("/workspace/{name}"), &FileRoots::default()).unwrap();
        format!("http://{}{}", self.address, paths::file_url(prefix, &path))
    }

    pub async fn get(&self, name: &str) -> Response {
        self.client.get(self.url(name)).send().await.unwrap()
    }

    pub async fn put(&self, name: &str, body: impl Into<Body>) -> Response {
        self.client.put(self.url(name)).body(body).send().await.unwrap()
    }

    pub async fn bytes(&self, name: &str) -> Vec<u8> {
        let response = self.get(name).await;
        assert_eq!(response.status(), 200, "{name:?}");
        response.bytes().await.unwrap().to_vec()
    }

    /// Sends a request of exactly these bytes, on a connection of its own.
    pub fn send(&self, request: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request).unwrap();
        stream
    }

    /// The names in a directory of the workspace.
    pub fn names(&self, directory: &str) -> Vec<String> {
        names(&self.inside(directory))
    }

    /// Waits until `wanted` holds for the names in the workspace itself.
    pub fn wait_for_names(&self, wanted: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !wanted(&self.names("")) {
            assert!(Instant::now() < deadline, "still there: {:?}", self.names(""));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

pub async fn serve(workspace: Workspace) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = files::router(Arc::new(workspace));
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// The status and code of an error, whose body must have the contract's form.
pub async fn error_of(response: Response) -> (StatusCode, ErrorCode, String) {
    let status = response.status();
    let body: ErrorBody = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    (status, body.code, body.error)
}

pub fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The status line's code of what comes back on `stream`.
pub fn status(stream: &mut TcpStream) -> u16 {
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}

pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

pub fn fifo(path: &Path) {
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, 0o644.into(), 0).unwrap();
}

/// A body of no announced length: blocks of `size` bytes.
pub fn chunked(blocks: usize, size: usize) -> Body {
    let block = Bytes::from(vec![b'x'; size]);
    Body::wrap_stream(stream::iter(
        (0..blocks).map(move |_| Ok::<_, std::io::Error>(block.clone())),
    ))
}
