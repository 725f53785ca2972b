//! The parts of a state that a shell could not restore.

use std::collections::BTreeSet;
use std::fmt;

use super::{Env, State, Variable, commands};
use crate::session::parse_dump::Dump;

/// A part of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    kind: Kind,
    name: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Variable,
    Function,
    Alias,
    Option,
}

impl State {
    /// The parts of this state that a shell with the dump `found` has not restored, without the
    /// variables in `overrides` and without `overridden_options`.
    pub fn unrestored(
        &self,
        found: &Dump<'_>,
        overrides: &Env,
        overridden_options: &BTreeSet<Vec<u8>>,
    ) -> Vec<Part> {
        let is_bash = found.is_bash();
        let variables = self.variables.iter().filter(|(name, variable)| match variable {
            Variable::Set { exported, .. } => {
                (is_bash || exported.is_some())
                    && commands::is_restored(name, overrides)
                    && !found.variables.contains_key(&***name)
            }
            Variable::Unset => false,
        });
        let mut parts: Vec<_> = variables
            .map(|(name, _)| Part::new(Kind::Variable, name))
            .collect();
        if !is_bash {
            return parts;
        }
        if let Some(functions) = &found.functions {
            let names = self
                .functions
                .keys()
                .filter(|name| !functions.contains_key(&***name));
            parts.extend(names.map(|name| Part::new(Kind::Function, name)));
        }
        let names = self
            .aliases
            .keys()
            .filter(|name| !found.aliases.contains_key(&***name));
        parts.extend(names.map(|name| Part::new(Kind::Alias, name)));
        let options = self.options.iter().filter(|(name, command)| {
            !overridden_options.contains(*name) && found.options.get(&***name) != Some(&&***command)
        });
        parts.extend(options.map(|(name, _)| Part::new(Kind::Option, name)));
        parts
    }

    /// Removes these parts.
    pub fn remove(&mut self, parts: &[Part]) {
        for Part { kind, name } in parts {
            match kind {
                Kind::Variable => drop(self.variables.remove(name)),
                Kind::Function => drop(self.functions.remove(name)),
                Kind::Alias => drop(self.aliases.remove(name)),
                Kind::Option => drop(self.options.remove(name)),
            }
        }
    }
}

impl Part {
    fn new(kind: Kind, name: &[u8]) -> Self {
        Self {
            kind,
            name: name.to_vec(),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Variable => "variable",
            Kind::Function => "function",
            Kind::Alias => "alias",
            Kind::Option => "option",
        };
        write!(f, "{kind} {}", String::from_utf8_lossy(&self.name))
    }
}
