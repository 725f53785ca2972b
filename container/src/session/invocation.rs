//! Parses an argv of a session: a script for a shell, arguments for the session's own shell, or a
//! program.

use super::options::{LETTERS, is_option};

/// A shell, by the state that it can save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// Working directory, variables, functions, aliases, options.
    Bash,
    /// Any POSIX shell: working directory and exported variables.
    Sh,
}

impl Shell {
    /// The shell of the program `name`, with or without its path.
    pub fn from_program(name: &str) -> Option<Self> {
        match name.rsplit('/').next() {
            Some("bash") => Some(Self::Bash),
            Some("sh" | "dash" | "ash") => Some(Self::Sh),
            _ => None,
        }
    }
}

/// `sh -c SCRIPT NAME ARGS…`, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script<'a> {
    /// The kind of shell that runs it.
    pub shell: Shell,
    /// The shell's options, including `-c`. Without `x` and `v`, which would print the commands
    /// before the script, and `posix`, which would change their meaning.
    pub options: Vec<String>,
    /// The commands that set the options of this shell again, once the session's are restored: for
    /// bash all options, for any other shell those that are not in `options`. Each has the form of
    /// a [`dump`](super::parse_dump): `set -o NAME`.
    pub set_options: Vec<String>,
    /// Whether the shell does not read `BASH_ENV`: it is interactive or privileged.
    pub ignores_bash_env: bool,
    /// Whether it is a login shell.
    pub is_login: bool,
    /// Whether a login shell reads no profile.
    pub has_no_profile: bool,
    /// The script.
    pub script: &'a str,
    /// `$0` and the positional parameters, if there are any.
    pub args: &'a [String],
}

impl<'a> Script<'a> {
    /// Parses `argv`; `None` when it is not a script that a shell reads from its command line.
    pub fn parse(argv: &'a [String]) -> Option<Self> {
        let (program, mut rest) = argv.split_first()?;
        let shell = Shell::from_program(program)?;
        let mut parsed = Self {
            shell,
            options: Vec::new(),
            set_options: Vec::new(),
            ignores_bash_env: false,
            is_login: false,
            has_no_profile: false,
            script: "",
            args: &[],
        };
        let mut has_script = false;
        while let Some((word, after)) = rest.split_first() {
            let Some(letters) = word.strip_prefix(['-', '+']) else {
                break;
            };
            rest = after;
            if letters.is_empty() || letters == "-" {
                break;
            }
            if word.starts_with("--") {
                // Only options without a value with which the shell still runs the script.
                if shell != Shell::Bash {
                    return None;
                }
                match word.as_str() {
                    "--login" => parsed.is_login = true,
                    "--noprofile" => parsed.has_no_profile = true,
                    "--norc" => {}
                    "--posix" => {
                        parsed.set("-", "posix");
                        continue;
                    }
                    _ => return None,
                }
                parsed.options.push(word.clone());
                continue;
            }
            let sign = word.get(..1)?;
            let mut retained = String::new();
            for letter in letters.chars() {
                match letter {
                    'c' => has_script = true,
                    // The shell would run nothing, run one line, read its input instead, or must
                    // not redirect.
                    'n' | 't' | 's' | 'r' | 'D' => return None,
                    'i' | 'p' => parsed.ignores_bash_env = true,
                    'l' => parsed.is_login = sign == "-",
                    // Each of these letters takes a value.
                    'o' | 'O' => {
                        let (value, after) = rest.split_first()?;
                        rest = after;
                        match (letter, value.as_str()) {
                            ('o', "noexec" | "onecmd") => return None,
                            ('o', "privileged") => parsed.ignores_bash_env = true,
                            _ => {}
                        }
                        if letter == 'O' {
                            parsed.shopt(sign, value);
                        } else if parsed.set(sign, value) {
                            continue;
                        }
                        parsed.options.extend([format!("{sign}{letter}"), value.clone()]);
                        continue;
                    }
                    letter => {
                        let name = LETTERS.iter().find(|(one, _)| *one == letter);
                        if name.is_some_and(|(_, name)| parsed.set(sign, name)) {
                            continue;
                        }
                    }
                }
                retained.push(letter);
            }
            if !retained.is_empty() {
                parsed.options.push(format!("{sign}{retained}"));
            }
        }
        let (script, args) = rest.split_first()?;
        has_script.then_some(Self {
            script,
            args,
            ..parsed
        })
    }

