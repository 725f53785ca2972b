//! File systems that do not answer block the processes that use them, and nobody else.

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Answers, CONTENT, Hung, Sandboxd, Stream, Terminal, eventually, left_out, sleeping, unique_sleep,
};

/// How long commands wait that hang, in milliseconds.
const TIMEOUT_MS: u64 = 1500;

/// The bound for anything that does not hang, also on a busy machine.
const QUICK: Duration = Duration::from_secs(10);

/// A `sandboxd` with a directory `hung` in its workspace; `None` where nothing can be mounted.
fn start(answers: Answers) -> Option<(Sandboxd, Hung)> {
    let sandboxd = Sandboxd::start();
    let hung = Hung::mount(&sandboxd.workspace.path().join("hung"), answers);
    if hung.is_none() {
        left_out("it takes FUSE and the right to mount");
    }
    Some((sandboxd, hung?))
}

fn assert_quick<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = work();
    assert!(started.elapsed() < QUICK, "{what} took {:?}", started.elapsed());
    done
}

/// Runs commands that do not hang while `hanging` do, and lets those time out. `still_running`
/// others run then.
fn others_go_on(sandboxd: &Sandboxd, hanging: Vec<Stream>, still_running: u64) {
    for _ in 0..20 {
        assert_quick("health", || {
            assert!(sandboxd.request("GET", "/health").0.contains("200 ok"))
        });
        let output = assert_quick("a command", || sandboxd.exec(&json!({"argv": ["echo", "well"]})));
        assert_eq!(output.text(), "well\n");
    }
    assert_quick("a session", || {
        assert_eq!(sandboxd.create_session(r#"{"id":"other"}"#).0, 200)
    });
    assert_quick("its command", || {
        assert_eq!(
            sandboxd.run_in("other", &["bash", "-c", "cd /tmp; pwd"]),
            ("/tmp\n".into(), 0)
        );
    });
    for stream in hanging {
        let output = stream.rest();
        assert_eq!(
            (output.code(), output.exit.timed_out),
            (124, true),
            "{}",
            output.stderr()
        );
    }
    assert_eq!(sandboxd.activity().commands, still_running);
}

fn hang(sandboxd: &Sandboxd, mut body: Value, commands: usize) -> Vec<Stream> {
    body["timeout_ms"] = TIMEOUT_MS.into();
    (0..commands).map(|_| sandboxd.begin(&body)).collect()
}

#[test]
fn hundreds_of_commands_and_a_session_that_start_in_it() {
    let Some((sandboxd, hung)) = start(Answers::Nothing) else {
        return;
    };
    let mut silent = sandboxd.begin(&json!({"argv": ["sh", "-c", "echo; exec sleep 6"]}));
    assert_eq!(silent.next().unwrap().kind, "stdout");
    thread::scope(|scope| {
        let session = scope.spawn(|| sandboxd.create_session(r#"{"id":"s","cwd":"hung"}"#));
        let started = Instant::now();
        let hanging = hang(&sandboxd, json!({"argv": ["true"], "cwd": "hung"}), 600);
        others_go_on(&sandboxd, hanging, 1);
        assert!(
            started.elapsed() < Duration::from_millis(TIMEOUT_MS + 2000) + QUICK,
            "{:?}",
            started.elapsed()
        );
        // Still there, and so are the threads that look at the directory.
        let hanging = hang(&sandboxd, json!({"argv": ["true"], "cwd": "hung/deeper"}), 64);
        others_go_on(&sandboxd, hanging, 1);
        let comment = silent.next().unwrap();
        assert_eq!((comment.id, comment.kind.as_str()), (None, ""));
        drop(hung);
        let (status, answer) = session.join().unwrap();
        assert_eq!(status, 400, "{answer}");
    });
    assert_eq!(silent.rest().code(), 0);
    assert_eq!(sandboxd.exec(&json!({"argv": ["true"]})).code(), 0);
}

#[test]
fn the_other_commands_of_a_session_do_not_wait_for_a_directory_in_it() {
    let Some((sandboxd, hung)) = start(Answers::Nothing) else {
        return;
    };
    let mut hanging = sandboxd.begin_in("s", &json!({"argv": ["true"], "cwd": "hung"}));
    hanging.read_head();
    let output = sandboxd.exec_in("s", &json!({"argv": ["echo", "well"], "timeout_ms": 5000}));
    assert_eq!((output.text(), output.code()), ("well\n".into(), 0));
    drop(hung);
    assert_eq!(hanging.next().unwrap().kind, "error");
}

#[test]
fn programs_that_are_looked_for_in_it() {
    let Some((sandboxd, _hung)) = start(Answers::Nothing) else {
        return;
    };
    let hung = sandboxd.workspace.path().join("hung");
    let path = format!("{}:/usr/bin:/bin", hung.display());
    let mut hanging = hang(&sandboxd, json!({"argv": ["true"], "env": {"PATH": path}}), 64);
    hanging.extend(hang(&sandboxd, json!({"argv": [hung.join("tool")]}), 64));
    others_go_on(&sandboxd, hanging, 0);
}

#[test]
fn a_directory_that_hangs_when_it_is_entered() {
    let Some((sandboxd, _hung)) = start(Answers::Attributes) else {
        return;
    };
    let started = Instant::now();
    let hanging = hang(&sandboxd, json!({"argv": ["true"], "cwd": "hung"}), 64);
    // It has no end by the descriptor of another command.
    let input = "x".repeat(1 << 20);
    assert_eq!(
        sandboxd.exec(&json!({"argv": ["cat"], "stdin": input})).text(),
        input
    );
    others_go_on(&sandboxd, hanging, 0);
    assert!(started.elapsed() < Duration::from_millis(TIMEOUT_MS + 2000) + QUICK);
}

#[test]
fn sessions_and_terminals_that_work_in_it() {
    let Some((sandboxd, hung)) = start(Answers::Attributes) else {
        return;
    };
    assert_eq!(sandboxd.create_session(r#"{"id":"s","cwd":"hung"}"#).0, 200);
    let body = json!({"argv": ["true"], "timeout_ms": 300});
    let queued: Vec<_> = (0..3).map(|_| sandboxd.begin_in("s", &body)).collect();
    let terminal = Terminal::connect(&sandboxd, "session=s&cols=80&rows=24");
    for stream in queued {
        assert_eq!(stream.output().code(), 124);
    }
    others_go_on(&sandboxd, Vec::new(), 0);
    drop((terminal, hung));
    assert_quick("the session's end", || {
        assert_eq!(sandboxd.delete_session("s").0, 200)
    });
}

#[test]
fn without_a_timeout_the_client_hears_of_it_and_may_leave() {
    let Some((sandboxd, hung)) = start(Answers::Nothing) else {
        return;
    };
    let mut connection = sandboxd.connect();
    let body = r#"{"argv":["true"],"cwd":"hung"}"#;
    let request = format!(
        "POST /exec HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 12];
    connection.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let mut stream = sandboxd.begin(&serde_json::from_str(body).unwrap());
    stream.read_head();
    drop((connection, hung));
    let event = stream.next().unwrap();
    assert_eq!(event.kind, "error", "{}", event.data);
    assert!(event.data.contains("cwd is not a directory"), "{}", event.data);
}

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

#[test]
fn what_was_given_up_does_not_start_once_it_answers() {
    let Some((sandboxd, hung)) = start(Answers::Attributes) else {
        return;
    };
    let started = tempfile::tempdir().unwrap();
    let started = started.path();
    let body = |number: usize| json!({"argv": ["mkdir", started.join(number.to_string())], "cwd": "hung"});
    let mut left: Vec<_> = (0..32).map(|number| sandboxd.begin(&body(number))).collect();
    left.iter_mut().for_each(Stream::read_head);
    let mut late = body(99);
    late["timeout_ms"] = 200.into();
    (0..32)
        .map(|_| sandboxd.begin(&late))
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|stream| {
            assert_eq!(stream.output().code(), 124);
        });
    drop(left);
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
    hung.answer();
    let output = sandboxd.exec(&json!({"argv": ["ls", started], "cwd": "hung"}));
    assert_eq!(
        (output.text(), output.code()),
        (String::new(), 0),
        "{}",
        output.stderr()
    );
    eventually("nothing is left", || sandboxd.children() == 0);
    assert_eq!(started.read_dir().unwrap().count(), 0);
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
