//! A kernel to start, and its command.

use std::collections::BTreeMap;

use sandbox_protocol::exec::DEFAULT_LOG_BYTES;
use sandbox_protocol::{ExecRequest, WorkspacePath};

use super::folder::Folder;
use super::spec::KernelSpec;
use crate::exec::Commands;

/// The specification, directory and variables of a kernel to start.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its folder of the installation.
    pub spec: KernelSpec,
    /// The directory that it starts in.
    pub cwd: Option<WorkspacePath>,
    /// Its variables.
    pub env: BTreeMap<String, String>,
}

impl Plan {
    /// A kernel in the workspace, with the variables of a command.
    pub fn new(spec: KernelSpec) -> Self {
        Self {
            spec,
            cwd: None,
            env: BTreeMap::new(),
        }
    }

    /// Whether it is [`Plan::new`] of its specification.
    pub fn is_default(&self) -> bool {
        self.cwd.is_none() && self.env.is_empty()
    }

    /// The command of the kernel. Idle, it does not keep the sandbox awake.
    pub fn request(&self, commands: &Commands, folder: &Folder) -> ExecRequest {
        let spec = &self.spec;
        let places = [
            ("{connection_file}", folder.connection_file()),
            ("{resource_dir}", spec.directory.clone()),
        ];
        let mut argv: Vec<String> = spec.argv.clone();
        for (name, path) in &places {
            argv.iter_mut()
                .for_each(|arg| *arg = arg.replace(name, &path.to_string_lossy()));
        }
        if spec.is_ipython() {
            let startup = folder.startup_file();
            argv.push(format!("--IPKernelApp.exec_files={}", startup.to_string_lossy()));
            argv.push("--HistoryManager.hist_file=:memory:".to_owned());
        }
        let variables = commands.config().user.env.current();
        let variable = |name: &str| {
            variables
                .get(std::ffi::OsStr::new(name))
                .map(|value| value.to_string_lossy())
        };
        let mut env: BTreeMap<String, String> = spec
            .env
            .iter()
            .map(|(name, value)| {
                (
                    name.clone(),
                    expanded(value, |name| variable(name).map(Into::into)),
                )
            })
            .collect();
        env.extend(self.env.clone());
        ExecRequest {
            argv,
            is_command_line: false,
            timeout_ms: None,
            cwd: self.cwd.clone(),
            env,
            stdin: None,
            detached: true,
            linger_ms: 0,
            id: None,
            replace: false,
            stdin_open: false,
            log_bytes: DEFAULT_LOG_BYTES,
            keep_awake: false,
            restart: false,
        }
    }
}

/// `text` with the values of variables in the place of `${NAME}`; without those that are not set.
fn expanded(text: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let mut parts = text.split("${");
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('}') {
            Some((name, rest)) => expanded.extend([variable(name).unwrap_or_default().as_str(), rest]),
            None => expanded.extend(["${", part]),
        }
    }
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded() {
        let variable = |name: &str| (name == "A").then(|| "1".to_owned());
        for (text, result) in [
            ("", ""),
            ("x", "x"),
            ("${A}:${B}/x", "1:/x"),
            ("$A ${A", "$A ${A"),
        ] {
            assert_eq!(expanded(text, variable), result);
        }
    }
}
