//! What an argv means in a session: a script for a shell, words for the session's own shell, or a program.

/// A shell by what it can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// Working directory, variables, functions, aliases, options.
    Bash,
    /// Any POSIX shell: working directory and exported variables.
    Sh,
}

impl Shell {
    /// The shell that a program called `name` is, with or without its path.
    pub fn of_program(name: &str) -> Option<Self> {
        match name.rsplit('/').next() {
            Some("bash") => Some(Self::Bash),
            Some("sh" | "dash" | "ash") => Some(Self::Sh),
            _ => None,
        }
    }
}

/// `sh -c SCRIPT NAME ARGS…`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script<'a> {
    /// What kind of shell runs it.
    pub shell: Shell,
    /// The shell's options, `-c` among them, without those in `traced`.
    pub options: Vec<String>,
    /// The options `x` and `v`, which would show what is run before the script.
    pub traced: Vec<String>,
    /// The script.
    pub script: &'a str,
    /// `$0` and the positional parameters, if there are any.
    pub args: &'a [String],
}

impl<'a> Script<'a> {
    /// Takes `argv` apart; `None` when it is no script that a shell reads from its command line.
    pub fn parse(argv: &'a [String]) -> Option<Self> {
        let (program, mut rest) = argv.split_first()?;
        let shell = Shell::of_program(program)?;
        let mut options = Vec::new();
        let mut traced = Vec::new();
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
                // Only what takes no value and leaves the shell one that runs the script.
                let is_known = ["--login", "--noprofile", "--norc", "--posix"].contains(&word.as_str());
                if shell != Shell::Bash || !is_known {
                    return None;
                }
                options.push(word.clone());
                continue;
            }
            let sign = word.get(..1)?;
            let mut kept = String::new();
            for letter in letters.chars() {
                match letter {
                    'c' => has_script = true,
                    // A shell that runs nothing, reads its input instead, or must not redirect.
                    'n' | 's' | 'r' | 'D' => return None,
                    'x' | 'v' => {
                        traced.push(format!("{sign}{letter}"));
                        continue;
                    }
                    _ => {}
                }
                kept.push(letter);
            }
            if !kept.is_empty() {
                options.push(format!("{sign}{kept}"));
            }
            // Each of these letters takes a word.
            for _ in kept.matches(['o', 'O']) {
                let (value, after) = rest.split_first()?;
                match value.as_str() {
                    "noexec" | "onecmd" => return None,
                    _ => options.push(value.clone()),
                }
                rest = after;
            }
        }
        let (script, args) = rest.split_first()?;
        has_script.then_some(Self {
            shell,
            options,
            traced,
            script,
            args,
        })
    }
}

/// Builtins that are there to change the shell, even where a program has the same name.
const CHANGING: [&str; 25] = [
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
    "unalias",
    "unset",
    "let",
];

/// Whether `name` is a builtin that is there to change the shell.
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
        for (line, shell, options, traced, script, args) in [
            ("sh -c S", Shell::Sh, "-c", "", "S", ""),
            ("/bin/sh -lc S name a -c", Shell::Sh, "-lc", "", "S", "name a -c"),
            ("bash -c -e -- S", Shell::Bash, "-c -e", "", "S", ""),
            ("bash --login -exuc S", Shell::Bash, "--login -euc", "-x", "S", ""),
            (
                "bash -eo pipefail -c S",
                Shell::Bash,
                "-eo pipefail -c",
                "",
                "S",
                "",
            ),
            (
                "bash -O extglob +v -xc S",
                Shell::Bash,
                "-O extglob -c",
                "+v -x",
                "S",
                "",
            ),
            ("bash -c - S -", Shell::Bash, "-c", "", "S", "-"),
        ] {
            let argv = argv(line);
            let parsed = Script::parse(&argv).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(parsed.shell, shell, "{line}");
            assert_eq!(parsed.options.join(" "), options, "{line}");
            assert_eq!(parsed.traced.join(" "), traced, "{line}");
            assert_eq!(
                (parsed.script, parsed.args.join(" ").as_str()),
                (script, args),
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
