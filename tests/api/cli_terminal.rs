//! The command line in a real terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use sandbar_tests::build;

use crate::{bridge, sandbox};

/// A terminal in which `sandbar` runs.
struct Console {
    keyboard: File,
    screen: Arc<Mutex<String>>,
    device: OwnedFd,
    before: Termios,
    child: Child,
}

fn size(cols: u16, rows: u16) -> Winsize {
    Winsize {
        ws_col: cols,
        ws_row: rows,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

impl Console {
    fn run(arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let device = rustix::fs::open(ptsname(&master, Vec::new()).unwrap(), flags, Mode::empty()).unwrap();
        tcsetwinsize(&master, size(91, 33)).unwrap();
        let before = tcgetattr(&device).unwrap();
        // The terminal is the controlling one, so that a new size is a signal.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(build::command_line())
            .args(arguments)
            .env("SANDBOX_URL", &bridge().url)
            .env("SANDBOX_API_KEY", &bridge().key)
            .stdin(device.try_clone().unwrap())
            .stdout(device.try_clone().unwrap())
            .stderr(device.try_clone().unwrap())
            .spawn()
            .unwrap();
        let keyboard = File::from(master);
        let screen = Arc::<Mutex<String>>::default();
        let (mut output, shown) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            while let Ok(length) = output.read(&mut block) {
                shown
                    .lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&block[..length]));
            }
        });
        Self {
            keyboard,
            screen,
            device,
            before,
            child,
        }
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for something.
    async fn until(&self, what: &str, mut holds: impl FnMut(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let screen = self.screen.lock().unwrap().clone();
            if holds(&screen) {
                return;
            }
            assert!(Instant::now() < deadline, "never {what}: {screen:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.device).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// The exit code. The terminal is as it was before.
    async fn end(mut self) -> i32 {
        let mut status = None;
        self.until("its end", |_| {
            status = self.child_status();
            status.is_some()
        })
        .await;
        let after = tcgetattr(&self.device).unwrap();
        let modes = |state: &Termios| {
            (
                state.local_modes,
                state.input_modes,
                state.output_modes,
                state.control_modes,
            )
        };
        assert_eq!(modes(&after), modes(&self.before));
        let screen = self.screen.lock().unwrap().clone();
        assert!(!screen.contains(&bridge().key), "{screen}");
        let _ = self.child.wait();
        status.unwrap()
    }

    fn child_status(&self) -> Option<i32> {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let pid = Pid::from_child(&self.child);
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid), options).unwrap()?.exit_status()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

#[tokio::test]
async fn a_shell_has_the_keys_the_size_and_an_exit_code() {
    let sandbox = sandbox().await;
    let mut console = Console::run(&["sh", &sandbox.id]);
    console.until("raw", |_| console.is_raw()).await;
    console.type_in("stty size; echo shell-$((40 + 2))\r");
    console
        .until("its size", |screen| {
            screen.contains("33 91") && screen.contains("shell-42")
        })
        .await;
    tcsetwinsize(&console.keyboard, size(120, 40)).unwrap();
    console.type_in("until stty size | grep '40 120'; do sleep 0.1; done\r");
    console
        .until("the new size", |screen| screen.contains("\r40 120\r\n"))
        .await;
    // Ctrl-C is a key of the shell.
    console.type_in("sleep 600\r");
    console
        .until("a command", |screen| screen.contains("sleep 600"))
        .await;
    console.type_in("\x03");
    console.type_in("echo after-$((1 + 1)); exit 5\r");
    console
        .until("what follows", |screen| screen.contains("after-2"))
        .await;
    assert_eq!(console.end().await, 5);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_command_has_a_terminal_of_its_own() {
    let sandbox = sandbox().await;
    let script =
        "test -t 0 && test -t 1 && echo \"terminal $TERM $1\"; read line; echo \"got <$line>\"; exit 6";
    let mut console = Console::run(&["sh", &sandbox.id, "--", "bash", "-c", script, "-", "it's"]);
    console
        .until("its line", |screen| {
            screen.contains("terminal xterm-256color it's\r\n")
        })
        .await;
    console.type_in("a line\r");
    console
        .until("the answer", |screen| {
            screen.contains("a line\r\ngot <a line>\r\n")
        })
        .await;
    assert_eq!(console.end().await, 6);
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_terminal_is_restored_whatever_ends_it() {
    let sandbox = sandbox().await;
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let console = Console::run(&["sh", &sandbox.id]);
        console.until("raw", |_| console.is_raw()).await;
        console.signal(signal);
        assert_eq!(console.end().await, code);
    }
    let console = Console::run(&["sh", &sandbox.id]);
    console.until("raw", |_| console.is_raw()).await;
    sandbox.destroy().await;
    console
        .until("the reason", |screen| screen.contains("sandbar: "))
        .await;
    assert_eq!(console.end().await, 125);
}
