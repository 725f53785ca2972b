//! What a terminal runs.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::stdio::stdin;
use sandbox_protocol::pty::{Mode, Shell};

use super::device::{Device, Discipline};
use crate::Config;
use crate::pid1::Children;
use crate::process::program::Program;
use crate::process::refusal::Refusal;
use crate::process::spawn::{Child, Role};
use crate::process::tree::{COOKIE, Tree};
use crate::session::Session;
use crate::session::directory::Directory;
use crate::session::files::ShellFiles;
use crate::session::prepare::{OnTop, Prepared, path_of};
use crate::user::Ids;

/// The programs that are login shells when their name has a `-` before it. Others would only wonder.
const LOGIN_SHELLS: [&str; 10] = [
    "ash", "bash", "csh", "dash", "fish", "ksh", "mksh", "sh", "tcsh", "zsh",
];

/// What a terminal's programs may expect of it, as `TERM` names it: what the emulators of today are.
const TERM: &str = "xterm-256color";

/// What a terminal was asked to run.
#[derive(Debug, PartialEq, Eq)]
pub enum Job {
    /// An interactive shell, with its first input.
    Shell(Bytes),
    /// A command line.
    Command(String),
}

impl Job {
    /// What `first`, the first binary frame, asks for. Fails when it cannot be a command and is to be one.
    pub fn of(mode: Mode, first: Bytes) -> Result<Self, String> {
        let line = match mode {
            Mode::Shell => None,
            Mode::Auto => line_of_program(&first)
                .and_then(text)
                .filter(|line| !line.trim_ascii().is_empty()),
            Mode::Command => {
                let line = line_of_program(&first).unwrap_or(&first);
                Some(text(line).ok_or("a command line must be UTF-8 without NUL")?)
            }
        };
        Ok(match line {
            Some(line) => Self::Command(line.to_owned()),
            None => Self::Shell(first),
        })
    }

    /// Who is at the other end.
    pub fn discipline(&self) -> Discipline {
        match self {
            Self::Shell(_) => Discipline::Keyboard,
            Self::Command(_) => Discipline::Program,
        }
    }
}

/// The line that `frame` is, without its end; `None` when it does not end like a line of a program. There may be more
/// lines in it: a quoted argument can have some.
fn line_of_program(frame: &[u8]) -> Option<&[u8]> {
    let line = frame.strip_suffix(b"\n")?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// What can be an argument.
fn text(line: &[u8]) -> Option<&str> {
    str::from_utf8(line).ok().filter(|line| !line.contains('\0'))
}

/// How the program of one terminal is started.
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
    /// It and all that it starts.
    pub tree: Tree,
    /// What a shell of a session leaves behind.
    pub files: Option<ShellFiles>,
}

