//! Operations on files other than reads and writes.

use reqwest::{Method, RequestBuilder};
use sandbar_tests::Sandbox;
use serde_json::{Value, json};

use super::{Model, same};
use crate::op::{File, FileOp};

impl Model {
    /// Sends a request and compares the answer.
    pub(super) async fn check_file(&mut self, sandbox: &Sandbox, op: &FileOp) -> Result<(), String> {
        match op {
            FileOp::Stat(file) => {
                let request = sandbox.request(Method::GET, &format!("/stat/{}", file.url()));
                let expected = self.files.get(file).map(Vec::len);
                let entry = answer(request, if expected.is_some() { 200 } else { 404 }).await?;
                if let Some(size) = expected {
                    same("size", entry["size"].as_u64(), Some(size as u64))?;
                }
                // It starts nothing.
            }
            FileOp::Delete(file) => {
                let request = sandbox.request(Method::DELETE, &format!("/file/{}", file.url()));
                let known = self.files.remove(file).is_some();
                answer(request, if known { 200 } else { 404 }).await?;
            }
            FileOp::Move(from, to) => {
                let status = self.transfer(sandbox, "/move", *from, *to).await?;
                if status == 200
                    && let Some(bytes) = self.files.remove(from)
                {
                    self.files.insert(*to, bytes);
                }
            }
            FileOp::Copy(from, to) => {
                let status = self.transfer(sandbox, "/copy", *from, *to).await?;
                if status == 200
                    && let Some(bytes) = self.files.get(from).cloned()
                {
                    self.files.insert(*to, bytes);
                }
            }
            FileOp::Create(file, bytes) => {
                let request = sandbox
                    .request(Method::PUT, &format!("/file/{}", file.url()))
                    .header("if-none-match", "*")
                    .body(bytes.clone());
                let known = self.files.contains_key(file);
                answer(request, if known { 412 } else { 200 }).await?;
                self.running = true;
                self.files.entry(*file).or_insert_with(|| bytes.clone());
            }
            FileOp::Extend(file, bytes) => {
                let path = format!("/file/{}?append=true", file.url());
                answer(sandbox.request(Method::PUT, &path).body(bytes.clone()), 200).await?;
                self.running = true;
                self.files.entry(*file).or_default().extend(bytes);
            }
            FileOp::Edit(file, old, new) => self.edit(sandbox, *file, old, new).await?,
        }
        Ok(())
    }

    /// Sends a move or a copy; returns the status, which must be the right one.
    async fn transfer(&mut self, sandbox: &Sandbox, rest: &str, from: File, to: File) -> Result<u16, String> {
        let body = json!({ "from": from.path(), "to": to.path() });
        let status = if self.files.contains_key(&from) { 200 } else { 404 };
        answer(sandbox.request(Method::POST, rest).json(&body), status).await?;
        self.running = true;
        Ok(status)
    }

    async fn edit(&mut self, sandbox: &Sandbox, file: File, old: &str, new: &str) -> Result<(), String> {
        let edits = json!([{ "old": old, "new": new }]);
        let body = json!({ "files": [{ "path": file.path(), "edits": edits }] });
        let found = self.files.get(&file).map(|bytes| places(bytes, old));
        let status = match found.as_deref() {
            None => 404,
            Some([_]) => 200,
            Some(_) => 409,
        };
        let answer = answer(sandbox.request(Method::POST, "/edit").json(&body), status).await?;
        self.running = true;
        match found.as_deref() {
            None => {}
            Some([place]) => {
                let bytes = self.files.entry(file).or_default();
                bytes.splice(*place..place + old.len(), new.bytes());
            }
            Some(places) => same("found", answer["found"].as_u64(), Some(places.len() as u64))?,
        }
        Ok(())
    }
}

/// Where a text occurs.
fn places(bytes: &[u8], text: &str) -> Vec<usize> {
    let windows = bytes.windows(text.len()).enumerate();
    windows
        .filter(|(_, window)| *window == text.as_bytes())
        .map(|(place, _)| place)
        .collect()
}

/// The JSON of an answer, whose status must be the expected one.
async fn answer(request: RequestBuilder, status: u16) -> Result<Value, String> {
    let response = request.send().await.map_err(|e| e.to_string())?;
    same("status", response.status().as_u16(), status)?;
    response.json().await.map_err(|e| e.to_string())
}
