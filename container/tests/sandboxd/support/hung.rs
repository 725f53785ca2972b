//! A file system that does not answer: FUSE without a server.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::{Value, json};

use super::{Sandboxd, Stream, left_out};

/// How long commands wait that hang, in milliseconds.
pub const TIMEOUT_MS: u64 = 1500;

/// The bound for anything that does not hang, also on a busy machine.
pub const QUICK: Duration = Duration::from_secs(10);

const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const INIT: u32 = 26;
const STATX: u32 = 52;

/// The content of the file.
pub const CONTENT: &[u8; 4] = b"well";

/// The error of a request that is not implemented: the kernel sends another then.
const ENOSYS: i32 = -38;

/// A directory whose file system never answers. Dropped, everything that waits for it fails.
pub struct Hung {
    path: PathBuf,
    fuse: File,
    unanswered: Arc<Mutex<Unanswered>>,
}

/// The requests that wait for an answer, by the ids that the kernel gives them.
#[derive(Default)]
struct Unanswered {
    ids: Vec<[u8; 8]>,
    is_answering: bool,
}

/// The requests that it answers all the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
pub enum Answers {
    Nothing,
    /// `stat` of the directory itself, so that it seems to be there.
    Attributes,
    /// All that it takes to open a file in it, which has any name.
    Opens,
    /// All that it takes to read such a file, but neither its close nor what is written.
    Reads,
}

impl Hung {
    /// Mounts it at `path`, which is made. `None` where that is not allowed.
    pub fn mount(path: &Path, answers: Answers) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        let fuse = File::options().read(true).write(true).open("/dev/fuse").ok()?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
            fuse.as_raw_fd()
        );
        let options = std::ffi::CString::new(options).unwrap();
        mount(
            "hung",
            path,
            "fuse",
            MountFlags::NOSUID | MountFlags::NODEV,
            Some(&*options),
        )
        .ok()?;
        let hung = Self {
            path: path.to_owned(),
            fuse: fuse.try_clone().unwrap(),
            unanswered: Arc::default(),
        };
        let unanswered = Arc::clone(&hung.unanswered);
        thread::spawn(move || serve(fuse, answers, &unanswered));
        Some(hung)
    }

    /// How many requests wait for an answer.
    pub fn unanswered(&self) -> usize {
        self.unanswered.lock().unwrap().ids.len()
    }

    /// From now on it implements nothing more than before, but answers that. Nobody is forbidden
    /// anything then.
    pub fn answer(&self) {
        let mut unanswered = self.unanswered.lock().unwrap();
        unanswered.is_answering = true;
        for id in unanswered.ids.drain(..) {
            reply(&self.fuse, &id, ENOSYS, &[]);
        }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // Forced, it gives an error to whatever waits, the thread that reads requests included. So
        // does the kernel when the test's process ends in any other way, as that closes the last
        // descriptor.
        let unmounted = unmount(&self.path, UnmountFlags::FORCE | UnmountFlags::DETACH);
        assert!(unmounted.is_ok() || thread::panicking(), "{unmounted:?}");
    }
}

/// Takes requests, as a server does that hangs, and answers what must be answered.
fn serve(mut fuse: File, answers: Answers, unanswered: &Mutex<Unanswered>) {
    let mut request = vec![0; 1 << 20];
    while let Ok(1..) = fuse.read(&mut request) {
        let number = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
        let body: Vec<u32> = match number(4) {
            // Version 7.31, and 4 KiB a write.
            STATX if answers >= Answers::Attributes => Vec::new(),
            INIT => [7, 31, 0, 0, 0, 4096, 1, 0].into_iter().chain([0; 8]).collect(),
            // For how long they are valid, in seconds.
            GETATTR if answers >= Answers::Attributes => {
                [&[3600, 0, 0, 0], &attributes(number(16))[..]].concat()
            }
            // The inode, its generation, and for how long both are valid.
            LOOKUP if answers >= Answers::Opens => {
                // By the last byte of the name, which ends in a NUL: files whose names differ there
                // are different files.
                let inode = u32::from(request[number(0) as usize - 2]);
                let entry = [inode, 0, 0, 0, 3600, 0, 3600, 0, 0, 0];
                [&entry, &attributes(inode)[..]].concat()
            }
            OPEN if answers >= Answers::Opens => vec![0; 4],
            READ if answers == Answers::Reads => vec![u32::from_ne_bytes(*CONTENT)],
            _ => {
                let mut unanswered = unanswered.lock().unwrap();
                if !unanswered.is_answering {
                    unanswered.ids.push(request[8..16].try_into().unwrap());
                    continue;
                }
                Vec::new()
            }
        };
        let body: Vec<u8> = body.into_iter().flat_map(u32::to_ne_bytes).collect();
        let error = if body.is_empty() { ENOSYS } else { 0 };
        reply(&fuse, &request[8..16], error, &body);
    }
}

fn reply(mut fuse: &File, id: &[u8], error: i32, body: &[u8]) {
    let length = u32::try_from(16 + body.len()).unwrap();
    let reply = [&length.to_ne_bytes(), &error.to_ne_bytes(), id, body].concat();
    // Fails when nobody waits for it any more.
    let _ = fuse.write(&reply);
}

/// The inode of the directory. Any other is that of a file.
const DIRECTORY: u32 = 1;

/// The attributes of an inode.
fn attributes(inode: u32) -> [u32; 22] {
    let mut attributes = [0; 22];
    (attributes[0], attributes[16]) = (inode, 1);
    attributes[2] = u32::try_from(CONTENT.len()).unwrap();
    attributes[15] = if inode == DIRECTORY { 0o40_755 } else { 0o100_644 };
    attributes
}

/// A `sandboxd` with a directory `hung` in its workspace; `None` where nothing can be mounted.
pub fn start(answers: Answers) -> Option<(Sandboxd, Hung)> {
    let sandboxd = Sandboxd::start();
    let hung = Hung::mount(&sandboxd.workspace.path().join("hung"), answers);
    if hung.is_none() {
        left_out("it takes FUSE and the right to mount");
    }
    Some((sandboxd, hung?))
}

/// Asserts that `work` takes at most [`QUICK`].
pub fn assert_quick<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = work();
    assert!(started.elapsed() < QUICK, "{what} took {:?}", started.elapsed());
    done
}

/// Runs commands that do not hang while `hanging` do, and lets those time out. `still_running`
/// others run then.
pub fn others_go_on(sandboxd: &Sandboxd, hanging: Vec<Stream>, still_running: u64) {
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

/// Begins commands that time out after [`TIMEOUT_MS`].
pub fn hang(sandboxd: &Sandboxd, mut body: Value, commands: usize) -> Vec<Stream> {
    body["timeout_ms"] = TIMEOUT_MS.into();
    (0..commands).map(|_| sandboxd.begin(&body)).collect()
}
