//! The usage of each route.

use sandbox_protocol::route_table::Operation;

use crate::step;
use crate::usage::Usage;

/// The shards of the index by default (`INDEX_SHARDS`).
pub const DEFAULT_SHARDS: u32 = 16;

/// Routes that use the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The Worker answers alone, or has a file of its static assets.
    Worker,
    /// The object of the warm pool answers.
    PoolStats,
    /// The pool sets its alarm.
    PoolPrime,
    /// The pool stops its sandboxes.
    PoolShutdown,
    /// `POST /v1/sandbox`.
    Create,
    /// Every shard of the index is asked.
    List,
    /// The Sandbox object forwards the request to `sandboxd`, or has the answer in memory.
    Sandbox,
    /// A tool calls other routes.
    Tool,
    /// The Sandbox object asks the platform.
    Running,
    /// The settings are changed.
    Update,
    /// The sandbox is stopped.
    Stop,
    /// The sandbox is destroyed.
    Destroy,
    /// The exposed ports are changed.
    Expose,
    /// A bucket is mounted or unmounted.
    Mount,
    /// s3fs reads or writes a bucket through the Sandbox object.
    S3,
    /// A tunnel is opened or closed.
    Tunnel,
}

/// The groups in the order of the table.
pub const GROUPS: [Group; 16] = [
    Group::Worker,
    Group::Create,
    Group::List,
    Group::Sandbox,
    Group::Tool,
    Group::Running,
    Group::Update,
    Group::Stop,
    Group::Destroy,
    Group::Expose,
    Group::Mount,
    Group::S3,
    Group::Tunnel,
    Group::PoolStats,
    Group::PoolPrime,
    Group::PoolShutdown,
];

/// The group of an operation.
pub fn group(operation: Operation) -> Group {
    use Operation as O;
    match operation {
        O::HealthCheck
        | O::HeadHealth
        | O::ExplorerFile
        | O::GetOpenApiSchema
        | O::OpenExplorer
        | O::OpenExplorerShort
        | O::CreateToken
        | O::ListSnapshots
        | O::GetSnapshot
        | O::DeleteSnapshot => Group::Worker,
        O::GetPoolStats => Group::PoolStats,
        O::PrimePool => Group::PoolPrime,
        O::ShutdownPrewarmed => Group::PoolShutdown,
        O::CreateSandbox => Group::Create,
        O::ListSandboxes => Group::List,
        O::IsSandboxRunning => Group::Running,
        O::UpdateSandbox => Group::Update,
        O::StopSandbox => Group::Stop,
        O::DeleteSandbox => Group::Destroy,
        O::MountBucket | O::UnmountBucket => Group::Mount,
        O::ExposePort | O::UnexposePort => Group::Expose,
        O::MountS3 => Group::S3,
        O::CreateTunnel | O::DeleteTunnel => Group::Tunnel,
        O::CallMcp | O::CallSandboxMcp => Group::Tool,
        O::GetSandbox
        | O::StartSandbox
        | O::ExecCommand
        | O::StartProcess
        | O::ListProcesses
        | O::EndProcesses
        | O::GetProcess
        | O::EndProcess
        | O::GetProcessLog
        | O::WriteProcessStdin
        | O::AttachProcess
        | O::SignalProcess
        | O::WaitForProcess
        | O::CreateContext
        | O::ListContexts
        | O::DeleteContext
        | O::InterruptContext
        | O::RestartContext
        | O::GetContextOutput
        | O::RunCode
        | O::ListLanguages
        | O::PtyTerminal
        | O::CreateSession
        | O::DeleteSession
        | O::ReadFile
        | O::HeadFile
        | O::WriteFile
        | O::DeleteFile
        | O::SetFileAttributes
        | O::ListDirectory
        | O::CreateDirectory
        | O::StatFile
        | O::MoveFile
        | O::CopyFile
        | O::EditFiles
        | O::SearchFiles
        | O::WatchFiles
        | O::GetChanges
        | O::DownloadWorkspace
        | O::PersistWorkspace
        | O::HydrateWorkspace
        | O::GitCheckout
        | O::ListPorts
        | O::WaitForPort
        | O::ProxyPort
        | O::ConnectTcp
        | O::CreateSnapshot
        | O::RestoreSnapshot
        | O::ForkSandbox => Group::Sandbox,
    }
}

