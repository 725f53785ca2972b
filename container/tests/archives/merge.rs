//! Archives over a workspace that is not empty.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};

use sandbox_protocol::ErrorCode;

use crate::archive::Archive;
use crate::support::{Sandboxd, snapshot};

#[tokio::test(flavor = "multi_thread")]
async fn files_are_replaced_and_all_else_stays() {
    let sandboxd = Sandboxd::start();
    fs::create_dir_all(sandboxd.inside("both/inner")).unwrap();
    fs::create_dir_all(sandboxd.inside("empty")).unwrap();
    for name in ["kept", "both/kept", "both/inner/replaced", "was a file"] {
        fs::write(sandboxd.inside(name), "old").unwrap();
    }
    symlink("../outside", sandboxd.inside("was a link")).unwrap();
    symlink("kept", sandboxd.inside("link to a file")).unwrap();
    let inode = fs::metadata(sandboxd.inside("both")).unwrap().ino();
    let mut open = File::open(sandboxd.inside("both/inner/replaced")).unwrap();

    let archive = Archive::default()
        .directory("./")
        .directory("./both/")
        .file("./both/inner/replaced", b"new")
        .file("./both/new", b"new")
        .file("./empty", b"a file now")
        .file("./was a file/f", b"new")
        .file("./was a link/f", b"new")
        .file("./link to a file", b"new")
        .symlink("./tree/link", "f")
        .file("./tree/f", b"new")
        .end();
    for _ in 0..3 {
        // Repeating it changes nothing more.
        sandboxd.hydrate(archive.clone()).await;
        for (name, text) in [
            ("kept", "old"),
            ("both/kept", "old"),
            ("both/inner/replaced", "new"),
            ("both/new", "new"),
            ("empty", "a file now"),
            ("was a file/f", "new"),
            ("was a link/f", "new"),
            ("link to a file", "new"),
            ("tree/link", "new"),
        ] {
            assert_eq!(fs::read_to_string(sandboxd.inside(name)).unwrap(), text, "{name}");
        }
        assert!(sandboxd.inside("was a link").symlink_metadata().unwrap().is_dir());
        assert_eq!(
            fs::metadata(sandboxd.inside("both")).unwrap().ino(),
            inode,
            "a directory stays the one it is"
        );
    }
    let mut old = String::new();
    open.read_to_string(&mut old).unwrap();
    assert_eq!(old, "old", "who has a file open keeps it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_with_members_is_not_replaced_by_a_file() {
    let sandboxd = Sandboxd::start();
    fs::create_dir_all(sandboxd.inside("a/dir")).unwrap();
    fs::write(sandboxd.inside("a/dir/f"), "old").unwrap();
    fs::write(sandboxd.inside("a/g"), "old").unwrap();
    let before = snapshot(&sandboxd.inside(""));
    let archive = Archive::default()
        .file("a/g", b"new")
        .file("a/new", b"new")
        .file("a/dir", b"new");
    let (status, code, text) = sandboxd.error_of(archive.end()).await;
    assert_eq!((status, code), (400, ErrorCode::InvalidRequest));
    assert!(text.contains("./a/dir: "), "{text}");
    assert_eq!(snapshot(&sandboxd.inside("")), before, "nothing was moved");
    sandboxd.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_is_removed_and_what_is_others_is_not() {
    let parent = Sandboxd::directories();
    let left = ".sandbar-hydrate-workspace-0123456789abcdef";
    fs::create_dir_all(parent.path().join(left).join("tree/a/b")).unwrap();
    fs::write(parent.path().join(left).join("tree/a/b/f"), "x").unwrap();
    let other = parent
        .path()
        .join(".sandbar-hydrate-workspace-2-0123456789abcdef");
    fs::create_dir(&other).unwrap();
    let sandboxd = Sandboxd::start_in(parent, |_| std::process::Command::new(crate::support::program()));
    crate::support::eventually("removed", || !sandboxd.parent.path().join(left).exists());
    fs::remove_dir(other).unwrap();
    sandboxd.hydrate(Archive::default().file("f", b"x").end()).await;
}
