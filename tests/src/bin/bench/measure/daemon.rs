//! A `sandboxd` outside any sandbox, spoken to directly.

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process};
use sandbar_tests::bridge::free_port;
use sandbar_tests::raw::health;

use crate::series::{Miss, Sample};
use crate::side::{Exec, time_of};
use crate::time::ms_since;

use super::processes::rss_mib;
use super::size::sandboxd_path;

/// A `sandboxd` that ends with its owner, with all that it runs.
pub struct Daemon {
    child: Child,
    address: String,
    workspace: PathBuf,
    http: Client,
    /// Milliseconds from its start to its first answer.
    pub started: f64,
}

impl Daemon {
    /// Starts one and waits for its first answer.
    pub fn start() -> Result<Self, Miss> {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let workspace = std::env::temp_dir().join(format!("sandbar-bench-{port}"));
        std::fs::create_dir_all(&workspace).map_err(Miss::failed)?;
        std::fs::write(workspace.join("small"), "x").map_err(Miss::failed)?;
        let started = Instant::now();
        let mut command = Command::new(sandboxd_path());
        command
            .args(["--listen", &address, "--workspace"])
            .arg(&workspace)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // SAFETY: prctl is async-signal-safe and touches nothing of the parent.
        unsafe {
            command.pre_exec(|| {
                // A bench that is killed cannot end it. The thread that starts it is the main one.
                rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
                Ok(())
            });
        }
        let child = command.spawn().map_err(Miss::failed)?;
        let mut daemon = Self {
            child,
            address,
            workspace,
            http: Client::builder().no_proxy().build().map_err(Miss::failed)?,
            started: 0.0,
        };
        while !matches!(health(&daemon.address), Ok(true)) {
            if started.elapsed() > Duration::from_secs(10) {
                return Err(Miss::Failed("sandboxd does not answer".into()));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        daemon.started = ms_since(started);
        Ok(daemon)
    }

    /// Its `POST /exec`.
    pub fn exec(&self) -> Exec {
        Exec::at(self.http.post(format!("http://{}/exec", self.address)))
    }

    /// Milliseconds of reading a small file.
    pub async fn read_file(&self) -> Sample {
        time_of(self.file()).await
    }

    fn file(&self) -> RequestBuilder {
        self.http
            .get(format!("http://{}/file/workspace/small", self.address))
    }

    /// Begins to execute a command and reads nothing of it while the connection is held.
    pub fn exec_unread(&self, argv: &str) -> io::Result<TcpStream> {
        let mut unread = TcpStream::connect(&self.address)?;
        let body = format!(r#"{{"argv":["{argv}"]}}"#);
        let length = body.len();
        write!(
            unread,
            "POST /exec HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        Ok(unread)
    }

    /// Mebibytes of memory that it holds.
    pub fn rss_mib(&self) -> Sample {
        rss_mib(self.child.id()).ok_or(Miss::Failed("sandboxd is gone".into()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SIGTERM, so that it ends what it runs; it does so within 5 seconds.
        if let Ok(pid) = i32::try_from(self.child.id()).map(Pid::from_raw)
            && let Some(pid) = pid
        {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(6);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.workspace);
    }
}
