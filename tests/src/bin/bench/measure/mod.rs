//! The measurements, in the order of the table: first those that need no bridge, while none runs.

mod archives;
mod body;
mod breakdown;
mod clients;
mod code;
mod daemon;
mod files;
mod git;
mod host;
mod host_pty;
mod latency;
mod life;
mod memory;
mod port_sockets;
mod ports;
mod process;
mod processes;
mod pty;
mod sandboxd;
mod sandboxes;
mod size;
mod snapshots;
mod stdout;
mod tar_stream;
mod trees;
mod warm;
mod websocket;
mod workerd;

use crate::bench::Bench;
use crate::line::Line;
use crate::series::Miss;

/// Measures every line that was asked for. The error is that of a bridge that does not work at all.
pub async fn everything(bench: &mut Bench) -> Result<(), Miss> {
    size::measure(bench);
    let fork_exec = host::measure(bench).await;
    if std::env::var_os("BASE_URL").is_none() {
        sandboxd::measure(bench, fork_exec).await;
    }
    let of_bridges: [&[&Line]; 19] = [
        &latency::LINES,
        &breakdown::LINES,
        &memory::LINES,
        &body::LINES,
        &stdout::LINES,
        &files::LINES,
        &trees::LINES,
        &archives::LINES,
        &pty::LINES,
        &process::LINES,
        &ports::LINES,
        &port_sockets::LINES,
        &git::LINES,
        &code::LINES,
        &snapshots::LINES,
        &clients::LINES,
        &sandboxes::LINES,
        &life::LINES,
        &warm::LINES,
    ];
    if !of_bridges.iter().any(|lines| bench.wants(lines)) {
        return Ok(());
    }
    bench.open().await?;
    // Single requests first, on a quiet bridge; memory before what makes heaps large, so that it
    // grows or it does not. The warm pool last: its bridge stays until the end.
    latency::measure(bench).await;
    breakdown::measure(bench).await;
    memory::measure(bench).await;
    body::measure(bench).await;
    stdout::measure(bench).await;
    files::measure(bench).await;
    trees::measure(bench).await;
    archives::measure(bench).await;
    pty::measure(bench).await;
    process::measure(bench).await;
    ports::measure(bench).await;
    port_sockets::measure(bench).await;
    git::measure(bench).await;
    code::measure(bench).await;
    snapshots::measure(bench).await;
    // Behind what is about throughput: the runtime keeps the 512 connections for a while, and
    // Docker's proxies a share of the pipes that the kernel has for one user in each, so that
    // commands get small ones.
    clients::measure(bench).await;
    sandboxes::measure(bench).await;
    life::measure(bench).await;
    warm::measure(bench).await;
    for side in &bench.sides {
        // It would go with a bridge that was started here; any other is left as it was found.
        if let Err(miss) = side.destroy(&side.sandbox).await {
            eprintln!("bench: DELETE of {}: {miss}", side.sandbox);
        }
    }
    Ok(())
}
