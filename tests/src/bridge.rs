//! The bridge under test.

use std::env;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde_json::{Value, json};

use crate::bridge_process::{Log, launch};
use crate::{build, snapshot};

/// Where a bridge answers, and its key.
#[derive(Debug, Clone)]
pub struct Bridge {
    /// Without a slash at the end.
    pub url: String,
    /// The key for `Authorization`.
    pub key: String,
    /// Whether its sandboxes are processes of this machine.
    pub is_local: bool,
    /// Whether its sandboxes are containers of this machine's Docker engine.
    pub has_containers: bool,
    /// Its output, if it was started here.
    pub log: Log,
    /// The process it was started as here: all its other processes descend from this one.
    pub pid: Option<u32>,
}

/// The runtime of the sandboxes of a bridge that is started here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// Process trees of this machine, by `npm start`.
    Local,
    /// Containers by Docker, by `npm run dev`.
    Container,
}

impl Runtime {
    /// The one that `SANDBAR_RUNTIME` names: `local`, the default, or `container`.
    pub fn from_env() -> Self {
        env::var("SANDBAR_RUNTIME").map_or(Self::Local, |name| {
            name.parse().unwrap_or_else(|e| panic!("SANDBAR_RUNTIME: {e}"))
        })
    }

    /// The name that it is chosen by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Container => "container",
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Local => "scripts/start",
            Self::Container => "scripts/dev",
        }
    }
}

impl FromStr for Runtime {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Local, Self::Container]
            .into_iter()
            .find(|runtime| runtime.name() == name)
            .ok_or_else(|| format!("a runtime is local or container, not {name:?}"))
    }
}

impl Bridge {
    /// The bridge that `BASE_URL` names, or else one started here.
    pub fn from_env() -> Self {
        match env::var("BASE_URL") {
            Ok(url) => Self::at(&url, env::var("SANDBOX_API_KEY").unwrap_or_default()),
            Err(_) => Self::start(&[]),
        }
    }

    /// A bridge that runs somewhere.
    pub fn at(url: &str, key: String) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            key,
            is_local: false,
            has_containers: false,
            log: Log::default(),
            pid: None,
        }
    }

    /// Starts a bridge of its own with Worker variables on top of the usual ones. It ends with this
    /// process.
    pub fn start(vars: &[(&str, &str)]) -> Self {
        Self::start_on(Runtime::from_env(), vars)
    }

    /// [`Self::start`] with a runtime of the caller's choice.
    pub fn start_on(runtime: Runtime, vars: &[(&str, &str)]) -> Self {
        Self::start_by(runtime, &[], &[], vars)
    }

    /// Starts a bridge of its own that `wrangler dev` serves on either runtime, with its
    /// `/cdn-cgi/handler/scheduled`.
    pub fn start_scheduled(vars: &[(&str, &str)]) -> Self {
        Self::start_by(Runtime::from_env(), &[], &["--test-scheduled"], vars)
    }

    /// Starts a bridge of its own with a limit of sandboxes that run at a time, on the local
    /// runtime only: here nothing limits containers.
    pub fn start_limited(max_sandboxes: &str, vars: &[(&str, &str)]) -> Self {
        let env = [("MAX_SANDBOXES", max_sandboxes)];
        Self::start_by(Runtime::from_env(), &env, &[], vars)
    }

    /// Starts a bridge of its own whose sandboxes are containers of another image.
    pub fn start_image(dockerfile: &str, vars: &[(&str, &str)]) -> Self {
        let directory = new_directory("image");
        std::fs::write(directory.join("Dockerfile"), dockerfile).expect("a Dockerfile");
        let mut config = wrangler_config();
        config["containers"][0]["images"]["base"]["dockerfile"] = "./Dockerfile".into();
        let config = write_config(&directory, &config);
        Self::start_by(Runtime::Container, &[], &["--config", &config], vars)
    }

    /// Starts a bridge of its own whose sandboxes are containers of the usual image, `base`, or of one
    /// more, `other`.
    pub fn start_with_other_image(dockerfile: &str, vars: &[(&str, &str)]) -> Self {
        let directory = new_directory("images");
        std::fs::write(directory.join("Dockerfile"), dockerfile).expect("a Dockerfile");
        let mut config = wrangler_config();
        config["containers"][0]["images"]["other"] = json!({ "dockerfile": "./Dockerfile" });
        let config = write_config(&directory, &config);
        Self::start_by(Runtime::Container, &[], &["--config", &config], vars)
    }

    /// Starts a bridge of its own whose sandboxes are containers under the scheduling policy
    /// `default`.
    pub fn start_default_policy(vars: &[(&str, &str)]) -> Self {
        let directory = new_directory("policy");
        let mut config = wrangler_config();
        let base = &config["containers"][0]["images"]["base"];
        config["containers"][0] = json!({
            "class_name": "Sandbox",
            "image": base["dockerfile"],
            "image_vars": base["build_vars"],
            "instance_type": "basic",
            "max_instances": 20,
        });
        let config = write_config(&directory, &config);
        Self::start_by(Runtime::Container, &[], &["--config", &config], vars)
    }

    /// Starts a bridge of its own whose Worker is restarted, as by a deploy, by writing to the file
    /// that this gives.
    pub fn start_restartable(vars: &[(&str, &str)]) -> (Self, PathBuf) {
        Self::start_with_buckets(&[], vars)
    }

    /// [`Self::start_restartable`] with R2 buckets of its own, of these names, bound under the same
    /// names.
    pub fn start_with_buckets(buckets: &[&str], vars: &[(&str, &str)]) -> (Self, PathBuf) {
        let (directory, mut config) = copy_of_worker();
        let bound = |name: &&str| json!({ "binding": name, "bucket_name": name.to_lowercase() });
        config["r2_buckets"] = buckets.iter().map(bound).collect();
        let config = write_config(&directory, &config);
        let bridge = Self::start_by(Runtime::from_env(), &[], &["--config", &config], vars);
        (bridge, directory.join("index.js"))
    }

    /// Starts a bridge of its own whose objects [`Self::evict`] evicts.
    pub fn start_evictable(vars: &[(&str, &str)]) -> Self {
        let (directory, mut config) = copy_of_worker();
        let route = project_root().join("tests/stand-ins/evictable.js");
        std::fs::copy(route, directory.join("evictable.js")).expect("a copy of the route");
        config["main"] = "evictable.js".into();
        let flags = config["compatibility_flags"].as_array_mut().expect("flags");
        flags.push("unsafe_module".into());
        // By wrangler, whose workerd has the experimental module; bundling would fail to find it.
        config["no_bundle"] = true.into();
        config["rules"] = json!([{ "type": "ESModule", "globs": ["*.js"] }]);
        let config = write_config(&directory, &config);
        Self::start_by(Runtime::from_env(), &[], &["--config", &config], vars)
    }

    /// Whether its sandboxes share one network, so that only one of them can listen on a port: on this
    /// machine, where they cannot have networks of their own.
    pub fn shares_network(&self) -> bool {
        self.is_local && self.log.count(&["share this machine's network"]) > 0
    }

    /// Evicts the objects of a bridge of [`Self::start_evictable`].
    pub async fn evict(&self) {
        let answer = reqwest::get(format!("{}/evict", self.url))
            .await
            .expect("an answer");
        assert_eq!(answer.text().await.expect("a text"), "evicted");
    }

    fn start_by(runtime: Runtime, env: &[(&str, &str)], arguments: &[&str], vars: &[(&str, &str)]) -> Self {
        let (port, key) = (free_port(), "test-key.0123456789");
        let mut command = build::command(runtime.script());
        command
            .env("PORT", port.to_string())
            .env("SANDBOX_API_KEY", key)
            .env("SNAPSHOT_DIR", snapshot::directory())
            .envs(env.iter().copied())
            .args(arguments);
        if runtime == Runtime::Container && !vars.iter().any(|(name, _)| *name == "MAX_SANDBOXES") {
            // The usual ceiling is below what tests run at a time.
            add_vars(&mut command, &[("MAX_SANDBOXES", "0")]);
        }
        add_vars(&mut command, vars);
        let log = Log::default();
        let (url, pid) = launch(command, port, &log);
        Self {
            url,
            key: key.to_owned(),
            is_local: runtime == Runtime::Local,
            has_containers: runtime == Runtime::Container,
            log,
            pid: Some(pid),
        }
    }

    /// Starts the Worker alone, as somebody deploys it who has configured nothing but `vars`: no
    /// key, nothing to run sandboxes on. `config` takes the place of wrangler.jsonc.
    pub fn start_bare(config: &Path, vars: &[(&str, &str)]) -> Self {
        build::worker();
        let port = free_port();
        let mut command = build::command("node_modules/.bin/wrangler");
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
            .env("WRANGLER_SEND_METRICS", "false")
            // Else the build command of wrangler.jsonc makes up a key.
            .env("SANDBAR_BUILT", "1");
        add_vars(&mut command, vars);
        let log = Log::default();
        let (url, pid) = launch(command, port, &log);
        Self {
            url,
            key: String::new(),
            is_local: true,
            has_containers: false,
            log,
            pid: Some(pid),
        }
    }
}

