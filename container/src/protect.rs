//! Keeps `sandboxd` alive and its secrets private, whatever its commands do.
//!
//! - It is not dumpable: the kernel gives its memory, its environment and its descriptors to nobody
//!   without the right to trace any process, not even to processes of the same user.
//! - When memory runs out, a command's process goes first ([`prefer_as_oom_victim`]).
//! - The number of processes and threads of the commands' user is limited ([`process_limit`]).
//! - `sandboxd` may have many descriptors open.

use std::fs;
use std::io;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, getrlimit, getuid, set_dumpable_behavior, setrlimit,
};
use sandbox_protocol::Limits;

use crate::Config;

/// The OOM score adjustment of `sandboxd`, where it may set one: the kernel ends other processes
/// first.
const OWN_OOM_SCORE: &str = "-900";

/// The open descriptors that thousands of commands and connections need.
const FILES: u64 = 65_536;

/// Applies all of it to this process, before there are others.
pub fn this_process(config: &Config) -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    if config.user.ids.is_some() {
        // Only where a command sets its own score before it executes its program. Elsewhere the
        // score is set a little later, and the children that the program has forked by then must
        // not be as safe as `sandboxd`: of processes with the same score, the larger one is killed.
        // It needs CAP_SYS_RESOURCE, which containers usually lack.
        let _ = fs::write("/proc/self/oom_score_adj", OWN_OOM_SCORE);
    }
    let files = getrlimit(Resource::Nofile);
    if files.current.is_some_and(|current| current < FILES) {
        let current = files.maximum.map_or(FILES, |hard| hard.min(FILES));
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(current),
                ..files
            },
        );
    }
    if getuid().is_root() {
        // Inherited by every command. The kernel exempts root, and so sandboxd, from it.
        let _ = setrlimit(Resource::Nproc, processes(&config.limits));
    }
    Ok(())
}

/// Lets the kernel end this process before others when memory runs out: `score`, in decimal, is its
/// OOM score adjustment. Called between fork and exec, so it makes system calls only.
pub fn prefer_as_oom_victim(score: &[u8]) -> Result<(), Errno> {
    let file = open(c"/proc/self/oom_score_adj", OFlags::WRONLY, Mode::empty())?;
    // Fails where a higher minimum is already set for all our processes.
    let _ = rustix::io::write(file, score);
    Ok(())
}

/// As [`prefer_as_oom_victim`], for the process `pid`, which has just been started.
pub fn prefer_other_as_oom_victim(pid: Pid, score: &[u8]) {
    // Fails when the process has ended.
    let _ = fs::write(format!("/proc/{}/oom_score_adj", pid.as_raw_pid()), score);
}

/// The limit of the processes of a command's user, for the command to set. Where `sandboxd` is root
/// its commands have inherited it. Where it is not, the limit must not apply to `sandboxd` itself,
/// or a command that forks without end would take the threads that are needed to end it.
pub fn process_limit(limits: &Limits) -> Option<Rlimit> {
    (!getuid().is_root()).then(|| processes(limits))
}

fn processes(limits: &Limits) -> Rlimit {
    let hard = getrlimit(Resource::Nproc).maximum;
    let wanted = limits.max_processes.value;
    let most = Some(hard.map_or(wanted, |hard| hard.min(wanted)));
    Rlimit {
        current: most,
        maximum: most,
    }
}
