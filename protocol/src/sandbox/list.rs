//! The query and the answer of `GET /v1/sandbox`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{SandboxInfo, SandboxState};
use crate::{Invalid, SandboxId, query};

/// The default of `limit`.
pub const DEFAULT_LIMIT: usize = 100;

/// The largest `limit`.
pub const MAX_LIMIT: usize = 1000;

/// The most `label` parameters.
pub const MAX_LABELS_IN_QUERY: usize = 8;

/// The query of `GET /v1/sandbox`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListQuery {
    /// The labels that a sandbox must have, all of them.
    pub labels: Vec<Label>,
    /// The state that it must be in.
    pub state: Option<SandboxState>,
    /// The most sandboxes on a page.
    pub limit: usize,
    /// The last sandbox of the page before.
    pub cursor: Option<ListCursor>,
}

/// A label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A position in the list, whose order is: newest first, then by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListCursor {
    /// The time at which the sandbox at this position was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// Its id.
    pub id: String,
}

impl ListQuery {
    /// Parses a query.
    ///
    /// # Errors
    ///
    /// 400: the message names the parameter.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let state = match query::value(text, "state")?.as_deref() {
            None | Some("") => None,
            Some(name) => Some(
                SandboxState::parse(name)
                    .ok_or_else(|| Invalid::request("state must be new, running or stopped"))?,
            ),
        };
        let cursor = query::value(text, "cursor")?.filter(|cursor| !cursor.is_empty());
        let cursor = cursor.map(|cursor| {
            let parsed = ListCursor::parse(&cursor);
            parsed.ok_or_else(|| Invalid::request("cursor must be one that a page before has"))
        });
        let labels = query::values(text, "label")?;
        if labels.len() > MAX_LABELS_IN_QUERY {
            return Err(Invalid::request(format!(
                "there must be at most {MAX_LABELS_IN_QUERY} labels"
            )));
        }
        Ok(Self {
            labels: labels
                .iter()
                .map(|label| Label::parse(label))
                .collect::<Result<_, _>>()?,
            state,
            limit: query::natural(text, "limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT),
            cursor: cursor.transpose()?,
        })
    }
}

impl Label {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text
            .split_once(':')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| Invalid::request("label must be KEY:VALUE"))?;
        Ok(Self {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

impl ListCursor {
    /// The cursor as it stands in a query.
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}:{}", self.created_ms, self.id))
    }

    fn parse(text: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (created_ms, id) = text.split_once(':')?;
        Some(Self {
            created_ms: created_ms.parse().ok()?,
            id: SandboxId::parse(id).ok()?.to_string(),
        })
    }
}

/// The answer of `GET /v1/sandbox`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SandboxPage {
    /// The sandboxes, newest first.
    pub sandboxes: Vec<SandboxInfo>,
    /// The cursor of the next page. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The numbers of the shards of the index that did not answer, if there are any. Their sandboxes
    /// are missing on this page and those that follow it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let query = ListQuery::parse("label=team:a%20b&state=running&label=x:y:z&limit=5").unwrap();
        let label = |key: &str, value: &str| Label {
            key: key.into(),
            value: value.into(),
        };
        assert_eq!(query.labels, [label("team", "a b"), label("x", "y:z")]);
        assert_eq!((query.state, query.limit), (Some(SandboxState::Running), 5));
        let all = ListQuery::parse("").unwrap();
        assert_eq!((all.labels.len(), all.state, all.limit), (0, None, DEFAULT_LIMIT));
        for (bad, name) in [
            ("label=team", "label"),
            ("label=:a", "label"),
            ("state=asleep", "state"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("cursor=x", "cursor"),
        ] {
            assert!(
                ListQuery::parse(bad).unwrap_err().message().starts_with(name),
                "{bad}"
            );
        }
        assert!(ListQuery::parse(&"label=a:b&".repeat(9)).is_err());
    }

    #[test]
    fn cursors_read_back() {
        let cursor = ListCursor {
            created_ms: 1_795_996_800_001,
            id: "abc".into(),
        };
        let query = ListQuery::parse(&format!("cursor={}", cursor.to_text())).unwrap();
        assert_eq!(query.cursor, Some(cursor));
    }
}
