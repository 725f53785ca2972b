//! The commit that a checkout is for.

use sandbox_protocol::CheckoutRequest;
use sandbox_protocol::git::{is_commit_id, is_commit_prefix};

/// The commit to check out, as the request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The commit of the default branch.
    Default,
    /// The commit of a branch.
    Branch(String),
    /// The commit of a branch or a tag.
    Name(String),
    /// The commit of a branch or a tag, or the one whose id begins like this.
    NameOrCommit(String),
    /// The commit of this id, or of a full name like `refs/pull/1/head`.
    Commit(String),
}

impl Wanted {
    /// The commit that `request` names.
    pub fn new(request: &CheckoutRequest) -> Self {
        if let Some(branch) = &request.branch {
            return Self::Branch(branch.clone());
        }
        let Some(name) = &request.reference else {
            return Self::Default;
        };
        match name.strip_prefix("refs/heads/") {
            Some(branch) => Self::Branch(branch.to_owned()),
            None if is_commit_id(name) || name.starts_with("refs/") => Self::Commit(name.clone()),
            None if is_commit_prefix(name) => Self::NameOrCommit(name.clone()),
            None => Self::Name(name.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_is_wanted() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        for (field, name, wanted) in [
            ("ref", "main", Wanted::Name("main".into())),
            ("ref", "refs/heads/a/b", Wanted::Branch("a/b".into())),
            (
                "ref",
                "refs/pull/1/head",
                Wanted::Commit("refs/pull/1/head".into()),
            ),
            ("ref", id, Wanted::Commit(id.into())),
            ("ref", "beef", Wanted::NameOrCommit("beef".into())),
            ("branch", "beef", Wanted::Branch("beef".into())),
            ("other", "main", Wanted::Default),
        ] {
            let body = serde_json::json!({ "repoUrl": "https://host/a", field: name }).to_string();
            let request = CheckoutRequest::parse(body.as_bytes()).unwrap();
            assert_eq!(Wanted::new(&request), wanted, "{field} {name}");
        }
    }
}
