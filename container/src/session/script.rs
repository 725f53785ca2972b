//! The command line of a shell of a session, which first reads the commands that
//! [restore](super::restore) its state.

use super::invocation::{Script, Shell};

/// The descriptor of the restoring commands. A high number, so that scripts do not use it
/// themselves.
pub const RESTORE_FD: i32 = 230;

/// The descriptor of the dumps.
pub const SAVED_FD: i32 = 231;

/// The longest argument that the kernel takes for a program, in bytes.
const MAX_ARGUMENT: usize = 128 * 1024 - 1;

/// The way in which a shell reads the restoring commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Startup {
    /// Bash reads them from `BASH_ENV`, and its command line is the user's own.
    BashEnv,
    /// A command before the user's script reads them.
    Command {
        /// Whether the commands change how the script is parsed.
        defines_aliases: bool,
    },
}

/// The arguments after the program, `argv[0]`, that run `script` in its session.
pub fn wrap(name: &str, script: &Script<'_>, startup: Startup) -> Vec<String> {
    let mut arguments = script.options.clone();
    let source = source();
    match startup {
        Startup::BashEnv => {
            if script.is_login {
                // A profile may run bash itself, or set `BASH_ENV`: it is read without our
                // commands. Long options come first.
                arguments.insert(0, "--noprofile".to_owned());
            }
            arguments.push(script.script.to_owned());
            arguments.extend_from_slice(script.args);
        }
        // On the same line, which keeps the line numbers of the script.
        Startup::Command {
            defines_aliases: false,
        } if source.len() + 2 + script.script.len() <= MAX_ARGUMENT => {
            arguments.push(format!("{source}; {}", script.script));
            arguments.extend_from_slice(script.args);
        }
        // A line is parsed as a whole before it runs: on the same line aliases would not be defined
        // yet.
        Startup::Command { defines_aliases } => {
            let end = match script.shell {
                Shell::Sh if defines_aliases => "; sandbox_end",
                _ => "",
            };
            arguments.push(format!("{source}; eval \"shift; $1\"{end}"));
            let (zero, args) = script
                .args
                .split_first()
                .map_or((name, &[][..]), |(zero, args)| (zero.as_str(), args));
            arguments.extend([zero.to_owned(), script.script.to_owned()]);
            arguments.extend_from_slice(args);
        }
    }
    arguments
}

/// The arguments after the program that run `argv` in a shell: a builtin or a function.
pub fn wrap_argv(name: &str, argv: &[String], startup: Startup) -> Vec<String> {
    let script = match startup {
        Startup::BashEnv => "\"$@\"".to_owned(),
        Startup::Command { .. } => format!("{}; \"$@\"", source()),
    };
    let mut arguments = vec!["-c".to_owned(), script, name.to_owned()];
    arguments.extend_from_slice(argv);
    arguments
}

fn source() -> String {
    format!(". {} >/dev/null 2>&1", restore_path())
}

/// The path of [`RESTORE_FD`], for the process that has it.
pub fn restore_path() -> String {
    format!("/proc/self/fd/{RESTORE_FD}")
}
