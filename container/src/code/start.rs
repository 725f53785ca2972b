//! Starts a kernel and connects to it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sandbox_protocol::event::{self, Exit};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::folder::{Folder, Transport};
use super::kernel::{Connected, Kernel, is_idle};
use super::known_kernels::KnownKernels;
use super::message::{Incoming, Key, Message, Messages};
use super::plan::Plan;
use super::zmtp::{self, Address, Sender, SocketType};
use crate::Error;
use crate::exec::Commands;
use crate::exec::event_log::Next;
use crate::exec::process::Process;
use crate::random::random_id;
use crate::threads::PATHS;

/// The longest time until a kernel must answer after its start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The time between two attempts to connect to a kernel that starts.
const CONNECT_INTERVAL: Duration = Duration::from_millis(10);

/// The time after which a kernel is asked again for a sign that it publishes.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(50);

/// The bytes of the log that an error quotes.
const QUOTED_LOG: usize = 2000;

/// Starts a kernel, over Unix sockets or, if it ends at once with them, over TCP. Notes in `known_kernels`
/// what was learned of it. `started` gets its process as soon as there is one. Error: 502, or 503 when
/// the limit of commands is reached.
pub async fn start(
    commands: &Arc<Commands>,
    plan: &Plan,
    known_kernels: &KnownKernels,
    started: impl Fn(&Arc<Process>),
) -> Result<Kernel, Error> {
    let name = &plan.spec.name;
    let mut transport = known_kernels.of(name);
    let mut kernel = attempt(commands, plan, transport, &started).await;
    if transport == Transport::Ipc && matches!(kernel, Err(StartError::Exited(_))) {
        transport = Transport::Tcp;
        kernel = attempt(commands, plan, transport, &started).await;
    }
    if let Ok(kernel) = &kernel {
        known_kernels.learned(name, transport, kernel.version.clone());
    }
    kernel.map_err(|e| match e {
        StartError::Exited(log) | StartError::Killed(log) => Error::Exec(io::Error::other(format!(
            "the kernel {} ended before it was ready: {log}",
            plan.spec.name
        ))),
        StartError::Failed(e) => e,
    })
}

enum StartError {
    /// The process exited. The text is the end of its log.
    Exited(String),
    /// A signal ended it: that of a client, perhaps.
    Killed(String),
    Failed(Error),
}

impl<E: Into<Error>> From<E> for StartError {
    fn from(e: E) -> Self {
        Self::Failed(e.into())
    }
}

async fn attempt(
    commands: &Arc<Commands>,
    plan: &Plan,
    transport: Transport,
    started: &impl Fn(&Arc<Process>),
) -> Result<Kernel, StartError> {
    let secret = random_id().map_err(Error::Exec)?;
    let ids = commands.config().user.ids.clone();
    let folder = {
        let (secret, ids) = (secret.clone(), ids.clone());
        PATHS
            .run(move || Folder::new(&secret, transport, ids.as_ref()))
            .await
    };
    let folder = folder.map_err(Error::Exec)?.map_err(Error::Exec)?;
    let process = commands.start_background(plan.request(commands, &folder)).await?;
    started(&process);
    let uid = ids.map_or_else(rustix::process::getuid, |ids| ids.uid).as_raw();
    let key = Key::new(&secret).map_err(Error::Exec)?;
    let connected = timeout(START_TIMEOUT, connect(plan, &process, folder, key, uid));
    let kernel = tokio::select! {
        kernel = connected => kernel.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        _ = process.log.ended() => return Err(ended(&process)),
    };
    match kernel {
        Ok(kernel) => Ok(kernel),
        // A connection breaks a little before the end of the process is known.
        Err(_) if timeout(Duration::from_secs(1), process.log.ended()).await.is_ok() => Err(ended(&process)),
        Err(e) => {
            process.end(Duration::ZERO).await;
            Err(Error::Exec(io::Error::other(format!("the kernel does not answer: {e}"))).into())
        }
    }
}

