//! One command, or one terminal, of a session: what to execute, where, and with which environment.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use super::Session;
use super::directory::Directory;
use super::files::ShellFiles;
use super::invocation::{Script, Shell, changes_shell};
use super::script::{self, Restore};
use super::state::{Env, State};
use crate::process::program;

/// The largest environment that a shell is executed with, in bytes, and its largest variable. It reads its state from a file
/// as well, so it can do without; the kernel refuses more than about 2 MiB, and 128 KiB a variable.
const MAX_ENV: usize = 512 * 1024;
const MAX_VARIABLE: usize = 120 * 1024;

/// What to start.
#[derive(Debug)]
pub struct Prepared {
    /// The command line.
    pub argv: Vec<String>,
    /// Where it starts. Keep it until then.
    pub directory: Directory,
    /// The environment, without the cookie of a command.
    pub env: Env,
    /// What its shell must have open, if it is one that keeps the session's state.
    pub files: Option<ShellFiles>,
}

/// What belongs to one command alone.
#[derive(Debug, Default)]
pub struct OnTop {
    /// Where it starts, if not in the session's directory.
    pub cwd: Option<PathBuf>,
    /// Variables on top of the session's.
    pub env: Env,
}

impl Session {
    /// How to run `argv` in this session as it is now. Errors are those of the kernel.
    pub fn prepare(&self, argv: &[String], on_top: &OnTop) -> io::Result<Prepared> {
        let state = self.state().clone();
        let (directory, mut env) = self.surroundings(&state, on_top)?;
        let plan = Plan::of(argv, &env, &directory, &self.base, &state);
        let Some(plan) = plan else {
            return Ok(Prepared {
                argv: argv.to_vec(),
                directory,
                env,
                files: None,
            });
        };
        // The session's own shell does not read this file again, as a new one does. It may never end.
        let bash_env = OsStr::new("BASH_ENV");
        if plan.is_own_shell
            && !on_top.env.contains_key(bash_env)
            && env.get(bash_env) != self.base.get(bash_env)
        {
            env.remove(bash_env);
        }
        let restore = Restore {
            state: &state,
            cwd: on_top.cwd.as_ref().unwrap_or(&state.cwd),
            on_top: &on_top.env,
            options: &plan.options,
            traps: plan.traps,
        };
        Ok(Prepared {
            argv: plan.argv,
            directory,
            env: self.bearable(env, on_top),
            files: Some(ShellFiles::new(&restore.commands(plan.shell))?),
        })
    }

    /// How to run `shell` as an interactive login shell in this session as it is now. One that is neither bash nor a
    /// POSIX shell gets the directory and the environment, and changes nothing. Errors are those of the kernel.
    pub fn interactive(&self, shell: &str, on_top: &OnTop) -> io::Result<Prepared> {
        let state = self.state().clone();
        let (directory, env) = self.surroundings(&state, on_top)?;
        let mut prepared = Prepared {
            argv: vec![shell.to_owned()],
            directory,
            env: self.bearable(env, on_top),
            files: None,
        };
        let Some(kind) = Shell::of_program(shell) else {
            prepared.argv.push("-l".into());
            return Ok(prepared);
        };
        let restore = Restore {
            state: &state,
            cwd: on_top.cwd.as_ref().unwrap_or(&state.cwd),
            on_top: &on_top.env,
            options: &[],
            traps: false,
        };
        let path = script::restore_path();
        let words = match kind {
            // Its own `-l` would read the profiles, and nothing that restores behind them.
            Shell::Bash => ["--rcfile".to_owned(), path, "-i".to_owned()].to_vec(),
            Shell::Sh => {
                prepared.env.insert("ENV".into(), path.into());
                vec!["-l".to_owned(), "-i".to_owned()]
            }
        };
        prepared.argv.extend(words);
        prepared.files = Some(ShellFiles::new(&restore.startup(kind))?);
        Ok(prepared)
    }

    /// Where a command starts and what it gets, as every shell of the session has it.
    fn surroundings(&self, state: &State, on_top: &OnTop) -> io::Result<(Directory, Env)> {
        let mut env = Env::clone(&self.base);
        state.apply_to(&mut env);
        let (directory, cwd) = match &on_top.cwd {
            Some(cwd) => (Directory::existing(cwd.clone()), cwd),
            None => (Directory::at(&state.cwd)?, &state.cwd),
        };
        // A shell that starts in this directory goes on to call it so, symbolic links and all.
        env.insert("PWD".into(), cwd.into());
        env.extend(on_top.env.clone());
        Ok((directory, env))
    }

