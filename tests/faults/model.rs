//! Random sequences of requests against a model of what a sandbox is.
//!
//! The model knows one sandbox: its files, its sessions, whether it runs. Every answer must be the model's.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use sandbar_tests::Sandbox;
use serde_json::json;

use crate::{bridge, client};

const SEQUENCES: u32 = 1000;
/// Sequences that run at the same time, each on sandboxes of its own.
const AT_ONCE: u32 = 8;

/// A request.
#[derive(Debug, Clone)]
enum Op {
    Put(File, Vec<u8>),
    Get(File),
    /// `cat` of a file, by a command.
    Cat(File),
    /// `printf` of a text behind a file, by a command.
    Append(File, String),
    Remove(File),
    /// A command that ends with this code.
    Exit(u8),
    NewSession(Session),
    /// `cd` in a session.
    Enter(Session, Directory),
    /// `export VALUE=…` in a session.
    Export(Session, String),
    /// What a session says of its directory and of `VALUE`.
    Ask(Session),
    EndSession(Session),
    Running,
    Destroy,
}

/// One of the files: few, so that requests meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum File {
    Plain,
    Nested,
    Strange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Session {
    One,
    Two,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directory {
    Up,
    Tmp,
    Workspace,
}

impl File {
    const ALL: [Self; 3] = [Self::Plain, Self::Nested, Self::Strange];

    /// As it stands in a URL.
    fn url(self) -> &'static str {
        match self {
            Self::Plain => "workspace/plain",
            Self::Nested => "workspace/a/b/nested.bin",
            Self::Strange => "workspace/a%20%25%C3%A9%0A'%22$x",
        }
    }

    /// As a command knows it.
    fn path(self) -> &'static str {
        match self {
            Self::Plain => "/workspace/plain",
            Self::Nested => "/workspace/a/b/nested.bin",
            Self::Strange => "/workspace/a %é\n'\"$x",
        }
    }
}

impl Session {
    fn id(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Two => "two.2_-",
        }
    }
}

impl Directory {
    fn path(self) -> &'static str {
        match self {
            Self::Up => "..",
            Self::Tmp => "/tmp",
            Self::Workspace => "/workspace",
        }
    }
}

/// What a sandbox should be.
#[derive(Debug, Default)]
struct Model {
    running: bool,
    files: BTreeMap<File, Vec<u8>>,
    sessions: BTreeMap<Session, Shell>,
}

#[derive(Debug)]
struct Shell {
    directory: &'static str,
    value: String,
}

impl Default for Shell {
    fn default() -> Self {
        Self {
            directory: "/workspace",
            value: String::new(),
        }
    }
}

impl Shell {
    fn enter(&mut self, directory: Directory) {
        self.directory = match directory {
            Directory::Up => "/",
            other => other.path(),
        };
    }
}

fn op() -> impl Strategy<Value = Op> {
    let file = prop::sample::select(&File::ALL[..]);
    let session = prop::sample::select(&[Session::One, Session::Two][..]);
    let directory = prop::sample::select(&[Directory::Up, Directory::Tmp, Directory::Workspace][..]);
    let text = "[ -~é\n]{0,20}";
    prop_oneof![
        3 => (file.clone(), prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(file, bytes)| Op::Put(file, bytes)),
        2 => file.clone().prop_map(Op::Get),
        2 => file.clone().prop_map(Op::Cat),
        2 => (file.clone(), text).prop_map(|(file, text)| Op::Append(file, text)),
        1 => file.prop_map(Op::Remove),
        1 => any::<u8>().prop_map(Op::Exit),
        1 => session.clone().prop_map(Op::NewSession),
        2 => (session.clone(), directory).prop_map(|(session, directory)| Op::Enter(session, directory)),
        2 => (session.clone(), text).prop_map(|(session, value)| Op::Export(session, value)),
        2 => session.clone().prop_map(Op::Ask),
        1 => session.prop_map(Op::EndSession),
        1 => Just(Op::Running),
        1 => Just(Op::Destroy),
    ]
}

#[test]
fn a_thousand_random_sequences_go_as_the_model_says() {
    // Before the threads: the first one to ask starts it.
    bridge();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                let config = Config {
                    cases: SEQUENCES / AT_ONCE,
                    max_shrink_iters: 200,
                    failure_persistence: None,
                    ..Config::default()
                };
                let client = client();
                let result = TestRunner::new(config).run(&prop::collection::vec(op(), 1..16), |ops| {
                    runtime.block_on(async {
                        let sandbox = client.create().await;
                        let mut model = Model::default();
                        for (step, op) in ops.iter().enumerate() {
                            if let Err(wrong) = model.check(&sandbox, op).await {
                                sandbox.destroy().await;
                                return Err(TestCaseError::fail(format!("step {step}, {op:?}: {wrong}")));
                            }
                        }
                        sandbox.destroy().await;
                        Ok(())
                    })
                });
                if let Err(failure) = result {
                    panic!("{failure}");
                }
            });
        }
    });
}

/// What an answer should have been and was.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expected: T) -> Result<(), String> {
    if got == expected {
        Ok(())
    } else {
        Err(format!("{what} is {got:?}, not {expected:?}"))
    }
}

