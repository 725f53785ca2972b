//! Signals to processes of a bridge of this machine.

use rustix::process::{Pid, Signal, kill_process};

use crate::Bridge;

/// SIGKILL to the `sandboxd` of this machine that was started with this boot id. It must run.
pub fn kill_sandboxd(boot_id: &str) {
    signal_sandboxd(boot_id, Signal::KILL);
}

/// A signal to the `sandboxd` of this machine that was started with this boot id. It must run.
pub fn signal_sandboxd(boot_id: &str, signal: Signal) {
    let mark = format!("SANDBOX_BOOT_ID={boot_id}");
    let signalled = std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter(|entry| {
            let read = |name| std::fs::read(entry.path().join(name)).unwrap_or_default();
            let is_sandboxd = read("comm").starts_with(b"sandboxd");
            if !is_sandboxd
                || !read("environ")
                    .split(|b| *b == 0)
                    .any(|var| var == mark.as_bytes())
            {
                return false;
            }
            let pid = entry
                .file_name()
                .to_str()
                .and_then(|name| Pid::from_raw(name.parse().ok()?));
            pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
        });
    assert_eq!(signalled.count(), 1, "one sandboxd of boot {boot_id}");
}

/// A signal to the `sandbox-local` of a bridge that was started here. It must run.
pub fn signal_sandbox_local(bridge: &Bridge, signal: Signal) {
    let port = bridge.url.rsplit(':').next().unwrap_or_default();
    let state_directory = format!(".sandbox-local/{port}");
    let signalled = std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter(|entry| {
            let read = |name| std::fs::read(entry.path().join(name)).unwrap_or_default();
            let is_it = read("comm").starts_with(b"sandbox-local")
                && read("cmdline")
                    .split(|b| *b == 0)
                    .any(|argument| argument == state_directory.as_bytes());
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            is_it
                && pid
                    .and_then(Pid::from_raw)
                    .is_some_and(|pid| kill_process(pid, signal).is_ok())
        });
    assert_eq!(signalled.count(), 1, "one sandbox-local in {state_directory}");
}
