//! The command line: copies.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use sandbar_tests::command_line::{command, run_in, run_with};
use sandbar_tests::file::sha256;

use crate::{bridge, sandbox};

/// A directory of this machine for one test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sandbar-cp-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    async fn cp(&self, source: &str, destination: &str) -> String {
        run_in(&self.0, bridge(), &["cp", source, destination])
            .await
            .text()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for closed in ["back/closed", "tree/closed"] {
            let _ = fs::set_permissions(self.0.join(closed), fs::Permissions::from_mode(0o755));
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_file_of_100_mib_is_the_same_there_and_back() {
    let (sandbox, scratch) = (sandbox().await, Scratch::new("file"));
    let block: Vec<u8> = (0..262_144_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    let mut file = fs::File::create(scratch.0.join("large")).unwrap();
    (0..100).for_each(|_| file.write_all(&block).unwrap());
    file.set_permissions(fs::Permissions::from_mode(0o750)).unwrap();
    let id = &sandbox.id;
    scratch.cp("large", &format!("{id}:")).await;
    let there = sandbox
        .sh("sha256sum large | cut -d ' ' -f 1; stat -c %a large")
        .await
        .text();
    let here = sha256(&fs::read(scratch.0.join("large")).unwrap());
    assert_eq!(there, format!("{here}\n750\n"));
    scratch.cp(&format!("{id}:/workspace/large"), "back").await;
    let back = scratch.0.join("back");
    assert_eq!(sha256(&fs::read(&back).unwrap()), here);
    assert_eq!(fs::metadata(&back).unwrap().mode() & 0o777, 0o750);
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 2);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_directory_has_its_links_and_modes_there_and_back() {
    let (sandbox, scratch) = (sandbox().await, Scratch::new("directory"));
    let root = scratch.0.join("tree");
    fs::create_dir_all(root.join("closed/a b")).unwrap();
    fs::write(root.join("closed/a b/ü.sh"), "#!/bin/sh\necho hello\n").unwrap();
    fs::set_permissions(root.join("closed/a b/ü.sh"), fs::Permissions::from_mode(0o711)).unwrap();
    fs::write(root.join("n".repeat(150)), "long").unwrap();
    symlink("closed/a b/ü.sh", root.join("link")).unwrap();
    symlink("/nowhere", root.join("dangling")).unwrap();
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    let id = &sandbox.id;
    scratch.cp("tree", &format!("{id}:copy")).await;
    let list = "cd copy && find . -printf '%P %y %m %l\\n' | sort";
    let there = sandbox.sh(list).await.text();
    for line in [
        "closed d 555",
        "closed/a b/ü.sh f 711",
        "link l 777 closed/a b/ü.sh",
        "dangling l 777 /nowhere",
    ] {
        assert!(
            there.lines().any(|found| found.trim_end() == line),
            "{line}: {there}"
        );
    }
    // Below a directory that exists, and its content alone.
    scratch.cp("tree", &format!("{id}:copy")).await;
    assert_eq!(sandbox.sh("copy/tree/link").await.text(), "hello\n");
    assert_eq!(sandbox.sh("chmod -R u+w copy/tree").await.code(), 0);
    scratch.cp("tree/.", &format!("{id}:copy/tree")).await;
    assert_ne!(sandbox.sh("test -e copy/tree/tree").await.code(), 0);
    let remove = "chmod -R u+w copy/tree && rm -r copy/tree";
    assert_eq!(sandbox.sh(remove).await.code(), 0);
    scratch.cp(&format!("{id}:copy"), "back").await;
    let list = format!(
        "cd {}/back && find . -printf '%P %y %m %l\\n' | sort",
        scratch.0.display()
    );
    let here = std::process::Command::new("sh")
        .args(["-c", &list])
        .output()
        .unwrap();
    // The directory itself has the permissions that this machine gives.
    let below = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with(' '))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(below(&String::from_utf8(here.stdout).unwrap()), below(&there));
    sandbox.destroy().await;
}

#[tokio::test]
async fn standard_input_and_output_are_files_of_a_copy() {
    let (sandbox, scratch) = (sandbox().await, Scratch::new("standard"));
    let path = format!("{}:notes/a#b?.txt", sandbox.id);
    let copy = command(bridge(), &["cp", "-", &path]);
    assert_eq!(
        run_with(copy, &bridge().key, Some(b"from a pipe".to_vec()))
            .await
            .code,
        Some(0)
    );
    assert_eq!(scratch.cp(&path, "-").await, "from a pipe");
    // Over a file that is there, by its link.
    fs::write(scratch.0.join("file"), "old").unwrap();
    fs::set_permissions(scratch.0.join("file"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("file", scratch.0.join("link")).unwrap();
    scratch.cp(&path, "link").await;
    assert_eq!(fs::read_to_string(scratch.0.join("file")).unwrap(), "from a pipe");
    assert_eq!(
        fs::metadata(scratch.0.join("file")).unwrap().mode() & 0o777,
        0o600
    );
    assert!(scratch.0.join("link").is_symlink());
    sandbox.destroy().await;
}

#[tokio::test]
async fn what_cannot_be_copied_is_one_line() {
    let (sandbox, scratch) = (sandbox().await, Scratch::new("errors"));
    let (id, root) = (&sandbox.id, format!("{}:/etc/passwd", sandbox.id));
    let missing = format!("{id}:missing");
    for (source, destination, text) in [
        ("missing", format!("{id}:"), "missing: No such file"),
        (
            &missing,
            "here".to_owned(),
            "/workspace/missing: no such file or directory",
        ),
        ("a", "b".to_owned(), "one of SOURCE and DEST"),
        (&root, "here".to_owned(), "path must resolve"),
    ] {
        let ran = run_in(&scratch.0, bridge(), &["cp", source, &destination]).await;
        assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{ran:?}");
        assert!(ran.stderr.starts_with(&format!("sandbar: {text}")), "{ran:?}");
    }
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
    sandbox.destroy().await;
}