    /// Sets an option after the restore. Returns whether it must not be set before.
    fn set(&mut self, sign: &str, name: &str) -> bool {
        let is_late = matches!(name, "posix" | "xtrace" | "verbose");
        if (is_late || self.shell == Shell::Bash) && is_option(name) {
            self.set_options.push(format!("set {sign}o {name}"));
        }
        is_late
    }

    fn shopt(&mut self, sign: &str, name: &str) {
        if self.shell == Shell::Bash && is_option(name) {
            let flag = if sign == "-" { "-s" } else { "-u" };
            self.set_options.push(format!("shopt {flag} {name}"));
        }
    }
}

/// Builtins that change the shell, even where a program has the same name.
const CHANGING: [&str; 26] = [
    ".",
    "alias",
    "builtin",
    "cd",
    "command",
    "declare",
    "enable",
    "eval",
    "exec",
    "exit",
    "export",
    "hash",
    "mapfile",
    "popd",
    "pushd",
    "read",
    "readarray",
    "readonly",
    "set",
    "shopt",
    "source",
    "typeset",
    "umask",
    "unalias",
    "unset",
    "let",
];

/// Whether `name` is a builtin that changes the shell.
pub fn changes_shell(name: &str) -> bool {
    CHANGING.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn scripts_are_taken_apart_as_shells_do() {
        for (line, shell, options, set, script, args) in [
            ("sh -c S", Shell::Sh, "-c", "", "S", ""),
            (
                "/bin/sh -lec S name a -c",
                Shell::Sh,
                "-lec",
                "",
                "S",
                "name a -c",
            ),
            ("sh -xc S", Shell::Sh, "-c", "set -o xtrace", "S", ""),
            ("bash -c -e -- S", Shell::Bash, "-c -e", "set -o errexit", "S", ""),
            (
                "bash --login -exuc S",
                Shell::Bash,
                "--login -euc",
                "set -o errexit, set -o xtrace, set -o nounset",
                "S",
                "",
            ),
            (
                "bash -o pipefail +u -c S",
                Shell::Bash,
                "-o pipefail +u -c",
                "set -o pipefail, set +o nounset",
                "S",
                "",
            ),
            (
                "bash -O extglob +O $(x) +v -xc S",
                Shell::Bash,
                "-O extglob +O $(x) -c",
                "shopt -s extglob, set +o verbose, set -o xtrace",
                "S",
                "",
            ),
            ("bash -c - S -", Shell::Bash, "-c", "", "S", "-"),
            (
                "bash --posix -o posix -co xtrace S",
                Shell::Bash,
                "-c",
                "set -o posix, set -o posix, set -o xtrace",
                "S",
                "",
            ),
        ] {
            let argv = argv(line);
            let parsed = Script::parse(&argv).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(parsed.shell, shell, "{line}");
            assert_eq!(parsed.options.join(" "), options, "{line}");
            assert_eq!(parsed.set_options.join(", "), set, "{line}");
            assert_eq!(
                (parsed.script, parsed.args.join(" ").as_str()),
                (script, args),
                "{line}"
            );
        }
        for (line, is_login, ignores) in [
            ("bash -c S", false, false),
            ("bash -lc S", true, false),
            ("bash --login -pc S", true, true),
            ("bash -o privileged -c S", false, true),
        ] {
            let argv = argv(line);
            let parsed = Script::parse(&argv).unwrap();
            assert_eq!(
                (parsed.is_login, parsed.ignores_bash_env),
                (is_login, ignores),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_no_script_of_the_command_line_is_a_program() {
        for line in [
            "bash",
            "bash file",
            "bash -l",
            "sh -s c",
            "bash -c",
            "bash --rcfile x -c S",
            "bash --version",
            "sh --login -c S",
            "bash -rc S",
            "bash -nc S",
            "bash -o",
            "zsh -c S",
            "env sh -c S",
        ] {
            assert_eq!(Script::parse(&argv(line)), None, "{line}");
        }
        assert_eq!(Script::parse(&[]), None);
    }

    #[test]
    fn only_what_changes_the_shell_goes_before_programs() {
        assert!(changes_shell("cd") && changes_shell("export"));
        assert!(!changes_shell("echo") && !changes_shell("test") && !changes_shell("kill"));
    }
}
