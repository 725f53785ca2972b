//! The program of a terminal.

use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbox_protocol::pty::Shell;

use super::job::Job;
use crate::Config;
use crate::environment::Variables;
use crate::process::children::Children;
use crate::process::directory::Directory;
use crate::process::program::Program;
use crate::process::program::path_of;
use crate::process::shell_error::ShellError;
use crate::process::spawn::{Child, Role, Start};
use crate::process::tree::{COOKIE, Tree};
use crate::session::Session;
use crate::session::files::ShellFiles;
use crate::session::overrides::Overrides;
use crate::session::prepare::Prepared;
use crate::session::state::Env;
use crate::threads::IsCancelled;
use crate::user::Ids;

/// The programs that are login shells when their name begins with `-`. Others would not know that
/// name.
const LOGIN_SHELLS: [&str; 10] = [
    "ash", "bash", "csh", "dash", "fish", "ksh", "mksh", "sh", "tcsh", "zsh",
];

/// Starts the program of one terminal.
#[derive(Debug)]
pub struct Launcher {
    program: PathBuf,
    config: Arc<Config>,
    session: Option<Arc<Session>>,
    cookie: String,
}

/// A terminal's first process.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub child: Child,
    /// The process and all its descendants.
    pub tree: Tree,
    /// The descriptors of a shell that saves a session's state.
    pub files: Option<ShellFiles>,
}

impl Launcher {
    /// Finds the requested shell, or the default one, for a terminal of `session`, if it has one.
    /// All processes that it starts are marked with `cookie`. Blocks. The error is a shell's
    /// message.
    pub fn find(
        shell: Option<&Shell>,
        config: Arc<Config>,
        session: Option<Arc<Session>>,
        cookie: String,
    ) -> Result<Self, String> {
        let env = config.user.env.current();
        let path = path_of(&env);
        let find = |name| search(name, &path, &config.workspace);
        let program = match shell {
            Some(shell) => find(shell.as_str()),
            None => find("bash").or_else(|_| find("sh")),
        }?;
        drop(path);
        Ok(Self {
            program,
            config,
            session,
            cookie,
        })
    }

    /// The session, if the terminal has one.
    pub fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }

    /// The user that the programs run as, if another than that of `sandboxd`.
    pub fn ids(&self) -> Option<&Ids> {
        self.config.user.ids.as_ref()
    }

    /// Starts the job as the leader of a session of processes, whose terminal is `tty`. The error
    /// is a shell's message. Blocks as [`Child::spawn`] does.
    pub fn start(
        &self,
        job: &Job,
        tty: BorrowedFd<'_>,
        children: Arc<Children>,
        is_cancelled: IsCancelled<'_>,
    ) -> Result<Started, String> {
        self.spawn(job, tty, children, is_cancelled).map_err(|e| {
            let name = self.program.to_string_lossy();
            match ShellError::from_kernel(&name, &e) {
                Some(error) => error.message,
                None => format!("the terminal cannot be started: {e}"),
            }
        })
    }

    fn spawn(
        &self,
        job: &Job,
        tty: BorrowedFd<'_>,
        children: Arc<Children>,
        is_cancelled: IsCancelled<'_>,
    ) -> io::Result<Started> {
        let mut prepared = self.prepare(job)?;
        // Last, so that nothing overrides it: the terminal's processes are found by it.
        prepared.env.insert(COOKIE.into(), (&self.cookie).into());
        let files = prepared.files.iter();
        let descriptors: Vec<_> = files.flat_map(ShellFiles::descriptors).collect();
        let start = Start {
            program: &Program {
                path: self.program.clone(),
                argv: prepared.argv.iter().map(Into::into).collect(),
            },
            cwd: &prepared.directory,
            env: &prepared.env,
            role: Role::Command {
                ids: self.ids(),
                limits: &self.config.limits,
            },
            umask: prepared.umask,
            descriptors: &descriptors,
            controls_terminal: true,
            is_cancelled,
        };
        let child = start.spawn([tty; 3], children)?;
        Ok(Started {
            tree: Tree::for_command(child.pid(), &self.cookie, self.ids().cloned()),
            child,
            files: prepared.files,
        })
    }

    fn prepare(&self, job: &Job) -> io::Result<Prepared> {
        let program = self.program.to_string_lossy().into_owned();
        let shell = OsString::from(self.program.clone());
        let mut own = Env::from([("SHELL".into(), shell)]);
        let variables = job.variables();
        if let Some(session) = &self.session {
            own.extend(variables.into_iter().filter(|(name, _)| match job {
                Job::Shell(_) => true,
                Job::Command(_) => !session.sets(name),
            }));
            let overrides = Overrides { cwd: None, env: own };
            return match job {
                Job::Shell(_) => session.interactive(&program, &overrides),
                Job::Command(line) => session.prepare(&[program, "-c".to_owned(), line.clone()], &overrides),
            };
        }
        let name = program.rsplit('/').next().unwrap_or_default();
        let argv = match job {
            Job::Shell(_) if LOGIN_SHELLS.contains(&name) => vec![format!("-{name}")],
            Job::Shell(_) => vec![name.to_owned()],
            Job::Command(line) => vec![name.to_owned(), "-c".to_owned(), line.clone()],
        };
        own.extend(variables);
        let mut env = Variables::clone(&self.config.user.env.current());
        env.extend(own);
        Ok(Prepared {
            argv,
            directory: Directory::existing(self.config.workspace.clone()),
            env,
            umask: None,
            files: None,
        })
    }
}

fn search(name: &str, path: &str, cwd: &Path) -> Result<PathBuf, String> {
    let argv = [name.to_owned()];
    let program = Program::resolve(&argv, path, cwd).map_err(|error| error.message)?;
    // A builtin, which needs a shell, is no program.
    if program.argv.len() > 1 {
        return Err(ShellError::not_found(name, "command not found").message);
    }
    Ok(program.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_a_program() {
        let find = |shell: &str| search(shell, "/usr/bin:/bin", Path::new("/"));
        assert!(find("sh").is_ok_and(|path| path.ends_with("sh")));
        assert_eq!(find("/bin/sh"), Ok("/bin/sh".into()));
        for (missing, message) in [
            ("no-such-shell", "no-such-shell: command not found"),
            ("export", "export: command not found"),
            ("/no/shell", "/no/shell: No such file or directory"),
            ("/etc/passwd", "/etc/passwd: Permission denied"),
        ] {
            assert_eq!(find(missing), Err(message.to_owned()));
        }
    }
}
