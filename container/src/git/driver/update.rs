//! Fetches into a checkout of the same repository, and switches to another commit.

use sandbox_protocol::ErrorCode;

use super::checkout::{FETCH, Target};
use super::failure::Failure;
use super::git::Network;
use super::wanted::Wanted;

impl Target<'_> {
    /// Fetches into a checkout of the repository, and switches to what is wanted. Changes of files stay;
    /// it fails when they would be lost.
    pub(super) fn update(&self, wanted: Wanted, fetched: &impl Fn()) -> Result<(), Failure> {
        let wanted = match wanted {
            Wanted::Default => Wanted::Branch(self.default_branch()?),
            wanted => wanted,
        };
        match &wanted {
            Wanted::Default => Ok(()),
            Wanted::Branch(name) => self.update_branch(name, fetched),
            Wanted::Commit(name) => {
                self.fetch(name)?;
                fetched();
                self.switch(&["--detach", "FETCH_HEAD"])
            }
            Wanted::Name(name) | Wanted::NameOrCommit(name) => {
                match self.update_branch(name, fetched) {
                    Err(failure) if failure.body.code == ErrorCode::GitRefNotFound => {}
                    updated => return updated,
                }
                match self.fetch(&format!("+refs/tags/{name}:refs/tags/{name}")) {
                    Ok(()) => {
                        fetched();
                        self.switch(&["--detach", &format!("refs/tags/{name}")])
                    }
                    Err(failure)
                        if failure.body.code == ErrorCode::GitRefNotFound
                            && matches!(wanted, Wanted::NameOrCommit(_)) =>
                    {
                        self.fetch("+refs/heads/*:refs/remotes/origin/*")?;
                        fetched();
                        self.switch_to_found(name)
                    }
                    Err(failure) => Err(failure),
                }
            }
        }
    }

    /// The name of the default branch of the server.
    fn default_branch(&self) -> Result<String, Failure> {
        let arguments = ["ls-remote", "--symref", "origin", "HEAD"];
        let found = self.git.run(&self.directory, FETCH, &arguments)?;
        let branch = found
            .lines()
            .find_map(|line| line.strip_prefix("ref: refs/heads/")?.strip_suffix("\tHEAD"));
        branch
            .map(str::to_owned)
            .ok_or_else(|| Failure::new(ErrorCode::GitRefNotFound, "the repository has no default branch"))
    }

    /// Fetches a branch and switches to it. Commits that only the checkout has stay: it fails when the
    /// branch of the server does not contain them.
    fn update_branch(&self, name: &str, fetched: &impl Fn()) -> Result<(), Failure> {
        let remote = format!("refs/remotes/origin/{name}");
        let local = format!("refs/heads/{name}");
        let before = self.commit(&remote)?;
        self.fetch(&format!("+{local}:{remote}"))?;
        fetched();
        match self.commit(&local)? {
            None => {
                self.switch(&["--no-track", "-b", name, &remote])?;
                for (key, value) in [("remote", "origin"), ("merge", &local)] {
                    self.run(Network::None, &["config", &format!("branch.{name}.{key}"), value])?;
                }
                Ok(())
            }
            Some(commit) => {
                self.switch(&[name, "--"])?;
                if Some(&commit) == before.as_ref() {
                    // Also when the history is cut and so leads nowhere.
                    self.run(self.lazy()?, &["reset", "--quiet", "--keep", &remote])
                } else {
                    self.run(self.lazy()?, &["merge", "--ff-only", "--quiet", &remote])
                }
            }
        }
    }
}
