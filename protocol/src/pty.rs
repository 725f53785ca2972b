//! Terminals: the request that opens one, and the frames of its WebSocket.

mod frame;

use std::fmt;

pub use frame::{ClientMessage, ServerMessage};

use crate::{Invalid, SessionId, query};

/// The largest WebSocket message that a client may send, in bytes: the platform's own limit for
/// years.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// The most bytes of a session's terminal that are replayed to a client that reconnects.
pub const MAX_REPLAY: usize = 256 * 1024;

/// The size of a terminal in characters, each side 1 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    cols: u16,
    rows: u16,
}

impl Size {
    /// The error message for an invalid size; clients look for this text.
    const INVALID: &'static str = "cols and rows must be valid numbers, 1 to 1000";

    /// A size of `cols` by `rows`.
    ///
    /// # Errors
    ///
    /// 400 when one is not from 1 to 1000.
    pub fn new(cols: u64, rows: u64) -> Result<Self, Invalid> {
        let side = |n: u64| {
            u16::try_from(n)
                .ok()
                .filter(|n| (1..=1000).contains(n))
                .ok_or_else(|| Invalid::request(Self::INVALID))
        };
        Ok(Self {
            cols: side(cols)?,
            rows: side(rows)?,
        })
    }

    /// Characters in a row.
    pub fn cols(self) -> u16 {
        self.cols
    }

    /// Rows.
    pub fn rows(self) -> u16 {
        self.rows
    }

    /// The size in `?cols=…&rows=…`: 80 and 24 when they are absent or empty.
    fn from_query(query: &str) -> Result<Self, Invalid> {
        let side = |name: &str, default: u64| match query::value(query, name)? {
            None => Ok(default),
            Some(text) if text.is_empty() => Ok(default),
            Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().map_err(|_| Invalid::request(Self::INVALID))
            }
            Some(_) => Err(Invalid::request(Self::INVALID)),
        };
        Self::new(side("cols", 80)?, side("rows", 24)?)
    }
}

/// The kind of program in a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The first binary frame decides. When it is a line that ends in LF, it is run as with
    /// [`Mode::Command`]: programs send LF where terminals send CR. Everything else is the first
    /// input of a shell as with [`Mode::Shell`].
    #[default]
    Auto,
    /// An interactive login shell, at once.
    Shell,
    /// One command: the first binary frame, without the LF that it may end in. What comes after is
    /// the command's input.
    Command,
}

impl Mode {
    const ALL: [(&'static str, Self); 3] = [
        ("auto", Self::Auto),
        ("shell", Self::Shell),
        ("command", Self::Command),
    ];

    fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|(name, _)| *name == text)
            .map(|(_, mode)| mode)
            .ok_or_else(|| Invalid::request("mode must be auto, shell or command"))
    }

    /// The value of the parameter `mode`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Shell => "shell",
            Self::Command => "command",
        }
    }
}

/// A program to run instead of the default shell: an absolute path, or a name to look for in
/// `PATH`. 1 to 255 characters of `a-zA-Z0-9._+-` and, in a path, `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell(String);

impl Shell {
    fn parse(text: String) -> Result<Self, Invalid> {
        let well_formed = (1..=255).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._+-/".contains(&b))
            && (text.starts_with('/') || !text.contains('/'));
        if well_formed {
            Ok(Self(text))
        } else {
            Err(Invalid::request(
                "shell must be an absolute path or the name of a program",
            ))
        }
    }

    /// The path or the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The checked query of `GET …/pty`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PtyRequest {
    /// The initial size of the terminal.
    pub size: Size,
    /// The kind of program to run.
    pub mode: Mode,
    /// The shell; `None` for the default one.
    pub shell: Option<Shell>,
    /// The session it belongs to; `None` for a terminal of its own.
    pub session: Option<SessionId>,
}