impl Launcher {
    /// Finds the shell that was asked for, or the usual one, for a terminal of `session`, if it has one. All that it starts
    /// is marked with `cookie`. The error is what a shell would say.
    pub fn find(
        shell: Option<&Shell>,
        config: Arc<Config>,
        session: Option<Arc<Session>>,
        cookie: String,
    ) -> Result<Self, String> {
        let path = path_of(&config.user.env);
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

    /// What the programs run as, if that is not what `sandboxd` runs as.
    pub fn ids(&self) -> Option<&Ids> {
        self.config.user.ids.as_ref()
    }

    /// Starts the job on `device`, as the leader of a session of processes whose terminal that is. Errors are in a shell's
    /// words.
    pub fn start(&self, job: &Job, device: &Device, children: Arc<Children>) -> Result<Started, String> {
        self.spawn(job, device, children).map_err(|e| {
            let name = self.program.to_string_lossy();
            match Refusal::of_kernel(&name, &e) {
                Some(refusal) => refusal.words,
                None => format!("the terminal cannot be started: {e}"),
            }
        })
    }

    fn spawn(&self, job: &Job, device: &Device, children: Arc<Children>) -> io::Result<Started> {
        let mut prepared = self.prepare(job)?;
        // Last: it is how the terminal's processes are found.
        prepared.env.insert(COOKIE.into(), (&self.cookie).into());
        let mut command = Command::new(&self.program);
        let mut argv = prepared.argv.iter();
        let name = argv.next().map(OsStr::new).unwrap_or_default();
        command
            .args(argv)
            .current_dir(prepared.directory.path())
            .env_clear()
            .envs(&prepared.env)
            .stdin(device.their_end()?)
            .stdout(device.their_end()?)
            .stderr(device.their_end()?);
        if let Some(files) = &prepared.files {
            files.pass_to(&mut command);
        }
        take_terminal(&mut command);
        let role = Role::Command {
            ids: self.ids(),
            limits: &self.config.limits,
        };
        let child = Child::spawn(&mut command, name, role, children)?;
        Ok(Started {
            tree: Tree::of_command(child.pid(), &self.cookie, self.ids().cloned()),
            child,
            files: prepared.files,
        })
    }

    fn prepare(&self, job: &Job) -> io::Result<Prepared> {
        let program = self.program.to_string_lossy().into_owned();
        let own: [(OsString, OsString); 2] = [
            ("TERM".into(), TERM.into()),
            ("SHELL".into(), self.program.clone().into()),
        ];
        let own = own.into_iter().collect();
        if let Some(session) = &self.session {
            let on_top = OnTop { cwd: None, env: own };
            return match job {
                Job::Shell(_) => session.interactive(&program, &on_top),
                Job::Command(line) => session.prepare(&[program, "-c".to_owned(), line.clone()], &on_top),
            };
        }
        let name = program.rsplit('/').next().unwrap_or_default();
        let argv = match job {
            Job::Shell(_) if LOGIN_SHELLS.contains(&name) => vec![format!("-{name}")],
            Job::Shell(_) => vec![name.to_owned()],
            Job::Command(line) => vec![name.to_owned(), "-c".to_owned(), line.clone()],
        };
        let mut env = self.config.user.env.clone();
        env.extend(own);
        Ok(Prepared {
            argv,
            directory: Directory::existing(self.config.workspace.clone()),
            env,
            files: None,
        })
    }
}

/// Lets the child lead a session, and so a process group, whose terminal is its standard input.
fn take_terminal(command: &mut Command) {
    let take = || {
        setsid()?;
        Ok(ioctl_tiocsctty(stdin())?)
    };
    // SAFETY: runs between fork and exec, where only async-signal-safe calls are allowed: it makes two system calls.
    // The standard input is the terminal by then.
    unsafe { command.pre_exec(take) };
}

fn search(name: &str, path: &str, cwd: &Path) -> Result<PathBuf, String> {
    let argv = [name.to_owned()];
    let program = Program::resolve(&argv, path, cwd).map_err(|refusal| refusal.words)?;
    // A builtin, which needs a shell, is none.
    if program.argv.len() > 1 {
        return Err(Refusal::not_found(name, "command not found").words);
    }
    Ok(program.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(mode: Mode, first: &[u8]) -> Result<Job, String> {
        Job::of(mode, Bytes::copy_from_slice(first))
    }

    #[test]
    fn programs_send_lf_where_terminals_send_cr() {
        for (first, line) in [
            ("ls\n", "ls"),
            ("ls -l\r\n", "ls -l"),
            ("printf 'a\nb'\n", "printf 'a\nb'"),
            (" \\\n\n", " \\\n"),
        ] {
            let expected = Ok(Job::Command(line.into()));
            assert_eq!(job(Mode::Auto, first.as_bytes()), expected, "{first:?}");
            assert_eq!(job(Mode::Command, first.as_bytes()), expected, "{first:?}");
        }
    }

    #[test]
    fn everything_else_is_the_first_input_of_a_shell() {
        for first in [
            &b"l"[..],
            b"ls\r",
            b"\r",
            b"\n",
            b" \n",
            b"\x03",
            b"ls\n#",
            b"a\0\n",
        ] {
            let expected = Ok(Job::Shell(Bytes::copy_from_slice(first)));
            assert_eq!(job(Mode::Auto, first), expected, "{first:?}");
            assert_eq!(job(Mode::Shell, first), expected, "{first:?}");
        }
        assert_eq!(
            job(Mode::Shell, b"ls\n"),
            Ok(Job::Shell(Bytes::from_static(b"ls\n")))
        );
    }

    #[test]
    fn a_command_needs_no_line_end_where_it_can_be_nothing_else() {
        assert_eq!(job(Mode::Command, b"ls"), Ok(Job::Command("ls".into())));
        assert_eq!(job(Mode::Command, b"\n"), Ok(Job::Command("".into())));
        assert!(job(Mode::Command, b"a\0b\n").is_err());
        assert!(job(Mode::Command, b"\xff").is_err());
    }

    #[test]
    fn a_shell_is_a_program() {
        let find = |shell: &str| search(shell, "/usr/bin:/bin", Path::new("/"));
        assert!(find("sh").is_ok_and(|path| path.ends_with("sh")));
        assert_eq!(find("/bin/sh"), Ok("/bin/sh".into()));
        for (missing, words) in [
            ("no-such-shell", "no-such-shell: command not found"),
            ("export", "export: command not found"),
            ("/no/shell", "/no/shell: No such file or directory"),
            ("/etc/passwd", "/etc/passwd: Permission denied"),
        ] {
            assert_eq!(find(missing), Err(words.to_owned()));
        }
    }
}
