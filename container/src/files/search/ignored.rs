//! The files that a search leaves out: by `.gitignore` and `.ignore`, and by the globs of the
//! request.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::BorrowedFd;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use ignore::overrides::{Override, OverrideBuilder};
use rustix::fs::{Mode, openat};
use sandbox_protocol::Invalid;
use sandbox_protocol::file::SearchRequest;

use crate::error::Error;
use crate::paths::FILE;

/// The files with patterns, the one with precedence last.
const NAMES: [&str; 2] = [".gitignore", ".ignore"];

/// The most bytes of such a file that are read.
const MAX_SIZE: u64 = 1 << 20;

/// The patterns that apply at one place of the walk.
pub(super) struct Ignored {
    globs: Override,
    is_on: bool,
    hidden: bool,
    /// The patterns of the directories on the way, each with the depth of its directory. Those of
    /// the parents of the searched directory have the depth 0.
    files: Vec<(usize, Gitignore)>,
}

impl Ignored {
    /// Nothing but the globs of the request.
    pub(super) fn new(request: &SearchRequest) -> Result<Self, Error> {
        let mut globs = OverrideBuilder::new(request.path.as_str());
        for glob in &request.glob {
            let added = globs.add(glob);
            added.map_err(|e| Invalid::request(format!("glob: {e}")))?;
        }
        let globs = globs.build();
        Ok(Self {
            globs: globs.map_err(|e| Invalid::request(format!("glob: {e}")))?,
            is_on: request.gitignore,
            hidden: request.hidden,
            files: Vec::new(),
        })
    }

    /// Adds the patterns in a directory at `path`, which is `depth` levels down. Forgets those of
    /// directories that are as deep.
    pub(super) fn enter(&mut self, directory: BorrowedFd<'_>, path: &Path, depth: usize) {
        self.leave(depth);
        if !self.is_on {
            return;
        }
        for name in NAMES {
            self.files
                .extend(read(directory, name, path).map(|patterns| (depth, patterns)));
        }
    }

    /// Forgets the patterns of directories from this depth on.
    pub(super) fn leave(&mut self, depth: usize) {
        let stay = self
            .files
            .iter()
            .take_while(|(known, _)| depth == 0 || *known < depth);
        let stay = stay.count();
        self.files.truncate(stay);
    }

    /// Whether an entry is left out. Its directory is not.
    pub(super) fn has(&self, path: &Path, name: &[u8], is_directory: bool) -> bool {
        match self.globs.matched(path, is_directory) {
            Match::Ignore(_) => return true,
            Match::Whitelist(_) => return false,
            Match::None => {}
        }
        if !self.hidden && name.starts_with(b".") {
            return true;
        }
        let matched = self.files.iter().rev().find_map(|(_, patterns)| {
            let matched = patterns.matched(path, is_directory);
            (!matched.is_none()).then(|| matched.is_ignore())
        });
        matched.unwrap_or(false)
    }
}

fn read(directory: BorrowedFd<'_>, name: &str, path: &Path) -> Option<Gitignore> {
    let file = std::fs::File::from(openat(directory, name, FILE, Mode::empty()).ok()?);
    file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mut patterns = GitignoreBuilder::new(path);
    for line in BufReader::new(file.take(MAX_SIZE)).lines() {
        // A pattern that is none is left out, as git does.
        let _ = patterns.add_line(None, &line.ok()?);
    }
    patterns.build().ok().filter(|patterns| !patterns.is_empty())
}
