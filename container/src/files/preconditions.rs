//! `If-Match` and `If-None-Match` of requests that change a file (RFC 9110, section 13).

use std::fs::File;
use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderName, header};

use super::validators::Validators;
use super::workspace::Workspace;
use crate::error::Error;

/// The conditions of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Preconditions {
    /// The file must be one of these.
    if_match: Option<Vec<String>>,
    /// The file must be none of these.
    if_none_match: Option<Vec<String>>,
}

/// Stands for every file that exists.
const ANY: &str = "*";

impl Preconditions {
    /// Reads the headers.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        Self {
            if_match: tags(headers, header::IF_MATCH),
            if_none_match: tags(headers, header::IF_NONE_MATCH),
        }
    }

    /// The condition that the file has this tag, if there is one.
    pub(super) fn if_match(tag: Option<&str>) -> Self {
        Self {
            if_match: tag.map(|tag| vec![tag.to_owned()]),
            if_none_match: None,
        }
    }

    /// Checks the conditions against the file that was `found`, if one was. Error: one of them does
    /// not hold.
    pub(super) fn check(&self, workspace: &Workspace, path: &str, found: Option<&File>) -> Result<(), Error> {
        if self.if_match.is_none() && self.if_none_match.is_none() {
            return Ok(());
        }
        let metadata = found.map(File::metadata).transpose().map_err(Error::Write)?;
        let tag = metadata.map(|metadata| {
            let validators = Validators::new(&metadata, SystemTime::now(), &workspace.unique_mtimes);
            // Only files have tags.
            metadata.is_file().then(|| validators.etag().to_owned())
        });
        if self.holds(tag.as_ref().map(Option::as_deref)) {
            Ok(())
        } else {
            Err(Error::Precondition(path.to_owned()))
        }
    }

    /// Whether the conditions hold for a file with this tag; `None` where there is no file.
    fn holds(&self, tag: Option<Option<&str>>) -> bool {
        let is_one_of = |tags: &[String], weak: bool| {
            tags.iter().any(|wanted| {
                let wanted = match wanted.strip_prefix("W/") {
                    Some(strong) if weak => strong,
                    _ => wanted,
                };
                tag.is_some_and(|tag| wanted == ANY || Some(wanted) == tag)
            })
        };
        let matches = self.if_match.as_ref().is_none_or(|tags| is_one_of(tags, false));
        let differs = self
            .if_none_match
            .as_ref()
            .is_none_or(|tags| !is_one_of(tags, true));
        matches && differs
    }
}

/// The tags in all headers of this name; `None` without one.
fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Vec<String>> {
    headers.contains_key(&name).then(|| {
        let values = headers.get_all(&name).iter();
        let values = values.filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().to_owned())
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_for_the_right_file() {
        let holds = |name: HeaderName, value: &str, tag: Option<Option<&str>>| {
            let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
            Preconditions::from_headers(&headers).holds(tag)
        };
        let (file, directory, missing) = (Some(Some("\"a\"")), Some(None), None);
        for (value, of_file, of_directory, of_missing) in [
            ("\"a\"", true, false, false),
            ("\"b\", \"a\"", true, false, false),
            ("\"b\"", false, false, false),
            ("W/\"a\"", false, false, false),
            ("*", true, true, false),
            ("", false, false, false),
        ] {
            let held = [file, directory, missing].map(|tag| holds(header::IF_MATCH, value, tag));
            assert_eq!(held, [of_file, of_directory, of_missing], "{value}");
        }
        for (value, of_file, of_directory, of_missing) in [
            ("*", false, false, true),
            ("\"a\"", false, true, true),
            ("W/\"a\"", false, true, true),
            ("\"b\"", true, true, true),
        ] {
            let held = [file, directory, missing].map(|tag| holds(header::IF_NONE_MATCH, value, tag));
            assert_eq!(held, [of_file, of_directory, of_missing], "{value}");
        }
        assert!(Preconditions::default().holds(missing));
    }
}
