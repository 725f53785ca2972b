use clap::Args;
use reqwest::Method;
use sandbox_protocol::process::LAST_EVENT_ID_HEADER;
use sandbox_protocol::{ProcessId, SandboxId};

use super::{process_id, sandbox_id};
use crate::error::Result;
use crate::events::Event;
use crate::follow::Follower;
use crate::http::{Bridge, send};
use crate::output::{Outputs, note};

/// Prints the output of a process
///
/// Its standard error goes to standard error. When the connection breaks, the output continues where it
/// was.
#[derive(Args)]
#[command(after_help = "Example:\n  process=$(sandbar exec -d $id -- make)\n  sandbar logs -f $id $process")]
pub struct Logs {
    /// Goes on until the process has ended
    #[arg(short, long)]
    follow: bool,
    /// The id of the sandbox
    #[arg(value_name = "ID", value_parser = sandbox_id)]
    id: SandboxId,
    /// The id of the process
    #[arg(value_name = "PROCESS", value_parser = process_id)]
    process: ProcessId,
}

impl Logs {
    /// Prints the log.
    pub async fn run(self, bridge: &Bridge) -> Result<u8> {
        let path = format!("/process/{}/log?follow={}", self.process, self.follow);
        let mut follower = Follower::new(self.follow, async |last_id: Option<&str>| {
            let request = bridge
                .sandbox(Method::GET, &self.id, &path)
                .header("Accept", "text/event-stream");
            send(match last_id {
                Some(id) => request.header(LAST_EVENT_ID_HEADER, id),
                None => request,
            })
            .await
        });
        let mut outputs = Outputs::new();
        while let Some(event) = follower.next().await? {
            match event {
                Event::Output(stream, bytes) => outputs.write(stream, &bytes).await?,
                Event::Gap(gap) => {
                    note(&format!(
                        "the log has dropped the events {} to {}",
                        gap.first, gap.last
                    ));
                }
                Event::Exit(_) => break,
                Event::Other => {}
            }
        }
        Ok(0)
    }
}