/// The cases of a group, each with its usage. A case without a name is the only one.
pub fn cases(group: Group) -> Vec<(&'static str, Usage)> {
    let sandbox = |reads: f64, writes: f64| Usage {
        reads,
        writes,
        ..Usage::SANDBOX
    };
    let pool = Usage {
        pool: 1.0,
        ..Usage::WORKER
    };
    match group {
        Group::Worker => vec![("", Usage::WORKER)],
        Group::Create => vec![
            ("without a body", Usage::WORKER),
            (
                "without a body, with a warm pool",
                // The row of the sandbox, and the pool's alarm.
                Usage { writes: 2.0, ..pool },
            ),
            ("with settings", step::create(0)),
        ],
        Group::List => vec![(
            "",
            Usage {
                index: f64::from(DEFAULT_SHARDS),
                ..Usage::WORKER
            },
        )],
        Group::Sandbox => vec![("", Usage::SANDBOX)],
        Group::Tool => vec![
            ("the list of the tools", Usage::WORKER),
            ("a tool that calls one route", Usage::SANDBOX),
            (
                "`run`, which calls three",
                Usage {
                    sandbox: 3.0,
                    ..Usage::WORKER
                },
            ),
        ],
        // The id and the port of the boot.
        Group::Running => vec![("", sandbox(2.0, 0.0))],
        Group::Update => vec![
            (
                "",
                Usage {
                    index: 1.0,
                    index_writes: 2.0,
                    ..sandbox(1.0, 1.0)
                },
            ),
            (
                "`env` of a running sandbox",
                Usage {
                    index: 1.0,
                    index_writes: 2.0,
                    ..sandbox(1.0, 2.0)
                },
            ),
        ],
        Group::Stop => vec![("", step::stop(0))],
        Group::Destroy => vec![("", step::destroy(0))],
        Group::Expose => vec![("", sandbox(0.0, 1.0))],
        Group::Mount => vec![
            ("by `options.endpoint`", Usage::SANDBOX),
            ("through the Sandbox object", sandbox(0.0, 1.0)),
        ],
        Group::S3 => vec![("", Usage::SANDBOX)],
        Group::Tunnel => vec![
            ("without a name", Usage::SANDBOX),
            // Its record twice, and an alarm.
            ("with a name", sandbox(1.0, 3.0)),
        ],
        Group::PoolStats => vec![("", pool)],
        Group::PoolPrime => vec![("", Usage { writes: 1.0, ..pool })],
        Group::PoolShutdown => vec![(
            "one warm sandbox",
            // Its row is changed and deleted; the pool's alarm.
            Usage { writes: 3.0, ..pool } + step::destroy(0).inside(),
        )],
    }
}

/// The usage of an operation in its usual case: the first one.
pub fn usage(operation: Operation) -> Usage {
    cases(group(operation))
        .first()
        .map_or(Usage::WORKER, |(_, usage)| *usage)
}

#[cfg(test)]
mod tests {
    use sandbox_protocol::route_table::{Needs, ROUTES, find};

    use super::*;

    #[test]
    fn a_route_of_a_sandbox_asks_the_object_of_the_id_in_its_path_and_others_ask_none_without_settings() {
        for route in ROUTES {
            let asked = usage(route.operation).sandbox;
            match route.needs {
                // They use what the routes use that they call.
                Needs::Others => assert_eq!(group(route.operation), Group::Tool),
                Needs::Nothing if group(route.operation) == Group::PoolShutdown => {}
                Needs::Nothing => assert_eq!(asked, 0.0, "{}", route.operation_id),
                _ => {
                    assert!(asked >= 1.0, "{}", route.operation_id);
                    let path = route.pattern.replace("{id}", "abc");
                    let found = find(route.method.as_str(), &path).unwrap();
                    assert_eq!(found.parameters.first(), Some(&("id", "abc")));
                }
            }
        }
    }

    #[test]
    fn only_changes_of_a_sandbox_write_to_the_index() {
        for route in ROUTES {
            let writes = cases(group(route.operation))
                .iter()
                .any(|(_, usage)| usage.index_writes > 0.0);
            let changes = matches!(
                group(route.operation),
                Group::Create | Group::Update | Group::Stop | Group::Destroy | Group::PoolShutdown
            );
            assert_eq!(writes, changes, "{}", route.operation_id);
        }
    }
}
