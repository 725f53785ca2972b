//! Finds the kernels of the sandbox: the folders `kernels/*/kernel.json` of Jupyter's data directories.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde::Deserialize;

use crate::environment::Variables;

/// The programs whose installation may have kernels beside it.
const PYTHONS: [&str; 2] = ["python3", "python"];

/// The largest `kernel.json`, in bytes.
const MAX_SPEC: u64 = 1024 * 1024;

/// Gives JavaScript of Deno the `require` of Node.js.
const REQUIRE: &str = "globalThis.require = (await import('node:module')).createRequire(Deno.cwd() + '/');";

/// A kernel that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSpec {
    /// Its name: that of its folder.
    pub name: String,
    /// Its language, in lower case.
    pub language: String,
    /// Its program and its arguments.
    pub argv: Vec<String>,
    /// Its variables.
    pub env: BTreeMap<String, String>,
    /// Whether a message interrupts it, and not a signal.
    pub interrupts_by_message: bool,
    /// Its folder.
    pub directory: PathBuf,
}

#[derive(Deserialize)]
struct File {
    argv: Vec<String>,
    #[serde(default)]
    language: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    interrupt_mode: String,
}

impl KernelSpec {
    /// Whether it is IPython's.
    pub fn is_ipython(&self) -> bool {
        self.argv.iter().any(|arg| arg.starts_with("ipykernel"))
    }

    /// The code that runs before the first cell.
    pub fn prelude(&self) -> Option<&'static str> {
        let is_deno = self.argv.first().is_some_and(|program| program.ends_with("deno"));
        is_deno.then_some(REQUIRE)
    }
}

/// The kernels that an environment has, in the order in which they are preferred. Blocks. A folder that
/// hides another with its name comes first.
pub fn find(env: &Variables) -> Vec<KernelSpec> {
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
    for directory in data_directories(env) {
        let Ok(entries) = fs::read_dir(directory.join("kernels")) else {
            continue;
        };
        let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        folders.sort();
        for spec in folders.iter().filter_map(|folder| read(folder)) {
            if names.insert(spec.name.clone()) {
                found.push(spec);
            }
        }
    }
    found
}

/// The kernel for `language`: the first whose language it is, or the one with this name.
pub fn choose<'a>(specs: &'a [KernelSpec], language: &str) -> Option<&'a KernelSpec> {
    let language = language.to_lowercase();
    let by_name = specs.iter().find(|spec| spec.name.to_lowercase() == language);
    by_name.or_else(|| specs.iter().find(|spec| spec.language == language))
}

fn read(folder: &Path) -> Option<KernelSpec> {
    let path = folder.join("kernel.json");
    if fs::metadata(&path).ok()?.len() > MAX_SPEC {
        return None;
    }
    let file: File = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let name = folder.file_name()?.to_str()?.to_owned();
    if file.argv.is_empty() {
        return None;
    }
    Some(KernelSpec {
        language: if file.language.is_empty() {
            name.to_lowercase()
        } else {
            file.language.to_lowercase()
        },
        name,
        argv: file.argv,
        env: file.env,
        interrupts_by_message: file.interrupt_mode == "message",
        directory: folder.to_owned(),
    })
}

/// The directories in which Jupyter looks, those of the user first.
fn data_directories(env: &Variables) -> Vec<PathBuf> {
    let variable = |name: &str| env.get(&OsString::from(name)).filter(|value| !value.is_empty());
    let mut directories = Vec::new();
    if let Some(paths) = variable("JUPYTER_PATH") {
        directories.extend(env::split_paths(paths));
    }
    match (variable("JUPYTER_DATA_DIR"), variable("HOME")) {
        (Some(directory), _) => directories.push(directory.into()),
        (None, Some(home)) => directories.push(Path::new(home).join(".local/share/jupyter")),
        (None, None) => {}
    }
    let path = variable("PATH").map(|path| env::split_paths(path).collect::<Vec<_>>());
    let path = path.unwrap_or_default();
    let pythons = PYTHONS.iter().filter_map(|name| {
        path.iter()
            .map(|directory| directory.join(name))
            .find(|file| file.is_file())
    });
    for python in pythons {
        // A link leads from a virtual environment to the system, and both may have kernels.
        for program in [Some(python.clone()), fs::canonicalize(&python).ok()]
            .into_iter()
            .flatten()
        {
            if let Some(prefix) = program.parent().and_then(Path::parent) {
                directories.push(prefix.join("share/jupyter"));
            }
        }
    }
    directories.push("/usr/local/share/jupyter".into());
    directories.push("/usr/share/jupyter".into());
    directories
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, json: &str) {
        let folder = directory.join("kernels").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("kernel.json"), json).unwrap();
    }

    #[test]
    fn kernels_are_found_by_language_and_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let (first, home) = (directory.path().join("first"), directory.path().join("home"));
        write(
            &first,
            "ir",
            r#"{"argv":["R","{connection_file}"],"language":"R"}"#,
        );
        write(&first, "broken", "{");
        write(&first, "empty", r#"{"argv":[],"language":"python"}"#);
        let second = home.join(".local/share/jupyter");
        write(
            &second,
            "python3",
            r#"{"argv":["p","-m","ipykernel_launcher"],"language":"python","env":{"A":"b"},"interrupt_mode":"message"}"#,
        );
        write(&second, "ir", r#"{"argv":["hidden"],"language":"r"}"#);
        write(&second, "nameless", r#"{"argv":["n"]}"#);
        let env: Variables = [
            ("JUPYTER_PATH".into(), first.into_os_string()),
            ("HOME".into(), home.into_os_string()),
        ]
        .into();
        let found = find(&env);
        let of_test: Vec<_> = found
            .iter()
            .filter(|spec| spec.directory.starts_with(directory.path()))
            .map(|spec| spec.name.as_str())
            .collect();
        assert_eq!(of_test, ["ir", "nameless", "python3"]);
        assert_eq!(choose(&found, "r").unwrap().argv, ["R", "{connection_file}"]);
        let python = choose(&found, "Python").unwrap();
        assert!(python.is_ipython() && python.interrupts_by_message);
        assert_eq!((python.env["A"].as_str(), python.name.as_str()), ("b", "python3"));
        assert_eq!(choose(&found, "nameless").unwrap().language, "nameless");
        assert!(choose(&found, "cobol").is_none());
    }
}
