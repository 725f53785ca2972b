//! Names of branches, tags and commits.

use crate::Invalid;

/// The shortest beginning of a commit's id that git takes for one.
const MIN_PREFIX: usize = 4;

/// Parses the field called `field`: a name as `git check-ref-format` allows it, or a commit's id.
pub(super) fn parse(field: &str, text: &str) -> Result<String, Invalid> {
    let is_forbidden = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    if text.is_empty() || text.contains(is_forbidden) {
        return Err(Invalid::request(format!(
            "{field} must be a name without spaces, control characters and ~^:?*[\\"
        )));
    }
    let is_part = |part: &str| !(part.is_empty() || part.starts_with('.') || part.ends_with(".lock"));
    let is_name = text.split('/').all(is_part)
        && !text.starts_with('-')
        && !text.ends_with('.')
        && !text.contains("..")
        && !text.contains("@{")
        && text != "@";
    if is_name {
        Ok(text.to_owned())
    } else {
        Err(Invalid::request(format!("{field} is not a name of git")))
    }
}

/// Whether a name is the whole id of a commit: of SHA-1 or SHA-256, in hexadecimal.
pub fn is_commit_id(name: &str) -> bool {
    matches!(name.len(), 40 | 64) && is_hex(name)
}

/// Whether a name may be the beginning of a commit's id.
pub fn is_commit_prefix(name: &str) -> bool {
    (MIN_PREFIX..64).contains(&name.len()) && is_hex(name) && !is_commit_id(name)
}

fn is_hex(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
