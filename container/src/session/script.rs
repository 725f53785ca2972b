//! What a shell of a session is told: to restore the session's state, and to say its own before and after.
//!
//! A shell reads the commands that restore from the descriptor [`RESTORE_FD`]. It dumps its state into the descriptor
//! [`SAVED_FD`], first when it is restored and again when it exits, however it comes to that. Between the two stands the
//! user's script, in the same shell. None of this forks, and none of it shows in what the command writes: not in line
//! numbers, and not with `set -x`.
//!
//! What runs after the user's script is quoted (`\builtin`), so that no alias changes it. A function called `builtin` does
//! change it: then the dump is not complete, nothing is kept, and the next command is without that function.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::invocation::{Script, Shell};
use super::state::{Env, State};
use super::words::quote;

/// The descriptor of the commands that restore. A high number, so that scripts do not use it themselves.
pub const RESTORE_FD: i32 = 230;

/// The descriptor of the dumps.
pub const SAVED_FD: i32 = 231;

/// How bash says its state, in the order in which [`dump`](super::dump) reads it.
const DUMP_BASH: &str = concat!(
    r"\builtin pwd; \builtin printf '\0'; \builtin declare -p; ",
    r"\builtin printf '\0%s\0' ${FUNCNAME+${#FUNCNAME[@]}}; \builtin local -p || \builtin :; \builtin printf '\0'; ",
    r"\builtin set +o; \builtin shopt -p; \builtin printf '\0'; \builtin declare -f; \builtin declare -F; ",
    r"\builtin printf '\0'; \builtin alias -p; \builtin printf '\0sandbox-end\0'",
);

/// How any other shell says it.
const DUMP_SH: &str = r"command pwd; command printf '\0'; export -p; command printf '\0sandbox-end\0'";

/// The arguments after the program, `argv[0]`, that run `script` in its session: in the shell that read [`restore`]'s
/// commands, and got aliases by them if `has_aliases`.
pub fn wrap(name: &str, script: &Script<'_>, has_aliases: bool) -> Vec<String> {
    let mut words = script.options.clone();
    if has_aliases {
        // A line is parsed as a whole before it runs, so on the same line they would not be known yet.
        words.push(format!("{}; eval \"shift; $1\"", source()));
        let (zero, args) = script
            .args
            .split_first()
            .map_or((name, &[][..]), |(zero, args)| (zero.as_str(), args));
        words.extend([zero.to_owned(), script.script.to_owned()]);
        words.extend_from_slice(args);
    } else {
        // On the same line, which keeps the line numbers of the script.
        words.push(format!("{}; {}", source(), script.script));
        words.extend_from_slice(script.args);
    }
    words
}

/// The arguments after the program that run `argv` as words of a shell: a builtin or a function.
pub fn wrap_words(name: &str, argv: &[String]) -> Vec<String> {
    let mut words = vec!["-c".to_owned(), format!("{}; \"$@\"", source()), name.to_owned()];
    words.extend_from_slice(argv);
    words
}

fn source() -> String {
    format!(". {} >/dev/null 2>&1", restore_path())
}

/// The path of [`RESTORE_FD`], for the process that has it.
pub fn restore_path() -> String {
    format!("/proc/self/fd/{RESTORE_FD}")
}

/// What a login shell of bash reads.
const LOGIN_BASH: &str = r#"[[ ! -r /etc/profile ]] || . /etc/profile
if [[ -r ~/.bash_profile ]]; then . ~/.bash_profile
elif [[ -r ~/.bash_login ]]; then . ~/.bash_login
elif [[ -r ~/.profile ]]; then . ~/.profile
fi
"#;

/// What a shell reads before a script.
#[derive(Debug, Clone, Copy)]
pub struct Restore<'a> {
    /// The state to restore.
    pub state: &'a State,
    /// Where the command is to start. It is there already, unless its login profile has changed the directory.
    pub cwd: &'a Path,
    /// Variables that belong to this command alone; they are in its environment already.
    pub on_top: &'a Env,
    /// Options of the shell that belong to this command alone.
    pub options: &'a [String],
    /// Whether the script may set an EXIT trap of its own.
    pub traps: bool,
}

