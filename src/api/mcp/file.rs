//! The tools `read`, `write`, `edit`, `search` and `list`.

use sandbox_protocol::json::Fields as _;
use sandbox_protocol::mcp::{Arguments, LogPosition, Truncated};
use sandbox_protocol::route_table::Operation;
use sandbox_protocol::{FilePath, SandboxId};
use serde_json::{Value, json};
use web_sys::Response;

use super::Server;
use super::calls::{Call, check};
use super::tool_result::{Failure, ToolResult, cut, limit};
use crate::body;

/// The largest image that is returned, in bytes.
const MAX_IMAGE: u64 = 1024 * 1024;

/// The default of `maxResults`.
const MAX_RESULTS: u64 = 100;

/// The beginnings of images, with their media types.
const IMAGES: [(&[u8], &str); 4] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
];

impl Server {
    /// `GET …/file/{path}`
    pub(super) async fn read(&self, arguments: &Arguments) -> Result<ToolResult, Failure> {
        let sandbox = self.sandbox(arguments)?;
        let path = self.path(arguments)?;
        let offset = arguments.number("offset").unwrap_or_default();
        let most = limit(arguments) as u64;
        let Some((bytes, size)) = self.part(&sandbox, &path, offset, most).await? else {
            return Ok(ToolResult::text("[empty]"));
        };
        if let Some(media_type) = image_type(&bytes).filter(|_| offset == 0) {
            if size > MAX_IMAGE {
                return Err(Failure(format!(
                    "{path} is an image of {size} bytes; the limit is {MAX_IMAGE}"
                )));
            }
            let whole = self.part(&sandbox, &path, 0, MAX_IMAGE).await?;
            return Ok(ToolResult::image(media_type, &whole.unwrap_or_default().0));
        }
        if !is_text(&bytes) {
            return Err(Failure(format!(
                "{path} is not UTF-8 text. It has {size} bytes: use run with file, xxd or strings"
            )));
        }
        let at = |skip| LogPosition {
            event_id: 0,
            byte_offset: skip,
        };
        let mut output = Truncated::new(most as usize);
        if size <= offset.saturating_add(most) {
            output.push(at(offset), &bytes);
        } else {
            let (head, tail) = (most.div_ceil(2), most / 2);
            output.push(at(offset), bytes.get(..head as usize).unwrap_or(&bytes));
            output.leave_out(at(offset + head), size - offset - head - tail);
            if let Some((bytes, _)) = self.part(&sandbox, &path, size - tail, tail.max(1)).await? {
                output.push(at(size - tail), bytes.get(..tail as usize).unwrap_or(&bytes));
            }
        }
        let text = output.finish(|left_out, rest| {
            let next = json!({ "path": path.as_str(), "offset": rest.byte_offset });
            format!("[{left_out} of {size} bytes left out: read {next} has them]")
        });
        Ok(ToolResult::text(text))
    }

    /// `PUT …/file/{path}`
    pub(super) async fn write(&self, arguments: &Arguments) -> Result<ToolResult, Failure> {
        let sandbox = self.sandbox(arguments)?;
        let path = self.path(arguments)?;
        let content = arguments.text("content").unwrap_or_default();
        let mut call = of_file(&sandbox, Operation::WriteFile, &path)
            .query("append", &arguments.flag("append").to_string())
            .body(content.to_owned());
        if let Some(mode) = arguments.text("mode") {
            call = call.query("mode", mode);
        }
        self.calls.value(call).await?;
        Ok(ToolResult::text(format!(
            "wrote {} bytes to {path}",
            content.len()
        )))
    }

    /// `POST …/edit`
    pub(super) async fn edit(&self, arguments: &Arguments) -> Result<ToolResult, Failure> {
        let sandbox = self.sandbox(arguments)?;
        let file = arguments.body(&["path", "edits"]);
        let call = Call::of(&sandbox, Operation::EditFiles).json(json!({ "files": [file] }));
        let edited = self.calls.value(call).await?;
        let edited = edited.at("files").get(0).unwrap_or(&Value::Null);
        Ok(ToolResult::text(format!(
            "replaced {} in {}",
            edited.at("replaced"),
            edited.at("path").as_str().unwrap_or_default()
        )))
    }

    /// `POST …/search`
    pub(super) async fn search(&self, arguments: &Arguments) -> Result<ToolResult, Failure> {
        let sandbox = self.sandbox(arguments)?;
        let names = [
            "pattern",
            "path",
            "glob",
            "regex",
            "ignoreCase",
            "context",
            "maxResults",
            "hidden",
        ];
        let mut body = arguments.body(&names);
        body.entry("maxResults").or_insert(MAX_RESULTS.into());
        let call = Call::of(&sandbox, Operation::SearchFiles).json(body);
        let found = self.calls.value(call).await?;
        let mut lines = Vec::new();
        for found in found.at("matches").as_array().into_iter().flatten() {
            matched(found, &mut lines);
        }
        if lines.is_empty() {
            lines.push("[no matches]".to_owned());
        }
        let mut text = cut(
            &lines.join("\n"),
            limit(arguments),
            "narrow the search by path or glob",
        );
        if found.at("truncated") == true {
            text.push_str("\n[there are more matches: narrow the search, or set maxResults]");
        }
        Ok(ToolResult::text(text))
    }

