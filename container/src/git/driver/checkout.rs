//! The git commands of a checkout.
//!
//! First the commits are fetched, with the credentials; then the files are written, without them: hooks
//! and filters, which are commands of the sandbox, run in the second part. In a partial clone the second
//! part fetches, too, and runs no hook.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sandbox_protocol::git::Checkout;
use sandbox_protocol::{CheckoutRequest, ErrorCode};

use super::clone::remove_entries;
use super::credential::CredentialUses;
use super::failure::Failure;
use super::git::{Git, Network};
use super::wanted::Wanted;

/// The section of the repository's configuration that a clone has until it is whole.
pub(super) const INCOMPLETE: &str = "sandbar-incomplete";

/// One fetch.
pub(super) const FETCH: Network = Network::Used(CredentialUses::Once);

/// The directory of a checkout.
#[derive(Debug)]
pub struct Target<'a> {
    pub(super) git: &'a Git,
    pub(super) request: &'a CheckoutRequest,
    pub(super) directory: PathBuf,
}

/// The content of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Nothing.
    Nothing,
    /// A clone that was ended before it was whole.
    Incomplete,
    /// A checkout of the repository.
    Checkout,
}

impl<'a> Target<'a> {
    /// The directory `directory`, for the checkout of `request`.
    pub fn new(git: &'a Git, request: &'a CheckoutRequest, directory: PathBuf) -> Self {
        Self {
            git,
            request,
            directory,
        }
    }

    /// Fetches the repository and checks out what the request names. Calls `fetched` in between.
    pub fn check_out(&self, fetched: impl Fn()) -> Result<Checkout, Failure> {
        let wanted = Wanted::new(self.request);
        let existed = self.directory.exists();
        let _lock = self.lock()?;
        let content = self.content()?;
        if content == Content::Checkout {
            self.update(wanted, &fetched)?;
            self.update_submodules()?;
            return self.result();
        }
        if content == Content::Incomplete {
            remove_entries(&self.directory).map_err(|e| self.unusable(&e))?;
        }
        let made = self
            .create(&wanted, &fetched)
            .and_then(|()| self.run(Network::None, &["config", "--remove-section", INCOMPLETE]));
        if let Err(failure) = made {
            self.remove(existed);
            return Err(failure);
        }
        // From now on, the user may have changed its files: a failure leaves them.
        self.update_submodules()?;
        self.result()
    }

