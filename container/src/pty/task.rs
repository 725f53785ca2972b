//! The task that owns a terminal, from its first client until nothing of it is ours any more.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::future::BoxFuture;
use sandbox_protocol::pty::{Mode, ServerMessage, Size};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::client::{Clients, Event, Input};
use super::device::Device;
use super::program::{Job, Launcher, Started};
use super::screen::Screen;
use crate::activity::{Busy, Occupation, Tracker};
use crate::pid1::Children;
use crate::process::status;
use crate::session::files::ShellFiles;

/// How long the processes of a terminal have after SIGHUP until they are killed.
const GRACE: Duration = Duration::from_secs(1);

/// The first input of an interactive shell waits so long for the shell's first output, its prompt. Sooner it would be
/// echoed twice, by the terminal and by the shell.
const PROMPT: Duration = Duration::from_secs(2);

/// More than the kernel holds of a terminal's output, in bytes. What comes after so much once the program has ended is
/// not the program's own.
const HELD_BY_KERNEL: usize = 256 * 1024;

/// A terminal.
pub struct Task {
    /// What it runs.
    pub mode: Mode,
    /// How it starts that, or why it cannot.
    pub launcher: Result<Launcher, String>,
    /// Its window.
    pub size: Size,
    /// Its clients.
    pub clients: Clients,
    /// Where its output goes.
    pub screen: Screen,
    /// Where its first process is entered.
    pub children: Arc<Children>,
    /// Counts it while something runs in it.
    pub tracker: Arc<Tracker>,
    /// Resolves when its session is deleted.
    pub deleted: BoxFuture<'static, ()>,
    /// Whether `sandboxd` is shutting down.
    pub closing: watch::Receiver<bool>,
}

/// A terminal in which something runs.
struct Running {
    device: Device,
    started: Started,
    since: Instant,
    busy: Busy,
}

/// Why nothing runs any more, or never did.
enum End {
    /// The program ended.
    Own,
    /// There has been no client for too long.
    Left,
    /// The session was deleted.
    Deleted,
    /// `sandboxd` shuts down.
    Closing,
}

/// The last that a client is told.
struct Last {
    /// Something to read.
    words: Option<Bytes>,
    message: ServerMessage,
}

impl Task {
    /// Runs the terminal to its end.
    pub async fn run(mut self) {
        let last = match self.live().await {
            Ok(last) => last,
            Err(message) => Some(Last {
                words: None,
                message: ServerMessage::Error { message },
            }),
        };
        if let Some(last) = last {
            self.say(last).await;
        }
        self.clients.close();
    }

    /// What is to be said at the end, if there is anybody to say it to. The error is one too.
    async fn live(&mut self) -> Result<Option<Last>, String> {
        self.launcher.as_ref().map_err(String::clone)?;
        let first = match self.mode {
            Mode::Shell => Ok(None),
            Mode::Auto | Mode::Command => self.first_input().await.map(Some),
        };
        let first = match first {
            Ok(first) => first,
            Err(End::Closing) => return Err("the sandbox is shutting down".to_owned()),
            Err(end) => return self.without_client(&end),
        };
        let (running, input) = self.start(first)?;
        match self.until_end(&running, input).await {
            End::Own | End::Closing => self.collect(running).map(Some),
            end => {
                // A client that comes now gets a new terminal.
                self.clients.close();
                self.hang_up(running).await;
                self.without_client(&end)
            }
        }
    }

    /// What is said when it was not the program that ended the terminal.
    fn without_client(&self, end: &End) -> Result<Option<Last>, String> {
        match end {
            End::Deleted if self.screen.is_attached() => Err("the session was deleted".to_owned()),
            _ => Ok(None),
        }
    }

    /// Waits for what decides what is run.
    async fn first_input(&mut self) -> Result<Input, End> {
        loop {
            let event = tokio::select! {
                event = self.clients.next(true) => event,
                () = closed(&mut self.closing) => return Err(End::Closing),
                () = &mut self.deleted => return Err(End::Deleted),
            };
            match event {
                Event::Input(input) => return Ok(input),
                Event::Resized(size) => self.size = size,
                Event::Attached(client, size) => {
                    self.size = size;
                    self.screen.attach(client);
                }
                Event::Left => self.screen.detach(),
                Event::HangUp => return Err(End::Left),
            }
        }
    }

    /// Starts what `first` asks for; with it, what is input of it already.
    fn start(&self, first: Option<Input>) -> Result<(Running, Option<Input>), String> {
        let launcher = self.launcher.as_ref().map_err(String::clone)?;
        let bytes = first.as_ref().map(|first| first.bytes.clone());
        let job = Job::of(self.mode, bytes.unwrap_or_default())?;
        let device = Device::open(self.size, job.discipline(), launcher.ids())
            .map_err(|e| format!("there is no terminal to be had: {e}"))?;
        let busy = self.tracker.begin(Occupation::Command);
        let running = Running {
            started: launcher.start(&job, &device, Arc::clone(&self.children))?,
            device,
            since: Instant::now(),
            busy,
        };
        let input = match job {
            Job::Shell(_) => first,
            Job::Command(_) => None,
        };
        Ok((running, input))
    }

