//! File systems of their own in and below the workspace. Only root can mount; elsewhere these say
//! nothing.

use std::fs;
use std::process::{Command, Stdio};

use sandbox_protocol::ErrorCode;

use crate::archive::Archive;
use crate::support::{Sandboxd, gnu_tar, program};

/// A `sandboxd` that sees what `script` mounts, with the workspace as `$1`.
pub fn start(script: &str) -> Option<Sandboxd> {
    let can = Command::new("unshare")
        .args(["--mount", "true"])
        .stderr(Stdio::null())
        .status();
    if !can.is_ok_and(|status| status.success()) {
        return None;
    }
    Some(Sandboxd::start_in(Sandboxd::directories(), |workspace| {
        let mut command = Command::new("unshare");
        let script = format!("set -e; {script}; shift; exec \"$@\"");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
        command.arg(workspace).arg(program());
        command
    }))
}

/// Runs a script where `sandboxd` runs, in the workspace; gives its output.
pub fn run(sandboxd: &Sandboxd, script: &str) -> String {
    let pid = sandboxd.proc("").file_name().map(|_| ());
    assert!(pid.is_some());
    let target = sandboxd.proc("ns/mnt");
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--mount={}", target.display()))
        .args(["sh", "-c", script, "sh"]);
    let output = command.arg(sandboxd.inside("")).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn mount_points_are_left_out() {
    let Some(sandboxd) = start(
        "mkdir -p $1/tmpfs $1/bound $1/own; echo own >$1/own/f; echo f >$1/file; echo s >$1/source; touch $1/bound-file
        mount -t tmpfs none $1/tmpfs; echo t >$1/tmpfs/f; mount --bind $1/own $1/bound; mount --bind $1/source $1/bound-file",
    ) else {
        return;
    };
    let listed = gnu_tar(
        std::path::Path::new("/"),
        &["-tf", "-"],
        &sandboxd.persist("").await,
    );
    let listed = String::from_utf8(listed).unwrap();
    let mut names: Vec<_> = listed.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["./", "./file", "./own/", "./own/f", "./source"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_on_another_file_system_is_copied_there() {
    let Some(sandboxd) =
        start("mkdir $1/mnt; mount -t tmpfs none $1/mnt; echo old >$1/mnt/f; echo kept >$1/mnt/kept")
    else {
        return;
    };
    let archive = Archive::default()
        .file("mnt/f", b"new\n")
        .file("mnt/dir/deep/g", b"deep\n")
        .symlink("mnt/link", "f")
        .file("beside", b"beside\n");
    for _ in 0..2 {
        sandboxd.hydrate(archive.clone().end()).await;
        let seen = run(
            &sandboxd,
            "cd $1/mnt; cat f kept dir/deep/g link ../beside; ls -A; stat -c '%a %Y' f",
        );
        assert_eq!(
            seen,
            "new\nkept\ndeep\nnew\nbeside\ndir\nf\nkept\nlink\n644 1000000000\n"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_is_a_file_system_is_unpacked_in_itself() {
    let Some(sandboxd) = start("mount -t tmpfs -o size=8m none $1; echo old >$1/f") else {
        return;
    };
    sandboxd
        .hydrate(
            Archive::default()
                .file("dir/f", b"new\n")
                .file("f", b"new\n")
                .end(),
        )
        .await;
    assert_eq!(run(&sandboxd, "cd $1; cat f dir/f; ls -A"), "new\nnew\ndir\nf\n");

    // And when it is full.
    let large = Archive::default()
        .file("f", b"newer")
        .file("large", &vec![b'x'; 12 << 20])
        .end();
    let (status, code, _) = sandboxd.error_of(large).await;
    assert_eq!((status, code), (507, ErrorCode::NoSpace));
    assert_eq!(
        run(
            &sandboxd,
            "cd $1; cat f dir/f; ls -A; df --output=used . | tail -1"
        ),
        "new\nnew\ndir\nf\n    8\n"
    );
    fs::metadata(sandboxd.inside("")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_may_hold_the_workspace_under_another_path() {
    let Some(sandboxd) = start(
        "mkdir -p $1/../volume/workspace; mount --bind $1/../volume/workspace $1
        ws=$1; program=$2; shift 2; set -- $ws $program --volume $ws/../volume \"$@\"",
    ) else {
        return;
    };
    let archive = Archive::default().file("dir/f", b"new\n").unfinished();
    let head = "POST /hydrate HTTP/1.1\r\nContent-Length: 100000";
    let stream = sandboxd.raw(head, &archive);
    let volume = sandboxd.parent.path().join("volume");
    crate::support::eventually("it is unpacked there", || {
        crate::support::names(&volume).len() == 2
    });
    assert_eq!(run(&sandboxd, "ls -A $1"), "");
    drop(stream);
    crate::support::eventually("it is removed", || {
        crate::support::names(&volume) == ["workspace"]
    });
    let response = sandboxd.send([archive, vec![0; 1024]].concat(), &[]).await;
    assert_eq!(response.status(), 200);
    assert_eq!(run(&sandboxd, "cat $1/dir/f"), "new\n");
}
