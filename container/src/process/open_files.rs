//! The files that processes have open for writing, as `/proc` shows them.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::Builder;
use std::time::Duration;

use super::cookie::read_as_user;
use super::scan::Process;
use crate::user::Ids;

/// The inodes of the files that `processes` have open for writing, or have mapped so that what they
/// write into memory is written into the file. `ids` are those of their user, if it is another one.
/// Blocks for at most `limit`, after which nothing is known: a process that hangs may not be
/// inspected.
pub fn written(processes: Vec<Process>, ids: Option<Ids>, limit: Duration) -> HashSet<u64> {
    let (done, inodes) = mpsc::channel();
    let read = move || {
        let inodes = read_as_user(ids.as_ref(), || {
            let mut inodes = HashSet::new();
            for process in &processes {
                let directory = PathBuf::from(format!("/proc/{}", process.pid.as_raw_pid()));
                add_descriptors(&directory, &mut inodes);
                add_mappings(&directory, &mut inodes);
            }
            inodes
        });
        // Fails when the caller does not wait any more.
        let _ = done.send(inodes.unwrap_or_default());
    };
    match Builder::new().name("open-files".into()).spawn(read) {
        Ok(_) => inodes.recv_timeout(limit).unwrap_or_default(),
        Err(_) => HashSet::new(),
    }
}

/// Adds the files behind descriptors.
fn add_descriptors(process: &Path, inodes: &mut HashSet<u64>) {
    let entries = fs::read_dir(process.join("fdinfo"));
    for entry in entries.into_iter().flatten().flatten() {
        let Ok(info) = fs::read_to_string(entry.path()) else {
            continue;
        };
        let field = |name: &str| {
            let value = info.lines().find_map(|line| line.strip_prefix(name));
            value.map(str::trim)
        };
        let flags = field("flags:").and_then(|flags| u32::from_str_radix(flags, 8).ok());
        let access = flags.unwrap_or(0) & libc::O_ACCMODE.cast_unsigned();
        if access == libc::O_RDONLY.cast_unsigned() {
            continue;
        }
        // Kernels before 5.14 do not tell the inode.
        let inode = match field("ino:") {
            Some(inode) => inode.parse().ok(),
            None => fs::metadata(process.join("fd").join(entry.file_name()))
                .ok()
                .map(|found| found.ino()),
        };
        inodes.extend(inode);
    }
}

/// Adds the files behind shared mappings that can be written to.
fn add_mappings(process: &Path, inodes: &mut HashSet<u64>) {
    // The name of a file may have any bytes.
    let maps = fs::read(process.join("maps")).unwrap_or_default();
    for line in maps.split(|byte| *byte == b'\n') {
        let fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
        let mut fields = fields.map(|field| std::str::from_utf8(field).unwrap_or_default());
        let is_shared = fields
            .nth(1)
            .is_some_and(|permissions| permissions.get(1..2) == Some("w") && permissions.ends_with('s'));
        let inode = fields.nth(2).and_then(|inode| inode.parse::<u64>().ok());
        inodes.extend(inode.filter(|inode| is_shared && *inode != 0));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn files_that_are_written_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = directory.path().join(name);
            fs::write(&path, "content\n").unwrap();
            (path.metadata().unwrap().ino(), path)
        };
        let (written_inode, written_path) = file("written");
        let (read_inode, read_path) = file("read");
        let (mapped_inode, mapped_path) = file("mapped");
        let _written = File::options().append(true).open(written_path).unwrap();
        let _read = File::open(read_path).unwrap();
        let mapped = File::options().read(true).write(true).open(mapped_path).unwrap();
        // SAFETY: a new mapping of a file that nothing else uses, which ends with the process.
        let mapping = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                8,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                mapped.as_raw_fd(),
                0,
            )
        };
        assert_ne!(mapping, libc::MAP_FAILED);
        drop(mapped);
        let own = Process::find(rustix::process::getpid()).unwrap();
        let inodes = written(vec![own], None, Duration::from_secs(10));
        assert!(inodes.contains(&written_inode) && inodes.contains(&mapped_inode));
        assert!(!inodes.contains(&read_inode));
    }
}