impl PtyRequest {
    /// Parses the part of a URL after its `?`. `session_header` is the value of
    /// [`crate::session::SESSION_HEADER`], which means the same as the parameter `session` and
    /// takes precedence. Empty values count as absent.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form.
    pub fn parse(query: &str, session_header: Option<&str>) -> Result<Self, Invalid> {
        let parameter = |name| Ok(query::value(query, name)?.filter(|value| !value.is_empty()));
        let session = match session_header.filter(|id| !id.is_empty()) {
            Some(id) => Some(id.to_owned()),
            None => parameter("session")?,
        };
        Ok(Self {
            size: Size::from_query(query)?,
            mode: parameter("mode")?
                .map(|mode| Mode::parse(&mode))
                .transpose()?
                .unwrap_or_default(),
            shell: parameter("shell")?.map(Shell::parse).transpose()?,
            session: session.map(|id| SessionId::parse(&id)).transpose()?,
        })
    }
}

/// The query that parses to this request. Nothing in it needs an escape but `+`.
impl fmt::Display for PtyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { cols, rows } = self.size;
        write!(f, "cols={cols}&rows={rows}&mode={}", self.mode.as_str())?;
        if let Some(shell) = &self.shell {
            write!(f, "&shell={}", shell.as_str().replace('+', "%2B"))?;
        }
        if let Some(session) = &self.session {
            write!(f, "&session={session}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str, header: Option<&str>) -> Result<PtyRequest, String> {
        PtyRequest::parse(query, header).map_err(|e| {
            assert_eq!(e.status(), 400);
            e.message().to_owned()
        })
    }

    #[test]
    fn an_absent_and_an_empty_parameter_mean_the_default() {
        for query in [
            "",
            "cols=&rows=&mode=&shell=&session=",
            "other=1&authorization=Bearer%20k",
        ] {
            let request = parse(query, Some("")).unwrap();
            assert_eq!((request.size.cols(), request.size.rows()), (80, 24), "{query}");
            assert_eq!(
                (request.mode, request.shell, request.session),
                (Mode::Auto, None, None),
                "{query}"
            );
        }
    }

    #[test]
    fn the_query_reads_back_and_takes_nothing_else_along() {
        let query =
            "authorization=Bearer%20k&cols=1&rows=1000&mode=command&shell=%2Fbin%2Fg%2B%2B&session=s-1";
        let request = parse(query, None).unwrap();
        let written = request.to_string();
        assert_eq!(
            written,
            "cols=1&rows=1000&mode=command&shell=/bin/g%2B%2B&session=s-1"
        );
        assert_eq!(parse(&written, None), Ok(request));
        for (text, mode) in Mode::ALL {
            assert_eq!(mode.as_str(), text);
        }
    }

    #[test]
    fn the_header_means_a_session_too() {
        let session = |query, header| {
            let request = parse(query, header)?;
            Ok(request.session.map(|id| id.as_str().to_owned()))
        };
        assert_eq!(session("", Some("h")), Ok(Some("h".to_owned())));
        assert_eq!(session("session=q", Some("h")), Ok(Some("h".to_owned())));
        assert_eq!(session("session=q", None), Ok(Some("q".to_owned())));
        let refused: Result<_, String> = session("", Some("a..b"));
        assert_eq!(refused, Err("Invalid session ID format".to_owned()));
    }

    #[test]
    fn each_error_names_its_parameter() {
        for (query, word) in [
            ("cols=abc", "cols and rows must be valid numbers"),
            ("rows=xyz", "cols and rows must be valid numbers"),
            ("cols=0", "cols and rows must be valid numbers"),
            ("rows=1001", "cols and rows must be valid numbers"),
            ("cols=-1", "cols and rows must be valid numbers"),
            ("cols=%2B5", "cols and rows must be valid numbers"),
            ("cols=80.5", "cols and rows must be valid numbers"),
            (
                "rows=99999999999999999999999",
                "cols and rows must be valid numbers",
            ),
            ("mode=Shell", "mode"),
            ("mode=tty", "mode"),
            ("shell=bash%20-c", "shell"),
            ("shell=bin/bash", "shell"),
            ("shell=a%00", "shell"),
            ("shell=a%0A", "shell"),
            ("session=a/b", "session"),
            ("session=..", "session"),
        ] {
            let message = parse(query, None).unwrap_err();
            assert!(message.contains(word), "{query}: {message}");
        }
        assert!(parse(&format!("shell={}", "a".repeat(256)), None).is_err());
    }
}
