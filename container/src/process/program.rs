//! Finds the file that `argv[0]` names, as a shell does, and fails with the shell's message.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::shell_error::{self, ShellError};

/// The builtins of bash and sh. As commands of their own, they run in a shell unless they are in
/// `PATH` as well.
const BUILTINS: [&str; 61] = [
    ".",
    ":",
    "[",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "cd",
    "command",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "declare",
    "dirs",
    "disown",
    "echo",
    "enable",
    "eval",
    "exec",
    "exit",
    "export",
    "false",
    "fc",
    "fg",
    "getopts",
    "hash",
    "help",
    "history",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "return",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "times",
    "trap",
    "true",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "wait",
];

/// The shell that runs a script without an interpreter line.
pub const SH: &str = "/bin/sh";

/// A file to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program<'a> {
    /// The file, always with a slash; a relative path is relative to the command's directory.
    pub path: PathBuf,
    /// The arguments, the program's name first.
    pub argv: Vec<Cow<'a, str>>,
}

impl<'a> Program<'a> {
    /// Finds the program of `argv` for a command that starts in `cwd` with `path` as its `PATH`.
    pub fn resolve(argv: &'a [String], path: &str, cwd: &Path) -> Result<Self, ShellError> {
        let name = argv.first().map_or("", String::as_str);
        if name.contains('/') {
            return match fs::metadata(cwd.join(name)) {
                Ok(file) if file.is_dir() => Err(ShellError::not_executable(name, "Is a directory")),
                Ok(file) if !is_executable(&file) => {
                    Err(ShellError::not_executable(name, "Permission denied"))
                }
                Ok(_) => Ok(Self::new(name.into(), argv)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    Err(ShellError::not_found(name, "No such file or directory"))
                }
                Err(e) => Err(ShellError::not_executable(name, &shell_error::os_message(&e))),
            };
        }
        match search(name, path, cwd) {
            Search::Found(file) => Ok(Self::new(file, argv)),
            _ if BUILTINS.contains(&name) => Ok(Self::in_shell(argv, path, cwd)),
            Search::NotExecutable => Err(ShellError::not_executable(name, "Permission denied")),
            Search::NotFound => Err(ShellError::not_found(name, "command not found")),
        }
    }

    /// The shell that runs this file, which the kernel cannot execute: a script without `#!`. Fails
    /// when the file is binary.
    pub fn as_script(&self, cwd: &Path) -> Result<Self, ShellError> {
        let path = self.path.to_string_lossy().into_owned();
        let start = first_bytes(&cwd.join(&self.path)).unwrap_or_default();
        let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.contains(&0) {
            return Err(ShellError::not_executable(
                &path,
                "cannot execute binary file: Exec format error",
            ));
        }
        let mut argv = vec![Cow::from("sh"), "--".into(), path.into()];
        argv.extend(self.argv.iter().skip(1).cloned());
        Ok(Self {
            path: SH.into(),
            argv,
        })
    }

    fn new(path: PathBuf, argv: &'a [String]) -> Self {
        Self {
            path,
            argv: argv.iter().map(|arg| Cow::from(arg.as_str())).collect(),
        }
    }

    fn in_shell(argv: &'a [String], path: &str, cwd: &Path) -> Self {
        let (shell, name) = match search("bash", path, cwd) {
            Search::Found(bash) => (bash, "bash"),
            _ => (SH.into(), "sh"),
        };
        let before = [name, "-c", "\"$@\"", name];
        Self {
            path: shell,
            argv: before
                .into_iter()
                .chain(argv.iter().map(String::as_str))
                .map(Cow::from)
                .collect(),
        }
    }
}

/// Whether `name` is a builtin of bash or sh.
pub fn is_builtin(name: &str) -> bool {
    BUILTINS.contains(&name)
}

/// The program `name`, without a slash, for a command that starts in `cwd` with `path` as its
/// `PATH`.
pub fn find(name: &str, path: &str, cwd: &Path) -> Option<PathBuf> {
    match search(name, path, cwd) {
        Search::Found(file) => Some(file),
        _ => None,
    }
}