    /// Makes the directory if there is none, and keeps other checkouts from it until the lock is
    /// dropped.
    fn lock(&self) -> Result<File, Failure> {
        let made = DirBuilder::new().recursive(true).create(&self.directory);
        made.map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                self.exists("it is no directory, or below a file")
            }
            _ => self.unusable(&e),
        })?;
        let directory = File::open(&self.directory).map_err(|e| self.unusable(&e))?;
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(directory),
            Err(Errno::WOULDBLOCK) => Err(self.exists("another checkout is running there")),
            Err(e) => Err(self.unusable(&e.into())),
        }
    }

    /// The content of the directory. Error: it has other files.
    fn content(&self) -> Result<Content, Failure> {
        let mut entries = fs::read_dir(&self.directory).map_err(|e| self.unusable(&e))?;
        if entries.next().is_none() {
            return Ok(Content::Nothing);
        }
        if self.directory.join(".git").symlink_metadata().is_err() {
            return Err(self.exists("it has files"));
        }
        let value = |key: &str| {
            let arguments = ["config", "--local", "--get", key];
            self.git.ask(&self.directory, &arguments)
        };
        if value(&format!("{INCOMPLETE}.clone"))?.is_some() {
            return Ok(Content::Incomplete);
        }
        match value("remote.origin.url")? {
            Some(origin) if self.git.url().is_same(&origin) => Ok(Content::Checkout),
            Some(_) => Err(self.exists("it is a checkout of another repository")),
            None => Err(self.exists("it is a repository without this origin")),
        }
    }

    fn exists(&self, why: &str) -> Failure {
        let directory = &self.request.target_dir;
        Failure::new(ErrorCode::GitTargetExists, format!("{directory} exists: {why}"))
    }

    fn unusable(&self, e: &io::Error) -> Failure {
        let directory = &self.request.target_dir;
        Failure::new(ErrorCode::GitError, format!("{directory} cannot be used: {e}"))
    }

    /// Fetches `refspec` from the repository.
    pub(super) fn fetch(&self, refspec: &str) -> Result<(), Failure> {
        let depth = self.depth();
        let filter = self.filter();
        let mut arguments = vec!["fetch", "--progress"];
        arguments.extend(depth.as_deref());
        arguments.extend(filter.as_deref());
        arguments.extend(["origin", refspec]);
        self.run(FETCH, &arguments)
    }

    pub(super) fn depth(&self) -> Option<String> {
        self.request.depth.map(|depth| format!("--depth={depth}"))
    }

    pub(super) fn filter(&self) -> Option<String> {
        let filter = self.request.filter.as_ref();
        filter.map(|filter| format!("--filter={filter}"))
    }

    /// Switches to a branch or a tag of this name that was fetched, or to the commit.
    pub(super) fn switch_to_found(&self, name: &str) -> Result<(), Failure> {
        let remote = format!("refs/remotes/origin/{name}");
        if self.commit(&remote)?.is_some() {
            return self.switch(&["-B", name, "--track", &format!("origin/{name}")]);
        }
        let tag = format!("refs/tags/{name}");
        let found = match self.commit(&tag)? {
            Some(_) => tag,
            None => self.commit(name)?.ok_or_else(|| {
                Failure::new(
                    ErrorCode::GitRefNotFound,
                    format!("there is no branch, tag or commit {name}"),
                )
            })?,
        };
        self.switch(&["--detach", &found])
    }

    pub(super) fn switch(&self, arguments: &[&str]) -> Result<(), Failure> {
        let arguments = [&["checkout", "--progress"], arguments].concat();
        self.run(self.lazy()?, &arguments)
    }

    /// The connections of a command that needs the contents of files: those of a partial clone are
    /// fetched then.
    pub(super) fn lazy(&self) -> Result<Network, Failure> {
        let promisor = ["config", "--get", "remote.origin.promisor"];
        let is_partial = self.git.ask(&self.directory, &promisor)?.as_deref() == Some("true");
        Ok(if is_partial {
            Network::Used(CredentialUses::Unlimited)
        } else {
            Network::None
        })
    }

    fn update_submodules(&self) -> Result<(), Failure> {
        if !self.request.submodules {
            return Ok(());
        }
        let depth = self.depth();
        let mut arguments = vec!["submodule", "update", "--init", "--recursive", "--progress"];
        arguments.extend(depth.as_deref());
        self.run(Network::Used(CredentialUses::Unlimited), &arguments)
    }

    fn result(&self) -> Result<Checkout, Failure> {
        let names = ["rev-parse", "HEAD", "--symbolic-full-name", "HEAD"];
        let names = self.git.run(&self.directory, Network::None, &names)?;
        // The second is `HEAD` itself if no branch is checked out.
        let (commit, name) = names.split_once('\n').unwrap_or((&names, ""));
        Ok(Checkout {
            success: true,
            repo_url: self.git.url().to_string(),
            branch: name.strip_prefix("refs/heads/").map(str::to_owned),
            commit: commit.to_owned(),
            target_dir: self.request.target_dir.to_string(),
        })
    }

    /// The branch that is checked out, if it is one.
    pub(super) fn branch(&self) -> Result<Option<String>, Failure> {
        self.git
            .ask(&self.directory, &["symbolic-ref", "--quiet", "--short", "HEAD"])
    }

    /// The commit of a name, if it is there.
    pub(super) fn commit(&self, name: &str) -> Result<Option<String>, Failure> {
        let name = format!("{name}^{{commit}}");
        self.git
            .ask(&self.directory, &["rev-parse", "--quiet", "--verify", &name])
    }

    pub(super) fn has_commit(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.commit(name)?.is_some())
    }

    pub(super) fn run(&self, network: Network, arguments: &[&str]) -> Result<(), Failure> {
        self.git.run(&self.directory, network, arguments).map(drop)
    }
}
