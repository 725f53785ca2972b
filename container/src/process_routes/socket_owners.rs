//! The owners of listening sockets, as they were found before: only a new socket makes the status read
//! the open files of every process.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::process::listeners::Listeners;

/// The time after which the owner of a socket that no process had is looked for again: its process may
/// have been started too late to be seen.
const RECHECK_INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// A process of the sandbox.
    Sandbox,
    /// `sandboxd`.
    Server,
    /// No process that was seen at this time.
    Unknown(Instant),
}

/// The owners, by the inodes of the sockets.
#[derive(Debug, Default)]
pub struct SocketOwners {
    owners: HashMap<u64, Owner>,
}

impl SocketOwners {
    /// Whether no owner has to be looked for. Forgets the sockets that are not among these.
    pub fn are_known(&mut self, sockets: &Listeners, now: Instant) -> bool {
        self.owners.retain(|inode, _| sockets.contains_key(inode));
        sockets.keys().all(|inode| match self.owners.get(inode) {
            Some(Owner::Unknown(since)) => now < *since + RECHECK_INTERVAL,
            owner => owner.is_some(),
        })
    }

    /// Notes the owners of these sockets: the inodes that processes of the sandbox have, and those that
    /// `sandboxd` has.
    pub fn update(
        &mut self,
        sockets: &Listeners,
        of_sandbox: &HashSet<u64>,
        of_server: &HashSet<u64>,
        now: Instant,
    ) {
        let owner = |inode: &u64| match (of_sandbox.contains(inode), of_server.contains(inode)) {
            (true, _) => Owner::Sandbox,
            (false, true) => Owner::Server,
            (false, false) => Owner::Unknown(now),
        };
        self.owners = sockets.keys().map(|inode| (*inode, owner(inode))).collect();
    }

    /// Whether a process of the sandbox has the socket.
    pub fn is_of_sandbox(&self, inode: u64) -> bool {
        self.owners.get(&inode) == Some(&Owner::Sandbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(inodes: &[u64]) -> Listeners {
        inodes.iter().map(|inode| (*inode, 80)).collect()
    }

    #[test]
    fn only_a_new_socket_has_to_be_looked_for() {
        let now = Instant::now();
        let mut owners = SocketOwners::default();
        assert!(owners.are_known(&sockets(&[]), now));
        assert!(!owners.are_known(&sockets(&[1, 2]), now));
        owners.update(
            &sockets(&[1, 2]),
            &HashSet::from([1, 9]),
            &HashSet::from([2]),
            now,
        );
        assert!(owners.is_of_sandbox(1) && !owners.is_of_sandbox(2));
        let later = now + Duration::from_secs(3600);
        assert!(owners.are_known(&sockets(&[1, 2]), later));
        assert!(!owners.are_known(&sockets(&[1, 2, 3]), later));
    }

    #[test]
    fn the_inode_of_a_socket_that_was_closed_is_forgotten() {
        let now = Instant::now();
        let mut owners = SocketOwners::default();
        owners.update(&sockets(&[1]), &HashSet::from([1]), &HashSet::new(), now);
        assert!(owners.are_known(&sockets(&[]), now));
        assert!(!owners.are_known(&sockets(&[1]), now));
    }

    #[test]
    fn a_socket_without_an_owner_is_looked_for_again() {
        let now = Instant::now();
        let mut owners = SocketOwners::default();
        owners.update(&sockets(&[1]), &HashSet::new(), &HashSet::new(), now);
        assert!(owners.are_known(&sockets(&[1]), now + RECHECK_INTERVAL / 2));
        assert!(!owners.are_known(&sockets(&[1]), now + RECHECK_INTERVAL));
        assert!(!owners.is_of_sandbox(1));
    }
}
