//! The reasons why a checkout fails, told from git's messages in English.

use sandbox_protocol::git::without_credentials;
use sandbox_protocol::{ErrorBody, ErrorCode};

/// The longest message for a client, in bytes.
const MAX_MESSAGE: usize = 2000;

/// A checkout that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The error for the client.
    pub body: ErrorBody,
    /// Whether git has printed the reason.
    pub is_printed: bool,
}

/// The parts of git's messages, and the codes that they stand for. The first one that is found counts:
/// many failures end in the message that the connection broke.
const MESSAGES: [(ErrorCode, &[&str]); 4] = [
    (
        ErrorCode::GitAuthFailed,
        &[
            "Authentication failed for",
            "could not read Username",
            "could not read Password",
            "terminal prompts disabled",
            "Permission denied (",
            "HTTP Basic: Access denied",
            "The requested URL returned error: 401",
            "The requested URL returned error: 403",
        ],
    ),
    (
        ErrorCode::GitRepositoryNotFound,
        &[
            "' not found",
            "Repository not found",
            "does not appear to be a git repository",
            "The requested URL returned error: 404",
            "not valid: is this a git repository?",
            "could not be found or you don't have permission to view it",
        ],
    ),
    (
        ErrorCode::GitRefNotFound,
        &[
            "couldn't find remote ref",
            "not found in upstream",
            "did not match any file(s) known to git",
            "not our ref",
            "unadvertised object",
            "reference is not a tree",
            "Cannot fetch both",
            "unable to read tree",
            "bad object",
            // Of a server of files alone: a commit that is not there.
            " under http",
        ],
    ),
    (
        ErrorCode::GitNetworkError,
        &[
            "Could not resolve host",
            "Failed to connect",
            "Couldn't connect",
            "Could not connect",
            "Connection refused",
            "Connection reset",
            "Connection timed out",
            "Connection closed by",
            "Operation timed out",
            "Operation too slow",
            "Network is unreachable",
            "No route to host",
            "Name or service not known",
            "Temporary failure in name resolution",
            "kex_exchange_identification",
            "Empty reply from server",
            "RPC failed",
            "early EOF",
            "unexpected disconnect",
            "hung up unexpectedly",
            "SSL",
            "certificate",
            "The requested URL returned error: 5",
            "The requested URL returned error: 429",
            "Recv failure",
            "Send failure",
        ],
    ),
];

impl Failure {
    /// A failure that git has not printed.
    pub fn new(code: ErrorCode, error: impl Into<String>) -> Self {
        Self {
            body: ErrorBody::new(code, error),
            is_printed: false,
        }
    }

    /// The failure of the git command `name` with this end of its standard error.
    pub fn from_git(name: &str, output: &str) -> Self {
        Self {
            body: ErrorBody::new(code(output), message(name, output)),
            is_printed: true,
        }
    }
}

fn code(output: &str) -> ErrorCode {
    let found = MESSAGES
        .iter()
        .find(|(_, parts)| parts.iter().any(|part| output.contains(part)));
    found.map_or(ErrorCode::GitError, |(code, _)| *code)
}

/// The lines of the output that tell the reason: those of git, and what a server or ssh has said.
fn message(name: &str, output: &str) -> String {
    // Progress overwrites its line.
    let lines: Vec<&str> = output
        .split(['\n', '\r'])
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let is_reason = |line: &&&str| {
        ["fatal: ", "error: ", "ERROR: ", "remote: ", "ssh: ", "Host key"]
            .iter()
            .any(|beginning| line.starts_with(beginning))
            || code(line) != ErrorCode::GitError
    };
    let is_progress = |line: &&&str| line.starts_with("remote: ") && line.contains("objects");
    let mut reasons: Vec<&str> = lines
        .iter()
        .filter(is_reason)
        .filter(|line| !is_progress(line))
        .copied()
        .collect();
    if reasons.is_empty() {
        reasons.extend(lines.last());
    }
    let text = without_credentials(&reasons.join("; ")).into_owned();
    let end = text.floor_char_boundary(MAX_MESSAGE);
    format!("git {name}: {}", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_of_git_have_their_codes() {
        use ErrorCode::{GitAuthFailed, GitError, GitNetworkError, GitRefNotFound, GitRepositoryNotFound};
        for (output, expected) in [
            (
                "fatal: could not read Username for 'http://h': terminal prompts disabled",
                GitAuthFailed,
            ),
            (
                "remote: no\nfatal: Authentication failed for 'http://h/a/'",
                GitAuthFailed,
            ),
            (
                "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                GitAuthFailed,
            ),
            (
                "fatal: unable to access 'http://h/a/': The requested URL returned error: 403",
                GitAuthFailed,
            ),
            (
                "remote: Repository not found.\nfatal: repository 'http://h/a/' not found",
                GitRepositoryNotFound,
            ),
            (
                "fatal: '/a' does not appear to be a git repository\nfatal: Could not read from remote repository.",
                GitRepositoryNotFound,
            ),
            ("fatal: couldn't find remote ref refs/heads/x", GitRefNotFound),
            (
                "warning: Could not find remote branch x to clone.\nfatal: Remote branch x not found in upstream origin",
                GitRefNotFound,
            ),
            (
                "fatal: remote error: upload-pack: not our ref 0123",
                GitRefNotFound,
            ),
            (
                "error: Unable to find 0123 under http://h/a\nerror: fetch failed.",
                GitRefNotFound,
            ),
            (
                "error: pathspec 'x' did not match any file(s) known to git",
                GitRefNotFound,
            ),
            (
                "fatal: unable to access 'http://h/a/': Could not resolve host: h",
                GitNetworkError,
            ),
            (
                "error: RPC failed; curl 56 Recv failure: Connection reset by peer\nfatal: early EOF",
                GitNetworkError,
            ),
            (
                "ssh: connect to host h port 22: Connection refused",
                GitNetworkError,
            ),
            (
                "fatal: unable to access 'https://h/a/': SSL certificate problem",
                GitNetworkError,
            ),
            (
                "error: Your local changes would be overwritten by checkout",
                GitError,
            ),
        ] {
            assert_eq!(Failure::from_git("x", output).body.code, expected, "{output}");
        }
    }

    #[test]
    fn the_message_has_the_reasons_and_no_credentials() {
        let output = "Cloning into 'a'...\nremote: Counting objects: 1\rremote: Counting objects: 2\nremote: go away\n\
                      fatal: repository 'http://u:p@h/a/' not found\n";
        assert_eq!(
            Failure::from_git("clone", output).body.error,
            "git clone: remote: go away; fatal: repository 'http://h/a/' not found"
        );
        assert_eq!(
            Failure::from_git("clone", "odd\nlast\n").body.error,
            "git clone: last"
        );
        assert_eq!(Failure::from_git("clone", "").body.error, "git clone: ");
    }
}