impl Restore<'_> {
    /// The commands.
    pub fn commands(&self, shell: Shell) -> Vec<u8> {
        match shell {
            Shell::Bash => self.for_bash(),
            Shell::Sh => self.for_sh(),
        }
    }

    /// The commands that an interactive shell reads when it starts.
    pub fn startup(&self, shell: Shell) -> Vec<u8> {
        let first = match shell {
            Shell::Bash => LOGIN_BASH,
            // It is how the shell finds these commands.
            Shell::Sh => "unset ENV\n",
        };
        [
            first.as_bytes(),
            b"{\n",
            &self.commands(shell),
            b"} >/dev/null 2>&1\n",
        ]
        .concat()
    }

    fn for_bash(&self) -> Vec<u8> {
        let mut commands = Commands(Vec::new());
        commands.add(&self.change_directory(br"\builtin cd -- "));
        commands.add(&self.state.variables_for_bash(self.on_top));
        commands.add(br"\builtin shopt -s expand_aliases");
        if let Some(functions) = &self.state.functions {
            // They are parsed before there are aliases and options that parse them otherwise, and by `eval`: one that bash
            // printed wrongly must not end the rest of this.
            commands.add(br"SANDBOX_STATUS=$BASHOPTS; \builtin shopt -s extglob");
            commands.add(&[br"\builtin eval ", &*quote(functions)].concat());
            commands.add(br"case :$SANDBOX_STATUS: in *:extglob:*) ;; *) \builtin shopt -u extglob;; esac");
            commands.add(br"\builtin unset -v SANDBOX_STATUS");
        }
        commands.add(&self.state.options_for_bash());
        if let Some(aliases) = &self.state.aliases {
            commands.add(br"\builtin unalias -a");
            commands.add(&[br"\builtin eval ", &*quote(aliases), br" || \builtin :"].concat());
        }
        if !self.options.is_empty() {
            commands.add(format!(r"\builtin set {}", self.options.join(" ")).as_bytes());
        }
        // With `||` behind it, no failure inside ends the shell: not even with `set -e` in a directory that is gone.
        let save = format!(r"{{ {DUMP_BASH}; }} >&{SAVED_FD} || \builtin :");
        commands.add(save.as_bytes());
        let on_exit = if self.traps {
            let on_exit = format!(
                "SANDBOX_STATUS=$?; {{ \\builtin unset -f trap; \\builtin trap - DEBUG; {save}; }} >/dev/null 2>&1; \\builtin set +e; (\\builtin exit $SANDBOX_STATUS)\n"
            );
            let define = [br"\builtin eval ", &*quote(keep_on_exit(&on_exit).as_bytes())].concat();
            commands.add(&[b"[[ :$SHELLOPTS: == *:posix:* ]] || ", &*define].concat());
            on_exit
        } else {
            format!(r"{{ \builtin trap - DEBUG; {save}; }} >/dev/null 2>&1")
        };
        commands.add(&[br"\builtin trap -- ", &*quote(on_exit.as_bytes()), b" EXIT"].concat());
        commands.add(format!(r"\builtin exec {RESTORE_FD}<&-").as_bytes());
        commands.0
    }

    /// Before the variables are set: it changes `OLDPWD`.
    fn change_directory(&self, cd: &[u8]) -> Vec<u8> {
        let cwd = quote(self.cwd.as_os_str().as_bytes());
        [br#"[ "$PWD" = "#, &*cwd, b" ] || ", cd, &*cwd].concat()
    }

    fn for_sh(&self) -> Vec<u8> {
        let mut commands = Commands(Vec::new());
        commands.add(&self.change_directory(b"cd -- "));
        commands.add(&self.state.variables_for_sh(self.on_top));
        let save = format!("{{ {DUMP_SH}; }} >>/proc/self/fd/{SAVED_FD} 2>/dev/null || :");
        commands.add(save.as_bytes());
        if self.traps {
            commands.add(keep_on_exit_in_sh(&save).as_bytes());
        }
        commands.add(&[b"trap -- ", &*quote(save.as_bytes()), b" EXIT"].concat());
        if !self.options.is_empty() {
            commands.add(format!("set {}", self.options.join(" ")).as_bytes());
        }
        commands.0
    }
}

/// Commands, one a line.
struct Commands(Vec<u8>);

impl Commands {
    fn add(&mut self, command: &[u8]) {
        self.0.extend_from_slice(command);
        self.0.push(b'\n');
    }
}

/// A `trap` that keeps `on_exit`, our EXIT trap, in front of the user's, which may exit. It does not show ours.
fn keep_on_exit(on_exit: &str) -> String {
    let quoted = quote(on_exit.as_bytes());
    let quoted = String::from_utf8_lossy(&quoted);
    // As it stands in what `trap -p` prints, where the user's follows inside the same quotes.
    let shown = quote(quoted.trim_end_matches('\'').as_bytes());
    let shown = String::from_utf8_lossy(&shown);
    format!(
        r#"trap() {{
  case ${{1--p}} in -p*)
    \builtin set -- "$(\builtin trap "$@")" {shown}
    \builtin set -- "${{1//"$2"/\'}}" "trap -- '' EXIT"
    [[ -z ${{1/#"$2"}} ]] || \builtin printf '%s\n' "${{1/#"$2"$'\n'}}"
    \builtin return
  esac
  \builtin trap "$@" || \builtin return
  ((!BASH_SUBSHELL)) || \builtin return 0
  \builtin set -- "$(\builtin trap -p EXIT)"
  [[ $1 != *sandbox-end* ]] || \builtin return 0
  \builtin eval "\builtin set -- $1"
  \builtin trap -- {quoted}"${{3-}}" EXIT
}}"#
    )
}

/// The same for any shell. There a function cannot stand for `trap`, but an alias can, even in a script.
fn keep_on_exit_in_sh(save: &str) -> String {
    // The shell itself, and none that it forked: those have the same `$$`.
    let first = format!(
        "SANDBOX_STATUS=$?; read -r SANDBOX_PID SANDBOX_REST </proc/self/stat; if [ \"$SANDBOX_PID\" = $$ ]; then {save}; fi; set +e; (exit $SANDBOX_STATUS)\n"
    );
    let first = String::from_utf8_lossy(&quote(first.as_bytes())).into_owned();
    format!(
        r#"sandbox_trap() {{
  \trap "$@" || return
  [ "${{1-}}" != -- ] || shift
  case " $* " in *" EXIT "* | *" 0 "*)
    [ "$1" != - ] || set -- :
    \trap -- {first}"$1" EXIT
  esac
}}
alias trap=sandbox_trap"#
    )
}
