//! Files that are not read or closed, as their file system does not answer, block nobody else.

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::time::Instant;

use serde_json::json;

use crate::support::hung::{Answers, CONTENT, QUICK, TIMEOUT_MS, assert_quick, others_go_on, start};
use crate::support::{Terminal, eventually, sleeping, unique_sleep};

#[test]
fn files_that_are_being_read() {
    let Some((sandboxd, hung)) = start(Answers::Opens) else {
        return;
    };
    let _reading: Vec<_> = ('a'..='p')
        .map(|file| {
            let mut connection = sandboxd.connect();
            let request = format!("GET /file/workspace/hung/{file} HTTP/1.1\r\nhost: x\r\n\r\n");
            connection.write_all(request.as_bytes()).unwrap();
            connection
        })
        .collect();
    eventually("all are open", || hung.unanswered() == 16);
    let mut terminal = Terminal::open(&sandboxd, "cols=80&rows=24");
    terminal.send("echo $((6*7))\n");
    assert_quick("a terminal", || terminal.wait_for("42"));
    others_go_on(&sandboxd, Vec::new(), 0);
}

#[test]
fn files_that_are_not_closed() {
    let Some((sandboxd, hung)) = start(Answers::Reads) else {
        return;
    };
    let file = sandboxd.workspace.path().join("hung/file");
    let begin = |method: &str, headers: &str| {
        let mut connection = sandboxd.connect();
        let request = format!("{method} /file/workspace/hung/file HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        connection
    };
    let mut head = begin("HEAD", "");
    let mut answer = [0; 12];
    head.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200", "{} holds {CONTENT:?}", file.display());
    let _reading: Vec<_> = (0..16)
        .flat_map(|_| {
            [
                begin("HEAD", ""),
                begin("GET", ""),
                begin("GET", "range: bytes=9-\r\n"),
            ]
        })
        .collect();
    eventually("all are being closed", || hung.unanswered() == 1 + 3 * 16);
    others_go_on(&sandboxd, Vec::new(), 0);
}

/// Holds the lock of its own address space: a mapping that replaces another one waits for what is
/// written of that.
const HANG: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
file = os.open(sys.argv[1], os.O_RDWR)
shared = libc.mmap(None, 4096, 3, 1, file, 0)
ctypes.memset(shared, 120, 1)
print(os.getpid(), flush=True)
libc.mmap(shared, 4096, 3, 0x32, -1, 0)
"#;

#[test]
fn processes_that_nobody_can_read() {
    let Some((sandboxd, hung)) = start(Answers::Reads) else {
        return;
    };
    let directory = sandboxd.workspace.path().join("hung");
    let begin = |file: &str| {
        let argv = json!(["python3", "-c", HANG, directory.join(file)]);
        sandboxd.begin(&json!({"argv": argv, "timeout_ms": TIMEOUT_MS}))
    };
    let mut hanging: Vec<_> = ["a", "b", "c", "d"].into_iter().map(begin).collect();
    for stream in &mut hanging {
        let pid = stream.next().unwrap().bytes();
        let environ = format!("/proc/{}/environ", str::from_utf8(&pid).unwrap().trim());
        let reads = || Command::new("timeout").args(["0.1", "cat", &environ]).output();
        eventually("it hangs", || reads().unwrap().status.code() == Some(124));
    }
    let [own, daemon, left] = [unique_sleep(), unique_sleep(), unique_sleep()];
    let script = format!("(setsid sleep {daemon} >/dev/null 2>&1 &); echo; sleep {own}");
    let started = Instant::now();
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", script], "timeout_ms": 300}));
    assert_eq!((output.code(), output.exit.timed_out), (124, true));
    assert_eq!([sleeping(&own), sleeping(&daemon)], [[0; 0]; 2]);
    assert!(started.elapsed() < QUICK, "{:?}", started.elapsed());
    let script = format!("(setsid sleep {left} >/dev/null 2>&1 &); (true &); echo started; sleep {left}");
    let mut stream = sandboxd.begin(&json!({"argv": ["sh", "-c", script]}));
    stream.wait_for("started");
    eventually("both run", || sleeping(&left).len() == 2);
    drop(stream);
    eventually("both are gone", || sleeping(&left).is_empty());
    eventually("there are no zombies", || sandboxd.zombies() == 0);
    others_go_on(&sandboxd, hanging, 0);
    drop(hung);
    eventually("the processes are gone", || sandboxd.children() == 0);
}