    /// `GET …/directory/{path}`
    pub(super) async fn list(&self, arguments: &Arguments) -> Result<ToolResult, Failure> {
        let sandbox = self.sandbox(arguments)?;
        let path = FilePath::parse("path", arguments.text("path").unwrap_or("."), &self.roots)?;
        let mut call = of_file(&sandbox, Operation::ListDirectory, &path);
        for name in ["depth", "glob", "hidden", "limit", "cursor"] {
            call = match arguments.value(name) {
                Some(Value::String(text)) => call.query(name, text),
                Some(_) if name != "hidden" => {
                    call.query(name, &arguments.number(name).unwrap_or_default().to_string())
                }
                Some(value) => call.query(name, &value.to_string()),
                None => call,
            };
        }
        let page = self.calls.value(call).await?;
        let entries = page
            .at("entries")
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let lines: Vec<String> = entries.iter().map(|entry| listed(entry, &path)).collect();
        let lines = if lines.is_empty() {
            "[no entries]".to_owned()
        } else {
            lines.join("\n")
        };
        let mut text = cut(&lines, limit(arguments), "set limit, and list on from the cursor");
        if let Some(cursor) = page.at("cursor").as_str() {
            text.push_str(&format!(
                "\n[there are more entries: list with {}]",
                json!({ "cursor": cursor })
            ));
        }
        Ok(ToolResult::text(text))
    }

    fn path(&self, arguments: &Arguments) -> Result<FilePath, Failure> {
        let path = arguments.text("path").unwrap_or_default();
        Ok(FilePath::parse("path", path, &self.roots)?)
    }

    /// At most `length` bytes of a file from `offset` on, and its size. `None`: the file ends before.
    async fn part(
        &self,
        sandbox: &SandboxId,
        path: &FilePath,
        offset: u64,
        length: u64,
    ) -> Result<Option<(Vec<u8>, u64)>, Failure> {
        let last = offset.saturating_add(length - 1);
        let range = |call: Call| call.header("range", format!("bytes={offset}-{last}"));
        let response = self
            .calls
            .send(range(of_file(sandbox, Operation::ReadFile, path)))
            .await?;
        if response.status() == 416 {
            return Ok(None);
        }
        let response = check(response).await?;
        let size = size(&response)?;
        let bytes = body::read_stream(response.body(), length as usize).await?;
        Ok(Some((bytes, size)))
    }
}

fn of_file(sandbox: &SandboxId, operation: Operation, path: &FilePath) -> Call {
    Call::of(sandbox, operation).parameter("path", &path.to_url())
}

/// The size of the file that a response has a part of.
fn size(response: &Response) -> Result<u64, Failure> {
    let range = response.headers().get("content-range")?;
    let size = range
        .as_deref()
        .and_then(|range| range.rsplit_once('/')?.1.parse().ok());
    size.ok_or_else(|| Failure("the size of the file is not known".to_owned()))
}

fn image_type(bytes: &[u8]) -> Option<&'static str> {
    let (_, media_type) = IMAGES
        .into_iter()
        .find(|(beginning, _)| bytes.starts_with(beginning))?;
    let is_webp = bytes.get(8..12) == Some(b"WEBP");
    (media_type != "image/webp" || is_webp).then_some(media_type)
}

/// Whether bytes are UTF-8 without NUL. A character may be cut at either end.
fn is_text(bytes: &[u8]) -> bool {
    let cut = bytes
        .iter()
        .take(3)
        .take_while(|byte| **byte & 0xc0 == 0x80)
        .count();
    let whole = bytes.get(cut..).unwrap_or_default();
    let is_utf8 = std::str::from_utf8(whole).map_or_else(|error| error.error_len().is_none(), |_| true);
    is_utf8 && !bytes.contains(&0)
}

/// A match as ripgrep prints it: `:` in its own line, `-` in the lines around it.
fn matched(found: &Value, lines: &mut Vec<String>) {
    let path = found.at("path").as_str().unwrap_or_default();
    let line = found.at("line").as_u64().unwrap_or_default();
    let around = |name: &str| {
        let texts = found[name].as_array().into_iter().flatten();
        texts
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (before, after) = (around("before"), around("after"));
    let first = line.saturating_sub(before.len() as u64);
    for (at, text) in (first..).zip(&before) {
        lines.push(format!("{path}-{at}-{text}"));
    }
    let text = found.at("text").as_str().unwrap_or_default();
    lines.push(format!("{path}:{line}:{}:{text}", found.at("column")));
    for (at, text) in (line + 1..).zip(&after) {
        lines.push(format!("{path}-{at}-{text}"));
    }
}

/// An entry on one line: the path below the directory, and its kind.
fn listed(entry: &Value, directory: &FilePath) -> String {
    let path = entry.at("path").as_str().unwrap_or_default();
    let below = path
        .strip_prefix(directory.as_str())
        .unwrap_or(path)
        .trim_start_matches('/');
    match entry.at("type").as_str() {
        Some("directory") => format!("{below}/"),
        Some("symlink") => format!("{below} -> {}", entry.at("target").as_str().unwrap_or_default()),
        Some("file") => format!("{below}  {} bytes", entry.at("size")),
        _ => format!("{below}  (no file)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_images_are_told_apart() {
        for text in [
            &b""[..],
            b"a",
            "ü".as_bytes(),
            &"ü".as_bytes()[1..],
            &"aü".as_bytes()[..2],
        ] {
            assert!(is_text(text), "{text:?}");
        }
        for other in [&b"a\0"[..], b"\xffa", b"a\xffb", b"\x80\x80\x80\x80"] {
            assert!(!is_text(other), "{other:?}");
        }
        assert_eq!(image_type(b"GIF89a"), Some("image/gif"));
        assert_eq!(image_type(b"RIFF0000WEBP"), Some("image/webp"));
        assert_eq!(image_type(b"RIFF0000WAVE"), None);
    }
}
