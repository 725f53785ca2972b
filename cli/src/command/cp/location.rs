//! The two sides of a copy.

use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use sandbox_protocol::file::Entry;
use sandbox_protocol::workspace_path::WORKSPACE;
use sandbox_protocol::{ErrorCode, SandboxId};

use crate::error::{Error, Result};
use crate::http::{Bridge, json, query, retry_if_lost};

/// The characters that a path of a URL has percent-encoded.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');

/// A side of a copy.
#[derive(Debug, PartialEq, Eq)]
pub enum Location {
    /// A path of a sandbox.
    Sandbox(Remote),
    /// A path of this machine, and whether it ends in `/.`.
    Local(PathBuf, bool),
    /// Standard input or output.
    Standard,
}

/// A path of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The sandbox.
    pub id: SandboxId,
    /// The absolute path, without `.` and `..`.
    pub path: String,
    /// Whether it was given with a slash at its end, so that it is a directory.
    pub is_directory: bool,
    /// Whether it was given with `/.` at its end, so that it stands for what is in it.
    pub is_content: bool,
}

impl Location {
    /// Parses an argument. A local path with a colon in it can begin with `./`.
    pub fn parse(text: &str) -> Result<Self> {
        if text == "-" {
            return Ok(Self::Standard);
        }
        if let Some((id, path)) = text.split_once(':')
            && let Ok(id) = SandboxId::parse(id)
        {
            return Ok(Self::Sandbox(Remote {
                id,
                path: absolute(path),
                is_directory: path.is_empty() || path.ends_with('/') || path == "." || path.ends_with("/."),
                is_content: path == "." || path.ends_with("/."),
            }));
        }
        match text {
            "" => Err(Error::Usage("an empty path".to_owned())),
            _ => Ok(Self::Local(text.into(), text == "." || text.ends_with("/."))),
        }
    }
}

impl Remote {
    /// The path below this one.
    pub fn join(&self, name: &str) -> Self {
        let path = format!("{}/{name}", self.path.trim_end_matches('/'));
        Self {
            path,
            is_directory: false,
            is_content: false,
            ..self.clone()
        }
    }

    /// The last name of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The path of a route: `/{route}/{path}?…`.
    pub fn route(&self, route: &str, fields: &[(&str, &str)]) -> String {
        let path = utf8_percent_encode(self.path.trim_start_matches('/'), IN_PATH);
        format!("/{route}/{path}{}", query(fields))
    }

    /// The entry at the path, links followed; `None` if there is none.
    pub async fn stat(&self, bridge: &Bridge) -> Result<Option<Entry>> {
        let route = self.route("stat", &[("follow", "true")]);
        match retry_if_lost(async || json(bridge.sandbox(Method::GET, &self.id, &route)).await).await {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.has_code(ErrorCode::FileNotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// An absolute path without steps: a URL with `..` in it would lead elsewhere.
fn absolute(path: &str) -> String {
    let base = if path.starts_with('/') { "" } else { WORKSPACE };
    let mut names: Vec<&str> = Vec::new();
    for name in base.split('/').chain(path.split('/')) {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_paths_of_a_sandbox_or_of_this_machine() {
        let remote = |path: &str, is_directory, is_content| {
            let id = SandboxId::parse("abc").unwrap();
            Location::Sandbox(Remote {
                id,
                path: path.to_owned(),
                is_directory,
                is_content,
            })
        };
        for (text, location) in [
            ("abc:", remote("/workspace", true, false)),
            ("abc:a/b", remote("/workspace/a/b", false, false)),
            ("abc:a/", remote("/workspace/a", true, false)),
            ("abc:/tmp/../workspace/.", remote("/workspace", true, true)),
            ("-", Location::Standard),
            (".", Location::Local(".".into(), true)),
            ("a/.", Location::Local("a/.".into(), true)),
            ("./abc:d", Location::Local("./abc:d".into(), false)),
            ("A:b", Location::Local("A:b".into(), false)),
        ] {
            assert_eq!(Location::parse(text).unwrap(), location, "{text}");
        }
        assert!(Location::parse("").is_err());
    }

    #[test]
    fn names_are_encoded_in_urls() {
        let Location::Sandbox(remote) = Location::parse("abc:a b/%#?.txt").unwrap() else {
            panic!("no path of a sandbox");
        };
        assert_eq!(
            remote.route("file", &[("mode", "0644")]),
            "/file/workspace/a%20b/%25%23%3F.txt?mode=0644"
        );
        assert_eq!(remote.name(), "%#?.txt");
        assert_eq!(remote.join("x").path, "/workspace/a b/%#?.txt/x");
    }
}
