//! The commands that a shell of a session runs before the user's script, to restore the session's
//! state, and after it, to print its own.
//!
//! A shell reads the restoring commands from the descriptor [`RESTORE_FD`], as its
//! [`Startup`](super::script::Startup) determines. A trap for EXIT dumps its state into the
//! descriptor [`SAVED_FD`]; compared with a first dump, after the restore, it has the changes of
//! the script. A function `trap` runs the user's own trap for EXIT after ours. Nothing of this
//! forks, unless a script sets such a trap, and nothing of it is visible in the command's output:
//! neither in line numbers nor with `set -x`.
//!
//! Commands are quoted (`\builtin`), so that no alias changes them. A function called `builtin` is
//! removed before the dump.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::invocation::Shell;
use super::options::POSIX_MODE_OPTIONS;
use super::parse_dump::option;
use super::script::{RESTORE_FD, SAVED_FD};
use super::state::{Env, State};
use super::syntax::quote;
use super::trap;

/// Prints the state of bash, in the order in which [`dump`](super::parse_dump) reads it.
const DUMP_BASH: &str = concat!(
    r"\builtin pwd; \builtin printf '\0'; \builtin umask; \builtin printf '\0'; \builtin declare -p; ",
    r#"\builtin printf '\0%s\0' "${FUNCNAME+${#FUNCNAME[@]}}"; \builtin local -p || \builtin :; \builtin printf '\0'; "#,
    r"\builtin set +o; \builtin shopt -p; \builtin printf '\0'; \builtin declare -f; \builtin printf '\0'; \builtin declare -F; ",
    r"\builtin printf '\0'; \builtin alias -p; \builtin printf '\0sandbox-end\0'",
);

/// Prints the state of any other shell.
const DUMP_SH: &str = r"command pwd; command printf '\0'; command umask; command printf '\0'; export -p; command printf '\0sandbox-end\0'";

/// The message on standard error when the dump at the end fails.
const NOT_SAVED: &str = "session: the shell could not write its state: it is not kept";

/// Undoes changes to builtins that the dump needs. In posix mode, which an assignment switches on,
/// no function overrides `unset`.
const RESET_BUILTINS: &str = concat!(
    r"SANDBOX_CHECK=; \builtin eval SANDBOX_CHECK=1; ",
    r"[[ $SANDBOX_CHECK ]] || { SANDBOX_CHECK=$SHELLOPTS; POSIXLY_CORRECT=y; \unset -f builtin; ",
    r"[[ :$SANDBOX_CHECK: == *:posix:* ]] || \unset -v POSIXLY_CORRECT; \builtin shopt -s expand_aliases; }; ",
    r"\builtin unset -v SANDBOX_CHECK; \builtin enable printf pwd umask declare local set shopt alias trap; ",
);

/// The commands that read the profiles of a login shell of bash.
const LOGIN_BASH: &str = r#"[[ ! -r /etc/profile ]] || . /etc/profile
if [[ -r ~/.bash_profile ]]; then . ~/.bash_profile
elif [[ -r ~/.bash_login ]]; then . ~/.bash_login
elif [[ -r ~/.profile ]]; then . ~/.profile
fi
"#;

/// The command that reads the file in `BASH_ENV` after the profiles, if they set it.
const LOGIN_BASH_ENV: &str = "[[ -z ${BASH_ENV-} ]] || . \"$BASH_ENV\"\n";

/// The parameters of the commands that a shell reads before a script.
#[derive(Debug, Clone, Copy)]
pub struct Restore<'a> {
    /// The state to restore.
    pub state: &'a State,
    /// The directory to start in. The shell is in it already, unless a login profile has changed
    /// it.
    pub cwd: &'a Path,
    /// The variables of this command alone; they are in its environment already.
    pub overrides: &'a Env,
    /// The commands that set the options of this command alone.
    pub options: &'a [String],
    /// Whether bash reads the profiles of a login shell first.
    pub reads_profile: bool,
    /// The variable that puts bash into posix mode, if this command has it.
    pub posix: Option<&'a OsStr>,
    /// Whether the script may set a trap for EXIT.
    pub traps: bool,
    /// Whether it may set one without a call of the function `trap`.
    pub bypasses_functions: bool,
    /// Whether the script may replace or disable builtins.
    pub resets_builtins: bool,
}

