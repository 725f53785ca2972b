//! The processes of the model.

use std::collections::BTreeMap;

use reqwest::{Method, Response};
use sandbar_tests::Sandbox;
use sandbar_tests::process::text;
use serde_json::{Value, json};

use super::same;
use crate::op::{Op, Process};

/// The expected processes of a sandbox.
#[derive(Debug, Default)]
pub struct Processes {
    known: BTreeMap<Process, Cat>,
}

/// A `cat`.
#[derive(Debug, Default)]
struct Cat {
    input: Vec<u8>,
    /// Its exit, once it has ended.
    exit: Option<Value>,
}

impl Processes {
    /// Sends a request about a process and compares the answer.
    pub async fn check(&mut self, sandbox: &Sandbox, op: &Op) -> Result<(), String> {
        match op {
            Op::Start(process) => self.start(sandbox, *process).await,
            Op::Write(process, text) => self.write(sandbox, *process, text, "").await,
            Op::CloseStdin(process) => {
                let is_running = self.running(*process);
                self.write(sandbox, *process, "", "?close=true").await?;
                if is_running {
                    self.ended(sandbox, *process, json!({ "exit_code": 0 })).await?;
                }
                Ok(())
            }
            Op::Log(process) => self.log(sandbox, *process).await,
            Op::Kill(process) => self.kill(sandbox, *process).await,
            Op::EndProcess(process) => {
                let status = sandbox.process(process.id()).end().await;
                let is_known = self.known.remove(process).is_some();
                same("status", status.as_u16(), if is_known { 204 } else { 404 })
            }
            Op::ListProcesses => self.list(sandbox).await,
            _ => Ok(()),
        }
    }

    fn running(&self, process: Process) -> bool {
        self.known.get(&process).is_some_and(|cat| cat.exit.is_none())
    }

    /// The same body again gives the same process, whether it still runs or not.
    async fn start(&mut self, sandbox: &Sandbox, process: Process) -> Result<(), String> {
        let body = json!({ "argv": ["cat"], "stdin_open": true, "id": process.id() });
        let record = read(sandbox.post("/process", &body).await, 200).await?;
        let cat = self.known.entry(process).or_default();
        let state = if cat.exit.is_none() { "running" } else { "exited" };
        same("id", &record["id"], &json!(process.id()))?;
        same("state", &record["state"], &json!(state))?;
        same("exit", record.get("exit"), cat.exit.as_ref())
    }

    async fn write(
        &mut self,
        sandbox: &Sandbox,
        process: Process,
        text: &str,
        query: &str,
    ) -> Result<(), String> {
        let client = sandbox.process(process.id());
        let offset = self.known.get(&process).map(|cat| cat.input.len() as u64);
        let response = client.stdin(text.to_owned(), offset, query).await;
        match self.known.get_mut(&process) {
            None => error(response, 404, "process_not_found").await,
            Some(Cat { exit: Some(_), .. }) => error(response, 409, "stdin_closed").await,
            Some(cat) => {
                cat.input.extend(text.bytes());
                let length = cat.input.len();
                same("answer", read(response, 200).await?, json!({ "offset": length }))?;
                if text.is_empty() {
                    return Ok(());
                }
                // The same piece again, by a client that has not got the answer.
                let again = read(client.stdin(text.to_owned(), offset, query).await, 409).await?;
                same("code", &again["code"], &json!("stdin_offset"))?;
                same("offset", &again["offset"], &json!(length))
            }
        }
    }

    /// The log has everything that was written, in its order.
    async fn log(&self, sandbox: &Sandbox, process: Process) -> Result<(), String> {
        let client = sandbox.process(process.id());
        let Some(cat) = self.known.get(&process) else {
            let response = client.request(Method::GET, "/log").send().await;
            return error(response.map_err(|e| e.to_string())?, 404, "process_not_found").await;
        };
        crate::eventually("the output is there", || async {
            client.show().await["stdoutBytes"] == cat.input.len()
        })
        .await;
        same("log", &client.text("").await, &cat.input)
    }

    async fn kill(&mut self, sandbox: &Sandbox, process: Process) -> Result<(), String> {
        let response = sandbox.process(process.id()).signal("SIGKILL").await;
        match self.known.get(&process) {
            None => error(response, 404, "process_not_found").await,
            Some(Cat { exit: Some(_), .. }) => error(response, 409, "process_ended").await,
            Some(_) => {
                same("status", response.status().as_u16(), 204)?;
                let exit = json!({ "exit_code": 137, "signal": "SIGKILL" });
                // `cat` loses the input that it has read and not written.
                self.ended(sandbox, process, exit).await?;
                let written = sandbox.process(process.id()).text("").await;
                let cat = self.known.entry(process).or_default();
                if !cat.input.starts_with(&written) {
                    return Err(format!("the log is {written:?}, the input {:?}", cat.input));
                }
                cat.input.truncate(written.len());
                Ok(())
            }
        }
    }

    async fn ended(&mut self, sandbox: &Sandbox, process: Process, exit: Value) -> Result<(), String> {
        same("exit", &sandbox.process(process.id()).exit().await, &exit)?;
        self.known.entry(process).or_default().exit = Some(exit);
        Ok(())
    }

    async fn list(&self, sandbox: &Sandbox) -> Result<(), String> {
        for query in ["?state=running", ""] {
            let mut listed: Vec<_> = sandbox.processes(query).await;
            listed.retain(|record| Process::ALL.iter().any(|process| record["id"] == process.id()));
            let mut ids: Vec<_> = listed.iter().filter_map(|record| record["id"].as_str()).collect();
            ids.sort_unstable();
            let is_listed = |process: &&Process| query.is_empty() || self.running(**process);
            let mut expected: Vec<_> = self.known.keys().filter(is_listed).map(|p| p.id()).collect();
            expected.sort_unstable();
            same("list", ids, expected)?;
        }
        Ok(())
    }
}

/// The JSON of an answer with this status.
async fn read(response: Response, status: u16) -> Result<Value, String> {
    let got = response.status().as_u16();
    let body = text(response).await;
    same("status", got, status).map_err(|wrong| format!("{wrong}: {body}"))?;
    serde_json::from_str(&body).map_err(|_| format!("{body:?} is no JSON"))
}

/// Compares an answer with an error.
async fn error(response: Response, status: u16, code: &str) -> Result<(), String> {
    same("code", &read(response, status).await?["code"], &json!(code))
}
