//! The table of `sandboxd`'s limits: name, default and bounds of each.
//!
//! A limit is an environment variable of `sandboxd`. An operator sets it as a variable of the
//! Worker, which forwards it when it starts a sandbox, or in the image with `ENV`; the Worker's
//! takes precedence. `docs/limits.md` says for each what happens when it is reached; a test
//! compares the two tables.

/// A limit in the table below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// The name of the environment variable.
    pub name: &'static str,
    /// The limit when the variable is not set, or empty.
    pub default: u64,
    /// The smallest value that makes sense.
    pub min: u64,
    /// The largest value that is accepted.
    pub max: u64,
}

impl Variable {
    /// Parses a value.
    ///
    /// # Errors
    ///
    /// The message states the form.
    pub fn parse(&self, text: &str) -> Result<u64, String> {
        let Self { name, min, max, .. } = self;
        text.parse()
            .ok()
            .filter(|value| (min..=max).contains(&value))
            .ok_or_else(|| format!("{name} must be a whole number from {min} to {max}, not {text:?}"))
    }
}

/// A limit that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The variable that sets it, for error messages.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $field:ident = $name:literal, $default:expr, $min:literal ..= $max:expr;)+) => {
        /// The limits in force in a `sandboxd`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $field: Limit,)+
        }

        /// All limits, in the order of `docs/limits.md`.
        pub const ALL: &[Variable] = &[
            $(Variable { name: $name, default: $default, min: $min, max: $max },)+
        ];

        impl Limits {
            /// The limits that the variables known to `var` set.
            ///
            /// # Errors
            ///
            /// Fails on a malformed value; the message names its variable.
            pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
                let mut all = ALL.iter().map(|variable| {
                    let text = var(variable.name).filter(|text| !text.is_empty());
                    let value = text.map_or(Ok(variable.default), |text| variable.parse(&text))?;
                    Ok(Limit { name: variable.name, value })
                });
                // There is one for each field.
                let mut next = || all.next().unwrap_or_else(|| Err(String::new()));
                Ok(Self { $($field: next()?,)+ })
            }
        }
    };
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// More than a machine has of anything counted here.
const MANY: u64 = 1 << 40;

