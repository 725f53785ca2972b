//! Isolation of a command in a sandbox from the machine and from other sandboxes.

use std::path::Path;

use sandbar_tests::build;

use crate::support::{self, Local, sh};

#[tokio::test]
async fn a_sandbox_has_its_own_directories_and_processes() {
    let state = tempfile::tempdir().unwrap();
    let local = Local::start(state.path());
    let a = local.boot("a", "boot-own-a").await;
    let b = local.boot("b", "boot-own-b").await;

    let write = "for d in /workspace /tmp /var/tmp /home/sandbox /run /dev/shm; do echo a >$d/file || echo no $d; done";
    assert_eq!(sh(&a, write).await, "");
    let read =
        "cat /workspace/file /tmp/file /var/tmp/file /home/sandbox/file /run/file /dev/shm/file 2>/dev/null";
    assert_eq!(sh(&a, read).await, "a\na\na\na\na\na");
    assert_eq!(sh(&b, read).await, "");

    assert_eq!(sh(&a, "cat /proc/1/comm").await, "sandboxd");
    // The cgroup names of the machine are not visible inside.
    assert_eq!(sh(&a, "grep -v ':/$' /proc/self/cgroup").await, "");
    sh(&b, "sleep 611 >/dev/null 2>&1 &").await;
    assert_eq!(
        sh(
            &a,
            "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 61[1]'"
        )
        .await,
        "0"
    );
}

#[tokio::test]
async fn the_machine_is_read_only_or_not_there() {
    let state = tempfile::tempdir().unwrap();
    let local = Local::start(state.path());
    let boot = local.boot("a", "boot-machine").await;

    let hidden = format!(
        "ls -d /root/.[a-z]* /etc/shadow /etc/ssh /etc/ssl/private/* /sys /boot {} 2>/dev/null",
        state.path().display()
    );
    assert_eq!(sh(&boot, &hidden).await, "");
    for path in ["/usr", "/etc", "/", "/bin"] {
        let output = sh(&boot, &format!("touch {path}/file")).await;
        assert!(
            output.contains("Read-only file system") || output.contains("Permission denied"),
            "{output}"
        );
    }
    // Opened for writing, and not written to.
    for control in ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory"] {
        let output = sh(&boot, &format!(": >>{control}")).await;
        assert!(output.contains("cannot create"), "{control}: {output}");
    }
    let output = sh(
        &boot,
        "mount -t tmpfs none /usr && echo mounted; mknod /workspace/disk b 8 0 && echo made",
    )
    .await;
    assert!(
        !output.contains("mounted") && !output.contains("made"),
        "{output}"
    );
}

#[tokio::test]
async fn the_environment_and_the_open_files_of_the_machine_stay_outside() {
    let state = tempfile::tempdir().unwrap();
    let mut command = support::command(&build::sandboxd(), state.path());
    command.env("MACHINE_SECRET", "hunter2");
    let local = Local::spawn(command);
    let boot = local.boot("a", "boot-env").await;

    let environment = sh(
        &boot,
        "env; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'",
    )
    .await;
    assert!(
        environment.contains("GREETING=hello") && !environment.contains("hunter2"),
        "{environment}"
    );
    let outside =
        "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -e '->' | grep -v -e pipe: -e /dev/null -e /proc/";
    assert_eq!(sh(&boot, outside).await, "");
    // sandboxd has descriptors and an environment with secrets, which commands must not read.
    let refused = "for f in environ maps fd/0; do cat /proc/1/$f 2>&1; done | grep -c 'Permission denied'";
    assert_eq!(sh(&boot, refused).await, "3");
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // The machine's root can read them.
    let sandboxd = format!("/proc/{}", support::sandboxd_process("boot-env"));
    let environment = std::fs::read_to_string(format!("{sandboxd}/environ")).unwrap();
    assert!(
        environment.contains("GREETING=hello") && !environment.contains("hunter2"),
        "{environment}"
    );
    let own = [
        "pipe:",
        "socket:",
        "anon_inode:",
        "/dev/null",
        "/workspace",
        "/run/volume",
    ];
    for entry in std::fs::read_dir(format!("{sandboxd}/fd")).unwrap() {
        let Ok(file) = std::fs::read_link(entry.unwrap().path()) else {
            continue;
        };
        assert!(
            own.iter().any(|own| file.to_str().unwrap().starts_with(own)),
            "{file:?}"
        );
    }
}

#[tokio::test]
async fn only_sandboxd_can_mount() {
    let state = tempfile::tempdir().unwrap();
    let local = Local::start(state.path());
    let boot = local.boot("a", "boot-mount").await;
    let status = sh(&boot, "cat /proc/1/status").await;
    let capabilities = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:\t"))
        .unwrap();
    let may_mount = u64::from_str_radix(capabilities, 16).unwrap() & 1 << 21 != 0;
    let has_fuse = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    assert_eq!(may_mount, has_fuse, "{capabilities}");
    for attempt in [
        "mount -t tmpfs none /mnt",
        "umount /workspace",
        "mount -o remount,rw /usr",
        "unshare --mount true",
        "nsenter --target 1 --mount true",
        "setpriv --inh-caps +sys_admin --ambient-caps +sys_admin unshare --mount true",
    ] {
        let output = sh(&boot, &format!("{attempt} && echo it worked")).await;
        assert!(!output.contains("it worked"), "{attempt}: {output}");
    }
    if may_mount {
        assert_eq!(sh(&boot, "cat /proc/1/environ 2>/dev/null").await, "");
    }
}

#[tokio::test]
async fn the_tools_that_clients_need_are_there() {
    let state = tempfile::tempdir().unwrap();
    let local = Local::start(state.path());
    let boot = local.boot("a", "boot-tools").await;
    let missing = "for tool in sh env mkdir test cat cmp chmod mv rm ls readlink dirname cp tar sha256sum awk sed grep; \
        do command -v $tool >/dev/null || echo $tool; done";
    assert_eq!(sh(&boot, missing).await, "");
    assert_eq!(
        sh(&boot, "getent hosts localhost >/dev/null && echo resolved").await,
        "resolved"
    );
    assert_eq!(
        sh(&boot, "getent passwd root >/dev/null && echo known").await,
        "known"
    );
}
