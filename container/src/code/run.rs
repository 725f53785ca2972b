//! A run of code: a process of the registry whose log has its output, its results and its end.
//!
//! One task owns it. It waits for its turn in the context, sends the code, and writes what the kernel
//! publishes to the log, whose owners are its flow control. The first of these ends it: the kernel's
//! answer, its timeout, its client leaving, a request, the end of the kernel. All but the first interrupt
//! the code; the kernel of code that does not end then is killed.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use sandbox_protocol::Event;
use sandbox_protocol::code::RunCodeRequest;
use sandbox_protocol::event::Exit;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::context::Context;
use super::display;
use super::exception;
use super::kernel::{Kernel, is_idle, output};
use super::message::{Incoming, Message};
use crate::Error;
use crate::activity::ActivityGuard;
use crate::exec::Commands;
use crate::exec::ending::{wait_abandoned, wait_deadline};
use crate::exec::process::{Control, Controls, Process};
use crate::process::directory;
use crate::quota::{BufferPermit, Permit};

/// The time that interrupted code has until its kernel is killed.
const INTERRUPT_GRACE: Duration = Duration::from_secs(5);

/// The time that a kernel has to end after its connection broke.
const LOST_TIMEOUT: Duration = Duration::from_secs(1);

/// The time that a message waits for an owner that does not read, once the code is to end.
const UNREAD_INTERVAL: Duration = Duration::from_millis(50);

/// A run.
pub struct Run {
    /// Its context.
    pub context: Arc<Context>,
    /// Its request.
    pub request: RunCodeRequest,
    /// The run as its clients see it.
    pub process: Arc<Process>,
    /// The requests of its clients.
    pub controls: Controls,
    /// The time for which it goes on without an owner of its log; `None`: always.
    pub linger: Option<Duration>,
    /// The permits that it holds until its end.
    pub held: Held,
}

/// The permits that a run holds until its end.
pub struct Held {
    /// Counts it as a command.
    pub activity: ActivityGuard,
    /// Its permit for the queue of the context.
    pub queue_permit: Permit,
    /// The permit for the bytes of the request.
    pub buffer_permit: BufferPermit,
}

/// The state of code that runs.
struct State {
    /// The id of its request to the kernel.
    id: String,
    reply: Option<Message>,
    is_idle: bool,
    /// The id of a further request, behind whose answer nothing of the run comes any more. IPython needs
    /// none; other kernels report that they are idle before they have published everything.
    barrier: Option<String>,
    is_behind_barrier: bool,
    has_exception: bool,
    timed_out: bool,
    /// The time at which the kernel is killed, and the reason.
    kill: Option<(Instant, &'static str)>,
    /// Whether further output is dropped, because no client takes it long after the end of the code.
    is_dropping: bool,
}

impl Run {
    /// Runs the code to its end.
    pub async fn run(mut self, commands: Arc<Commands>) {
        let result = self.until_end(&commands).await;
        let result = result.map_err(|e| e.body());
        self.process.finish(result);
        commands.registry.ended(&self.process);
        self.process.end_supervision();
        let Held {
            activity,
            queue_permit,
            buffer_permit,
        } = self.held;
        drop((activity, queue_permit, buffer_permit));
    }

    async fn until_end(&mut self, commands: &Arc<Commands>) -> Result<Exit, Error> {
        let context = Arc::clone(&self.context);
        let process = Arc::clone(&self.process);
        let mut ending = self.controls.ending.clone();
        let mut turn = std::pin::pin!(context.kernel(commands));
        let mut guard = tokio::select! {
            biased;
            kernel = &mut turn => kernel?,
            () = wait_abandoned(&process.log, self.linger) => return Ok(interrupted_before()),
            // Fails when the process is dropped, which this run holds.
            _ = ending.wait_for(|is_ending| *is_ending) => return Ok(interrupted_before()),
        };
        let Some(kernel) = guard.as_mut() else {
            return Err(Error::ContextLost("the context has no kernel".to_owned()));
        };
        context.used(None);
        process.begin_without_program(&cwd(&self.context, commands));
        let exit = self.execute(kernel, commands).await;
        let count = exit.as_ref().ok().and_then(|exit| exit.execution_count);
        context.used(count);
        exit
    }

