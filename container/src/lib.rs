//! `sandboxd`: the server inside a sandbox's container. It runs commands and terminals and keeps
//! files; nothing else knows what runs.
//!
//! # Theory of operation
//!
//! One process, one small tokio runtime, one listener. [`router`] routes: `/health` and `/activity`
//! answer from memory, `/exec` belongs to [`exec`], `/session` to [`session`], `/pty` to [`pty`],
//! `/file/…` to [`files`], `/persist` and `/hydrate` to [`workspace`], `/mount` and `/unmount` to
//! [`mount`], `/tunnel/…` to [`tunnel`], `/status` and `/environment` to [`status`], `/save` and `/restore` to [`workspace`],
//! `/resume` to [`resume`]. The process that starts `sandboxd` talks HTTP/1.1 to it
//! over a private connection, and sends a [`secret`] with every request: commands can reach the
//! port too. [`server`] bounds what connections cost, [`quota`] everything else that grows with
//! what clients ask for; [`sandbox_protocol::limits`] has the numbers. [`protect`] keeps `sandboxd`
//! out of its commands' reach.
//!
//! `sandboxd` is usually pid 1 of its container, and otherwise makes itself the subreaper of its
//! descendants. Either way every process that loses its parent becomes a child of `sandboxd`. Hence
//! [`pid1`], which collects the dead, and hence no process that a command left behind can hide from
//! [`shutdown`], which ends them all.
//!
//! `sandboxd` may be root while its commands are not ([`user`]), so that a command can neither
//! signal nor trace it.

pub mod activity;
pub mod body;
pub mod code;
pub mod config;
pub mod discard;
pub mod end_mark;
pub mod environment;
pub mod error;
pub mod exec;
pub mod files;
pub mod git;
pub mod heartbeat;
pub mod input_timeout;
pub mod log;
pub mod malloc;
pub mod mount;
pub mod off_runtime;
mod paths;
pub mod pid1;
pub mod port;
pub mod process;
pub mod process_routes;
pub mod protect;
pub mod pty;
pub mod quota;
pub mod random;
pub mod request_headers;
pub mod resume;
pub mod router;
pub mod secret;
pub mod server;
pub mod session;
pub mod shutdown;
pub mod status;
pub mod threads;
pub mod to_its_end;
pub mod tunnel;
pub mod unauthenticated;
pub mod user;
pub mod websocket;
pub mod workspace;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

pub use config::Config;
pub use error::Error;
pub use mount::MountCapability;

use mount::Mounts;
use process::children::Children;
use quota::Buffers;
use server::Server;

/// Serves on `listener`, with mounts by `mount_capability`, until SIGTERM or SIGINT, then ends every process
/// and returns, within [`shutdown::SHUTDOWN_TIMEOUT`]. Fails only during setup, before anything was
/// served. To be polled by the first thread of the process.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    mount_capability: MountCapability,
) -> io::Result<()> {
    process::descriptors::reserve()?;
    let signals = shutdown::Signals::listen()?;
    let children = Arc::new(Children::default());
    let reaper = pid1::Reaper::new(Arc::clone(&children))?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let boot_id = config.boot_id.clone();
    let buffers = Buffers::new(config.limits.max_buffer_bytes);
    let mounts = Arc::new(Mounts::new(
        config.user.ids.as_ref().map(|ids| (ids.uid, ids.gid)),
        // Not the own one, which can begin with a directory of commands.
        Some(user::SYSTEM_PATH.into()),
        mount_capability,
        Arc::clone(&children),
        &config.limits,
        buffers.clone(),
    ));
    let config = Arc::new(config);
    let (router, terminals) = router::router(Arc::clone(&config), children, Arc::clone(&mounts), buffers)?;
    let server = Server::new(router, &config);
    tracing::info!(boot_id, address = %listener.local_addr()?, "sandboxd is ready");
    let served = shutdown::serve_until(signals, listener, server, &terminals, &mounts);
    tokio::select! {
        () = served => {}
        () = reaper.run() => {}
    }
    Ok(())
}
