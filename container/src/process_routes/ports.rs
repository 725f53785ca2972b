//! The TCP ports on which process trees listen.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::join_all;
use rustix::process::{Pid, getpid};
use sandbox_protocol::process::ProcessState;

use super::socket_owners::SocketOwners;
use crate::exec::process::Process;
use crate::process::cookie::read_as_user;
use crate::process::listeners::{Listeners, listeners, of_line};
use crate::process::tree::Tree;
use crate::threads::PROCESSES;
use crate::user::Ids;

/// The addresses of sockets that a connection to 127.0.0.1 or ::1 reaches, as `/proc/net/tcp` writes
/// them: both, all of either family, and 127.0.0.1 in IPv6.
const REACHABLE: [&str; 5] = if cfg!(target_endian = "little") {
    [
        "0100007F",
        "00000000",
        "00000000000000000000000001000000",
        "00000000000000000000000000000000",
        "0000000000000000FFFF00000100007F",
    ]
} else {
    [
        "7F000001",
        "00000000",
        "00000000000000000000000000000001",
        "00000000000000000000000000000000",
        "00000000000000000000FFFF7F000001",
    ]
};

/// The owners of the listening sockets, as they were found last.
static OWNERS: LazyLock<Mutex<SocketOwners>> = LazyLock::new(Mutex::default);

/// The ports of the trees of these processes, in order; none for one that has ended.
pub(super) async fn ports_of_processes(processes: &[Arc<Process>]) -> Vec<Vec<u16>> {
    let user_of = |process: &Arc<Process>| process.tree().as_ref()?.user().cloned();
    let ids = processes.iter().find_map(user_of);
    let sockets = Arc::new(sockets_of_sandbox(ids).await);
    // Together, so that they share a snapshot of the process table.
    join_all(
        processes
            .iter()
            .map(|process| ports_of_running(process, &sockets)),
    )
    .await
}

/// The ports of the tree of this process; none if it has ended.
pub(super) async fn ports_of_process(process: &Arc<Process>) -> Vec<u16> {
    ports_of_processes(std::slice::from_ref(process))
        .await
        .pop()
        .unwrap_or_default()
}

/// The ports of all processes of the sandbox, which run as the user with `ids`; `None`: that of
/// `sandboxd`.
pub async fn ports_of_sandbox(ids: Option<Ids>) -> Vec<u16> {
    sorted(sockets_of_sandbox(ids).await.into_values())
}

/// The ports of a tree. Blocks.
pub(super) fn ports_of_tree(tree: &Tree) -> Vec<u16> {
    match listeners() {
        sockets if sockets.is_empty() => Vec::new(),
        sockets => ports_of_tree_among(tree, &sockets),
    }
}

async fn ports_of_running(process: &Process, sockets: &Arc<Listeners>) -> Vec<u16> {
    if sockets.is_empty() || process.state() != ProcessState::Running {
        return Vec::new();
    }
    let (tree, sockets) = (process.tree().clone(), Arc::clone(sockets));
    match tree {
        // It fails when it panics.
        Some(tree) => PROCESSES
            .run(move || ports_of_tree_among(&tree, &sockets))
            .await
            .unwrap_or_default(),
        None => Vec::new(),
    }
}

/// The ports of those of the sockets that a tree has open. Blocks.
fn ports_of_tree_among(tree: &Tree, sockets: &Listeners) -> Vec<u16> {
    let inodes = inodes_of(tree, tree.user());
    sorted(inodes.iter().filter_map(|inode| sockets.get(inode)).copied())
}

/// The listening sockets of the sandbox's processes, which run as the user with `ids`.
async fn sockets_of_sandbox(ids: Option<Ids>) -> Listeners {
    let inspect = move || {
        let mut owners = OWNERS.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut sockets, now) = (listeners(), Instant::now());
        if !owners.are_known(&sockets, now) {
            let of_sandbox = inodes_of(&Tree::everything(), ids.as_ref());
            let of_server = sockets_of(getpid()).into_iter().collect();
            owners.update(&sockets, &of_sandbox, &of_server, now);
        }
        sockets.retain(|inode, _| owners.is_of_sandbox(*inode));
        sockets
    };
    // It fails when it panics.
    PROCESSES.run(inspect).await.unwrap_or_default()
}

/// Ports in ascending order, each once.
fn sorted(ports: impl Iterator<Item = u16>) -> Vec<u16> {
    ports.collect::<BTreeSet<u16>>().into_iter().collect()
}

/// The inodes of the sockets that the processes of a tree have open.
fn inodes_of(tree: &Tree, ids: Option<&Ids>) -> HashSet<u64> {
    let pids = tree.pids();
    let read = move || pids.into_iter().flat_map(sockets_of).collect();
    read_as_user(ids, read)
        .inspect_err(|e| tracing::warn!(error = %e, "cannot see the ports of a process"))
        .unwrap_or_default()
}

/// Whether a process listens on the port at an address that [`connect`](crate::port::connect) tries.
/// Blocks.
pub fn is_reachable(port: u16) -> bool {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
    tables.iter().any(|table| {
        let table = fs::read_to_string(table).unwrap_or_default();
        table.lines().any(|line| reachable_port(line) == Some(port))
    })
}

/// The port of a line of `/proc/net/tcp`, if the socket listens on a loopback address or on all.
fn reachable_port(line: &str) -> Option<u16> {
    let (_, port) = of_line(line)?;
    let address = line.split_ascii_whitespace().nth(1)?.split(':').next()?;
    REACHABLE.contains(&address).then_some(port)
}

/// The inodes of the sockets that a process has open.
fn sockets_of(pid: Pid) -> Vec<u64> {
    let directory = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_pid()));
    let inode = |entry: std::io::Result<fs::DirEntry>| {
        let target = fs::read_link(entry.ok()?.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        inode.parse().ok()
    };
    directory.into_iter().flatten().filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_reachable_at_the_addresses_that_are_connected_to() {
        for (address, is_expected) in [
            ("127.0.0.1:0", true),
            ("0.0.0.0:0", true),
            ("[::1]:0", true),
            ("[::]:0", true),
            ("[::ffff:127.0.0.1]:0", true),
            ("127.0.0.2:0", false),
        ] {
            let listener = std::net::TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert_eq!(is_reachable(port), is_expected, "{address}");
        }
    }

    #[test]
    fn sees_a_listener_of_this_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sockets = listeners();
        let own = sockets_of(rustix::process::getpid());
        assert!(own.iter().any(|inode| sockets.get(inode) == Some(&port)));
    }
}
