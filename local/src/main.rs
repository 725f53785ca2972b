//! `sandbox-local --sandboxd PATH [--state-dir DIR] [--listen ADDRESS] [--max-sandboxes N] [--kernels DIR] [--worker URL]`

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{BorrowedFd, RawFd};
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::*;
use rustix::io::{FdFlags, fcntl_setfd};
use sandbox_local::connections::{Listener, Proof};
use sandbox_local::launch::{Programs, find_program};
use sandbox_local::runtime::{Options, Runtime};
use sandbox_local::slirp::Slirp;
use sandbox_local::state_dir::StateDir;
use sandbox_local::{Error, http, secret};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
sandbox-local --sandboxd PATH [--state-dir DIR] [--listen ADDRESS] [--max-sandboxes N] [--kernels DIR] [--worker URL]

Runs sandboxes as bubblewrap process trees: for development, not for untrusted code. Each has a network of its own
where slirp4netns is installed and works; else they share this machine's network, and standard error says why.
When it is ready it prints one line of JSON, {\"url\": …}; anyone who knows the URL can run commands here.
On SIGINT, SIGTERM and SIGHUP it ends every sandbox and removes their files.

  --sandboxd PATH      the program that serves each sandbox
  --state-dir DIR      where sandboxes keep their files (default: .sandbox-local); one sandbox-local at a time
  --listen ADDRESS     address and port to listen on (default: 127.0.0.1:0, a free port)
  --max-sandboxes N    how many may run at a time; one more is refused, as the platform does (default: no limit)
  --kernels DIR        Jupyter kernels that sandboxes find in /opt/kernels, if the directory exists when they start
  --worker URL         where the Worker answers, http://HOST:PORT: it serves buckets to sandboxes (default: no such mounts)";

type Failure = Box<dyn std::error::Error>;

struct Flags {
    sandboxd: PathBuf,
    state_dir: PathBuf,
    kernels: Option<PathBuf>,
    listen: SocketAddr,
    options: Options,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let runtime = Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(Failure::from).and_then(|runtime| {
        let result = runtime.block_on(run());
        // Does not wait for deletions that have missed their deadline.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("sandbox-local: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    set_inherited_close_on_exec()?;
    let Some(flags) = parse_flags()? else {
        println!("{USAGE}");
        return Ok(());
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bwrap = find_program("bwrap", &path).ok_or(Error::NoBubblewrap)?;
    let slirp = Slirp::find(&path, &bwrap).await;
    match &slirp {
        Ok(_) => eprintln!("sandbox-local: each sandbox has a network of its own"),
        Err(reason) => eprintln!(
            "sandbox-local: all sandboxes share this machine's network, its ports and what listens on 127.0.0.1, because \
             they cannot have networks of their own: {reason}"
        ),
    }
    let programs = Programs {
        bwrap,
        slirp: slirp.ok(),
        kernels: flags.kernels,
        sandboxd: flags
            .sandboxd
            .canonicalize()
            .map_err(|e| format!("{}: {e}", flags.sandboxd.display()))?,
    };
    let listener = TcpListener::bind(flags.listen)
        .await
        .map_err(|e| format!("cannot listen on {}: {e}", flags.listen))?;
    let mut signals = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];

    let state = StateDir::open(&flags.state_dir).await?;
    let runtime = Runtime::new(programs, state, flags.options);
    let secret = secret()?;
    let url = format!("http://{}/{secret}", listener.local_addr()?);
    let app = http::router(runtime.clone(), &secret).into_make_service_with_connect_info::<Proof>();
    writeln!(std::io::stdout(), "{}", json!({ "url": url }))?;

    let [interrupt, terminate, hangup] = &mut signals;
    let served = tokio::select! {
        result = axum::serve(Listener::new(listener), app) => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    };
    runtime.close().await;
    Ok(served?)
}

/// Parses the command line. `None`: `--help` was given.
fn parse_flags() -> Result<Option<Flags>, Failure> {
    let mut sandboxd: Option<OsString> = None;
    let mut state_dir = OsString::from(".sandbox-local");
    let mut listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut kernels = None;
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("sandboxd") => sandboxd = Some(parser.value()?),
            Long("state-dir") => state_dir = parser.value()?,
            Long("listen") => listen = parser.value()?.parse()?,
            Long("max-sandboxes") => options.max_sandboxes = Some(parser.value()?.parse()?),
            Long("kernels") => kernels = Some(std::path::absolute(parser.value()?)?),
            Long("worker") => options.worker = Some(parser.value()?.parse()?),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(Flags {
        sandboxd: sandboxd.ok_or("--sandboxd PATH is missing")?.into(),
        state_dir: state_dir.into(),
        kernels,
        listen,
        options,
    }))
}

/// Marks the inherited descriptors as close-on-exec, so that no sandbox inherits one: a directory
/// among them would be a way out of the sandbox.
fn set_inherited_close_on_exec() -> Result<(), Failure> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let fd: RawFd = entry?.file_name().to_string_lossy().parse()?;
        if fd > 2 {
            // SAFETY: the descriptor is only borrowed for this call, which neither closes it nor
            // reads from it.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            fcntl_setfd(fd, FdFlags::CLOEXEC)?;
        }
    }
    Ok(())
}
