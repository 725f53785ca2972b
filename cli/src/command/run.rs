use clap::Args;
use reqwest::Method;
use sandbox_protocol::{ErrorCode, SandboxId};
use tokio::time::{Duration, timeout};

use super::exec::body;
use super::{exit_code, milliseconds};
use crate::attached::Attached;
use crate::error::{Error, Result};
use crate::http::{Bridge, retry_if_lost, send};
use crate::input;
use crate::output::note;
use crate::settings::Settings;
use crate::signals::Signals;

/// The longest time for the end of the request that creates the sandbox, after a signal.
const CREATE_GRACE: Duration = Duration::from_secs(2);

/// The longest time for the request that destroys the sandbox.
const DESTROY_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a command in a new sandbox, and destroys the sandbox
///
/// Exits with the exit code of the command. Input that is not a terminal is forwarded. Ctrl-C ends the
/// command, and the sandbox with it. Errors of sandbar itself have the exit code 125.
#[derive(Args)]
#[command(after_help = "Examples:\n  sandbar run -- python3 -c 'print(6 * 7)'\n  \
    sandbar run --env GREETING=hello --timeout 30s -- sh -c 'echo $GREETING'")]
pub struct Run {
    #[command(flatten)]
    settings: Settings,
    /// Ends the command after this time, like 30s, with the exit code 124
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    timeout: Option<u64>,
    /// Keeps the sandbox, and prints its id on standard error
    #[arg(long)]
    keep: bool,
    /// Forwards the input also if it is a terminal
    #[arg(short, long)]
    interactive: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Run {
    /// Runs the command.
    pub async fn run(self, bridge: &Bridge) -> Result<u8> {
        let mut signals = Signals::new()?;
        let sandbox = self.create(bridge, &mut signals).await?;
        if self.keep {
            note(&format!("the id of the sandbox is {sandbox}"));
        }
        let attached = Attached {
            bridge,
            sandbox: &sandbox,
            session: None,
            body: body(&self.command, None, self.timeout),
            forwards_input: self.interactive || input::is_there(),
        };
        let result = attached.run(&mut signals).await;
        if !self.keep {
            destroy(bridge, &sandbox).await;
        }
        result.map(exit_code)
    }

    /// Creates the sandbox. After a signal, one that was created all the same is destroyed.
    async fn create(&self, bridge: &Bridge, signals: &mut Signals) -> Result<SandboxId> {
        let mut creating = std::pin::pin!(async {
            if !self.keep
                && let Some(id) = self.settings.named_id()
                && exists(bridge, &id).await?
            {
                let message =
                    "there is a sandbox with this name, which would be destroyed: add --keep, or use exec";
                return Err(Error::Usage(message.to_owned()));
            }
            self.settings.create(bridge).await
        });
        tokio::select! {
            created = &mut creating => created,
            signal = signals.next() => {
                if let Ok(Ok(sandbox)) = timeout(CREATE_GRACE, creating).await
                    && !self.keep
                {
                    destroy(bridge, &sandbox).await;
                }
                Err(Error::Signal(signal.number))
            }
        }
    }
}

async fn destroy(bridge: &Bridge, sandbox: &SandboxId) {
    let destroyed = timeout(DESTROY_TIMEOUT, bridge.destroy(sandbox)).await;
    let failure = match destroyed {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    note(&format!(
        "the sandbox {sandbox} could not be destroyed: {failure}"
    ));
}

async fn exists(bridge: &Bridge, id: &SandboxId) -> Result<bool> {
    match retry_if_lost(async || send(bridge.sandbox(Method::GET, id, "")).await).await {
        Ok(_) => Ok(true),
        Err(error) if error.has_code(ErrorCode::SandboxNotFound) => Ok(false),
        Err(error) => Err(error),
    }
}
