//! Kills what runs under a bridge of this machine.

use rustix::process::{Pid, Signal, kill_process};

/// SIGKILL to the `sandboxd` of this machine that was started with this boot id. It must run.
pub fn kill_sandboxd(boot_id: &str) {
    let mark = format!("SANDBOX_BOOT_ID={boot_id}");
    let killed = std::fs::read_dir("/proc")
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
            pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
        });
    assert_eq!(killed.count(), 1, "one sandboxd of boot {boot_id}");
}
