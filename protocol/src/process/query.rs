//! The queries and headers of requests for processes.

use std::fmt;

use crate::event::OutputStream;
use crate::{Invalid, query};

/// The default of `grace_ms`: the time between SIGTERM and SIGKILL, in milliseconds.
pub const DEFAULT_GRACE_MS: u64 = 5000;

/// The largest `grace_ms`.
pub const MAX_GRACE_MS: u64 = 600_000;

/// The query of a list of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Only processes that run.
    pub running: bool,
    /// The most processes on a page.
    pub limit: usize,
    /// The number of the process that the page before ended with.
    pub cursor: Option<u64>,
}

impl ListQuery {
    /// Parses a query.
    ///
    /// # Errors
    ///
    /// 400: the message names the parameter.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let running = match query::value(text, "state")?.as_deref() {
            None => false,
            Some("running") => true,
            Some(_) => return Err(Invalid::request("state must be running")),
        };
        let limit = query::natural(text, "limit", 1..=1000)?.unwrap_or(100);
        let cursor = query::value(text, "cursor")?
            .map(|cursor| {
                cursor
                    .parse()
                    .map_err(|_| Invalid::request("cursor must be that of an earlier page"))
            })
            .transpose()?;
        Ok(Self {
            running,
            limit,
            cursor,
        })
    }
}

/// The query, as it stands in a URL.
impl fmt::Display for ListQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit={}", self.limit)?;
        if self.running {
            f.write_str("&state=running")?;
        }
        match self.cursor {
            Some(cursor) => write!(f, "&cursor={cursor}"),
            None => Ok(()),
        }
    }
}

/// The query of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    /// Whether the stream goes on until the process ends.
    pub follow: bool,
    /// The id of the last event that the client has got.
    pub since: u64,
    /// The output to send; both by default.
    pub stream: Option<OutputStream>,
}

impl LogQuery {
    /// Parses a query. `last_event_id` is that header; `since` takes precedence.
    ///
    /// # Errors
    ///
    /// 400: the message names the parameter.
    pub fn parse(text: &str, last_event_id: Option<&str>) -> Result<Self, Invalid> {
        Ok(Self {
            follow: query::flag(text, "follow")?,
            since: since(text, last_event_id)?,
            stream: query::value(text, "stream")?
                .map(|name| output_stream(&name))
                .transpose()?,
        })
    }
}

/// The query, as it stands in a URL.
impl fmt::Display for LogQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "since={}", self.since)?;
        if self.follow {
            f.write_str("&follow=true")?;
        }
        match self.stream {
            Some(stream) => write!(f, "&stream={}", stream.name()),
            None => Ok(()),
        }
    }
}

/// The id of the last event that a client has got, from the parameter `since` or the header
/// `Last-Event-ID`; 0 without.
///
/// # Errors
///
/// 400: it is not a whole number.
pub fn since(text: &str, last_event_id: Option<&str>) -> Result<u64, Invalid> {
    let parse = |name: &str, id: &str| {
        id.trim()
            .parse()
            .map_err(|_| Invalid::request(format!("{name} must be the id of an event")))
    };
    match (query::value(text, "since")?, last_event_id) {
        (Some(id), _) => parse("since", &id),
        (None, Some(id)) if !id.is_empty() => parse("Last-Event-ID", id),
        _ => Ok(0),
    }
}

/// The header `Stdin-Offset`.
///
/// # Errors
///
/// 400: it is not a whole number.
pub fn stdin_offset(header: &str) -> Result<u64, Invalid> {
    let offset = header.trim().parse();
    offset.map_err(|_| Invalid::request("Stdin-Offset must be a number of bytes"))
}

/// The parameter `grace_ms`.
///
/// # Errors
///
/// 400 for a value out of range.
pub fn grace_ms(text: &str) -> Result<u64, Invalid> {
    match query::value(text, "grace_ms")? {
        None => Ok(DEFAULT_GRACE_MS),
        Some(grace) => grace
            .parse()
            .ok()
            .filter(|grace| *grace <= MAX_GRACE_MS)
            .ok_or_else(|| {
                Invalid::request(format!(
                    "grace_ms must be a whole number from 0 to {MAX_GRACE_MS}"
                ))
            }),
    }
}

pub(super) fn output_stream(name: &str) -> Result<OutputStream, Invalid> {
    match name {
        "stdout" => Ok(OutputStream::Stdout),
        "stderr" => Ok(OutputStream::Stderr),
        _ => Err(Invalid::request("stream must be stdout or stderr")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProcessId;

    #[test]
    fn queries_are_checked() {
        let log = LogQuery::parse("follow=true&stream=stdout", Some("7")).unwrap();
        assert_eq!((log.follow, log.since), (true, 7));
        assert_eq!(log.to_string(), "since=7&follow=true&stream=stdout");
        assert_eq!(LogQuery::parse("", Some("")).unwrap().to_string(), "since=0");
        assert_eq!(LogQuery::parse("since=3", Some("7")).unwrap().since, 3);
        assert!(LogQuery::parse("since=-1", None).is_err());
        assert!(LogQuery::parse("follow=maybe", None).is_err());
        assert!(LogQuery::parse("stream=all", None).is_err());
        let list = ListQuery::parse("state=running&limit=5&cursor=9").unwrap();
        assert_eq!((list.running, list.limit, list.cursor), (true, 5, Some(9)));
        assert_eq!(list.to_string(), "limit=5&state=running&cursor=9");
        assert_eq!(ListQuery::parse("").unwrap().to_string(), "limit=100");
        for query in ["state=ended", "limit=0", "limit=1001", "cursor=a"] {
            assert!(ListQuery::parse(query).is_err(), "{query}");
        }
        assert_eq!(grace_ms("").unwrap(), DEFAULT_GRACE_MS);
        assert!(grace_ms("grace_ms=600001").is_err());
        assert_eq!(stdin_offset("7"), Ok(7));
        for offset in ["", "-1", "1.5", "a"] {
            assert!(stdin_offset(offset).is_err(), "{offset}");
        }
        for id in ["", ".", "a..b", "a/b", "a%2Fb"] {
            assert!(ProcessId::parse(id).is_err(), "{id}");
        }
    }
}