impl Model {
    /// Sends a request and compares the answer.
    async fn check(&mut self, sandbox: &Sandbox, op: &Op) -> Result<(), String> {
        match op {
            Op::Put(file, bytes) => {
                same(
                    "status",
                    sandbox.put(file.url(), bytes.clone()).await.status().as_u16(),
                    200,
                )?;
                self.running = true;
                self.files.insert(*file, bytes.clone());
            }
            Op::Get(file) => {
                let response = sandbox.get(file.url()).await;
                self.running = true;
                let status = response.status().as_u16();
                match self.files.get(file) {
                    Some(bytes) => {
                        same("status", status, 200)?;
                        same(
                            "content",
                            response.bytes().await.map_err(|e| e.to_string())?.to_vec(),
                            bytes.clone(),
                        )?;
                    }
                    None => same("status", status, 404)?,
                }
            }
            Op::Cat(file) => {
                let expected = self.files.get(file).cloned();
                let code = i64::from(expected.is_none());
                self.command(
                    sandbox,
                    &["cat", file.path()],
                    None,
                    (&expected.unwrap_or_default(), code),
                )
                .await?;
            }
            Op::Append(file, text) => {
                // A command makes no directory by itself.
                let has_directory = *file != File::Nested
                    || self.files.contains_key(file)
                    || self.nested_once(sandbox).await?;
                let argv = [
                    "sh",
                    "-c",
                    "printf %s \"$1\" >>\"$2\" 2>/dev/null || exit 9",
                    "sh",
                    text,
                    file.path(),
                ];
                let code = if has_directory { 0 } else { 9 };
                self.command(sandbox, &argv, None, (b"", code)).await?;
                if has_directory {
                    self.files.entry(*file).or_default().extend(text.bytes());
                }
            }
            Op::Remove(file) => {
                self.files.remove(file);
                self.command(sandbox, &["rm", "-f", file.path()], None, (b"", 0))
                    .await?;
            }
            Op::Exit(code) => {
                let script = format!("exit {code}");
                self.command(sandbox, &["sh", "-c", &script], None, (b"", i64::from(*code)))
                    .await?;
            }
            Op::Running => same("running", sandbox.running().await, self.running)?,
            Op::Destroy => {
                same("status", sandbox.destroy().await.as_u16(), 204)?;
                *self = Self::default();
            }
            Op::NewSession(_) | Op::Enter(..) | Op::Export(..) | Op::Ask(_) | Op::EndSession(_) => {
                self.check_session(sandbox, op).await?;
            }
        }
        Ok(())
    }

    async fn check_session(&mut self, sandbox: &Sandbox, op: &Op) -> Result<(), String> {
        match op {
            Op::NewSession(session) => {
                let request = sandbox
                    .request(Method::POST, "/session")
                    .json(&json!({ "id": session.id() }));
                let response = request.send().await.map_err(|e| e.to_string())?;
                // The same body again is the same session, whatever became of it.
                same("status", response.status().as_u16(), 200)?;
                self.running = true;
                self.sessions.entry(*session).or_default();
            }
            Op::Enter(session, directory) => {
                self.command(sandbox, &["cd", directory.path()], Some(*session), (b"", 0))
                    .await?;
                self.sessions.entry(*session).or_default().enter(*directory);
            }
            Op::Export(session, value) => {
                let assignment = format!("VALUE={value}");
                self.command(sandbox, &["export", &assignment], Some(*session), (b"", 0))
                    .await?;
                self.sessions.entry(*session).or_default().value.clone_from(value);
            }
            Op::Ask(session) => {
                let shell = self.sessions.entry(*session).or_default();
                let expected = format!("{}|{}", shell.directory, shell.value).into_bytes();
                let script = "printf '%s|%s' \"$(pwd)\" \"$VALUE\"";
                self.command(sandbox, &["sh", "-lc", script], Some(*session), (&expected, 0))
                    .await?;
            }
            Op::EndSession(session) => {
                let path = format!("/session/{}", session.id());
                let response = sandbox
                    .request(Method::DELETE, &path)
                    .send()
                    .await
                    .map_err(|e| e.to_string())?;
                let known = self.sessions.remove(session).is_some();
                same(
                    "status",
                    response.status().as_u16(),
                    if known { 200 } else { 404 },
                )?;
                self.running = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// Runs a command, which must write and end as `expected` says.
    async fn command(
        &mut self,
        sandbox: &Sandbox,
        argv: &[&str],
        session: Option<Session>,
        expected: (&[u8], i64),
    ) -> Result<(), String> {
        let mut request = sandbox
            .request(Method::POST, "/exec")
            .json(&json!({ "argv": argv }));
        if let Some(session) = session {
            request = request.header("Session-Id", session.id());
        }
        let response = request.send().await.map_err(|e| e.to_string())?;
        self.running = true;
        same("status", response.status().as_u16(), 200)?;
        let finished = sandbar_tests::sse::Events::new(response.bytes_stream())
            .finish()
            .await;
        let code = finished.exit.as_ref().and_then(|exit| exit["exit_code"].as_i64());
        same("exit code", code, Some(expected.1))?;
        same("stdout", finished.stdout.as_slice(), expected.0)
    }

    /// Whether the directory of [`File::Nested`] is there although the file is not.
    async fn nested_once(&mut self, sandbox: &Sandbox) -> Result<bool, String> {
        let finished = sandbox.sh("test -d /workspace/a/b").await;
        self.running = true;
        Ok(finished.code() == 0)
    }
}
