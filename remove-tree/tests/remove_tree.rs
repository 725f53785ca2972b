//! Trees that commands make, on the real file system.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use remove_tree::{MAX_OPEN, remove_tree};
use rustix::fs::{Mode, OFlags, Uid, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tempfile::TempDir;

fn remove(parent: &Path, name: &str) -> io::Result<()> {
    remove_tree(File::open(parent).unwrap(), name)
}

/// Makes `depth` nested directories, some with a file beside the next one. Returns the last one.
fn nest(root: &Path, depth: usize) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut directory: OwnedFd = File::open(root).unwrap().into();
    for level in 0..depth {
        if level % 8 == 0 {
            openat(&directory, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
        }
        mkdirat(&directory, "d", Mode::RWXU).unwrap();
        directory = openat(&directory, "d", flags, Mode::empty()).unwrap();
    }
    directory
}

fn tree() -> (TempDir, PathBuf) {
    // In memory where possible: a disk takes up to a minute for this many directories.
    let parent = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let root = parent.path().join("tree");
    fs::create_dir(&root).unwrap();
    (parent, root)
}

#[test]
fn a_tree_of_45_000_levels_takes_little_stack_and_few_descriptors() {
    let (parent, root) = tree();
    drop(nest(&root, 45_000));
    let path = parent.path().to_owned();
    let thread = std::thread::Builder::new().stack_size(64 * 1024);
    thread
        .spawn(move || remove(&path, "tree"))
        .unwrap()
        .join()
        .unwrap()
        .unwrap();
    assert!(!root.exists());
}

#[test]
fn directories_at_and_below_the_deepest_open_level_go_whatever_their_names() {
    let (parent, root) = tree();
    // Names that directories are moved up to: taken by a file, a full directory, an empty one and a
    // link.
    fs::write(root.join("0"), "").unwrap();
    fs::create_dir_all(root.join("1/full")).unwrap();
    fs::create_dir(root.join("2")).unwrap();
    symlink("/", root.join("3")).unwrap();
    let mut deep = root;
    for _ in 0..MAX_OPEN - 1 {
        deep.push("d");
    }
    for wide in 0..50 {
        fs::create_dir_all(deep.join(format!("{wide}/{}e", "d/".repeat(2 * MAX_OPEN)))).unwrap();
    }
    remove(parent.path(), "tree").unwrap();
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn links_are_removed_and_not_followed() {
    let (parent, root) = tree();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "kept").unwrap();
    symlink(outside.path(), root.join("link")).unwrap();
    symlink(outside.path(), parent.path().join("root link")).unwrap();
    remove(parent.path(), "tree").unwrap();
    remove(parent.path(), "root link").unwrap();
    remove(parent.path(), "nothing").unwrap();
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    assert_eq!(fs::read(outside.path().join("file")).unwrap(), b"kept");
}

#[test]
fn permissions_that_the_owner_took_from_itself_are_no_obstacle() {
    let (parent, root) = tree();
    nest(&root, 2 * MAX_OPEN);
    fs::create_dir_all(root.join("empty/below")).unwrap();
    let nobody = Uid::from_raw(65_534);
    let script = "chown -R 65534 . && find . -depth -type d -exec chmod 000 {} +";
    let is_root = rustix::process::geteuid().is_root();
    let script = if is_root {
        script
    } else {
        &script[script.find("find").unwrap()..]
    };
    let prepared = Command::new("sh")
        .args(["-c", script])
        .current_dir(&parent)
        .status();
    assert!(prepared.unwrap().success());
    std::thread::spawn(move || {
        if is_root {
            // Of this thread alone.
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        // The caller is responsible for the parent's own permissions.
        fs::set_permissions(&parent, Permissions::from_mode(0o700)).unwrap();
        remove(parent.path(), "tree").unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    })
    .join()
    .unwrap();
}

#[test]
fn entries_that_cannot_be_removed_are_left_and_all_others_removed() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (parent, root) = tree();
    for directory in ["mnt", "beside", "deep/mnt"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    std::thread::spawn(move || {
        // SAFETY: gives this thread its own mount namespace; no other thread shares it.
        if unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.is_err() {
            return;
        }
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        for at in ["mnt", "deep/mnt"] {
            let at = root.join(at);
            mount("none", &at, "tmpfs", MountFlags::empty(), None::<&std::ffi::CStr>).unwrap();
            fs::write(at.join("file"), "kept").unwrap();
        }
        let error = remove(parent.path(), "tree").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::XDEV.raw_os_error()));
        assert!(!root.join("beside").exists());
        for at in ["mnt", "deep/mnt"] {
            assert_eq!(fs::read(root.join(at).join("file")).unwrap(), b"kept");
        }
    })
    .join()
    .unwrap();
}
