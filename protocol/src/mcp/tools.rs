//! The tools.

mod file;
mod run;

use self::file::{EDIT, LIST, READ, SEARCH, WRITE};
use self::run::{PROCESS_INPUT, PROCESS_OUTPUT, RUN, RUN_CODE};
use super::{Field, Hints, Kind, MAX_OUTPUT, Tool};

const fn need(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        kind,
        required: true,
        about,
    }
}

const fn may(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        kind,
        required: false,
        about,
    }
}

/// The argument that names the sandbox. Tools of `/v1/sandbox/{id}/mcp` have it from the path.
pub const SANDBOX: Field = need(
    "sandbox",
    Kind::Text,
    "The id of the sandbox, from create_sandbox.",
);

const PATH: Field = need(
    "path",
    Kind::Text,
    "The path of the file: absolute, or relative to /workspace.",
);

const CWD: Field = may(
    "cwd",
    Kind::Text,
    "The working directory, within /workspace. Default: /workspace.",
);

const MAX_BYTES: Field = may(
    "max_bytes",
    Kind::Number(1, MAX_OUTPUT as u64),
    "The most bytes of output in the result. Default: 16384. The middle of longer output is left out.",
);

const ENV: Field = may("env", Kind::Variables, "Environment variables.");

const CREATE_SANDBOX: Tool = Tool {
    name: "create_sandbox",
    title: "Create a sandbox",
    about: "Creates a Linux sandbox and returns its id, which the other tools take as `sandbox`. The same name gives the \
            same sandbox.",
    hints: Hints::Adds,
    fields: &[
        may(
            "name",
            Kind::Text,
            "A name. The same name always gives the same sandbox. Default: a new sandbox.",
        ),
        may("env", Kind::Variables, "Environment variables of all commands."),
        may("labels", Kind::Variables, "Labels, to find the sandbox in lists."),
        may(
            "sleepAfter",
            Kind::Text,
            "The idle time after which it sleeps and loses its files, like 10m or 2h.",
        ),
        may(
            "maxLifetime",
            Kind::Text,
            "The time after which it is destroyed, like 8h.",
        ),
        may(
            "snapshot",
            Kind::Text,
            "The id of a snapshot that it begins with. Default: empty.",
        ),
        may(
            "internet",
            Kind::Flag,
            "Whether commands reach the internet. Default: true.",
        ),
    ],
};

const EXPOSE_PORT: Tool = Tool {
    name: "expose_port",
    title: "Expose a port",
    about: "Returns an address at which a browser reaches a server on this port of the sandbox.",
    hints: Hints::Adds,
    fields: &[
        need(
            "port",
            Kind::Number(1, 65535),
            "The port on which the server listens.",
        ),
        may("name", Kind::Text, "A name."),
        may(
            "access",
            Kind::OneOf(&["token", "public"]),
            "token: an address that nobody can guess. public: one that can be. Default: token.",
        ),
        may(
            "expiresIn",
            Kind::Text,
            "The time until the address ends, like 30m. Default: never.",
        ),
        may(
            "wake",
            Kind::Flag,
            "Whether a visit starts a sandbox that sleeps. Default: false.",
        ),
    ],
};

const SNAPSHOT: Tool = Tool {
    name: "snapshot",
    title: "Save a directory",
    about: "Saves a directory outside of the sandbox, and returns the id of the snapshot, which create_sandbox takes.",
    hints: Hints::Adds,
    fields: &[
        may("dir", Kind::Text, "The directory. Default: /workspace."),
        may("name", Kind::Text, "A name."),
        may("excludes", Kind::Texts, "Patterns of files that are left out."),
        may(
            "ttl",
            Kind::Text,
            "The time after which it is deleted, like 72h. Default: never.",
        ),
    ],
};

const DESTROY_SANDBOX: Tool = Tool {
    name: "destroy_sandbox",
    title: "Destroy a sandbox",
    about: "Ends everything in the sandbox and deletes its files.",
    hints: Hints::Replaces,
    fields: &[],
};

/// Every tool, in the order of the list. The argument [`SANDBOX`] is not among their fields.
pub const TOOLS: [Tool; 13] = [
    CREATE_SANDBOX,
    RUN,
    PROCESS_OUTPUT,
    PROCESS_INPUT,
    RUN_CODE,
    READ,
    WRITE,
    EDIT,
    SEARCH,
    LIST,
    EXPOSE_PORT,
    SNAPSHOT,
    DESTROY_SANDBOX,
];

/// The tools of an endpoint, each with its arguments: `/v1/sandbox/{id}/mcp` (`is_fixed`) has one
/// sandbox, so it neither creates nor destroys any and takes none as an argument.
pub fn tools(is_fixed: bool) -> impl Iterator<Item = (Tool, Vec<Field>)> {
    let of_all = ["create_sandbox", "destroy_sandbox"];
    let tools = TOOLS
        .into_iter()
        .filter(move |tool| !is_fixed || !of_all.contains(&tool.name));
    tools.map(move |tool| {
        let takes_sandbox = !is_fixed && tool.name != "create_sandbox";
        let sandbox = takes_sandbox.then_some(SANDBOX);
        (
            tool,
            sandbox.into_iter().chain(tool.fields.iter().copied()).collect(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sandbox_is_an_argument_where_the_path_has_none() {
        let names = |is_fixed| tools(is_fixed).map(|(tool, _)| tool.name).collect::<Vec<_>>();
        assert_eq!(names(false).len(), TOOLS.len());
        assert_eq!(names(true).len(), TOOLS.len() - 2);
        for (tool, fields) in tools(false) {
            let takes = fields.contains(&SANDBOX);
            assert_eq!(takes, tool.name != "create_sandbox", "{}", tool.name);
        }
        assert!(tools(true).all(|(_, fields)| !fields.contains(&SANDBOX)));
    }

    #[test]
    fn defaults_stand_in_the_texts() {
        assert!(MAX_BYTES.about.contains(&crate::mcp::DEFAULT_OUTPUT.to_string()));
        let about =
            |tool: &Tool, name: &str| tool.fields.iter().find(|field| field.name == name).unwrap().about;
        assert!(about(&RUN, "wait_ms").contains(&crate::mcp::DEFAULT_WAIT_MS.to_string()));
        assert!(about(&RUN_CODE, "timeout_ms").contains(&crate::mcp::CODE_TIMEOUT_MS.to_string()));
    }
}
