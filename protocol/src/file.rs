//! Files: paths, entries, and the requests that read and change them.

mod change;
mod directory;
mod edit;
mod entry;
mod file_path;
mod mode;
mod search;
mod watch;
mod write;

pub use change::{AttributesRequest, CopyRequest, MAX_BODY, MoveRequest, Transferred};
pub use directory::{
    DEFAULT_LIMIT, DirectoryCreated, DirectoryPage, DirectoryQuery, ListingEnd, MAX_DEPTH, MAX_LIMIT,
};
pub use edit::{
    Edit, EditMismatch, EditMismatchError, EditRequest, Edited, EditedFile, FileEdits, MAX_EDIT_BODY,
    MAX_EDITS,
};
pub use entry::{Entry, EntryType};
pub use file_path::{FilePath, FileRoots};
pub use mode::FileMode;
pub use search::{
    DEFAULT_RESULTS, MAX_CONTEXT, MAX_LINE, MAX_SEARCH_BODY, SearchEnd, SearchMatch, SearchRequest,
    SearchResult,
};
pub use watch::{ChangeStatus, Changes, KEPT_EVENTS, WatchEvent, WatchEventType, WatchQuery, changes_since};
pub use write::WriteOptions;

/// The media type of JSON values, one a line.
pub const NDJSON: &str = "application/x-ndjson";

/// The longest glob, in bytes.
pub const MAX_GLOB: usize = 4096;

/// Whether the value of an `Accept` header asks for [`NDJSON`].
pub fn accepts_ndjson(accept: &str) -> bool {
    accept.split(',').any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case(NDJSON)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_that_names_it_gets_ndjson() {
        for (accept, accepted) in [
            ("application/x-ndjson", true),
            ("application/json;q=0.5, Application/X-NDJSON ; q=1", true),
            ("*/*", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(accepts_ndjson(accept), accepted, "{accept}");
        }
    }
}
