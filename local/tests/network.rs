//! Networks of sandboxes: their own by slirp4netns, or this machine's where that does not work.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use sandbar_tests::{build, machine};
use sandbox_protocol::local::Boot;

use crate::support::{Local, command, eventually, sh, signal};

/// The reason why sandboxes share a network here, if they do. Printed, as tests then do less.
fn shared() -> Option<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_installed = std::env::split_paths(&path).any(|directory| directory.join("slirp4netns").is_file());
    let reason = match (is_installed, Path::new("/dev/net/tun").exists()) {
        (false, _) => "there is no slirp4netns",
        (true, false) => "there is no /dev/net/tun",
        (true, true) => return None,
    };
    eprintln!("skipped: sandboxes share the network of this machine: {reason}");
    Some(reason)
}

/// The command, with its standard error in a file.
fn logged(state: &Path) -> Command {
    std::fs::create_dir_all(state).unwrap();
    let mut command = command(&build::sandboxd(), &state.join("state"));
    command.stderr(std::fs::File::create(state.join("log")).unwrap());
    command
}

fn log(state: &Path) -> String {
    std::fs::read_to_string(state.join("log")).unwrap()
}

/// The slirp4netns that a `sandbox-local` runs.
fn slirps(local: &Local) -> Vec<i32> {
    let is_slirp = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1))
            .and_then(|parent| parent.parse().ok());
        stat.contains("(slirp4netns)") && parent == Some(local.process.id())
    };
    let pids = std::fs::read_dir("/proc").unwrap();
    pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(is_slirp)
        .collect()
}

fn is_slirp(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "slirp4netns\n")
}

async fn connects(boot: &Boot, address: Ipv4Addr, port: u16) -> bool {
    let script =
        format!("timeout 10 bash -c 'exec 3<>/dev/tcp/{address}/{port}' 2>/dev/null && echo connected");
    sh(boot, &script).await == "connected"
}

#[tokio::test]
async fn the_network_is_there_before_the_first_command_and_has_names() {
    if shared().is_some() {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let local = Local::spawn(logged(state.path()));
    let boot = local.boot("a", "boot-names").await;
    let devices = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort";
    assert_eq!(sh(&boot, devices).await, "lo\ntap0");
    assert_eq!(
        sh(&boot, "grep nameserver /etc/resolv.conf").await,
        "nameserver 10.0.2.3"
    );
    assert_eq!(
        sh(&boot, "getent ahosts localhost | cut -d ' ' -f 1 | sort -u").await,
        "127.0.0.1\n::1"
    );
    assert!(log(state.path()).contains("each sandbox has a network of its own"));
    // A sandbox can look up the names that this machine can.
    let name = "deb.debian.org";
    let looked_up = Command::new("getent").args(["ahostsv4", name]).output().unwrap();
    if looked_up.status.success() {
        let found = format!("getent ahostsv4 {name} >/dev/null && echo found");
        assert_eq!(sh(&boot, &found).await, "found");
    } else {
        eprintln!("skipped: this machine cannot look up {name}");
    }
}

#[tokio::test]
async fn a_slirp4netns_ends_with_its_sandbox_and_with_sandbox_local() {
    if shared().is_some() {
        return;
    }
    for end in ["destroy", "stop", "sandboxd", "TERM", "KILL"] {
        let state = tempfile::tempdir().unwrap();
        let mut local = Local::start(state.path());
        let boot_id = format!("boot-slirp-{end}");
        local.boot("a", &boot_id).await;
        let slirps = slirps(&local);
        assert_eq!(slirps.len(), 1);
        match end {
            "destroy" => local.destroy("a").await,
            "stop" => {
                local.stop("a").await;
                local.exit("a", &boot_id).await;
            }
            "sandboxd" => {
                signal("KILL", crate::support::sandboxd_process(&boot_id));
                local.exit("a", &boot_id).await;
            }
            name => {
                local.signal(name);
                local.process.wait().unwrap();
            }
        }
        if end == "KILL" {
            // The kernel ends it.
            eventually(|| !is_slirp(slirps[0])).await;
        }
        assert!(!is_slirp(slirps[0]), "{end}");
    }
}

#[tokio::test]
async fn a_slirp4netns_that_dies_is_replaced_and_the_log_says_so() {
    if shared().is_some() {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let local = Local::spawn(logged(state.path()));
    let boot = local.boot("a", "boot-replaced").await;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(connects(&boot, machine::address(), port).await);
    let first = slirps(&local)[0];
    signal("KILL", first);
    eventually(|| slirps(&local).first().is_some_and(|pid| *pid != first)).await;
    for tries in 0.. {
        if connects(&boot, machine::address(), port).await {
            break;
        }
        assert!(tries < 100, "the network does not come back");
    }
    assert!(
        log(state.path()).contains("gets a new slirp4netns"),
        "{}",
        log(state.path())
    );
    let last = slirps(&local)[0];
    local.destroy("a").await;
    assert!(!is_slirp(last));
}

#[tokio::test]
async fn without_a_working_slirp4netns_the_network_is_shared_and_the_log_says_why() {
    let bwrap = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|directory| directory.join("bwrap"))
        .find(|program| program.is_file())
        .unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    for (script, reason) in [
        (None, "slirp4netns is not installed"),
        (
            Some("#!/bin/sh\necho no such device >&2; exit 1\n"),
            "no such device",
        ),
    ] {
        let state = tempfile::tempdir().unwrap();
        let programs = state.path().join("programs");
        std::fs::create_dir(&programs).unwrap();
        std::os::unix::fs::symlink(&bwrap, programs.join("bwrap")).unwrap();
        if let Some(script) = script {
            use std::os::unix::fs::PermissionsExt as _;
            let program = programs.join("slirp4netns");
            std::fs::write(&program, script).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = logged(state.path());
        command.env("PATH", &programs);
        let local = Local::spawn(command);
        let boot = local.boot("a", "boot-shared").await;
        assert!(connects(&boot, Ipv4Addr::LOCALHOST, port).await);
        let log = log(state.path());
        let lines: Vec<_> = log.lines().filter(|line| line.contains("share this")).collect();
        assert!(lines.len() == 1 && lines[0].contains(reason), "{log}");
    }
}

#[tokio::test]
async fn the_start_fails_with_the_reason_when_the_sandbox_cannot_be_connected() {
    let state = tempfile::tempdir().unwrap();
    // It works when it is tried at the start, and never again.
    let script = format!(
        "#!/bin/sh\n[ -e {0} ] && {{ echo out of devices >&2; exit 1; }}\n: >{0}\nprintf 1 >&3\nexec cat <&4\n",
        state.path().join("tried").display()
    );
    let programs = state.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let program = programs.join("slirp4netns");
    std::fs::write(&program, script).unwrap();
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = logged(state.path());
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", programs.display()));
    let local = Local::spawn(command);
    let response = local.try_start("a", "boot-unconnected").await;
    assert_eq!(response.status(), 502);
    let text = response.text().await.unwrap();
    assert!(text.contains("out of devices"), "{text}");
    assert_eq!(local.status("a").await.running, None);
}