/// A directory with a copy of the Worker, and its configuration there.
fn copy_of_worker() -> (PathBuf, Value) {
    build::worker();
    let directory = new_directory("worker");
    for name in ["index.js", "index_bg.wasm"] {
        let built = project_root().join("build").join(name);
        std::fs::copy(built, directory.join(name)).expect("a copy of the Worker");
    }
    let mut config = wrangler_config();
    config["main"] = "index.js".into();
    (directory, config)
}

fn add_vars(command: &mut Command, vars: &[(&str, &str)]) {
    for (name, value) in vars {
        command.arg("--var").arg(format!("{name}:{value}"));
    }
}

fn new_directory(purpose: &str) -> PathBuf {
    let directory = env::temp_dir().join(format!("sandbar-{purpose}-{}", free_port()));
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}

fn write_config(directory: &Path, config: &Value) -> String {
    let path = directory.join("wrangler.json");
    std::fs::write(&path, config.to_string()).expect("a config");
    path.to_str().expect("UTF-8").to_owned()
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
    // The tests have built, and it is to be found from the project's root.
    config.as_object_mut().expect("an object").remove("build");
    let absolute = |path: &str| Value::from(project_root().join(path).to_str().expect("UTF-8"));
    config["main"] = absolute("build/index.js");
    config["assets"]["directory"] = absolute("assets");
    config["containers"][0]["images"]["base"]["dockerfile"] = absolute("Dockerfile");
    config
}

/// The repository.
pub fn project_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A TCP port that nothing listens on now.
pub fn free_port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    // The kernel assigns higher ones to any process that asks for a free port, as Docker does for
    // containers, perhaps before the caller listens. Another process begins elsewhere.
    let (lowest, count) = (10_000, 22_000);
    loop {
        let turn = ASKED.fetch_add(1, Relaxed);
        let port = (std::process::id().wrapping_mul(101).wrapping_add(turn)) % count + lowest;
        let port = u16::try_from(port).expect("a port");
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}
