//! What keeps `sandboxd` alive and its secrets its own, whatever its commands do.
//!
//! - Nobody may look into it: it is not dumpable, so the kernel gives its memory, its environment and its descriptors to
//!   nobody without the right to trace any process, not even to processes of the same user.
//! - When memory runs out, a command's process goes first ([`name_first`]).
//! - The user that commands run as has so many processes and threads, and no more ([`limit_processes`]).
//! - `sandboxd` may have many descriptors open.

use std::fs;
use std::io;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, getrlimit, getuid, prlimit, set_dumpable_behavior, setrlimit,
};
use sandbox_protocol::Limits;

use crate::Config;

/// What is taken off the chance of `sandboxd` to be ended when memory runs out, where it may.
const OWN_OOM_SCORE: &str = "-900";

/// As many open descriptors as thousands of commands and connections need.
const FILES: u64 = 65_536;

/// Sees to all of it for this process, before there are others.
pub fn this_process(config: &Config) -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    if config.user.ids.is_some() {
        // Only where a command names itself before it executes its program. Elsewhere that comes a moment late, and what
        // the program has forked by then must not be as safe as this: with the same score, the larger one goes.
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
        // Inherited by every command. The kernel does not hold root to it, so not sandboxd either.
        let _ = setrlimit(Resource::Nproc, processes(&config.limits));
    }
    Ok(())
}

/// Lets the kernel end this process before others when memory runs out, as `score` says in decimal. It is called between
/// fork and exec, so it makes system calls only.
pub fn name_first(score: &[u8]) -> io::Result<()> {
    let file = open(c"/proc/self/oom_score_adj", OFlags::WRONLY, Mode::empty())?;
    // It is refused where somebody has set a higher score for all of us already.
    let _ = rustix::io::write(file, score);
    Ok(())
}

/// As [`name_first`], for the process `pid`, which has just been started.
pub fn name_other_first(pid: Pid, score: &[u8]) {
    // An error says that the process has ended.
    let _ = fs::write(format!("/proc/{}/oom_score_adj", pid.as_raw_pid()), score);
}

/// Limits the processes of `pid`'s user, for what `pid` starts from now on. Where `sandboxd` is root its commands have
/// inherited the limit; where it is not it must not keep to the limit itself, or a command that forks without end would
/// take the threads that are needed to end it.
pub fn limit_processes(pid: Pid, limits: &Limits) {
    if !getuid().is_root() {
        // An error says that the process has ended.
        let _ = prlimit(Some(pid), Resource::Nproc, processes(limits));
    }
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
