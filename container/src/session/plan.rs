//! Decides whether a shell of the session runs an argv, and how.

use std::ffi::OsStr;

use super::Session;
use super::invocation::{Script, Shell, changes_shell};
use super::options::{BASH_ENV, POSIX, SHELLOPTS};
use super::overrides::Overrides;
use super::script::{self, Startup};
use super::state::{Env, State};
use crate::process::directory::Directory;
use crate::process::program;
use crate::process::program::path_of;

/// A plan for a shell of the session to run an argv.
pub struct Plan {
    /// The kind of shell.
    pub shell: Shell,
    /// The way in which it restores the state.
    pub startup: Startup,
    /// Its command line.
    pub argv: Vec<String>,
    /// The commands that set its own options, once the state is restored.
    pub options: Vec<String>,
    /// Whether the restoring commands read the profiles of a login shell first, instead of the
    /// shell.
    pub reads_profile: bool,
    /// Whether the script may set a trap for EXIT.
    pub traps: bool,
    /// Whether it may set one without a call of the function `trap`.
    pub bypasses_functions: bool,
    /// Whether the script may replace or disable builtins.
    pub resets_builtins: bool,
}

impl Plan {
    /// The plan for `argv`; `None` when it is an ordinary program. Removes from `env` what the
    /// shell must not have.
    pub fn new(
        argv: &[String],
        env: &mut Env,
        directory: &Directory,
        session: &Session,
        state: &State,
        overrides: &Overrides,
    ) -> Option<Self> {
        let name = argv.first()?;
        let bash_env = OsStr::new(BASH_ENV);
        if let Some(script) = Script::parse(argv) {
            let traps = may_trap(script.script, state);
            let is_posix = state.is_posix()
                || script.set_options.iter().any(|option| option == "set -o posix")
                || [POSIX, SHELLOPTS]
                    .iter()
                    .any(|name| env.contains_key(OsStr::new(name)));
            let bypasses_functions = traps && (is_posix || may_bypass_functions(script.script, state));
            let startup = match script.shell {
                Shell::Bash if !script.ignores_bash_env && !env.contains_key(bash_env) => Startup::BashEnv,
                Shell::Bash => Startup::Command {
                    defines_aliases: state.has_aliases() || bypasses_functions,
                },
                Shell::Sh => Startup::Command {
                    defines_aliases: traps,
                },
            };
            let arguments = script::wrap(name, &script, startup);
            return Some(Self {
                shell: script.shell,
                startup,
                argv: std::iter::once(name.clone()).chain(arguments).collect(),
                traps,
                bypasses_functions,
                resets_builtins: may_change_builtins(script.script, state),
                reads_profile: startup == Startup::BashEnv && script.is_login && !script.has_no_profile,
                options: script.set_options,
            });
        }
        let find = |name: &str, env: &Env| program::find(name, &path_of(env), directory.path());
        let is_for_shell = changes_shell(name)
            || state.has_function(name)
            || (program::is_builtin(name) && find(name, env).is_none());
        if !is_for_shell {
            return None;
        }
        let base = session.base.current();
        // A session that has lost its PATH must be able to set it again.
        let bash = find("bash", env).or_else(|| find("bash", &base));
        let (shell, program, name) = match bash.as_ref().and_then(|bash| bash.to_str()) {
            Some(bash) => (Shell::Bash, bash, "bash"),
            None => (Shell::Sh, program::SH, "sh"),
        };
        // The session's own shell does not read this file again, as a new shell does. Reading it
        // may never end.
        if !overrides.env.contains_key(bash_env) && env.get(bash_env) != base.get(bash_env) {
            env.remove(bash_env);
        }
        let line = argv.join(" ");
        let startup = match shell {
            Shell::Bash if !env.contains_key(bash_env) => Startup::BashEnv,
            _ => Startup::Command {
                defines_aliases: false,
            },
        };
        Some(Self {
            shell,
            startup,
            argv: std::iter::once(program.to_owned())
                .chain(script::wrap_argv(name, argv, startup))
                .collect(),
            options: Vec::new(),
            reads_profile: false,
            traps: may_trap(&line, state),
            bypasses_functions: false,
            resets_builtins: may_change_builtins(&line, state),
        })
    }
}

/// Whether a script may list traps or set one for EXIT: itself, by a function, or by other text
/// that it runs. A trap for RETURN alone is set without our function, whose own return would
/// trigger it.
fn may_trap(script: &str, state: &State) -> bool {
    let mentions = |text: &str| script.contains(text) || state.mentions(text);
    let mentions_one_of = |texts: &[&str]| texts.iter().any(|text| mentions(text));
    (mentions("trap") && (!mentions("RETURN") || mentions_one_of(&["EXIT", "exit", "Exit", " 0"])))
        || mentions_one_of(&["source", ". ", "eval"])
}

/// Whether a script may set a trap by `builtin` or `command`, or in posix mode.
fn may_bypass_functions(script: &str, state: &State) -> bool {
    let texts = ["builtin trap", "command trap", "posix", "POSIX"];
    texts
        .iter()
        .any(|text| script.contains(text) || state.mentions(text))
}

/// Whether a script may define a function `builtin`, or disable a builtin.
fn may_change_builtins(script: &str, state: &State) -> bool {
    let mentions = |text: &str| script.contains(text) || state.mentions(text);
    mentions("builtin") || mentions("enable")
}
