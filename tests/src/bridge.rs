//! The bridge under test.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Once, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Where a bridge answers, and its key.
#[derive(Debug, Clone)]
pub struct Bridge {
    /// Without a slash at the end.
    pub url: String,
    /// What to show in `Authorization`.
    pub key: String,
    /// Whether its sandboxes are processes of this machine, so that a test can reach them.
    pub is_local: bool,
    /// Whether its sandboxes are containers of this machine's Docker engine.
    pub has_containers: bool,
}

/// What runs the sandboxes of a bridge that is started here: `SANDBAR_RUNTIME`, `local` or `container`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runtime {
    /// Process trees of this machine, by `npm start`.
    Local,
    /// Containers by Docker, by `npm run dev`.
    Container,
}

impl Runtime {
    fn from_env() -> Self {
        match env::var("SANDBAR_RUNTIME").as_deref() {
            Err(_) | Ok("local") => Self::Local,
            Ok("container") => Self::Container,
            Ok(other) => panic!("SANDBAR_RUNTIME is local or container, not {other:?}"),
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Local => "scripts/start",
            Self::Container => "scripts/dev",
        }
    }
}

impl Bridge {
    /// The bridge that `BASE_URL` names, or else one started here.
    pub fn from_env() -> Self {
        match env::var("BASE_URL") {
            Ok(url) => Self {
                url: url.trim_end_matches('/').to_owned(),
                key: env::var("SANDBOX_API_KEY").unwrap_or_default(),
                is_local: false,
                has_containers: false,
            },
            Err(_) => Self::start(&[]),
        }
    }

    /// Starts a bridge of its own with Worker variables on top of the usual ones. It ends with this process.
    pub fn start(vars: &[(&str, &str)]) -> Self {
        let runtime = Runtime::from_env();
        let (port, key) = (free_port(), "test-key.0123456789");
        let mut command = Command::new(runtime.script());
        command.env("PORT", port.to_string()).env("SANDBOX_API_KEY", key);
        add_vars(&mut command, vars);
        Self {
            url: Self::launch(command, port),
            key: key.to_owned(),
            is_local: runtime == Runtime::Local,
            has_containers: runtime == Runtime::Container,
        }
    }

    /// Starts a bridge of its own whose sandboxes are containers of another image.
    pub fn start_image(dockerfile: &str, vars: &[(&str, &str)]) -> Self {
        let (port, key) = (free_port(), "test-key.0123456789");
        let directory = env::temp_dir().join(format!("sandbar-image-{port}"));
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join("Dockerfile"), dockerfile).expect("a Dockerfile");
        let mut config = wrangler_config();
        config["containers"][0]["image"] = "./Dockerfile".into();
        let path = directory.join("wrangler.json");
        std::fs::write(&path, config.to_string()).expect("a config");
        let mut command = Command::new("scripts/dev");
        command
            .env("PORT", port.to_string())
            .env("SANDBOX_API_KEY", key)
            .arg("--config")
            .arg(path);
        add_vars(&mut command, vars);
        Self {
            url: Self::launch(command, port),
            key: key.to_owned(),
            is_local: false,
            has_containers: true,
        }
    }

    /// Starts the Worker alone, as somebody deploys it who has configured nothing but `vars`: no key, nothing to run
    /// sandboxes on. `config` takes the place of wrangler.jsonc.
    pub fn start_bare(config: &Path, vars: &[(&str, &str)]) -> Self {
        static BUILD: Once = Once::new();
        BUILD.call_once(|| {
            let built = Command::new("scripts/build-worker")
                .current_dir(project_root())
                .status();
            assert!(
                built.is_ok_and(|status| status.success()),
                "scripts/build-worker failed"
            );
        });
        let port = free_port();
        let mut command = Command::new("node_modules/.bin/wrangler");
        command.args([
            "dev",
            "--enable-containers=false",
            "--show-interactive-dev-session=false",
        ]);
        command
            .args(["--inspector-port", "0", "--port", &port.to_string()])
            .arg("--config")
            .arg(config);
        command
            .arg("--persist-to")
            .arg(env::temp_dir().join(format!("sandbar-bare-{port}")));
        let tools = project_root().join("node_modules/.bin");
        let path = env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", tools.display()))
            .env("WRANGLER_SEND_METRICS", "false");
        add_vars(&mut command, vars);
        Self {
            url: Self::launch(command, port),
            key: String::new(),
            is_local: true,
            has_containers: false,
        }
    }

    /// Runs `command`, which serves a bridge on `port`, until this process ends; gives its URL once it answers.
    fn launch(mut command: Command, port: u16) -> String {
        command.current_dir(project_root());
        let (ended, end) = mpsc::channel();
        // The parent-death signal comes when the THREAD that started the child ends: this one lasts as long as the
        // process, which a test's thread does not.
        std::thread::spawn(move || ended.send(keep(command)));
        let deadline = Instant::now() + Duration::from_secs(600);
        while !answers(port) {
            if let Ok(output) = end.recv_timeout(Duration::from_millis(100)) {
                panic!("the bridge did not start:\n{output}");
            }
            assert!(
                Instant::now() < deadline,
                "the bridge did not start within 10 minutes"
            );
        }
        format!("http://localhost:{port}")
    }
}

fn add_vars(command: &mut Command, vars: &[(&str, &str)]) {
    for (name, value) in vars {
        command.arg("--var").arg(format!("{name}:{value}"));
    }
}

/// Whether something speaks HTTP on a port of this machine.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("localhost", port))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1"))
}

/// Runs a bridge to its end; gives what it said.
fn keep(mut command: Command) -> String {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // SAFETY: prctl is async-signal-safe and touches nothing of the parent.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
            Ok(())
        });
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return format!("{command:?}: {e}"),
    };
    let stderr = child.stderr.take();
    let errors = std::thread::spawn(move || stderr.map(collect));
    let said = child.stdout.take().map(collect).unwrap_or_default();
    let _ = child.wait();
    said + &errors.join().ok().flatten().unwrap_or_default()
}

/// Reads to the end and keeps the beginning. `SANDBAR_TEST_LOG` shows all of it.
fn collect(output: impl Read) -> String {
    let show = env::var_os("SANDBAR_TEST_LOG").is_some();
    let mut kept = String::new();
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if show {
            eprintln!("{line}");
        }
        if kept.len() < 16 * 1024 {
            kept.push_str(&line);
            kept.push('\n');
        }
    }
    kept
}

/// The project's wrangler.jsonc, with its paths absolute.
pub fn wrangler_config() -> Value {
    let text = std::fs::read_to_string(project_root().join("wrangler.jsonc")).expect("wrangler.jsonc");
    let without_comments: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let mut config: Value =
        serde_json::from_str(&without_comments).expect("JSON with comments on lines of their own");
    config["main"] = project_root()
        .join("build/index.js")
        .to_str()
        .expect("UTF-8")
        .into();
    config
}

/// The repository.
pub fn project_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A TCP port that nothing listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