    async fn execute(&mut self, kernel: &mut Kernel, commands: &Commands) -> Result<Exit, Error> {
        let log = Arc::clone(&self.process.log);
        let mut interrupts = self.context.interrupts.subscribe();
        let mut published = kernel.published();
        let metadata = self.metadata(commands);
        let sent = kernel.execute(&self.request.code, &metadata).await;
        let Ok(id) = sent else {
            return Err(self.lost(&kernel.process).await);
        };
        let deadline = Instant::now().checked_add(Duration::from_millis(self.request.timeout_ms.get()));
        let mut state = State {
            id,
            reply: None,
            is_idle: false,
            barrier: None,
            is_behind_barrier: self.context.plan.spec.is_ipython(),
            has_exception: false,
            timed_out: false,
            kill: None,
            is_dropping: false,
        };
        let kernel_process = Arc::clone(&kernel.process);
        let mut ended = std::pin::pin!(kernel_process.log.ended());
        let mut left = std::pin::pin!(wait_abandoned(&log, self.linger));
        let (mut is_left, mut drop_at) = (false, None);
        while state.reply.is_none() || !state.is_idle || !state.is_behind_barrier {
            if state.reply.is_some() && state.is_idle && state.barrier.is_none() {
                state.barrier = kernel.barrier().await.ok();
            }
            let next = async {
                // An owner that does not read makes the kernel wait, until the code is to end.
                if state.kill.is_none() && !state.is_dropping {
                    log.ready().await;
                } else {
                    let _ = timeout(UNREAD_INTERVAL, log.ready()).await;
                }
                published.messages.recv().await
            };
            tokio::select! {
                biased;
                Some(incoming) = next => self.publish(incoming, &mut state),
                reply = kernel.replies.next(), if state.reply.is_none() => match reply {
                    Ok(Incoming::Message(message)) if message.parent == state.id => {
                        // The code has ended. What it has written may still be on its way.
                        state.kill = None;
                        state.reply = Some(message);
                        drop_at = deadline.map(|deadline| deadline.max(Instant::now()) + INTERRUPT_GRACE);
                    }
                    Ok(_) => {}
                    Err(_) => return Err(self.lost(&kernel_process).await),
                },
                _ = &mut ended => return Err(self.lost(&kernel_process).await),
                () = wait_deadline(drop_at), if !state.is_dropping => state.is_dropping = true,
                () = wait_deadline(deadline), if state.kill.is_none() && state.reply.is_none() => {
                    state.timed_out = true;
                    self.interrupt(kernel, &mut state, "its code did not end at its timeout").await;
                }
                () = &mut left, if !is_left => {
                    is_left = true;
                    log.forget_owner();
                    self.interrupt(kernel, &mut state, "its code did not end when its client left").await;
                }
                Ok(()) = interrupts.changed() => kernel.interrupt().await,
                Some(control) = self.controls.requests.recv() => match control {
                    Control::Signal(Signal::KILL, done) => {
                        // Fails when its client has left.
                        let _ = done.send(());
                        state.kill = Some((Instant::now(), "its run was killed"));
                    }
                    Control::Signal(signal, done) => {
                        if [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT].contains(&signal) {
                            kernel.interrupt().await;
                        }
                        // Fails when its client has left.
                        let _ = done.send(());
                    }
                    Control::End(grace) => {
                        kernel.interrupt().await;
                        let at = Instant::now().checked_add(grace);
                        let at = at.unwrap_or_else(|| Instant::now() + INTERRUPT_GRACE);
                        state.kill = Some((at, "its code did not end when its run was ended"));
                    }
                },
                () = killed(&state) => {
                    let (_, reason) = state.kill.unwrap_or((Instant::now(), ""));
                    let error = self.context.set_lost(reason);
                    kernel_process.end(Duration::ZERO).await;
                    return Err(error);
                }
            }
        }
        Ok(self.exit(&mut state))
    }