    /// Moves input and output until the program has ended and all of its output is on its way, or until something else ends
    /// the terminal.
    async fn until_end(&mut self, running: &Running, mut input: Option<Input>) -> End {
        let Running { device, started, .. } = running;
        let child = &started.child;
        let mut is_prompting = input.is_some();
        let prompted = Instant::now() + PROMPT;
        let mut is_closing = false;
        // How much more output counts, once the program has ended.
        let mut left = None;
        loop {
            let has_input = input.is_some();
            let next = input.as_ref().map(|input| &*input.bytes);
            tokio::select! {
                event = self.clients.next(!has_input) => match event {
                    Event::Input(more) => input = Some(more),
                    Event::Resized(size) => self.resize(device, size),
                    Event::Attached(client, size) => {
                        self.resize(device, size);
                        self.screen.attach(client);
                    }
                    Event::Left => self.screen.detach(),
                    Event::HangUp => return End::Left,
                },
                read = self.screen.forward(device, left.is_some()) => {
                    is_prompting &= read == 0;
                    match &mut left {
                        None => {}
                        Some(left) if read > 0 && *left > read => *left -= read,
                        Some(_) => return End::Own,
                    }
                }
                written = device.write(next.unwrap_or_default()), if has_input && !is_prompting => {
                    input = input.and_then(|mut input| {
                        // An error says that nobody can read it any more: the end of the program will say so.
                        input.bytes.advance(written.ok()?);
                        // Its room is free when nothing is left.
                        (!input.bytes.is_empty()).then_some(input)
                    });
                }
                () = sleep_until(prompted), if is_prompting => is_prompting = false,
                () = child.ended(), if left.is_none() => left = Some(HELD_BY_KERNEL),
                () = &mut self.deleted => return End::Deleted,
                () = closed(&mut self.closing), if !is_closing => {
                    is_closing = true;
                    // Who shuts down ends every process; interactive shells listen to this only.
                    device.hang_up(child.pid());
                }
            }
        }
    }

    fn resize(&mut self, device: &Device, size: Size) {
        self.size = size;
        if let Err(e) = device.resize(size) {
            tracing::warn!(error = %e, "cannot set the size of a terminal");
        }
    }

    /// Collects a program that has ended: what is to be said of it.
    fn collect(&self, running: Running) -> Result<Last, String> {
        let Running {
            device,
            started,
            since,
            busy,
        } = running;
        drop(device);
        let status = started.child.collect();
        drop(busy);
        let kept = self.keep(started.files);
        let status = status.map_err(|e| format!("the program's exit status is lost: {e}"))?;
        let exit = status::ended(status);
        log("terminal ended", since, Some(exit.exit_code));
        Ok(Last {
            words: kept.err().map(|words| format!("{words}\r\n").into()),
            message: ServerMessage::Exit {
                code: exit.exit_code,
                signal: exit.signal,
            },
        })
    }

    /// Hangs up on the program, and ends whatever of its tree is left after a while.
    async fn hang_up(&mut self, running: Running) {
        let Running {
            device,
            started,
            since,
            busy,
        } = running;
        device.hang_up(started.child.pid());
        drop(device);
        let tree = started.tree;
        // It fails only when the runtime stops.
        let _ = spawn_blocking(move || tree.kill_after(GRACE)).await;
        started.child.ended().await;
        let exit = started.child.collect().map(status::ended);
        drop(busy);
        if let Err(words) = self.keep(started.files) {
            tracing::warn!("{words}");
        }
        log("terminal hung up", since, exit.ok().map(|exit| exit.exit_code));
    }

    /// Keeps what a shell of a session left. Fails, with words for a person, when that cannot be kept.
    fn keep(&self, files: Option<ShellFiles>) -> Result<(), String> {
        let session = self.launcher.as_ref().ok().and_then(Launcher::session);
        match (session, files) {
            (Some(session), Some(files)) => session.keep(files),
            _ => Ok(()),
        }
    }

    /// Says the last thing, to the client that is there or to one that comes back in time.
    async fn say(&mut self, last: Last) {
        let Last { mut words, message } = last;
        loop {
            let is_attached = self.screen.is_attached();
            tokio::select! {
                true = self.screen.finish(&mut words, &message) => return,
                // Nobody can come back any more.
                () = closed(&mut self.closing), if !is_attached => return,
                event = self.clients.next(false) => match event {
                    Event::Attached(client, _) if self.launcher.is_ok() => self.screen.attach(client),
                    // It is not ready, and never was.
                    Event::Attached(client, _) => self.screen.attach_unready(client),
                    Event::Left => self.screen.detach(),
                    Event::HangUp => return,
                    Event::Input(_) | Event::Resized(_) => {}
                },
            }
        }
    }
}

/// Returns when `sandboxd` shuts down.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // It fails only when everything is over anyway.
    let _ = closing.wait_for(|closing| *closing).await;
}

fn log(what: &str, since: Instant, exit_code: Option<i32>) {
    let duration_ms = since.elapsed().as_millis();
    tracing::info!(exit_code, duration_ms, "{what}");
}
