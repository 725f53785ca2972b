//! The task of a watch: it reads the events of the kernel into the log.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::registry::{Key, Watch};
use super::tree::Tree;
use crate::files::workspace::Workspace;
use crate::off_runtime::OffRuntime;

/// How often a watch checks whether its path still leads to its directory: the kernel does not tell
/// when a directory above is moved, or a link changes.
const CHECK: Duration = Duration::from_secs(4);

/// The task of a watch. It owns the kernel's side.
pub(super) struct Task {
    pub workspace: Arc<Workspace>,
    pub watch: Arc<Watch>,
    pub key: Key,
    pub readable: AsyncFd<OwnedFd>,
    pub drains: mpsc::Receiver<oneshot::Sender<()>>,
}

impl Task {
    /// Runs until the watch has ended.
    pub(super) async fn run(mut self, tree: Tree) {
        let mut tree = OffRuntime::new(tree);
        let mut has_more = false;
        let mut check = interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.watch.log.has_ended() {
            let mut asked = None;
            let mut is_check = false;
            tokio::select! {
                () = std::future::ready(()), if has_more => {}
                () = self.watch.ended.notified() => break,
                readable = self.readable.readable() => match readable {
                    Ok(mut ready) => ready.clear_ready(),
                    Err(_) => break,
                },
                drain = self.drains.recv() => asked = drain,
                _ = check.tick() => is_check = true,
            }
            if is_check && !self.watch.has_client() {
                if self.watch.is_abandoned() {
                    break;
                }
                continue;
            }
            let work = tokio::task::spawn_blocking(move || {
                let mut tree = tree.into_inner();
                let is_gone = is_check && tree.is_gone();
                let events = tree.read();
                (OffRuntime::new(tree), events, is_gone)
            });
            let Ok((back, events, is_gone)) = work.await else {
                break;
            };
            tree = back;
            self.watch.log.push(events.records);
            has_more = events.has_more;
            if let Some(asked) = asked {
                // Fails when the client left.
                let _ = asked.send(());
            }
            if events.has_ended {
                break;
            }
            if is_gone {
                self.watch.end_gone(&self.key.0);
            }
        }
        self.watch.end();
        self.workspace.watches.forget(&self.key, &self.watch);
    }
}
