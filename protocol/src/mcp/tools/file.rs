//! The tools for files.

use super::super::{Hints, Kind, Tool};
use super::{MAX_BYTES, PATH, may, need};
use crate::file::{MAX_CONTEXT, MAX_DEPTH, MAX_LIMIT};

pub const READ: Tool = Tool {
    name: "read",
    title: "Read a file",
    about: "Returns a text file, or a PNG, JPEG, GIF or WebP image.",
    hints: Hints::ReadOnly,
    fields: &[
        PATH,
        may(
            "offset",
            Kind::Number(0, u64::MAX),
            "The byte at which to begin. Default: 0.",
        ),
        MAX_BYTES,
    ],
};

pub const WRITE: Tool = Tool {
    name: "write",
    title: "Write a file",
    about: "Writes a text file, and makes missing directories. An existing file is replaced.",
    hints: Hints::Replaces,
    fields: &[
        PATH,
        need("content", Kind::Text, "The new content."),
        may(
            "append",
            Kind::Flag,
            "Whether to add the content at the end of the file. Default: false.",
        ),
        may(
            "mode",
            Kind::Text,
            "The permissions, like 0755. Default: those of the file, or 0644.",
        ),
    ],
};

pub const EDIT: Tool = Tool {
    name: "edit",
    title: "Edit a file",
    about: "Replaces texts in a file: all of the edits, or none. Each old text must occur exactly once, unless all is \
            set.",
    hints: Hints::Changes,
    fields: &[
        PATH,
        need(
            "edits",
            Kind::Edits,
            "The replacements, one after the other: old, new, and all to replace every occurrence.",
        ),
    ],
};

pub const SEARCH: Tool = Tool {
    name: "search",
    title: "Search files",
    about: "Finds a text or a regular expression in files, as ripgrep does. Files that .gitignore names are left out.",
    hints: Hints::ReadOnly,
    fields: &[
        need("pattern", Kind::Text, "The text that is searched for."),
        may(
            "path",
            Kind::Text,
            "The file or the directory. Default: /workspace.",
        ),
        may(
            "glob",
            Kind::Texts,
            "Globs of the files, like *.rs. One that begins with ! leaves files out.",
        ),
        may(
            "regex",
            Kind::Flag,
            "Whether the pattern is a regular expression. Default: false.",
        ),
        may(
            "ignoreCase",
            Kind::Flag,
            "Whether upper and lower case are the same. Default: false.",
        ),
        may(
            "context",
            Kind::Number(0, MAX_CONTEXT),
            "The lines before and after each match. Default: 0.",
        ),
        may(
            "maxResults",
            Kind::Number(1, 1000),
            "The most matches. Default: 100.",
        ),
        may(
            "hidden",
            Kind::Flag,
            "Whether to search names that begin with a dot. Default: false.",
        ),
        MAX_BYTES,
    ],
};

pub const LIST: Tool = Tool {
    name: "list",
    title: "List a directory",
    about: "Lists the entries of a directory, with their sizes.",
    hints: Hints::ReadOnly,
    fields: &[
        may("path", Kind::Text, "The directory. Default: /workspace."),
        may(
            "depth",
            Kind::Number(1, MAX_DEPTH as u64),
            "The levels of directories. Default: 1.",
        ),
        may("glob", Kind::Text, "A glob of the entries, like **/*.py."),
        may(
            "hidden",
            Kind::Flag,
            "Whether to list names that begin with a dot. Default: false.",
        ),
        may(
            "limit",
            Kind::Number(1, MAX_LIMIT as u64),
            "The most entries. Default: 100.",
        ),
        may(
            "cursor",
            Kind::Text,
            "The cursor that an earlier list ended with.",
        ),
        MAX_BYTES,
    ],
};
