//! Prepares one command, or one terminal, of a session: its command line, directory and
//! environment.

use std::ffi::{OsStr, OsString};
use std::io;

use super::Session;
use super::files::{Restored, ShellFiles};
use super::invocation::Shell;
use super::options::{BASH_ENV, POSIX, SHELLOPTS, shell_options};
use super::overrides::Overrides;
use super::plan::Plan;
use super::restore::Restore;
use super::script::{self, Startup};
use super::state::{Env, State};
use crate::process::directory::Directory;

/// The largest environment that a shell is executed with, in bytes, and its largest variable. A
/// shell reads its state from a file as well, so it can do without the rest; the kernel's limits
/// are about 2 MiB, and 128 KiB for a variable.
const MAX_ENV: usize = 512 * 1024;
const MAX_VARIABLE: usize = 120 * 1024;

/// A command that is ready to start.
#[derive(Debug)]
pub struct Prepared {
    /// The command line.
    pub argv: Vec<String>,
    /// The directory to start in. It must live until then.
    pub directory: Directory,
    /// The environment, without the cookie of a command.
    pub env: Env,
    /// The umask, if the session has changed it.
    pub umask: Option<u32>,
    /// The descriptors of a shell that saves the session's state.
    pub files: Option<ShellFiles>,
}

impl Session {
    /// Prepares `argv` with the current state of this session. Errors are those of the kernel.
    pub fn prepare(&self, argv: &[String], overrides: &Overrides) -> io::Result<Prepared> {
        let state = self.state().clone();
        let (directory, mut env) = self.start_environment(&state, overrides)?;
        let Some(plan) = Plan::new(argv, &mut env, &directory, self, &state, overrides) else {
            return Ok(Prepared {
                argv: argv.to_vec(),
                directory,
                env,
                umask: state.umask(),
                files: None,
            });
        };
        let posix = env.get(OsStr::new(POSIX)).cloned();
        let mut options = plan.options;
        if plan.startup == Startup::BashEnv {
            options.extend(shell_options(&env));
        }
        let is_posix = posix.is_some() || options.iter().any(|option| option == "set -o posix");
        let restore = Restore {
            state: &state,
            cwd: overrides.cwd.as_ref().unwrap_or(&state.cwd),
            overrides: &overrides.env,
            options: &options,
            reads_profile: plan.reads_profile && !is_posix,
            posix: posix.as_deref(),
            traps: plan.traps,
            bypasses_functions: plan.bypasses_functions,
            resets_builtins: plan.resets_builtins,
        };
        let mut env = self.fit_environment(env, overrides);
        let commands = match plan.startup {
            Startup::BashEnv => {
                // In POSIX mode, bash does not read the file in BASH_ENV, which restores the state.
                env.remove(OsStr::new(POSIX));
                env.remove(OsStr::new(SHELLOPTS));
                env.insert(BASH_ENV.into(), script::restore_path().into());
                restore.bash_env()
            }
            Startup::Command { .. } => restore.commands(plan.shell),
        };
        let overridden_options = restore.overridden_options();
        Ok(Prepared {
            argv: plan.argv,
            directory,
            env,
            umask: None,
            files: Some(ShellFiles::new(
                &commands,
                Restored::new(state, overrides, overridden_options),
            )?),
        })
    }

    /// Prepares `argv` with the current directory and environment of this session, without its
    /// shell state. It does not wait in the queue of the session (`turn.rs`), and nothing is saved.
    /// Errors are those of the kernel.
    pub fn prepare_without_turn(&self, argv: &[String], overrides: &Overrides) -> io::Result<Prepared> {
        let state = self.state().clone();
        let (directory, env) = self.start_environment(&state, overrides)?;
        Ok(Prepared {
            argv: argv.to_vec(),
            directory,
            env,
            umask: state.umask(),
            files: None,
        })
    }

    /// Prepares `shell` as an interactive login shell with the current state of this session. One
    /// that is neither bash nor a POSIX shell gets the directory and the environment, and changes
    /// nothing. Errors are those of the kernel.
    pub fn interactive(&self, shell: &str, overrides: &Overrides) -> io::Result<Prepared> {
        let state = self.state().clone();
        let (directory, env) = self.start_environment(&state, overrides)?;
        let mut prepared = Prepared {
            argv: vec![shell.to_owned()],
            directory,
            env: self.fit_environment(env, overrides),
            umask: state.umask(),
            files: None,
        };
        let Some(kind) = Shell::from_program(shell) else {
            prepared.argv.push("-l".into());
            return Ok(prepared);
        };
        let (mut posix, mut options) = (None, Vec::new());
        if kind == Shell::Bash {
            // In POSIX mode, bash does not read the file of --rcfile, which restores the state.
            posix = prepared.env.remove(OsStr::new(POSIX));
            options = shell_options(&prepared.env);
            prepared.env.remove(OsStr::new(SHELLOPTS));
        }
        let restore = Restore {
            state: &state,
            cwd: overrides.cwd.as_ref().unwrap_or(&state.cwd),
            overrides: &overrides.env,
            options: &options,
            reads_profile: true,
            posix: posix.as_deref(),
            traps: false,
            bypasses_functions: false,
            resets_builtins: true,
        };
        let path = script::restore_path();
        let arguments = match kind {
            // A login shell of bash (`-l`) ignores --rcfile, so its state would not be restored.
            Shell::Bash => ["--rcfile".to_owned(), path, "-i".to_owned()].to_vec(),
            Shell::Sh => {
                prepared.env.insert("ENV".into(), path.into());
                vec!["-l".to_owned(), "-i".to_owned()]
            }
        };
        prepared.argv.extend(arguments);
        let commands = restore.startup(kind);
        let overridden_options = restore.overridden_options();
        prepared.files = Some(ShellFiles::new(
            &commands,
            Restored::new(state, overrides, overridden_options),
        )?);
        Ok(prepared)
    }

