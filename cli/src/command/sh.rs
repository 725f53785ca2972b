use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use sandbox_protocol::pty::{MAX_MESSAGE, ServerMessage};
use sandbox_protocol::{SandboxId, SessionId};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::{exit_code, sandbox_id, session_id};
use crate::error::{Error, Result};
use crate::http::{Bridge, query};
use crate::input;
use crate::output::Outputs;
use crate::signals::Signals;
use crate::socket::{self, Socket};
use crate::terminal::{self, Raw};

/// The interval between the ends of the input that are sent.
const END_INTERVAL: Duration = Duration::from_millis(300);
/// The time between two pings, and the silence after which a connection is dead.
const PING: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);

/// Makes the terminal of a command line as a shell has it. Sandbar starts one for programs, not for people.
const FOR_PEOPLE: &str =
    "stty sane; export TERM=xterm-256color; unset PAGER GIT_PAGER MANPAGER SYSTEMD_PAGER";

/// Opens a terminal in a sandbox, with a shell or with a command
///
/// Every key goes there, Ctrl-C included. Exits with the exit code of the shell or of the command. Errors
/// of sandbar itself have the exit code 125.
#[derive(Args)]
#[command(after_help = "Examples:\n  sandbar sh $id\n  sandbar sh $id -- htop")]
pub struct Sh {
    /// The id of the sandbox
    #[arg(value_name = "ID", value_parser = sandbox_id)]
    id: SandboxId,
    /// The session to open it in
    #[arg(long, value_name = "SESSION", value_parser = session_id)]
    session: Option<SessionId>,
    /// Another shell: a name, or an absolute path
    #[arg(long, conflicts_with = "command")]
    shell: Option<String>,
    /// The program and its arguments, in the place of a shell
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Sh {
    /// Connects this terminal with that of the sandbox.
    pub async fn run(self, bridge: &Bridge) -> Result<u8> {
        let mut signals = Signals::new()?;
        let path = self.path();
        let opening = socket::open(bridge, &self.id, &path);
        let socket = tokio::select! {
            socket = opening => socket?,
            signal = signals.next() => return Err(Error::Signal(signal.number)),
        };
        let (sink, stream) = socket.split();
        // A sink that waits for the sandbox must not keep the output from being read.
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(send_all(sink, receiver));
        let raw = Raw::new()?;
        if !self.command.is_empty() {
            let line = format!("{FOR_PEOPLE}; exec {}\n", quote(&self.command));
            let _ = sender.send(Message::binary(line)).await;
        }
        tokio::spawn(send_input(sender.clone()));
        tokio::spawn(send_resizes(sender));
        let result = tokio::select! {
            result = receive(stream) => result,
            signal = signals.next() => Err(Error::Signal(signal.number)),
        };
        drop(raw);
        result
    }

    fn path(&self) -> String {
        let size = terminal::size();
        let side = |side: Option<u16>| side.map(|side| side.to_string());
        let (cols, rows) = (
            side(size.map(|size| size.cols())),
            side(size.map(|size| size.rows())),
        );
        let mode = if self.command.is_empty() {
            "shell"
        } else {
            "command"
        };
        let fields = [
            ("cols", cols.as_deref()),
            ("rows", rows.as_deref()),
            ("mode", Some(mode)),
            ("shell", self.shell.as_deref()),
            ("session", self.session.as_ref().map(SessionId::as_str)),
        ];
        let given: Vec<_> = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        format!("/pty{}", query(&given))
    }
}

/// Writes the output until the program has ended, and returns its exit code.
async fn receive(mut stream: SplitStream<Socket>) -> Result<u8> {
    let mut outputs = Outputs::new();
    let mut failure = None;
    loop {
        let silent = |_| Error::ConnectionLost("the bridge sends nothing".to_owned());
        let message = timeout(SILENCE, stream.next()).await.map_err(silent)?;
        match message.transpose().map_err(socket::lost)? {
            Some(Message::Binary(bytes)) => {
                outputs
                    .write(sandbox_protocol::event::OutputStream::Stdout, &bytes)
                    .await?;
            }
            Some(Message::Text(text)) => match serde_json::from_str(&text) {
                Ok(ServerMessage::Exit { code, .. }) => return Ok(exit_code(code)),
                Ok(ServerMessage::Error { message }) => failure = Some(message),
                Ok(ServerMessage::Ready) | Err(_) => {}
            },
            Some(Message::Close(_)) | None => {
                let reason = failure.unwrap_or_else(|| "the terminal was closed".to_owned());
                return Err(Error::Interrupted(reason));
            }
            Some(_) => {}
        }
    }
}

async fn send_all(mut sink: SplitSink<Socket, Message>, mut messages: mpsc::Receiver<Message>) {
    let mut pings = interval(PING);
    loop {
        let message = tokio::select! {
            message = messages.recv() => message,
            _ = pings.tick() => Some(Message::Ping(Bytes::new())),
        };
        let Some(message) = message else {
            return;
        };
        if sink.send(message).await.is_err() {
            // The reader sees why.
            return;
        }
    }
}

/// Sends the input. After the end of an input that is no terminal, it sends the end of a keyboard's
/// input: several times, because a terminal loses the one that comes before a shell has set it up, and
/// because each program that reads the input should see its end.
async fn send_input(sender: mpsc::Sender<Message>) {
    let mut blocks = input::read();
    while let Some(Ok(block)) = blocks.recv().await {
        debug_assert!(block.len() <= MAX_MESSAGE);
        if sender.send(Message::Binary(block)).await.is_err() {
            return;
        }
    }
    while sender.send(Message::binary(vec![4])).await.is_ok() {
        sleep(END_INTERVAL).await;
    }
}

async fn send_resizes(sender: mpsc::Sender<Message>) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else {
        return;
    };
    while changes.recv().await.is_some() {
        if let Some(size) = terminal::size() {
            let resize = json!({ "type": "resize", "cols": size.cols(), "rows": size.rows() });
            if sender.send(Message::text(resize.to_string())).await.is_err() {
                return;
            }
        }
    }
}

/// The arguments as a command line of a shell.
fn quote(arguments: &[String]) -> String {
    let quoted = arguments
        .iter()
        .map(|argument| format!("'{}'", argument.replace('\'', r"'\''")));
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted() {
        assert_eq!(
            quote(&["a b".into(), "it's".into(), "".into()]),
            r"'a b' 'it'\''s' ''"
        );
    }
}
