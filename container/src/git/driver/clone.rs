//! Clones a repository into a directory that has nothing.

use std::fs;
use std::io;
use std::path::Path;

use remove_tree::remove_tree;
use sandbox_protocol::ErrorCode;

use super::checkout::{FETCH, INCOMPLETE, Target};
use super::failure::Failure;
use super::git::Network;
use super::wanted::Wanted;

impl Target<'_> {
    /// Clones the repository into the directory, which has nothing. Marks it as incomplete.
    pub(super) fn create(&self, wanted: &Wanted, fetched: &impl Fn()) -> Result<(), Failure> {
        match (wanted, self.request.depth) {
            (Wanted::Commit(name), Some(_)) => {
                self.run(Network::None, &["init", "--quiet"])?;
                let url = self.git.url().as_str();
                self.run(Network::None, &["config", &format!("{INCOMPLETE}.clone"), "true"])?;
                self.run(Network::None, &["remote", "add", "origin", url])?;
                self.fetch(name)?;
            }
            (Wanted::Branch(name) | Wanted::Name(name), _) | (Wanted::NameOrCommit(name), Some(_)) => {
                self.clone(&["--branch", name])?;
            }
            (Wanted::Default | Wanted::NameOrCommit(_) | Wanted::Commit(_), _) => self.clone(&[])?,
        }
        match wanted {
            Wanted::Commit(name) => {
                let is_cloned = self.request.depth.is_none();
                let commit = if is_cloned && self.has_commit(name)? {
                    name
                } else {
                    if is_cloned {
                        // No branch and no tag leads there.
                        self.fetch(name)?;
                    }
                    "FETCH_HEAD"
                };
                fetched();
                self.switch(&["--detach", commit])
            }
            Wanted::NameOrCommit(name) if self.request.depth.is_none() => {
                fetched();
                self.switch_to_found(name)
            }
            Wanted::Branch(name) if self.branch()?.as_deref() != Some(name) => Err(no_branch(name)),
            _ => {
                fetched();
                // The files of a clone without a checkout.
                match self.switch(&["HEAD"]) {
                    Err(_) if !self.has_commit("HEAD")? => Err(Failure::new(
                        ErrorCode::GitRefNotFound,
                        "the repository has no commit on its default branch",
                    )),
                    switched => switched,
                }
            }
        }
    }

    fn clone(&self, more: &[&str]) -> Result<(), Failure> {
        let depth = self.depth();
        let filter = self.filter();
        let incomplete = format!("--config={INCOMPLETE}.clone=true");
        let mut arguments = vec!["clone", "--no-checkout", "--progress", &incomplete];
        arguments.extend(depth.as_deref());
        arguments.extend(filter.as_deref());
        arguments.extend(more);
        arguments.extend(["--", self.git.url().as_str(), "."]);
        self.run(FETCH, &arguments)
    }

    /// Removes what a checkout that failed has made: the directory, unless it `existed`.
    pub(super) fn remove(&self, existed: bool) {
        let removed = if existed {
            remove_entries(&self.directory)
        } else {
            remove(&self.directory)
        };
        if let Err(e) = removed
            && e.kind() != io::ErrorKind::NotFound
        {
            eprintln!("{} was not removed: {e}", self.request.target_dir);
        }
    }
}

fn no_branch(name: &str) -> Failure {
    Failure::new(ErrorCode::GitRefNotFound, format!("there is no branch {name}"))
}

fn remove(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    remove_tree(&fs::File::open(parent)?, name)
}

/// Removes everything in `directory`.
pub(super) fn remove_entries(directory: &Path) -> io::Result<()> {
    let opened = fs::File::open(directory)?;
    for entry in fs::read_dir(directory)? {
        remove_tree(&opened, entry?.file_name())?;
    }
    Ok(())
}
