//! The state that a session saves between commands. Pure: text in, text out.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::parse_dump::Dump;
use super::syntax;

mod commands;
mod lost;
mod tables;

pub use lost::Part;
use tables::apply_changes;

/// The maximum size of a session's state, in bytes of the commands that restore it.
pub const MAX_STATE: usize = 4 * 1024 * 1024;

/// The approximate memory of a table's entry besides its strings, in bytes: a session may have a
/// hundred thousand small ones.
const ENTRY_OVERHEAD: usize = 128;

/// An environment, by name.
pub type Env = BTreeMap<OsString, OsString>;

/// Variables that a shell sets, or that are for one command only.
const UNSAVED_VARIABLES: [&str; 29] = [
    "_",
    "COLUMNS",
    "COMP_WORDBREAKS",
    "DIRSTACK",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "EUID",
    "FUNCNAME",
    "GROUPS",
    "HISTCMD",
    "LINENO",
    "LINES",
    "OPTARG",
    "OPTIND",
    "PIPESTATUS",
    "PPID",
    "PWD",
    "RANDOM",
    "SANDBOX_EXEC_ID",
    "SANDBOX_STATUS",
    "SANDBOX_TRAP",
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "SRANDOM",
    "UID",
    "READLINE_LINE",
    "READLINE_MARK",
    "READLINE_POINT",
];

/// Options with which a shell would run nothing or start a debugger, or that cannot be set.
const UNSAVED_OPTIONS: [&str; 6] = [
    "extdebug",
    "login_shell",
    "noexec",
    "onecmd",
    "privileged",
    "restricted_shell",
];

/// The state of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The working directory, as the shell calls it.
    pub cwd: PathBuf,
    variables: BTreeMap<Vec<u8>, Variable>,
    /// The umask, if it was changed.
    umask: Option<u32>,
    functions: BTreeMap<Vec<u8>, Function>,
    /// The values of aliases, quoted.
    aliases: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The options that were changed, each with the command that sets it.
    options: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A function of bash.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Function {
    body: Vec<u8>,
    /// Its attributes, as letters; `x` is exported.
    flags: Vec<u8>,
}

/// A variable that differs from the environment that every command starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Variable {
    Unset,
    Set {
        /// The command that declares it to bash.
        declaration: Vec<u8>,
        /// The value in the environment of commands.
        exported: Option<OsString>,
    },
}

