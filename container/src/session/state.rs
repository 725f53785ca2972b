//! What a session keeps between commands. Pure: text in, text out.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::dump::Dump;
use super::words;

/// The most that a session keeps, in bytes of the commands that restore it.
pub const MAX_STATE: usize = 4 * 1024 * 1024;

/// What an entry of a table takes besides its texts, in bytes, about: a session may have a hundred thousand tiny ones.
const ENTRY: usize = 128;

/// Environment by name.
pub type Env = BTreeMap<OsString, OsString>;

/// Variables that a shell sets by itself, or that mean something to one command only.
const NOT_KEPT: [&str; 28] = [
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
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "SRANDOM",
    "UID",
    "READLINE_LINE",
    "READLINE_MARK",
    "READLINE_POINT",
];

/// Options with which a shell would run nothing, or that cannot be set.
const OPTIONS_NOT_KEPT: [&str; 5] = [
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
    /// The commands that define the functions, once there were any.
    pub functions: Option<Vec<u8>>,
    /// The commands that define the aliases, once there were any.
    pub aliases: Option<Vec<u8>>,
    /// The options that were changed, each with the command that sets it.
    options: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A variable that differs from what every command starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Variable {
    Unset,
    Set {
        /// The command that declares it to bash.
        declaration: Vec<u8>,
        /// What commands get.
        exported: Option<OsString>,
    },
}

impl State {
    /// The state of a session that starts in `cwd` with `env` on top of what every command gets.
    pub fn new(cwd: PathBuf, env: &BTreeMap<String, String>) -> Self {
        let variable = |(name, value): (&String, &String)| {
            let exported = Variable::exported(name.as_bytes(), value.into());
            (name.clone().into_bytes(), exported)
        };
        Self {
            cwd,
            variables: env.iter().map(variable).collect(),
            functions: None,
            aliases: None,
            options: BTreeMap::new(),
        }
    }

    /// Changes `env`, which every command starts with, into the environment of this session's.
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
    }

    /// The commands that set the variables in bash, those named in `on_top` aside.
    pub fn variables_for_bash(&self, on_top: &Env) -> Vec<u8> {
        self.commands(on_top, |declaration, _, _| declaration.to_vec(), "unset -v ")
    }

    /// The commands that set the exported variables in any shell, those named in `on_top` aside.
    pub fn variables_for_sh(&self, on_top: &Env) -> Vec<u8> {
        let export = |_: &[u8], name: &[u8], value: Option<&OsString>| {
            value.map_or_else(Vec::new, |value| {
                [b"export ", name, b"=", &words::quote(value.as_bytes())].concat()
            })
        };
        self.commands(on_top, export, "unset ")
    }

    fn commands(
        &self,
        on_top: &Env,
        set: impl Fn(&[u8], &[u8], Option<&OsString>) -> Vec<u8>,
        unset: &str,
    ) -> Vec<u8> {
        let mut commands = Vec::new();
        let variables = self
            .variables
            .iter()
            .filter(|(name, _)| words::is_name(name) && !on_top.contains_key(OsStr::from_bytes(name)));
        for (name, variable) in variables {
            match variable {
                Variable::Set {
                    declaration,
                    exported,
                } => commands.extend_from_slice(&set(declaration, name, exported.as_ref())),
                Variable::Unset => {
                    commands.extend_from_slice(unset.as_bytes());
                    commands.extend_from_slice(name);
                }
            }
            commands.push(b'\n');
        }
        commands
    }

    /// Whether there are aliases to restore.
    pub fn has_aliases(&self) -> bool {
        self.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty())
    }

    /// Whether there is a function called `name`.
    pub fn has_function(&self, name: &str) -> bool {
        let first_line = format!("{name} () ");
        let functions = self.functions.as_deref().unwrap_or_default();
        !name.is_empty()
            && functions
                .split(|byte| *byte == b'\n')
                .any(|line| line == first_line.as_bytes())
    }

    /// Whether a function mentions `word`.
    pub fn speaks_of(&self, word: &str) -> bool {
        let functions = self.functions.as_deref().unwrap_or_default();
        functions
            .windows(word.len())
            .any(|window| window == word.as_bytes())
    }

    /// The commands that set the options in bash.
    pub fn options_for_bash(&self) -> Vec<u8> {
        let mut commands = Vec::new();
        for command in self.options.values() {
            commands.extend_from_slice(command);
            commands.push(b'\n');
        }
        commands
    }

    /// This state after a script that found its shell as `before` says and left it as `after` says. `base` is what every
    /// command starts with. Only what the script changed counts: neither what a login profile did, nor what was set on top
    /// for that command alone.
    pub fn after(&self, before: &Dump<'_>, after: &Dump<'_>, base: &Env) -> Self {
        let mut state = self.clone();
        if after.cwd.starts_with(b"/") && after.cwd != before.cwd {
            state.cwd = Path::new(OsStr::from_bytes(after.cwd)).into();
        }
        for (name, statement) in &after.variables {
            let was = before.variables.get(name);
            if was == Some(statement) || !is_kept(name, after) {
                continue;
            }
            // Inside functions, nobody can tell the local variables of the outer ones from global ones.
            if after.depth > 1 && !statement.is_exported() {
                continue;
            }
            let variable = match statement.exported() {
                // It is told to bash in bash's own words, or else in such as bash knows.
                Some(value) if !after.is_bash() => Variable::exported(name, value),
                exported => Variable::Set {
                    declaration: statement.text.to_vec(),
                    exported,
                },
            };
            state.variables.insert(name.to_vec(), variable);
        }
        for name in before.variables.keys() {
            if !after.variables.contains_key(name) && is_kept(name, after) {
                let is_known = state.variables.remove(*name).is_some();
                if !is_known || base.contains_key(OsStr::from_bytes(name)) {
                    state.variables.insert(name.to_vec(), Variable::Unset);
                }
            }
        }
        for (name, command) in &after.options {
            if before.options.get(name) != Some(command) && !is_one_of(&OPTIONS_NOT_KEPT, name) {
                state.options.insert(name.to_vec(), command.to_vec());
            }
        }
        if after.functions != before.functions {
            state.functions = Some(after.functions.to_vec());
        }
        if after.aliases != before.aliases {
            state.aliases = Some(after.aliases.to_vec());
        }
        state
    }

    /// How much a shell is told of it, in bytes.
    pub fn size(&self) -> usize {
        let variables = self.variables.iter().map(|(name, variable)| match variable {
            Variable::Set { declaration, .. } => declaration.len(),
            Variable::Unset => name.len(),
        });
        let texts = [&self.functions, &self.aliases].map(|text| text.as_ref().map_or(0, Vec::len));
        variables.sum::<usize>()
            + texts.iter().sum::<usize>()
            + self.options_for_bash().len()
            + self.cwd.as_os_str().len()
    }

    /// How much memory it takes, in bytes, about.
    pub fn memory(&self) -> usize {
        let variables = self.variables.iter().map(|(name, variable)| {
            let value = match variable {
                Variable::Set {
                    declaration,
                    exported,
                } => declaration.len() + exported.as_ref().map_or(0, |value| value.len()),
                Variable::Unset => 0,
            };
            ENTRY + name.len() + value
        });
        let options = self.options.iter();
        let options = options.map(|(name, command)| ENTRY + name.len() + command.len());
        let texts = [&self.functions, &self.aliases].map(|text| text.as_ref().map_or(0, Vec::len));
        variables.chain(options).chain(texts).sum::<usize>() + self.cwd.as_os_str().len()
    }
}

impl Variable {
    fn exported(name: &[u8], value: OsString) -> Self {
        let quoted = words::quote(value.as_bytes());
        Self::Set {
            declaration: [b"declare -x ", name, b"=", &quoted].concat(),
            exported: Some(value),
        }
    }
}

fn is_kept(name: &[u8], after: &Dump<'_>) -> bool {
    let is_bash_own = name.starts_with(b"BASH") && !is_one_of(&["BASH_COMPAT", "BASH_ENV"], name);
    !is_bash_own && !is_one_of(&NOT_KEPT, name) && !after.locals.contains(name)
}

fn is_one_of(names: &[&str], name: &[u8]) -> bool {
    names.iter().any(|one| one.as_bytes() == name)
}

#[cfg(test)]
mod tests;
