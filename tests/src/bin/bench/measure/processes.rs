//! Processes of this machine, and their memory.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Mebibytes of memory that a process holds; nothing when it is gone.
pub fn rss_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib / 1024.0)
}

/// Mebibytes of memory that processes hold together; nothing when there is none.
pub fn sum_rss_mib(pids: &[u32]) -> Option<f64> {
    pids.iter()
        .map(|pid| rss_mib(*pid))
        .sum::<Option<f64>>()
        .filter(|sum| *sum > 0.0)
}

/// The `sandboxd` with a boot id, where its processes can be seen: on the local runtime, and in
/// containers of an engine on this machine.
pub fn sandboxd(boot_id: &str) -> Option<u32> {
    let mark = format!("SANDBOX_BOOT_ID={boot_id}");
    all().into_iter().find(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        is_named(*pid, "sandboxd") && environment.split(|b| *b == 0).any(|var| var == mark.as_bytes())
    })
}

/// The processes of a name that descend from `ancestor`.
pub fn descendants(ancestor: u32, name: &str) -> Vec<u32> {
    let parents: HashMap<u32, u32> = all()
        .into_iter()
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let descends = |pid: &u32| {
        let mut at = *pid;
        while let Some(parent) = parents.get(&at) {
            if *parent == ancestor {
                return true;
            }
            at = *parent;
        }
        false
    };
    let pids = parents.keys().copied();
    pids.filter(|pid| is_named(*pid, name)).filter(descends).collect()
}

fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn is_named(pid: u32, name: &str) -> bool {
    fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm"))
        .is_ok_and(|comm| comm.trim_end() == name)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it, in parentheses, may hold anything.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_own_child() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        // Between fork and exec it has our name.
        while !is_named(child.id(), "sleep") {
            std::thread::yield_now();
        }
        let found = descendants(std::process::id(), "sleep");
        // And right after exec no memory.
        let memory = (0..1000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            rss_mib(child.id()).filter(|mib| *mib > 0.1)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&child.id()));
        assert!(memory.is_some());
        assert_eq!(rss_mib(child.id()), None);
    }
}