    /// Interrupts the code. If it goes on, the kernel is killed, for the reason `why`.
    async fn interrupt(&self, kernel: &mut Kernel, state: &mut State, why: &'static str) {
        state.kill = Some((Instant::now() + INTERRUPT_GRACE, why));
        kernel.interrupt().await;
    }

    /// The kernel has ended or is about to; one that goes on without its connection is ended.
    async fn lost(&self, kernel: &Process) -> Error {
        if timeout(LOST_TIMEOUT, kernel.log.ended()).await.is_err() {
            self.context.set_lost("its connection broke");
            kernel.end(Duration::ZERO).await;
        }
        self.context.ended(&kernel.log.ended().await.result)
    }

    /// Writes what the kernel has published to the log.
    fn publish(&self, incoming: Incoming, state: &mut State) {
        let log = &self.process.log;
        let message = match incoming {
            Incoming::Text(..) | Incoming::TooLarge(_) if state.is_dropping => return,
            Incoming::Text(stream, mut text) => return log.append(stream, &mut text),
            Incoming::TooLarge(size) => {
                return log.write_line(&format!("a message of {size} bytes is left out: it is too large"));
            }
            Incoming::Message(message) => message,
        };
        if state.is_dropping && message.kind != "status" {
            return;
        }
        if let Some((stream, text)) = output(&message) {
            return log.append(stream, &mut text.as_bytes().to_vec());
        }
        match message.kind.as_str() {
            "status" if is_idle(&message) => {
                state.is_idle |= message.parent == state.id;
                state.is_behind_barrier |= state.barrier.as_ref() == Some(&message.parent);
            }
            "execute_result" | "display_data" | "update_display_data" => {
                let bundle = display::bundle(message, &self.context, self.request.image_urls);
                log.append_event(&Event::Display(Box::new(bundle)));
            }
            "error" if message.parent == state.id => {
                state.has_exception = true;
                let exception = exception::from_content(&message.content);
                log.append_event(&Event::Exception(Box::new(exception)));
            }
            _ => {}
        }
    }

    /// The directory and the variables of the run, for the program that prepares IPython.
    fn metadata(&self, commands: &Commands) -> Value {
        let RunCodeRequest { cwd, env, .. } = &self.request;
        if cwd.is_none() && env.is_empty() {
            return json!({});
        }
        let cwd = cwd
            .as_ref()
            .map(|cwd| directory::resolve(&commands.config().workspace, cwd));
        json!({ "sandbar": { "cwd": cwd, "env": env } })
    }

    /// The exit of code that has ended, after its exception if it was not published.
    fn exit(&self, state: &mut State) -> Exit {
        let content = state.reply.take().map(|reply| reply.content).unwrap_or_default();
        let is_ok = content.get("status").and_then(Value::as_str) == Some("ok");
        if !is_ok && !state.has_exception {
            state.has_exception = true;
            let exception = exception::from_content(&content);
            self.process
                .log
                .append_event(&Event::Exception(Box::new(exception)));
        }
        Exit {
            exit_code: i32::from(state.has_exception),
            signal: None,
            timed_out: state.timed_out,
            execution_count: content.get("execution_count").and_then(Value::as_u64),
        }
    }
}

/// The exit of a run that was ended before its turn.
fn interrupted_before() -> Exit {
    Exit {
        exit_code: 1,
        ..Exit::default()
    }
}

/// The directory that a run is shown with.
fn cwd(context: &Context, commands: &Commands) -> String {
    context.describe(&commands.workspace()).cwd
}

async fn killed(state: &State) {
    wait_deadline(state.kill.map(|(at, _)| at)).await;
}
