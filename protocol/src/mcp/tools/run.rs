//! The tools that run commands and code. The Worker carries them out in `api/mcp/run.rs`,
//! `api/mcp/process.rs` and `api/mcp/code.rs`.

use super::super::{Hints, Kind, MAX_WAIT_MS, Tool};
use super::{CWD, ENV, MAX_BYTES, may, need};

pub const RUN: Tool = Tool {
    name: "run",
    title: "Run a command",
    about: "Runs a shell command and returns its output and its exit code. A command that takes longer than wait_ms \
            continues in the background: the result has the id of its process, for process_output and process_input. \
            Use wait_ms 0 to start a server.",
    hints: Hints::Changes,
    fields: &[
        need(
            "command",
            Kind::Text,
            "The command line, for bash -c, or sh -c where there is no bash.",
        ),
        CWD,
        ENV,
        may("stdin", Kind::Text, "The standard input. Default: none."),
        may(
            "stdin_open",
            Kind::Flag,
            "Whether process_input can write to it. Default: false, the command reads the end of its input.",
        ),
        may(
            "wait_ms",
            Kind::Number(0, MAX_WAIT_MS),
            "The milliseconds after which the call returns while the command continues. Default: 30000.",
        ),
        may(
            "timeout_ms",
            Kind::Number(1, u64::MAX),
            "The milliseconds after which the command is ended. Default: never.",
        ),
        MAX_BYTES,
    ],
};

pub const PROCESS_OUTPUT: Tool = Tool {
    name: "process_output",
    title: "Read the output of a process",
    about: "Returns the output and the state of a process that run or run_code has started. Without a process: the list \
            of processes, the newest first.",
    hints: Hints::ReadOnly,
    fields: &[
        may(
            "process",
            Kind::Text,
            "The id of the process. Default: the list of all.",
        ),
        may(
            "since",
            Kind::Number(0, u64::MAX),
            "The number of an event: only the output after it. Default: 0, all.",
        ),
        may(
            "skip_bytes",
            Kind::Number(0, u64::MAX),
            "The bytes after that event that are left out. Default: 0.",
        ),
        may(
            "stream",
            Kind::OneOf(&["stdout", "stderr"]),
            "Only this output. Default: both.",
        ),
        may(
            "wait_ms",
            Kind::Number(0, MAX_WAIT_MS),
            "The milliseconds to wait for the end of the process first. Default: 0.",
        ),
        MAX_BYTES,
    ],
};

pub const PROCESS_INPUT: Tool = Tool {
    name: "process_input",
    title: "Write to a process, or send it a signal",
    about: "Writes to the standard input of a process that run has started with stdin_open, closes the input, or sends \
            a signal to the process and its children.",
    hints: Hints::Changes,
    fields: &[
        need("process", Kind::Text, "The id of the process."),
        may("text", Kind::Text, "The text to write. A line ends with \\n."),
        may(
            "close",
            Kind::Flag,
            "Whether to close the input behind the text. Default: false.",
        ),
        may("signal", Kind::Text, "A signal, like SIGINT or SIGKILL."),
    ],
};

pub const RUN_CODE: Tool = Tool {
    name: "run_code",
    title: "Run code",
    about: "Runs code in a Jupyter kernel, which keeps its variables for the next call, and returns the output, the \
            value of the last expression, images, or the traceback.",
    hints: Hints::Changes,
    fields: &[
        need("code", Kind::Text, "The code."),
        may(
            "language",
            Kind::Text,
            "The language, or the name of a kernel. Default: python.",
        ),
        may(
            "context",
            Kind::Text,
            "The id of a context. Default: that of the language.",
        ),
        CWD,
        ENV,
        may(
            "timeout_ms",
            Kind::Number(1, MAX_WAIT_MS),
            "The milliseconds after which the code is interrupted. Its variables stay. Default: 45000.",
        ),
        MAX_BYTES,
    ],
};