impl State {
    /// The state of a session that starts in `cwd` with `env` added to the environment of every
    /// command.
    pub fn new(cwd: PathBuf, env: &BTreeMap<String, String>) -> Self {
        let variable = |(name, value): (&String, &String)| {
            let exported = Variable::exported(name.as_bytes(), value.into());
            (name.clone().into_bytes(), exported)
        };
        Self {
            cwd,
            variables: env.iter().map(variable).collect(),
            umask: None,
            functions: BTreeMap::new(),
            aliases: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }

    /// Changes `env`, with which every command starts, into the environment of this session's
    /// commands.
    pub fn apply_to(&self, env: &mut Env) {
        for (name, variable) in &self.variables {
            let name = OsStr::from_bytes(name);
            match variable {
                Variable::Set {
                    exported: Some(value),
                    ..
                } => {
                    env.insert(name.into(), value.clone());
                }
                Variable::Set { exported: None, .. } | Variable::Unset => {
                    env.remove(name);
                }
            }
        }
        let exported = self
            .functions
            .iter()
            .filter(|(_, function)| function.flags.contains(&b'x'));
        for (name, function) in exported {
            // In the form in which bash exports functions.
            let variable = OsString::from_vec([b"BASH_FUNC_", &**name, b"%%"].concat());
            env.insert(variable, OsString::from_vec([b"() ", &*function.body].concat()));
        }
    }

    /// The umask, if it was changed.
    pub fn umask(&self) -> Option<u32> {
        self.umask
    }

    /// Whether this state sets or unsets the variable `name`.
    pub fn sets(&self, name: &OsStr) -> bool {
        self.variables.contains_key(name.as_bytes())
    }

    /// Whether there are aliases to restore.
    pub fn has_aliases(&self) -> bool {
        !self.aliases.is_empty()
    }

    /// Whether its shells are in posix mode.
    pub fn is_posix(&self) -> bool {
        let variable = self.variables.get(&b"POSIXLY_CORRECT"[..]);
        self.options
            .get(&b"posix"[..])
            .is_some_and(|command| command == b"set -o posix")
            || matches!(variable, Some(Variable::Set { .. }))
    }

    /// Whether there is a function called `name`.
    pub fn has_function(&self, name: &str) -> bool {
        self.functions.contains_key(name.as_bytes())
    }

    /// Whether a function or an alias mentions `text`.
    pub fn mentions(&self, text: &str) -> bool {
        let functions = self.functions.values().map(|function| &function.body);
        let mut bodies = functions.chain(self.aliases.values());
        bodies.any(|body| body.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    /// This state after a script, with the dumps `before` and `after` it. `base` is the environment
    /// that every command starts with. Only the changes of the script count: neither those of a
    /// login profile, nor those for that command alone.
    pub fn after(&self, before: &Dump<'_>, after: &Dump<'_>, base: &Env) -> Self {
        let mut state = self.clone();
        if after.cwd.starts_with(b"/") && after.cwd != before.cwd {
            state.cwd = Path::new(OsStr::from_bytes(after.cwd)).into();
        }
        for (name, statement) in &after.variables {
            let was = before.variables.get(name);
            if was == Some(statement) || !is_saved(name, after) {
                continue;
            }
            // Inside functions, the local variables of the outer ones cannot be told from global
            // ones.
            if after.depth > 1 && !statement.is_exported() {
                continue;
            }
            let variable = match statement.exported() {
                // Any other shell prints it in its own form.
                Some(value) if !after.is_bash() => Variable::exported(name, value),
                exported => Variable::Set {
                    declaration: statement.declaration(),
                    exported,
                },
            };
            state.variables.insert(name.to_vec(), variable);
        }
        for name in before.variables.keys() {
            if !after.variables.contains_key(name) && is_saved(name, after) {
                let is_known = state.variables.remove(*name).is_some();
                if !is_known || base.contains_key(OsStr::from_bytes(name)) {
                    state.variables.insert(name.to_vec(), Variable::Unset);
                }
            }
        }
        for (name, command) in &after.options {
            if before.options.get(name) != Some(command) && !is_one_of(&UNSAVED_OPTIONS, name) {
                state.options.insert(name.to_vec(), command.to_vec());
            }
        }
        if after.umask != before.umask {
            let octal = str::from_utf8(after.umask).ok();
            state.umask = octal.and_then(|octal| u32::from_str_radix(octal, 8).ok());
        }
        if let (Some(before), Some(after)) = (&before.functions, &after.functions) {
            apply_changes(&mut state.functions, before, after);
        }
        apply_changes(&mut state.aliases, &before.aliases, &after.aliases);
        state
    }

    /// The size of the text that a shell reads to restore it, in bytes.
    pub fn size(&self) -> usize {
        let variables = self.variables.iter().map(|(name, variable)| match variable {
            Variable::Set { declaration, .. } => declaration.len(),
            Variable::Unset => name.len(),
        });
        let functions = self
            .functions
            .iter()
            .map(|(name, function)| name.len() + function.body.len());
        let others = self.aliases.iter().chain(&self.options);
        let others = others.map(|(name, text)| name.len() + text.len());
        variables.chain(functions).chain(others).sum::<usize>() + self.cwd.as_os_str().len()
    }

    /// Its approximate memory, in bytes.
    pub fn memory(&self) -> usize {
        let exported = self.variables.values().map(|variable| match variable {
            Variable::Set { exported, .. } => exported.as_ref().map_or(0, |value| value.len()),
            Variable::Unset => 0,
        });
        let names = self.variables.keys().map(Vec::len);
        let entries = self.variables.len() + self.functions.len() + self.aliases.len() + self.options.len();
        exported.chain(names).sum::<usize>() + ENTRY_OVERHEAD * entries + self.size()
    }
}

impl Variable {
    fn exported(name: &[u8], value: OsString) -> Self {
        let quoted = syntax::quote(value.as_bytes());
        Self::Set {
            declaration: [b"declare -x ", name, b"=", &quoted].concat(),
            exported: Some(value),
        }
    }
}

fn is_saved(name: &[u8], after: &Dump<'_>) -> bool {
    !is_of_shell(name) && !after.locals.contains(name)
}

/// Whether the variable `name` is a shell's own, or for one command only.
fn is_of_shell(name: &[u8]) -> bool {
    let is_bash_own = name.starts_with(b"BASH") && !is_one_of(&["BASH_COMPAT", "BASH_ENV"], name);
    is_bash_own || is_one_of(&UNSAVED_VARIABLES, name)
}

fn is_one_of(names: &[&str], name: &[u8]) -> bool {
    names.iter().any(|one| one.as_bytes() == name)
}

#[cfg(test)]
mod tests;
