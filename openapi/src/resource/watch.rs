//! Changes of files.

use sandbox_protocol::file::{Changes, MAX_GLOB, WatchEvent};
use sandbox_protocol::{ErrorCode, event, route_table};
use serde_json::{Value, json};

use super::file::on_file;
use crate::answer::Answer;
use crate::operation::Operation;
use crate::schema;

const WATCH: &str = "\
A stream of events as changes happen. The first event is `watching`: from then on every change is told. The data of the others is the \
schema `WatchEvent`:

- `created`, `deleted`: something new has this path, or nothing has it any more
- `modified`: the content of the file has changed
- `moved`: what had the path `from` has this one
- `attributes`: permissions, owner or times have changed
- `overflow`: events are missing here, and the client is to look at the files itself. Its data is `{}`

Each event has an `id`. A client whose connection broke sends the last one as `Last-Event-ID`, or as `since`, and gets what it has \
missed. The last 4096 events are kept, for 10 minutes without a client. When the watched file or directory is gone, the stream ends \
behind `deleted`. Starts no sandbox.";

const CHANGES: &str = "\
What has changed below a directory since an earlier answer, for clients that ask now and then. The first request, without `since`, \
gets `resync` and the `version` for the next one. `unchanged`: nothing has changed. `changed`: `paths` has changed, if there are \
at most 1000. `resync`: it is not known, and the client is to look at the files itself. The version is known for 10 minutes after the \
last request. Starts no sandbox.";

pub fn operations() -> Vec<Operation> {
    // Only events of the stream refer to it.
    schema::of_answer::<WatchEvent>();
    let globs = json!({ "type": "string", "maxLength": MAX_GLOB });
    let events = "id: 1767225600000000\nevent: watching\ndata: {\"path\":\"/workspace\"}\n\n\
                  id: 1767225600000001\nevent: created\n\
                  data: {\"path\":\"/workspace/a.txt\",\"isDirectory\":false}\n\n";
    vec![
        on_file(route_table::Operation::WatchFiles, "Watch a directory", WATCH)
            .parameter(
                "query",
                "recursive",
                "Whether directories below are watched, too.",
                json!({ "type": "boolean", "default": false }),
            )
            .parameter(
                "query",
                "include",
                "Globs of what is told, with commas between them: `*.py` (names) or `src/**` (paths below the directory).",
                globs.clone(),
            )
            .parameter(
                "query",
                "exclude",
                "Globs of what is left out. A directory takes with it what is in it.",
                globs,
            )
            .parameter(
                "query",
                "since",
                "The id of the last event that the client has got. Takes precedence over `Last-Event-ID`.",
                version(),
            )
            .parameter(
                "header",
                "Last-Event-ID",
                "The same as `since`, as browsers send it.",
                version(),
            )
            .answers(
                200,
                Answer::text(event::CONTENT_TYPE, "Event stream")
                    .example(events.into())
                    .codes(&[ErrorCode::ExecTransportError, ErrorCode::SandboxExpired]),
            )
            .watching(),
        on_file(route_table::Operation::GetChanges, "Get what has changed", CHANGES)
            .parameter("query", "since", "The `version` of an earlier answer.", version())
            .answers(
                200,
                Answer::json::<Changes>(
                    "What has changed",
                    json!({ "status": "changed", "version": "1767225600000001", "paths": ["/workspace/a.txt"] }),
                ),
            )
            .watching(),
    ]
}

fn version() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

impl Operation {
    fn watching(self) -> Self {
        self.fails(400, ErrorCode::InvalidRequest, "since must be the id of an event")
            .fails(400, ErrorCode::IsDirectory, "/workspace/src is a directory")
            .missing()
            .reading()
    }
}
