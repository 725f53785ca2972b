//! The changes of a script to a table: functions, aliases.

use std::collections::BTreeMap;

use super::Function;
use crate::session::functions;
use crate::session::trap::without_alias;

/// An entry of a table in a dump.
pub(super) trait Entry {
    /// The form of the entry in a state.
    type Saved;

    /// Copies it for a state.
    fn to_saved(&self) -> Self::Saved;
}

impl Entry for functions::Function<'_> {
    type Saved = Function;

    fn to_saved(&self) -> Function {
        Function {
            body: without_alias(self.body),
            flags: self.flags.to_vec(),
        }
    }
}

impl Entry for &[u8] {
    type Saved = Vec<u8>;

    fn to_saved(&self) -> Vec<u8> {
        self.to_vec()
    }
}

/// Applies the changes of a script to `table`, from `before` to `after` it.
pub(super) fn apply_changes<T: Entry + PartialEq>(
    table: &mut BTreeMap<Vec<u8>, T::Saved>,
    before: &BTreeMap<&[u8], T>,
    after: &BTreeMap<&[u8], T>,
) {
    table.retain(|name, _| !before.contains_key(&**name) || after.contains_key(&**name));
    let changed = after
        .iter()
        .filter(|(name, entry)| before.get(*name) != Some(entry));
    table.extend(changed.map(|(name, entry)| (name.to_vec(), entry.to_saved())));
}
