//! The commands that restore a state. None of them ends a shell when it fails.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use super::{Env, State, Variable, is_of_shell};
use crate::session::syntax;

/// Terminates a command that may fail, so that a shell with `set -e` goes on.
const IN_BASH: &[u8] = b" || \\builtin :\n";
const IN_SH: &[u8] = b" || :\n";

/// The variable that changes the grammar of bash, and the effect of a failing builtin.
const POSIX_VARIABLE: &[u8] = b"POSIXLY_CORRECT";

/// Whether the variable `name` is restored, if `overrides` are set for this command alone.
pub(super) fn is_restored(name: &[u8], overrides: &Env) -> bool {
    syntax::is_name(name) && !is_of_shell(name) && !overrides.contains_key(OsStr::from_bytes(name))
}

impl State {
    /// The commands that restore the state in bash, without the variables in `overrides`. The
    /// options come last, as they change the meaning of commands.
    pub fn commands_for_bash(&self, overrides: &Env) -> Vec<u8> {
        // Each is parsed alone, so that a syntax error ends nothing. With a quoted `declare`, lists
        // could not be assigned.
        let declare = |declaration: &[u8], _: &[u8], _: Option<&OsString>| {
            [br"\builtin eval ", &*syntax::quote(declaration)].concat()
        };
        let mut commands = self.umask_command(IN_BASH);
        let is_first = |name: &[u8]| name != POSIX_VARIABLE;
        commands.extend(self.variables(overrides, is_first, declare, br"\builtin unset -v ", IN_BASH));
        if !self.functions.is_empty() {
            // Patterns are parsed as when they were defined, or with more extensions.
            commands.extend_from_slice(b"SANDBOX_STATUS=$BASHOPTS; \\builtin shopt -s extglob\n");
            // The commands below need the builtin of this name.
            let functions = self.functions.iter().filter(|(name, _)| *name != b"builtin");
            for (name, function) in functions {
                let definition = [b"function ", &**name, b" () ", &*function.body].concat();
                add(
                    &mut commands,
                    &[br"\builtin eval ", &*syntax::quote(&definition), IN_BASH],
                );
                if function.flags != b"f" {
                    add(
                        &mut commands,
                        &[
                            br"\builtin declare -",
                            &*function.flags,
                            b" ",
                            &*syntax::quote(name),
                            IN_BASH,
                        ],
                    );
                }
            }
            commands.extend_from_slice(
                b"[[ :$SANDBOX_STATUS: == *:extglob:* ]] || \\builtin shopt -u extglob\n\\builtin unset -v SANDBOX_STATUS\n",
            );
        }
        for (name, value) in &self.aliases {
            add(
                &mut commands,
                &[
                    br"\builtin alias -- ",
                    &*syntax::quote(name),
                    b"=",
                    value,
                    IN_BASH,
                ],
            );
        }
        for command in self.options.values() {
            add(&mut commands, &[br"\builtin ", command, IN_BASH]);
        }
        commands.extend(self.variables(
            overrides,
            |name| !is_first(name),
            declare,
            br"\builtin unset -v ",
            IN_BASH,
        ));
        commands
    }

    /// The commands that restore the part of the state that any shell has, without the variables in
    /// `overrides`.
    pub fn commands_for_sh(&self, overrides: &Env) -> Vec<u8> {
        let export = |_: &[u8], name: &[u8], value: Option<&OsString>| {
            value.map_or_else(Vec::new, |value| {
                [b"export ", name, b"=", &syntax::quote(value.as_bytes())].concat()
            })
        };
        let mut commands = self.umask_command(IN_SH);
        commands.extend(self.variables(overrides, |_| true, export, b"unset ", IN_SH));
        commands
    }

    fn umask_command(&self, or_else: &[u8]) -> Vec<u8> {
        let mut commands = Vec::new();
        if let Some(umask) = self.umask {
            add(&mut commands, &[format!("umask {umask:04o}").as_bytes(), or_else]);
        }
        commands
    }

    fn variables(
        &self,
        overrides: &Env,
        is_wanted: impl Fn(&[u8]) -> bool,
        set: impl Fn(&[u8], &[u8], Option<&OsString>) -> Vec<u8>,
        unset: &[u8],
        or_else: &[u8],
    ) -> Vec<u8> {
        let mut commands = Vec::new();
        let variables = self.variables.iter();
        for (name, variable) in variables.filter(|(name, _)| is_restored(name, overrides) && is_wanted(name))
        {
            match variable {
                Variable::Set {
                    declaration,
                    exported,
                } => {
                    let command = set(declaration, name, exported.as_ref());
                    if !command.is_empty() {
                        add(&mut commands, &[&command, or_else]);
                    }
                }
                Variable::Unset => add(&mut commands, &[unset, name, or_else]),
            }
        }
        commands
    }
}

fn add(commands: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| commands.extend_from_slice(part));
}
