//! The new text of a file that is edited.

use memchr::memmem;
use rustix::io::Errno;
use sandbox_protocol::Invalid;
use sandbox_protocol::file::{EditMismatch, FileEdits};

use crate::error::Error;
use crate::files::workspace::Workspace;
use crate::quota::BufferPermit;

/// Applies the edits of a file, one after the other. Returns the new text and the number of
/// replacements.
pub(super) fn replace_all(
    workspace: &Workspace,
    request: &FileEdits,
    mut text: Vec<u8>,
    permit: &mut BufferPermit,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(Vec<u8>, u64), Error> {
    let mut replaced = 0;
    for (number, edit) in request.edits.iter().enumerate() {
        if is_cancelled() {
            return Err(Error::from_errno(Errno::INTR));
        }
        let old = memmem::Finder::new(edit.old.as_bytes());
        let found = occurrences(&text, &old, edit.all);
        if found == 0 || (found > 1 && !edit.all) {
            return Err(Error::EditMismatch(EditMismatch {
                path: request.path.to_string(),
                edit: number,
                found: found as u64,
            }));
        }
        let length = text.len() - found * edit.old.len() + found * edit.new.len();
        let both = (text.len() + length) as u64;
        check_size(workspace, request, both)?;
        workspace.buffers.grow(permit, both)?;
        let mut result = Vec::with_capacity(length);
        let mut end = 0;
        for place in old.find_iter(&text) {
            result.extend_from_slice(text.get(end..place).unwrap_or_default());
            result.extend_from_slice(edit.new.as_bytes());
            end = place + edit.old.len();
        }
        result.extend_from_slice(text.get(end..).unwrap_or_default());
        replaced += found as u64;
        text = result;
    }
    Ok((text, replaced))
}

/// Error: the versions of a file, of `bytes` together, never fit into the buffers.
pub(super) fn check_size(workspace: &Workspace, request: &FileEdits, bytes: u64) -> Result<(), Error> {
    let limit = workspace.buffers.limit();
    if bytes <= limit.value {
        return Ok(());
    }
    let (path, name, value) = (&request.path, limit.name, limit.value);
    let text =
        format!("{path} is too large to be edited: its versions take more than {value} bytes ({name})");
    Err(Invalid::request(text).into())
}

/// How often a text occurs, without overlaps. Unless `all` are meant, one that overlaps the only one
/// counts, too: it is not clear then which is meant. Takes time in proportion to the text.
fn occurrences(text: &[u8], old: &memmem::Finder<'_>, all: bool) -> usize {
    let count = old.find_iter(text).count();
    if count != 1 || all {
        return count;
    }
    let first = old.find(text).unwrap_or_default();
    let rest = text.get(first + 1..).unwrap_or_default();
    count + usize::from(old.find(rest).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_must_occur_once_unless_all_are_meant() {
        for (text, old, once, all) in [
            ("abc", "b", 1, 1),
            ("abcb", "b", 2, 2),
            ("abc", "d", 0, 0),
            ("aaa", "aa", 2, 1),
            ("aaaa", "aa", 2, 2),
            ("abababa", "aba", 2, 2),
            ("a\nb\na", "a\nb", 1, 1),
            ("", "a", 0, 0),
        ] {
            let old = memmem::Finder::new(old);
            let found = [false, true].map(|all| occurrences(text.as_bytes(), &old, all));
            assert_eq!(found, [once, all], "{text}");
        }
    }
}