enum Search {
    Found(PathBuf),
    /// Only files without the permission to execute have that name.
    NotExecutable,
    NotFound,
}

/// The `PATH` of an environment.
pub fn path_of(env: &BTreeMap<OsString, OsString>) -> Cow<'_, str> {
    env.get(OsStr::new("PATH"))
        .map(|path| path.to_string_lossy())
        .unwrap_or_default()
}

fn search(name: &str, path: &str, cwd: &Path) -> Search {
    let mut search = Search::NotFound;
    if name.is_empty() {
        return search;
    }
    for directory in path.split(':') {
        // An empty entry is the current directory.
        let file = Path::new(if directory.is_empty() { "." } else { directory }).join(name);
        match fs::metadata(cwd.join(&file)) {
            Ok(found) if found.is_file() && is_executable(&found) => return Search::Found(file),
            Ok(found) if found.is_file() => search = Search::NotExecutable,
            _ => {}
        }
    }
    search
}

fn is_executable(file: &Metadata) -> bool {
    file.permissions().mode() & 0o111 != 0
}

fn first_bytes(file: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;

    let mut start = Vec::new();
    fs::File::open(file)?.take(80).read_to_end(&mut start)?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, mode) in [
            ("bin/tool", 0o755),
            ("bin/data", 0o644),
            ("other/tool", 0o755),
            ("run", 0o755),
        ] {
            let file = directory.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "exit 0\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        directory
    }

    fn resolve(name: &str, path: &str, cwd: &Path) -> Result<String, (i32, String)> {
        Program::resolve(&[name.to_owned()], path, cwd)
            .map(|program| program.path.to_str().unwrap().to_owned())
            .map_err(|error| (error.exit_code, error.message))
    }

    #[test]
    fn finds_the_file_that_a_shell_finds() {
        let directory = directory();
        let cwd = directory.path();
        for (name, path, file) in [
            ("tool", "none:bin:other", "bin/tool"),
            ("tool", "other:bin", "other/tool"),
            ("run", "bin:", "./run"),
            ("./run", "bin", "./run"),
            ("bin/tool", "", "bin/tool"),
            ("cd", "bin", SH),
        ] {
            assert_eq!(resolve(name, path, cwd), Ok(file.to_owned()), "{name} in {path}");
        }
    }

    #[test]
    fn fails_with_the_message_of_a_shell() {
        let directory = directory();
        let cwd = directory.path();
        for (name, path, exit_code, message) in [
            ("none", "bin", 127, "none: command not found"),
            ("", "bin", 127, ": command not found"),
            ("bin", ".", 127, "bin: command not found"),
            ("./none", "bin", 127, "./none: No such file or directory"),
            ("run/x", "bin", 126, "run/x: Not a directory"),
            ("data", "bin", 126, "data: Permission denied"),
            ("bin/data", "bin", 126, "bin/data: Permission denied"),
            ("./bin", "bin", 126, "./bin: Is a directory"),
        ] {
            assert_eq!(
                resolve(name, path, cwd),
                Err((exit_code, message.to_owned())),
                "{name} in {path}"
            );
        }
    }

    #[test]
    fn a_builtin_gets_its_arguments_untouched() {
        let argv = ["cd".to_owned(), "a b".to_owned()];
        let program = Program::resolve(&argv, "/nowhere", Path::new("/")).unwrap();
        assert_eq!(program.argv, ["sh", "-c", "\"$@\"", "sh", "cd", "a b"]);
    }

    #[test]
    fn only_text_is_a_script() {
        let directory = directory();
        let argv = ["run".to_owned(), "-x".to_owned()];
        let program = Program::resolve(&argv, "", directory.path()).unwrap();
        assert_eq!(
            program.as_script(directory.path()).unwrap().argv,
            ["sh", "--", "./run", "-x"]
        );
        fs::write(directory.path().join("run"), b"\x7fELF\0\n").unwrap();
        assert_eq!(program.as_script(directory.path()).unwrap_err().exit_code, 126);
    }
}
