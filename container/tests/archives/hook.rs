//! The program that runs before a save.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use sandbox_protocol::snapshot::{HookResult, SaveRequest};

use super::saved::request;
use super::support::{Sandboxd, program};

fn hook(sandboxd: &Sandboxd, script: &str, mode: u32) {
    fs::create_dir_all(sandboxd.inside(".sandbox")).unwrap();
    let path = sandboxd.inside(".sandbox/before-save");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
}

fn result(exit_code: i32, output: &str) -> Option<HookResult> {
    Some(HookResult {
        exit_code,
        timed_out: false,
        output: output.into(),
    })
}

#[tokio::test]
async fn its_files_are_in_the_archive() {
    let sandboxd = Sandboxd::start();
    let script = "#!/bin/sh\npwd >&2; echo flushed > flushed; echo ready; echo $SANDBOX_BOOT_ID";
    hook(&sandboxd, script, 0o755);
    let saved = sandboxd.save(&request()).await;
    let pwd = fs::canonicalize(sandboxd.inside("")).unwrap();
    let output = format!("{}\nready\n\n", pwd.to_str().unwrap());
    assert_eq!(saved.contents.hook, result(0, &output));
    assert!(saved.index().iter().any(|entry| entry.0 == "flushed"));
    let other = SaveRequest {
        dir: "/workspace/.sandbox".into(),
        ..request()
    };
    assert_eq!(sandboxd.save(&other).await.contents.hook, None);
}

#[tokio::test]
async fn a_failure_does_not_prevent_the_save() {
    let sandboxd = Sandboxd::start();
    hook(&sandboxd, "#!/bin/sh\necho why; exit 3", 0o700);
    assert_eq!(sandboxd.save(&request()).await.contents.hook, result(3, "why\n"));
    hook(&sandboxd, "kill -9 $$", 0o700);
    assert_eq!(sandboxd.save(&request()).await.contents.hook, result(137, ""));
    hook(&sandboxd, "#!/no/such/interpreter\n", 0o700);
    let failed = sandboxd.save(&request()).await.contents.hook.unwrap();
    assert_eq!(failed.exit_code, 126, "{failed:?}");
    hook(&sandboxd, "#!/bin/sh\nyes | head -c 100000; echo end", 0o700);
    let long = sandboxd.save(&request()).await.contents.hook.unwrap();
    assert!(
        long.output.len() == 4096 && long.output.ends_with("y\nend\n"),
        "{}",
        long.output.len()
    );
    hook(&sandboxd, "#!/bin/sh\n", 0o600);
    assert_eq!(sandboxd.save(&request()).await.contents.hook, None);
}

#[tokio::test]
async fn one_that_hangs_is_ended_with_its_tree() {
    let sandboxd = Sandboxd::start_in(Sandboxd::directories(), |_| {
        let mut command = Command::new(program());
        command.env("SANDBOX_SAVE_HOOK_TIMEOUT_MS", "300");
        command
    });
    let script = "#!/bin/sh\necho begins\n(setsid sleep 600; touch late) &\necho $$ > pid; exec sleep 601";
    hook(&sandboxd, script, 0o755);
    let hook = sandboxd.save(&request()).await.contents.hook.unwrap();
    assert_eq!((hook.timed_out, hook.output.as_str()), (true, "begins\n"));
    let own = |line: &str| line.contains("sleep 600") || line.contains("sleep 601");
    let marked = Command::new("ps").args(["-eo", "args"]).output().unwrap();
    let marked = String::from_utf8_lossy(&marked.stdout).into_owned();
    assert!(
        !marked.lines().any(|line| own(line) && !line.contains("ps ")),
        "{marked}"
    );
}
