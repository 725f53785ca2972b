//! The options of a shell.

use std::ffi::OsStr;

/// The variable with the file that bash reads before a script.
pub const BASH_ENV: &str = "BASH_ENV";

/// The variable that starts bash in posix mode.
pub const POSIX: &str = "POSIXLY_CORRECT";

use super::state::Env;

/// The variable with the options that bash starts with, and exports again.
pub const SHELLOPTS: &str = "SHELLOPTS";

/// The options that posix mode changes.
pub const POSIX_MODE_OPTIONS: [&str; 6] = [
    "posix",
    "expand_aliases",
    "inherit_errexit",
    "interactive_comments",
    "shift_verbose",
    "sourcepath",
];

/// Whether `name` has the form of an option's name, which needs no quotes in any shell.
pub fn is_option(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The options of bash that have a letter, without those that change how it starts.
pub const LETTERS: [(char, &str); 16] = [
    ('a', "allexport"),
    ('b', "notify"),
    ('e', "errexit"),
    ('f', "noglob"),
    ('h', "hashall"),
    ('k', "keyword"),
    ('m', "monitor"),
    ('u', "nounset"),
    ('v', "verbose"),
    ('x', "xtrace"),
    ('B', "braceexpand"),
    ('C', "noclobber"),
    ('E', "errtrace"),
    ('H', "histexpand"),
    ('P', "physical"),
    ('T', "functrace"),
];

/// The commands that set the options in `SHELLOPTS`, as bash would when it starts.
pub fn shell_options(env: &Env) -> Vec<String> {
    let Some(value) = env.get(OsStr::new(SHELLOPTS)).and_then(|value| value.to_str()) else {
        return Vec::new();
    };
    let names = value.split(':').filter(|name| is_option(name));
    let set = names.map(|name| format!("set -o {name}"));
    set.chain([format!("export {SHELLOPTS}")]).collect()
}