limits! {
    /// Commands at a time.
    max_commands = "SANDBOX_MAX_COMMANDS", 1024, 1..=100_000;
    /// Ended commands whose children in the background still hold their output.
    max_background_outputs = "SANDBOX_MAX_BACKGROUND_OUTPUTS", 1024, 0..=100_000;
    /// Sessions at a time, without the default one.
    max_sessions = "SANDBOX_MAX_SESSIONS", 1000, 1..=100_000;
    /// Commands of one session that run or wait for their turn.
    max_session_queue = "SANDBOX_MAX_SESSION_QUEUE", 256, 1..=100_000;
    /// Contexts at a time, each of which is a kernel.
    max_contexts = "SANDBOX_MAX_CONTEXTS", 64, 1..=10_000;
    /// Terminals at a time.
    max_terminals = "SANDBOX_MAX_TERMINALS", 128, 1..=10_000;
    /// Archives of the workspace that are made or unpacked at a time.
    max_archives = "SANDBOX_MAX_ARCHIVES", 16, 1..=1000;
    /// Requests at a time that walk through trees of files.
    max_file_walks = "SANDBOX_MAX_FILE_WALKS", 64, 1..=1000;
    /// Searches at a time, each with some threads.
    max_searches = "SANDBOX_MAX_SEARCHES", 8, 1..=1000;
    /// Watches of files at a time.
    max_watches = "SANDBOX_MAX_WATCHES", 64, 1..=1000;
    /// Directories that all watches together watch.
    max_watched_directories = "SANDBOX_MAX_WATCHED_DIRECTORIES", 65_536, 1..=10_000_000;
    /// Buckets that are mounted at a time.
    max_mounts = "SANDBOX_MAX_MOUNTS", 16, 1..=1000;
    /// Tunnels at a time.
    max_tunnels = "SANDBOX_MAX_TUNNELS", 16, 1..=1000;
    /// Processes and threads of the user that commands run as.
    max_processes = "SANDBOX_MAX_PROCESSES", 4096, 16..=4_194_304;
    /// The `oom_score_adj` of a command's processes: higher ones are ended first when memory runs
    /// out.
    command_oom_score = "SANDBOX_COMMAND_OOM_SCORE", 500, 0..=1000;
    /// The bytes of all buffers together that grow with the data of clients and commands.
    max_buffer_bytes = "SANDBOX_MAX_BUFFER_BYTES", 128 * MIB, 1_048_576..=MANY;
    /// Connections at a time on which a request has carried the secret.
    max_connections = "SANDBOX_MAX_CONNECTIONS", 4096, 8..=100_000;
    /// Connections at a time on which no request has carried the secret yet.
    max_unauthenticated_connections = "SANDBOX_MAX_UNAUTHENTICATED_CONNECTIONS", 1024, 1..=100_000;
    /// The header lines of a request.
    max_headers = "SANDBOX_MAX_HEADERS", 100, 16..=10_000;
    /// The bytes of a request's head.
    max_header_bytes = "SANDBOX_MAX_HEADER_BYTES", 64 * KIB, 8192..=MIB;
    /// Milliseconds until a request's head must have come, from the opening of the connection or
    /// the end of the response before it.
    header_timeout_ms = "SANDBOX_HEADER_TIMEOUT_MS", 30_000, 100..=MANY;
    /// Milliseconds that a request's body may stand still.
    body_timeout_ms = "SANDBOX_BODY_TIMEOUT_MS", 60_000, 100..=MANY;
    /// Milliseconds that a session's terminal waits for a client to reconnect.
    terminal_linger_ms = "SANDBOX_TERMINAL_LINGER_MS", 60_000, 0..=MANY;
    /// Milliseconds until a bucket must have answered a mount.
    mount_timeout_ms = "SANDBOX_MOUNT_TIMEOUT_MS", 30_000, 100..=MANY;
    /// Milliseconds until the program `.sandbox/before-save` must have ended.
    save_hook_timeout_ms = "SANDBOX_SAVE_HOOK_TIMEOUT_MS", 30_000, 100..=MANY;
    /// Milliseconds for which commands may be stopped for a save or a restore.
    save_stop_ms = "SANDBOX_SAVE_STOP_MS", 2000, 0..=60_000;
    /// Milliseconds after which a save ends of which nothing was asked.
    save_idle_ms = "SANDBOX_SAVE_IDLE_MS", 60_000, 100..=MANY;
    /// Threads for system calls that block.
    max_blocking_threads = "SANDBOX_MAX_BLOCKING_THREADS", 512, 4..=10_000;
    /// The bytes of a line of the log.
    max_log_line_bytes = "SANDBOX_MAX_LOG_LINE_BYTES", 4 * KIB, 256..=4096;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(vars: &[(&str, &str)]) -> Result<Limits, String> {
        let value = |name: &str| {
            vars.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        };
        Limits::from_vars(value)
    }

    #[test]
    fn every_limit_comes_from_its_own_variable() {
        let defaults = limits(&[]).unwrap();
        assert_eq!(defaults.max_commands.name, "SANDBOX_MAX_COMMANDS");
        assert_eq!(defaults.max_commands.value, 1024);
        assert_eq!(defaults.max_log_line_bytes.name, "SANDBOX_MAX_LOG_LINE_BYTES");
        let set = limits(&[("SANDBOX_MAX_COMMANDS", "3"), ("SANDBOX_MAX_HEADERS", "")]).unwrap();
        assert_eq!((set.max_commands.value, set.max_headers.value), (3, 100));
        for variable in ALL {
            assert!(
                (variable.min..=variable.max).contains(&variable.default),
                "{variable:?}"
            );
        }
    }

    #[test]
    fn a_bad_value_names_its_variable_and_the_form() {
        for text in ["0", "-1", "1.5", "many", "1k", "100001"] {
            let error = limits(&[("SANDBOX_MAX_COMMANDS", text)]).unwrap_err();
            let form = format!("SANDBOX_MAX_COMMANDS must be a whole number from 1 to 100000, not {text:?}");
            assert_eq!(error, form);
        }
    }

    /// The table of the documentation has one row for each limit, with its default, and no other.
    #[test]
    fn the_documentation_lists_every_limit_with_its_default() {
        let text = include_str!("../../docs/limits.md");
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `SANDBOX_"));
        let documented: Vec<_> = rows
            .map(|row| {
                let mut cells = row.split(" | ");
                let name = cells.next().unwrap().trim_end_matches('`');
                let default = cells.next().unwrap().replace('_', "");
                (format!("SANDBOX_{name}"), default.parse().unwrap())
            })
            .collect();
        let table: Vec<(String, u64)> = ALL.iter().map(|v| (v.name.to_owned(), v.default)).collect();
        assert_eq!(documented, table);
    }
}
