//! The task that owns a terminal, from its first client until `sandboxd` holds nothing of it any
//! more.

mod end;

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use futures_util::future::BoxFuture;
use sandbox_protocol::pty::{Mode, ServerMessage, Size};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use self::end::FinalOutput;
use super::client::{Clients, Event, Input};
use super::device::Device;
use super::job::Job;
use super::line::PendingLine;
use super::program::{Launcher, Started};
use super::screen::Screen;
use crate::activity::{ActivityGuard, ActivityKind, Tracker};
use crate::process::children::Children;
use crate::quota::Permit;
use crate::threads::{IsCancelled, PATHS};

/// The longest time that the first input of an interactive shell waits for the shell's first
/// output, its prompt. Input before the prompt would be echoed twice, by the terminal and by the
/// shell.
const PROMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// More than the kernel buffers of a terminal's output, in bytes. Once the program has ended and
/// this much was read, further output is not the program's own.
const HELD_BY_KERNEL: usize = 256 * 1024;

/// A terminal.
pub struct Task {
    /// The kind of job that it runs.
    pub mode: Mode,
    /// Starts the program, or the error why it cannot.
    pub launcher: Result<Arc<Launcher>, String>,
    /// Its permit.
    pub permit: Arc<Permit>,
    /// The size of its window.
    pub size: Size,
    /// Its clients.
    pub clients: Clients,
    /// Sends its output.
    pub screen: Screen,
    /// The table of its first process.
    pub children: Arc<Children>,
    /// Counts it while a program runs in it.
    pub tracker: Arc<Tracker>,
    /// Resolves when its session is deleted.
    pub deleted: BoxFuture<'static, ()>,
    /// Whether `sandboxd` is shutting down.
    pub closing: watch::Receiver<bool>,
}

/// A terminal in which a program runs.
pub struct Running {
    device: Device,
    started: Started,
    since: Instant,
    activity: ActivityGuard,
}

/// The reason why no program runs any more, or none ever did.
enum End {
    /// The program exited.
    Exited,
    /// No client was attached for too long.
    Left,
    /// The session was deleted.
    Deleted,
    /// `sandboxd` shuts down.
    Closing,
}

impl Task {
    /// Runs the terminal to its end.
    pub async fn run(mut self) {
        let last = match self.live().await {
            Ok(last) => last,
            Err(message) => Some(FinalOutput {
                text: None,
                message: ServerMessage::Error { message },
            }),
        };
        if let Some(last) = last {
            self.send_last(last).await;
        }
        self.clients.close();
    }

    /// Runs the terminal; returns the final output, if a client can get it. An error is final
    /// output, too.
    async fn live(&mut self) -> Result<Option<FinalOutput>, String> {
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
        let (running, input) = self.start(first).await?;
        match self.until_end(&running, input).await {
            End::Exited | End::Closing => self.reap(running).await.map(Some),
            end => {
                // A client that comes now gets a new terminal.
                self.clients.close();
                self.hang_up(running).await;
                self.without_client(&end)
            }
        }
    }

    /// The final output when the terminal ended before its program.
    fn without_client(&self, end: &End) -> Result<Option<FinalOutput>, String> {
        match end {
            End::Deleted if self.screen.is_attached() => Err("the session was deleted".to_owned()),
            _ => Ok(None),
        }
    }

    /// Waits for the input that decides the job.
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

    /// Starts the job that `first` requests. Returns it with `first`, if that is input of the
    /// program.
    async fn start(&mut self, first: Option<Input>) -> Result<(Running, Option<Input>), String> {
        let launcher = self.launcher.as_ref().map_err(String::clone)?;
        let bytes = first.as_ref().map(|first| first.bytes.clone());
        let job = Job::from_input(self.mode, bytes.unwrap_or_default())?;
        let no_device = |e: io::Error| format!("there is no terminal to be had: {e}");
        let device = Device::open(self.size, job.discipline(), launcher.ids()).map_err(no_device)?;
        let activity = self.tracker.begin(ActivityKind::Command);
        let tty = device.clone_tty().map_err(no_device)?;
        let input = match &job {
            Job::Shell(_) => first,
            Job::Command(_) => None,
        };
        let start = {
            let (launcher, children) = (Arc::clone(launcher), Arc::clone(&self.children));
            let permit = Arc::clone(&self.permit);
            move |is_cancelled: IsCancelled<'_>| {
                let _permit = permit;
                launcher.start(&job, tty.as_fd(), children, is_cancelled)
            }
        };
        let started = PATHS.run_cancellable_with_timeout(start).await;
        let running = Running {
            started: started.unwrap_or_else(|e| Err(format!("the terminal cannot be started: {e}")))?,
            device,
            since: Instant::now(),
            activity,
        };
        Ok((running, input))
    }

    /// Forwards input and output until the program has ended and all of its output is on its way,
    /// or until another event ends the terminal.
    async fn until_end(&mut self, running: &Running, mut input: Option<Input>) -> End {
        let Running { device, started, .. } = running;
        let child = &started.child;
        let mut is_prompting = input.is_some();
        let prompted = Instant::now() + PROMPT_TIMEOUT;
        let mut line = PendingLine::default();
        let mut is_closing = false;
        // The number of bytes of output that still count, once the program has ended.
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
                        Some(_) => return End::Exited,
                    }
                }
                written = device.write(next.unwrap_or_default(), &mut line), if has_input && !is_prompting => {
                    input = input.and_then(|mut input| {
                        // Fails when no process can read it any more: the end of the program
                        // follows.
                        input.bytes.advance(written.ok()?);
                        // Input without bytes is dropped, and with it its permits.
                        (!input.bytes.is_empty()).then_some(input)
                    });
                }
                () = sleep_until(prompted), if is_prompting => is_prompting = false,
                () = child.ended(), if left.is_none() => left = Some(HELD_BY_KERNEL),
                () = &mut self.deleted => return End::Deleted,
                () = closed(&mut self.closing), if !is_closing => {
                    is_closing = true;
                    // The shutdown ends every process; interactive shells react to SIGHUP only.
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
}

/// Returns when `sandboxd` shuts down.
pub async fn closed(closing: &mut watch::Receiver<bool>) {
    // Fails only when `sandboxd` has ended anyway.
    let _ = closing.wait_for(|closing| *closing).await;
}