/// How a process has ended that was to be a kernel.
fn ended(process: &Process) -> StartError {
    let log = end_of_log(process);
    match process.log.end().map(|end| end.result) {
        Some(Ok(Exit { signal: None, .. })) => StartError::Exited(log),
        _ => StartError::Killed(log),
    }
}

async fn connect(
    plan: &Plan,
    process: &Arc<Process>,
    folder: Folder,
    key: Key,
    uid: u32,
) -> io::Result<Kernel> {
    let (mut shell, replies) = connect_socket(folder.shell(), uid, SocketType::Dealer).await?;
    let mut replies = Messages::new(replies, key.clone());
    let session = random_id()?;
    let ask = || key.request(&session, "kernel_info_request", &json!({}), &json!({}));
    let (id, frames) = ask()?;
    shell.send(&frames).await?;
    let info = reply(&mut replies, &id).await?;
    let version = info.content.pointer("/language_info/version");
    let version = version.and_then(Value::as_str).map(str::to_owned);
    // Only now, when the kernel has made its settings for this socket.
    let (_, iopub) = connect_socket(folder.iopub(), uid, SocketType::Sub).await?;
    let mut published = Messages::new(iopub, key.clone());
    // A subscription takes a moment to arrive. Until then nothing is published.
    loop {
        let (id, frames) = ask()?;
        shell.send(&frames).await?;
        let seen = timeout(PUBLISH_INTERVAL, async {
            loop {
                if let Incoming::Message(message) = published.next().await?
                    && message.parent == id
                    && is_idle(&message)
                {
                    return Ok::<_, io::Error>(());
                }
            }
        });
        let seen = seen.await;
        reply(&mut replies, &id).await?;
        match seen {
            Ok(seen) => break seen?,
            Err(_) => continue,
        }
    }
    if let Some(code) = plan.spec.prelude() {
        let content = json!({ "code": code, "silent": true, "store_history": false, "allow_stdin": false });
        let (id, frames) = key.request(&session, "execute_request", &json!({}), &content)?;
        shell.send(&frames).await?;
        reply(&mut replies, &id).await?;
    }
    let (control, answers) = connect_socket(folder.control(), uid, SocketType::Dealer).await?;
    Ok(Kernel::new(Connected {
        process: Arc::clone(process),
        version,
        replies,
        shell,
        control,
        published,
        answers: Messages::new(answers, key.clone()),
        key,
        session,
        interrupts_by_message: plan.spec.interrupts_by_message,
        folder,
    }))
}

async fn connect_socket(
    address: &Address,
    uid: u32,
    kind: SocketType,
) -> io::Result<(Sender, zmtp::Receiver)> {
    loop {
        match zmtp::connect(address, uid, kind).await {
            Err(e)
                if [
                    io::ErrorKind::NotFound,
                    io::ErrorKind::ConnectionRefused,
                    io::ErrorKind::ConnectionReset,
                    io::ErrorKind::UnexpectedEof,
                ]
                .contains(&e.kind()) =>
            {
                sleep(CONNECT_INTERVAL).await;
            }
            connected => return connected,
        }
    }
}

/// The reply to the request `id`. Others are dropped.
async fn reply(replies: &mut Messages, id: &str) -> io::Result<Message> {
    loop {
        if let Incoming::Message(message) = replies.next().await?
            && message.parent == id
        {
            return Ok(message);
        }
    }
}

/// The last lines of the log of a process.
fn end_of_log(process: &Process) -> String {
    let mut output = Vec::new();
    let mut cursor = 0;
    while let Next::Events(events) = process.log.next(&mut cursor, None) {
        for event in event::split(&events) {
            if event::stream_of(event).is_some() {
                event::decode_output(event, &mut output);
            }
        }
    }
    let text = String::from_utf8_lossy(&output);
    let text = text.trim();
    let start = text.ceil_char_boundary(text.len().saturating_sub(QUOTED_LOG));
    match text.get(start..).unwrap_or_default() {
        "" => "it has written nothing".to_owned(),
        text => text.to_owned(),
    }
}
