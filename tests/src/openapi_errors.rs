//! The errors that the OpenAPI document knows.

use std::sync::LazyLock;

use sandbar_openapi::{Operation, operations};

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(operations);

/// Whether the document says that an operation at `path` can end so. Every error that a test
/// provokes is asked for, so that none is missing there.
pub fn is_documented(path: &str, status: u16, code: &str) -> bool {
    // Errors of unknown paths and methods, which belong to no operation.
    if matches!(code, "not_found" | "method_not_allowed") {
        return true;
    }
    let mut at_path = OPERATIONS
        .iter()
        .filter(|operation| leads_to(operation.path, path))
        .peekable();
    at_path.peek().is_none()
        || at_path.any(|operation| {
            let mut failures = operation.failures.iter();
            failures.any(|failure| failure.status == status && failure.code_name() == code)
        })
}

/// Whether a path is one of a pattern: `{path}` stands for all the rest, every other `{name}` for
/// one part.
fn leads_to(pattern: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    for expected in pattern.split('/') {
        match (expected, parts.next()) {
            ("{path}", Some(_)) => return true,
            (expected, Some(part)) if expected.starts_with('{') || expected == part => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}
