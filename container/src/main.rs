//! The program; the library's documentation says what it does.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::BorrowedFd;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs, io};

use listenfd::ListenFd;
use rustix::io::{FdFlags, fcntl_setfd};
use sandbox_protocol::limits::Limit;
use sandbox_protocol::sandboxd::SECRET_ENV;
use sandboxd::config::{Flags, USAGE};
use sandboxd::log::Log;
use sandboxd::{Config, MountCapability, git, malloc, protect, threads};

fn main() -> ExitCode {
    if let Some(code) = git::driver::run() {
        return code;
    }
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
    let config = Config::from_env(flags.workspace, flags.volume)?;
    let limits = config.limits;
    protect::this_process(&config)?;
    // SAFETY: nothing else runs yet that could read or change the environment.
    unsafe { env::remove_var(SECRET_ENV) };
    let number = |limit: Limit| usize::try_from(limit.value).unwrap_or(usize::MAX);
    tracing_subscriber::fmt()
        .with_writer(move || Log::new(number(limits.max_log_line_bytes)))
        .with_ansi(false)
        .with_target(false)
        .init();
    close_descriptors_on_exec()?;
    malloc::bound();
    // While there is only one thread: the runtime's threads inherit its capabilities.
    let mount_capability = if flags.reserve_mounting {
        MountCapability::reserve()?
    } else {
        MountCapability::everybody()
    };
    let listener = listener(flags.listen)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads::default_threads())
        .max_blocking_threads(number(limits.max_blocking_threads))
        .enable_all()
        .build()?;
    let served = runtime.block_on(sandboxd::serve(listener, config, mount_capability));
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

/// The first listener passed by socket activation (`LISTEN_FDS`), or a new one.
///
/// `LISTEN_PID`, if it is set, must be our pid. A parent that starts us in a pid namespace cannot
/// know that pid and leaves the variable out; `listenfd` then accepts the listener.
fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    match ListenFd::from_env().take_tcp_listener(0)? {
        Some(listener) => Ok(listener),
        None => TcpListener::bind(address),
    }
}

/// Keeps commands from inheriting the descriptors that we inherited: a socket, or any other that
/// our parent had open.
fn close_descriptors_on_exec() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if fd > 2 {
            // SAFETY: it was open a moment ago, and nothing else runs yet that could close it.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            // Fails for the descriptor that read the directory, which is closed by now.
            let _ = fcntl_setfd(fd, FdFlags::CLOEXEC);
        }
    }
    Ok(())
}
