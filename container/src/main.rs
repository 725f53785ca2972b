//! The program: see the library's documentation for what it does.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use listenfd::ListenFd;
use sandboxd::Config;
use sandboxd::config::{Flags, USAGE};

fn main() -> ExitCode {
    let flags = match Flags::parse(lexopt::Parser::from_env()) {
        Ok(Some(flags)) => flags,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(e) => {
            eprintln!("sandboxd: {e}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("sandboxd: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: Flags) -> io::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
    let listener = listener(flags.listen)?;
    let config = Config::from_env(flags.workspace)?;
    // A spawn holds its thread until the child has executed its program, so there are at least two; commands, not
    // sandboxd, are what the other cores are for.
    let threads = available_parallelism().map_or(2, usize::from).clamp(2, 4);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    let served = runtime.block_on(sandboxd::serve(listener, config));
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

/// The listener that was passed by socket activation (`LISTEN_FDS`, the first one), or else a new one.
///
/// `LISTEN_PID`, if it is set, must be our pid. Who starts us in a pid namespace cannot know that pid and leaves the
/// variable out; `listenfd` then takes the listener as meant for us.
fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    match ListenFd::from_env().take_tcp_listener(0)? {
        Some(listener) => Ok(listener),
        None => TcpListener::bind(address),
    }
}