    /// `env` if a shell can be executed with it, or else what it needs to read its state.
    fn bearable(&self, env: Env, on_top: &OnTop) -> Env {
        let length = |(name, value): (&OsString, &OsString)| name.len() + value.len() + 2;
        let is_bearable = env.iter().all(|variable| length(variable) < MAX_VARIABLE)
            && env.iter().map(length).sum::<usize>() < MAX_ENV;
        if is_bearable {
            return env;
        }
        let mut small = Env::clone(&self.base);
        small.extend(on_top.env.clone());
        small.extend(
            env.get_key_value(OsStr::new("PWD"))
                .map(|(name, cwd)| (name.clone(), cwd.clone())),
        );
        small
    }
}

/// How a shell of the session runs an argv.
struct Plan {
    shell: Shell,
    /// Whether it is the one that the session is, and none that the command asks for.
    is_own_shell: bool,
    argv: Vec<String>,
    options: Vec<String>,
    traps: bool,
}

impl Plan {
    /// `None` when `argv` is a program like any other.
    fn of(argv: &[String], env: &Env, directory: &Directory, base: &Env, state: &State) -> Option<Self> {
        let name = argv.first()?;
        if let Some(script) = Script::parse(argv) {
            let traps = traps_exit(script.script, state);
            let has_aliases = match script.shell {
                Shell::Bash => state.has_aliases(),
                Shell::Sh => traps,
            };
            let words = script::wrap(name, &script, has_aliases);
            return Some(Self {
                shell: script.shell,
                is_own_shell: false,
                argv: std::iter::once(name.clone()).chain(words).collect(),
                traps,
                options: script.traced,
            });
        }
        let find = |name: &str, env: &Env| program::find(name, &path_of(env), directory.path());
        let is_for_shell = changes_shell(name)
            || state.has_function(name)
            || (program::is_builtin(name) && find(name, env).is_none());
        if !is_for_shell {
            return None;
        }
        // A session that has lost its PATH must be able to set it again.
        let bash = find("bash", env).or_else(|| find("bash", base));
        let (shell, program, name) = match bash.as_ref().and_then(|bash| bash.to_str()) {
            Some(bash) => (Shell::Bash, bash, "bash"),
            None => (Shell::Sh, program::SH, "sh"),
        };
        Some(Self {
            shell,
            is_own_shell: true,
            argv: std::iter::once(program.to_owned())
                .chain(script::wrap_words(name, argv))
                .collect(),
            options: Vec::new(),
            traps: traps_exit(&argv.join(" "), state),
        })
    }
}

/// Whether a script may set an EXIT trap, or call a function that does.
fn traps_exit(script: &str, state: &State) -> bool {
    let says = |word: &str| script.contains(word) || state.speaks_of(word);
    says("trap") && (says("EXIT") || says(" 0"))
}

/// The `PATH` of an environment.
pub fn path_of(env: &Env) -> Cow<'_, str> {
    env.get(OsStr::new("PATH"))
        .map(|path| path.to_string_lossy())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    use std::sync::Arc;

    use sandbox_protocol::SessionId;

    use super::*;
    use crate::Config;
    use crate::session::Sessions;

    fn session() -> Arc<Session> {
        let config = Config::from_env("/usr".into(), None).unwrap();
        Sessions::new(&config, crate::quota::Buffers::default())
            .open(&SessionId::parse("s").unwrap())
            .unwrap()
    }

    /// Runs what was prepared with `input`, and keeps what it leaves: what it writes to its standard output.
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
            files.pass_to(&mut command);
        }
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        if let Some(files) = prepared.files {
            session.keep(files).unwrap();
        }
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn an_interactive_shell_shares_the_session_s_state() {
        for shell in ["bash", "sh"] {
            let session = session();
            let script = |script: &str| ["bash", "-c", script].map(str::to_owned);
            let setup = script("export A=1; f() { echo f; }; alias hi='echo hello'; cd lib");
            run(&session, session.prepare(&setup, &OnTop::default()).unwrap(), "");
            let on_top = OnTop {
                env: Env::from([("TERM".into(), "own".into())]),
                ..OnTop::default()
            };
            let terminal = session.interactive(shell, &on_top).unwrap();
            // Meanwhile a command changes something else.
            let meanwhile = script("export C=3");
            run(
                &session,
                session.prepare(&meanwhile, &OnTop::default()).unwrap(),
                "",
            );
            let typed = "echo $A $TERM; pwd\nexport B=2\ncd /\nexit 4\n";
            assert_eq!(run(&session, terminal, typed), "1 own\n/usr/lib\n", "{shell}");
            let look =
                script("f; hi; echo $A $B $C; echo ${ENV-none}; pwd; [ \"$TERM\" = own ] || echo not own");
            let seen = run(&session, session.prepare(&look, &OnTop::default()).unwrap(), "");
            assert_eq!(seen, "f\nhello\n1 2 3\nnone\n/\nnot own\n", "{shell}");
        }
    }
}
