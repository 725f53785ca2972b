//! Random sequences of requests against a model of a sandbox.
//!
//! The model knows one sandbox: its files, its sessions, its processes, whether it runs. Every
//! answer must be the model's.

mod processes;

mod files;

use std::collections::BTreeMap;

use proptest::prelude::{TestCaseError, prop};
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use sandbar_tests::Sandbox;
use serde_json::json;

use self::processes::Processes;
use crate::op::{Directory, File, Op, Session, op};
use crate::{bridge, client};

const SEQUENCES: u32 = 1000;
/// Sequences that run at the same time, each on sandboxes of its own.
const AT_ONCE: u32 = 8;

/// The expected state of a sandbox.
#[derive(Debug, Default)]
struct Model {
    running: bool,
    files: BTreeMap<File, Vec<u8>>,
    sessions: BTreeMap<Session, Shell>,
    processes: Processes,
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

/// Compares an answer with the expected one.
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
                // A command makes no directory on its own.
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
            Op::Other(op) => self.check_file(sandbox, op).await?,
            Op::NewSession(_) | Op::Enter(..) | Op::Export(..) | Op::Ask(_) | Op::EndSession(_) => {
                self.check_session(sandbox, op).await?;
            }
            Op::Start(_) => {
                self.processes.check(sandbox, op).await?;
                self.running = true;
            }
            // None of these starts a sandbox.
            Op::Write(..)
            | Op::CloseStdin(_)
            | Op::Log(_)
            | Op::Kill(_)
            | Op::EndProcess(_)
            | Op::ListProcesses => self.processes.check(sandbox, op).await?,
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
                // It starts nothing.
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
