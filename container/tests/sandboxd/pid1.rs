//! The duties of pid 1, as pid 1 and as a subreaper.

use std::net::TcpListener;

use command_fds::{CommandFdExt as _, FdMapping};
use serde_json::json;

use crate::support::{Sandboxd, eventually, has_bubblewrap, namespaced};

#[test]
fn orphans_are_collected() {
    let sandboxd = Sandboxd::start();
    for _ in 0..10 {
        let output =
            sandboxd.exec(&json!({"argv": ["sh", "-c", "(sleep 0.2 &); (true &); (setsid sleep 0.3 &)"]}));
        assert_eq!(output.code(), 0);
    }
    eventually("there are no zombies", || sandboxd.zombies() == 0);
    // Longer than the interval between two scans of the process table.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(sandboxd.zombies(), 0);
}

#[test]
fn the_exit_status_of_a_command_is_never_taken() {
    let sandboxd = Sandboxd::start();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let sandboxd = &sandboxd;
            scope.spawn(move || {
                for _ in 0..100 {
                    let script = format!("(true &); exit {number}");
                    assert_eq!(
                        sandboxd.exec(&json!({"argv": ["sh", "-c", script]})).code(),
                        number
                    );
                }
            });
        }
    });
}

/// As `sandbox-local` starts it: pid 1 of a namespace, with a socket that was bound for it.
/// `LISTEN_PID` is left out, as its parent does not know the pid.
#[test]
fn pid_1_with_a_passed_socket() {
    if !has_bubblewrap() {
        return;
    }
    for listen_pid in [None, Some("1")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut command = namespaced();
        command
            .env("LISTEN_FDS", "1")
            .fd_mappings(vec![FdMapping {
                parent_fd: listener.into(),
                child_fd: 3,
            }])
            .unwrap();
        if let Some(pid) = listen_pid {
            command.env("LISTEN_PID", pid);
        }
        let sandboxd = Sandboxd::start_command(command, |_| {});
        assert_eq!(sandboxd.address, address);
        let output =
            sandboxd.exec(&json!({"argv": ["sh", "-c", "echo $PPID ${LISTEN_FDS-none}; (sleep 0.1 &)"]}));
        assert_eq!(output.text(), "1 none\n");
        let zombies = json!({"argv": ["sh", "-c", "sleep 0.5; cat /proc/[0-9]*/stat | grep -c ') Z '"]});
        eventually("there are no zombies", || sandboxd.exec(&zombies).text() == "0\n");
    }
}