    /// The directory and the environment of a command, as every shell of the session has them.
    fn start_environment(&self, state: &State, overrides: &Overrides) -> io::Result<(Directory, Env)> {
        let mut env = Env::clone(&self.base.current());
        state.apply_to(&mut env);
        let (directory, cwd) = match &overrides.cwd {
            Some(cwd) => (Directory::existing(cwd.clone()), cwd),
            None => (Directory::at(&state.cwd)?, &state.cwd),
        };
        // A shell that starts in this directory keeps this path, with its symbolic links, in PWD.
        env.insert("PWD".into(), cwd.into());
        env.extend(overrides.env.clone());
        Ok((directory, env))
    }

    /// Returns `env` if a shell can be executed with it, otherwise only the variables that it needs
    /// to read its state.
    fn fit_environment(&self, env: Env, overrides: &Overrides) -> Env {
        let length = |(name, value): (&OsString, &OsString)| name.len() + value.len() + 2;
        let fits = env.iter().all(|variable| length(variable) < MAX_VARIABLE)
            && env.iter().map(length).sum::<usize>() < MAX_ENV;
        if fits {
            return env;
        }
        let mut small = Env::clone(&self.base.current());
        small.extend(overrides.env.clone());
        small.extend(
            env.get_key_value(OsStr::new("PWD"))
                .map(|(name, cwd)| (name.clone(), cwd.clone())),
        );
        small
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    use std::sync::Arc;

    use command_fds::{CommandFdExt as _, FdMapping};
    use futures_util::FutureExt as _;
    use sandbox_protocol::SessionId;

    use super::*;
    use crate::Config;
    use crate::process::descriptors::Passed;
    use crate::session::Sessions;

    fn session() -> Arc<Session> {
        let config = Config::from_env("/usr".into(), None).unwrap();
        Sessions::new(&config, crate::quota::Buffers::default())
            .open(&SessionId::parse("default").unwrap())
            .now_or_never()
            .unwrap()
            .unwrap()
    }

    /// Runs `prepared` with `input`, and saves its changes. Returns its standard output.
    fn run(session: &Session, prepared: Prepared, input: &str) -> String {
        let mut command = Command::new(&prepared.argv[0]);
        command
            .args(&prepared.argv[1..])
            .env_clear()
            .envs(&prepared.env)
            .current_dir(prepared.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(files) = &prepared.files {
            let mapping = |(descriptor, child_fd): Passed<'_>| FdMapping {
                parent_fd: descriptor.try_clone_to_owned().unwrap(),
                child_fd,
            };
            command
                .fd_mappings(files.descriptors().map(mapping).into())
                .unwrap();
        }
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        if let Some(files) = prepared.files {
            session.save_now(files).unwrap();
        }
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn an_interactive_shell_shares_the_session_s_state() {
        for shell in ["bash", "sh"] {
            let session = session();
            let script = |script: &str| ["bash", "-c", script].map(str::to_owned);
            let setup = script("export A=1; f() { echo f; }; alias hi='echo hello'; cd lib");
            run(
                &session,
                session.prepare(&setup, &Overrides::default()).unwrap(),
                "",
            );
            let overrides = Overrides {
                env: Env::from([("TERM".into(), "own".into())]),
                ..Overrides::default()
            };
            let terminal = session.interactive(shell, &overrides).unwrap();
            // Meanwhile a command changes something else.
            let meanwhile = script("export C=3");
            run(
                &session,
                session.prepare(&meanwhile, &Overrides::default()).unwrap(),
                "",
            );
            let typed = "echo $A $TERM; pwd\nexport B=2\ncd /\nexit 4\n";
            assert_eq!(run(&session, terminal, typed), "1 own\n/usr/lib\n", "{shell}");
            let inspect =
                script("f; hi; echo $A $B $C; echo ${ENV-none}; pwd; [ \"$TERM\" = own ] || echo not own");
            let seen = run(
                &session,
                session.prepare(&inspect, &Overrides::default()).unwrap(),
                "",
            );
            assert_eq!(seen, "f\nhello\n1 2 3\nnone\n/\nnot own\n", "{shell}");
        }
    }
}