impl Restore<'_> {
    /// The commands. They write to the outputs of the shell, which [`Startup::Command`] redirects.
    pub fn commands(&self, shell: Shell) -> Vec<u8> {
        match shell {
            Shell::Bash => self.for_bash(),
            Shell::Sh => self.for_sh(),
        }
    }

    /// The commands for [`Startup::BashEnv`]. They are parsed as a whole, before an option prints
    /// what is parsed.
    pub fn bash_env(&self) -> Vec<u8> {
        let profile = if self.reads_profile {
            [LOGIN_BASH, LOGIN_BASH_ENV].concat()
        } else {
            String::new()
        };
        [
            &b"\\builtin unset -v BASH_ENV\n"[..],
            profile.as_bytes(),
            b"{\n",
            &self.for_bash(),
            REDIRECTED,
        ]
        .concat()
    }

    /// The commands that an interactive shell reads when it starts.
    pub fn startup(&self, shell: Shell) -> Vec<u8> {
        let first = match shell {
            Shell::Bash => LOGIN_BASH,
            // The variable by which the shell finds these commands.
            Shell::Sh => "unset ENV\n",
        };
        [first.as_bytes(), b"{\n", &self.commands(shell), REDIRECTED].concat()
    }

    /// The names of the options of this command alone, which override the state's.
    pub fn overridden_options(&self) -> BTreeSet<Vec<u8>> {
        let names = self
            .options
            .iter()
            .filter_map(|command| option(command.as_bytes()));
        let mut names: BTreeSet<_> = names.map(<[u8]>::to_vec).collect();
        if self.posix.is_some() || names.contains(&b"posix"[..]) {
            names.extend(POSIX_MODE_OPTIONS.map(|name| name.as_bytes().to_vec()));
        }
        names
    }

    fn for_bash(&self) -> Vec<u8> {
        let mut commands = Commands(Vec::new());
        // Otherwise a builtin that fails could end the shell. The state, or `options`, switches it
        // on again.
        commands.add(br"\builtin set +o posix");
        commands.add(&self.change_directory(br"\builtin cd -- "));
        commands.add(br"\builtin shopt -s expand_aliases");
        let has_trap = self.traps && !self.state.has_function("trap");
        let has_alias = has_trap && self.bypasses_functions;
        if has_alias {
            // Before the functions of the state, so that they get it, too.
            commands.add(trap::aliases().as_bytes());
        }
        commands.0.extend(self.state.commands_for_bash(self.overrides));
        for option in self.options {
            commands.add(format!(r"\builtin {option} || \builtin :").as_bytes());
        }
        if let Some(value) = self.posix {
            commands.add(
                &[
                    br"\builtin export POSIXLY_CORRECT=",
                    &*quote(value.as_bytes()),
                    br" || \builtin :",
                ]
                .concat(),
            );
        }
        // With `||` after it, no failure inside ends the shell: not even with `set -e` in a deleted
        // directory.
        commands.add(format!(r"{{ {DUMP_BASH}; }} >&{SAVED_FD} || \builtin :").as_bytes());
        let unset = match (has_trap, has_alias) {
            (_, true) => r"\builtin unset -f trap sandbox_trap; ",
            (true, false) => r"\builtin unset -f trap; ",
            (false, false) => "",
        };
        let reset = if self.resets_builtins { RESET_BUILTINS } else { "" };
        // A write beyond `ulimit -f` is then an error instead of a signal.
        let save = format!(
            "{{ SANDBOX_STATUS=$?; {reset}\\builtin trap - DEBUG; \\builtin trap '' XFSZ; {unset}{{ {DUMP_BASH}; }} >&{SAVED_FD}; }} >/dev/null 2>&1 || \\builtin printf '%s\\n' '{NOT_SAVED}' >&2"
        );
        let on_exit = if has_trap {
            // The user's trap gets the status of the script.
            let on_exit =
                format!("{save}; {{ \\builtin set +e; (\\builtin exit $SANDBOX_STATUS); }} 2>/dev/null\n");
            let define = |name| {
                let function = trap::keep_on_exit(name, &on_exit);
                [br"\builtin eval ", &*quote(function.as_bytes())].concat()
            };
            commands.add(&[b"[[ :$SHELLOPTS: == *:posix:* ]] || ", &*define("trap")].concat());
            if has_alias {
                commands.add(&define(trap::FUNCTION));
            }
            on_exit
        } else {
            save
        };
        commands.add(&[br"\builtin trap -- ", &*quote(on_exit.as_bytes()), b" EXIT"].concat());
        if has_alias {
            commands.add(trap::write_alias_text().as_bytes());
        } else {
            commands.add(format!(r"\builtin exec {RESTORE_FD}<&-").as_bytes());
        }
        commands.0
    }

    /// Before the variables are set: it changes `OLDPWD`.
    fn change_directory(&self, cd: &[u8]) -> Vec<u8> {
        let cwd = quote(self.cwd.as_os_str().as_bytes());
        [br#"[ "$PWD" = "#, &*cwd, b" ] || ", cd, &*cwd, b" || :"].concat()
    }

    fn for_sh(&self) -> Vec<u8> {
        let mut commands = Commands(Vec::new());
        commands.add(&self.change_directory(b"cd -- "));
        commands.0.extend(self.state.commands_for_sh(self.overrides));
        let dump = format!("{{ {DUMP_SH}; }} >>/proc/self/fd/{SAVED_FD}");
        commands.add(format!("{dump} 2>/dev/null || :").as_bytes());
        let save =
            format!("{{ trap '' XFSZ; {dump}; }} 2>/dev/null || command printf '%s\\n' '{NOT_SAVED}' >&2");
        if self.traps {
            commands.add(trap::keep_on_exit_in_sh(&save, self.bypasses_functions).as_bytes());
        }
        commands.add(&[b"trap -- ", &*quote(save.as_bytes()), b" EXIT"].concat());
        for option in self.options {
            commands.add(option.as_bytes());
        }
        commands.0
    }
}

/// The end of commands that write to no output of the shell.
const REDIRECTED: &[u8] = b"} >/dev/null 2>&1\n";

/// Commands, one a line.
struct Commands(Vec<u8>);

impl Commands {
    fn add(&mut self, command: &[u8]) {
        self.0.extend_from_slice(command);
        self.0.push(b'\n');
    }
}
