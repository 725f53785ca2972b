//! What tells one version of a file from another, and the conditions that use it (RFC 9110, sections 8.8 and 13).

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The validators of a file at one moment.
#[derive(Debug, Clone)]
pub(super) struct Validators {
    /// Strong: inode, size and modification time in nanoseconds.
    etag: String,
    /// In whole seconds, as HTTP has it. `None` when HTTP cannot say it: before 1970, or later than now.
    modified: Option<SystemTime>,
    now: SystemTime,
}

impl Validators {
    /// The validators of the file with this `metadata`, asked for at `now`.
    pub(super) fn new(metadata: &Metadata, now: SystemTime) -> Self {
        let modified = u64::try_from(metadata.mtime())
            .ok()
            .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        Self {
            etag: format!(
                "\"{:x}-{:x}-{:x}.{:x}\"",
                metadata.ino(),
                metadata.size(),
                metadata.mtime(),
                metadata.mtime_nsec()
            ),
            modified: modified.filter(|modified| *modified <= now),
            now,
        }
    }

    /// Whether the client has this very version: `If-None-Match`, or without it `If-Modified-Since`.
    pub(super) fn not_modified(&self, request: &HeaderMap) -> bool {
        if request.contains_key(header::IF_NONE_MATCH) {
            return request
                .get_all(header::IF_NONE_MATCH)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .map(str::trim)
                .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag);
        }
        let since = date(request, header::IF_MODIFIED_SINCE);
        matches!((self.modified, since), (Some(modified), Some(since)) if modified <= since)
    }

    /// Whether `Range` counts: there is no `If-Range`, or it names this very version.
    pub(super) fn range_applies(&self, request: &HeaderMap) -> bool {
        let Some(condition) = request.get(header::IF_RANGE) else {
            return true;
        };
        if condition.as_bytes() == self.etag.as_bytes() {
            return true;
        }
        // A date of the current second is no strong validator: the file may change once more within it.
        let settled = |modified: SystemTime| self.now >= modified + Duration::from_secs(1);
        self.modified.is_some_and(settled) && date(request, header::IF_RANGE) == self.modified
    }

    /// Adds `ETag` and `Last-Modified`.
    pub(super) fn write_to(&self, response: &mut HeaderMap) {
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            response.insert(header::ETAG, etag);
        }
        // `now` is far from the year 10000, at which the formatter would panic.
        let date = self.modified.map(httpdate::fmt_http_date);
        if let Some(Ok(date)) = date.map(HeaderValue::try_from) {
            response.insert(header::LAST_MODIFIED, date);
        }
    }
}

fn date(request: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(request.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED: &str = "Fri, 14 Jul 2017 02:40:00 GMT";

    /// A file modified at second 1500000000, seen at `now`.
    fn seen_at(now: u64) -> Validators {
        let file = tempfile::tempfile().unwrap();
        let modified = UNIX_EPOCH + Duration::from_millis(1_500_000_000_500);
        file.set_modified(modified).unwrap();
        Validators::new(&file.metadata().unwrap(), UNIX_EPOCH + Duration::from_secs(now))
    }

    fn request(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn none_match_compares_weakly_and_wins_over_the_date() {
        let file = seen_at(1_600_000_000);
        let etag = file.etag.clone();
        for (value, same) in [
            (etag.clone(), true),
            (format!("W/{etag}"), true),
            (format!("\"other\", {etag}"), true),
            ("*".to_owned(), true),
            ("\"other\"".to_owned(), false),
            (etag.trim_matches('"').to_owned(), false),
        ] {
            let mut request = request(header::IF_NONE_MATCH, &value);
            request.insert(header::IF_MODIFIED_SINCE, HeaderValue::from_static(MODIFIED));
            assert_eq!(file.not_modified(&request), same, "{value}");
        }
    }

    #[test]
    fn modified_since_counts_in_seconds() {
        let file = seen_at(1_600_000_000);
        for (value, same) in [
            (MODIFIED, true),
            ("Fri, 14 Jul 2017 02:40:01 GMT", true),
            ("Fri, 14 Jul 2017 02:39:59 GMT", false),
            ("yesterday", false),
        ] {
            let request = request(header::IF_MODIFIED_SINCE, value);
            assert_eq!(file.not_modified(&request), same, "{value}");
        }
    }

    #[test]
    fn if_range_needs_a_strong_validator() {
        let file = seen_at(1_600_000_000);
        for (value, applies) in [
            (file.etag.clone(), true),
            (format!("W/{}", file.etag), false),
            ("\"other\"".to_owned(), false),
            (MODIFIED.to_owned(), true),
            ("Fri, 14 Jul 2017 02:40:01 GMT".to_owned(), false),
        ] {
            assert_eq!(
                file.range_applies(&request(header::IF_RANGE, &value)),
                applies,
                "{value}"
            );
        }
        let fresh = seen_at(1_500_000_000);
        assert!(!fresh.range_applies(&request(header::IF_RANGE, MODIFIED)));
        assert!(fresh.range_applies(&HeaderMap::new()));
    }

    #[test]
    fn a_date_that_http_cannot_say_is_left_out() {
        let mut headers = HeaderMap::new();
        seen_at(1_600_000_000).write_to(&mut headers);
        assert_eq!(headers[header::LAST_MODIFIED], MODIFIED);

        headers.clear();
        seen_at(1_400_000_000).write_to(&mut headers);
        assert!(headers.contains_key(header::ETAG));
        assert!(!headers.contains_key(header::LAST_MODIFIED));
    }
}
