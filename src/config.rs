//! The Worker's variables: name, type, default and error of each. Read once: a deploy that changes
//! one starts new isolates.

mod keys;
mod mount;
mod parse;
mod pool;
mod snapshot;
mod tunnel;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use sandbox_protocol::code::parse_prewarm;
use sandbox_protocol::local::RUNTIME_URL_VAR;
use sandbox_protocol::preview::PreviewDomain;
use sandbox_protocol::sandbox::{Instance, SleepAfter};
use sandbox_protocol::sandboxd::{CLOUDFLARED_ENV, CODE_PREWARM_ENV, FILE_ROOTS_ENV};
use sandbox_protocol::{FileRoots, duration, limits};
use serde_json::Value;
use worker::Env;

use crate::cors::AllowedOrigins;
use crate::error::ApiError;

pub use keys::{ApiKey, ApiKeys};
pub use mount::MountConfig;
pub use pool::PoolConfig;
pub use snapshot::SnapshotConfig;
pub use tunnel::TunnelConfig;

use parse::{parse, whole};

/// The Durable Object binding of the sandboxes.
pub const SANDBOX_BINDING: &str = "Sandbox";
/// The binding of the static assets: the OpenAPI document and its explorer.
pub const ASSETS_BINDING: &str = "ASSETS";
/// The Durable Object binding of the warm pool.
pub const POOL_BINDING: &str = "WarmPool";

/// The Durable Object binding of the index.
pub const INDEX_BINDING: &str = "SandboxIndex";

/// The configuration of the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `SANDBOX_API_KEY` (secret, texts separated by commas; default: none): the keys of which
    /// callers must present one.
    pub api_keys: ApiKeys,
    /// `ALLOWED_ORIGINS` (origins separated by commas, or `*`; default: none): the origins whose web
    /// pages may call the API.
    pub allowed_origins: AllowedOrigins,
    /// `MAX_UPLOAD_BYTES` (whole number; default: no limit): the maximum of bytes of one uploaded
    /// file or archive.
    pub max_upload_bytes: Option<u64>,
    /// `SANDBOX_START_TIMEOUT` (duration like `30s`; default 30s): the timeout of a start.
    pub start_timeout: Duration,
    /// `SANDBOX_PLATFORM_TIMEOUT` (duration like `10s`; default 10s): the timeout of a call of the
    /// platform, such as `destroy()`, after which it counts as failed.
    pub platform_timeout: Duration,
    /// `SANDBOX_SLEEP_AFTER` (duration like `10m`, or `never`; default 10m): the idle time after
    /// which a sandbox is put to sleep. `None`: never.
    pub sleep_after: Option<Duration>,
    /// `SANDBOX_SLEEP_AFTER` as text.
    pub sleep_after_text: String,
    /// `SANDBOX_FORGET_AFTER` (duration like `24h`; default 24h): the time for which a sandbox that does not run
    /// without settings is listed.
    pub forget_after: Duration,
    /// `SANDBOX_INSTANCE` (name of a size; default standard-1): the size of a sandbox that names none.
    pub instance: Instance,
    /// `MAX_SANDBOXES` (whole number; default: 20 where the platform has no maximum, else none): the
    /// maximum of running sandboxes. 0: none.
    pub max_sandboxes: Option<u32>,
    /// `INDEX_SHARDS` (1 to 256; default 16): the number of objects that the index has.
    pub index_shards: u32,
    /// `INDEX_RETRY_INTERVAL` (duration like `30s`; default 30s): the time after which a report to the
    /// index that failed, or may have been lost, is made again.
    pub index_retry: Duration,
    /// `CLOUDFLARE_…`
    pub tunnel: TunnelConfig,
    /// `SANDBOX_CLOUDFLARED` (path inside the sandbox; default: none): the program that connects
    /// tunnels, where it is not in one of the image's system directories.
    pub cloudflared: Option<String>,
    /// `R2_…`, `AWS_…`
    pub mount: MountConfig,
    /// `SNAPSHOT_…`: the store of snapshots, where no R2 bucket is bound for it.
    pub snapshots: Option<SnapshotConfig>,
    /// `WARM_POOL_…`
    pub pool: PoolConfig,
    /// `SANDBOX_FILE_ROOTS` (absolute paths with `:` between them; default: /workspace): the
    /// directories that files may be in.
    pub file_roots: FileRoots,
    /// `CODE_PREWARM` (languages with commas between them; default: none): the languages whose kernels
    /// are kept ready.
    pub code_prewarm: Vec<String>,
    /// The limits of `sandboxd` that this deployment sets ([`limits::ALL`], whole numbers):
    /// variables of its environment.
    pub limits: BTreeMap<String, String>,
    /// `PREVIEW_HOST` (host name, with a port if it is not the default one; default: none): the host
    /// below which exposed ports have their addresses.
    pub preview_host: Option<PreviewDomain>,
    /// `SANDBOX_RUNTIME_URL` (URL; default: none): the URL of `sandbox-local`. Only `npm start` and
    /// tests set it.
    pub runtime_url: Option<String>,
}

impl Config {
    /// The configuration in the variables of `env`. A variable that does not parse is an error that
    /// names it and its form.
    pub fn from_env(env: &Env) -> Result<Rc<Self>, ApiError> {
        thread_local! {
            // The runtime gives every request of an isolate the same `env`, and reading all of it
            // costs as much as a response.
            static READ: OnceCell<Result<Rc<Config>, ApiError>> = const { OnceCell::new() };
        }
        let read = || Self::from_vars(|name| env.var(name).ok().map(|value| value.to_string())).map(Rc::new);
        READ.with(|config| config.get_or_init(read).clone())
    }

    /// Reads the variables that `var` knows; an empty one counts as absent.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, ApiError> {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let max_upload_bytes = parse(var, "MAX_UPLOAD_BYTES", "a whole number of bytes", |text| {
            text.parse().ok()
        })?;
        let timeout = |name: &str, default: &str| {
            let form = format!("a duration like {default}");
            let timeout = parse(var, name, &form, duration::parse)?;
            Ok::<_, ApiError>(timeout.or_else(|| duration::parse(default)).unwrap_or_default())
        };
        let start_timeout = timeout("SANDBOX_START_TIMEOUT", "30s")?;
        let platform_timeout = timeout("SANDBOX_PLATFORM_TIMEOUT", "10s")?;
        let form = "a duration like 10m, or never";
        let sleep_after = parse(var, "SANDBOX_SLEEP_AFTER", form, SleepAfter::parse)?;
        let sleep_after = sleep_after.map_or(Some(Duration::from_secs(600)), SleepAfter::duration);
        let sleep_after_text = var("SANDBOX_SLEEP_AFTER").unwrap_or_else(|| "10m".to_owned());
        let forget_after = timeout("SANDBOX_FORGET_AFTER", "24h")?;
        let instance = var("SANDBOX_INSTANCE").unwrap_or_else(|| "standard-1".to_owned());
        let instance = Instance::try_from(Value::from(instance))
            .map_err(|e| ApiError::NotConfigured(format!("SANDBOX_INSTANCE: {}", e.message())))?;
        let max_sandboxes = parse(var, "MAX_SANDBOXES", "a whole number", whole)?;
        let index_shards = parse(var, "INDEX_SHARDS", "a whole number from 1 to 256", |text| {
            whole(text).filter(|n| (1..=256).contains(n))
        })?;
        let mut limits = BTreeMap::new();
        for variable in limits::ALL {
            if let Some(text) = var(variable.name) {
                variable.parse(&text).map_err(ApiError::NotConfigured)?;
                limits.insert(variable.name.to_owned(), text);
            }
        }
        let file_roots = FileRoots::parse(&var(FILE_ROOTS_ENV).unwrap_or_default())
            .map_err(|e| ApiError::NotConfigured(format!("{FILE_ROOTS_ENV}: {e}")))?;
        let code_prewarm = parse(
            var,
            CODE_PREWARM_ENV,
            "names of languages with commas between them",
            parse_prewarm,
        )?;
        let mount = MountConfig::from_vars(var)?;
        Ok(Self {
            file_roots,
            code_prewarm: code_prewarm.unwrap_or_default(),
            limits,
            api_keys: ApiKeys::parse(&var("SANDBOX_API_KEY").unwrap_or_default()),
            allowed_origins: AllowedOrigins::parse(&var("ALLOWED_ORIGINS").unwrap_or_default())?,
            max_upload_bytes,
            start_timeout,
            platform_timeout,
            sleep_after,
            sleep_after_text,
            forget_after,
            instance,
            max_sandboxes,
            index_shards: index_shards.unwrap_or(16),
            index_retry: timeout("INDEX_RETRY_INTERVAL", "30s")?,
            tunnel: TunnelConfig::from_vars(var),
            cloudflared: var(CLOUDFLARED_ENV),
            snapshots: SnapshotConfig::from_vars(var, &mount)?,
            mount,
            pool: PoolConfig::from_vars(var)?,
            preview_host: parse(
                var,
                "PREVIEW_HOST",
                "a host name like preview.example.com",
                PreviewDomain::parse,
            )?,
            runtime_url: var(RUNTIME_URL_VAR).map(|url| url.trim_end_matches('/').to_owned()),
        })
    }

    /// The environment that `sandboxd` is started with, the boot id aside.
    pub fn sandboxd_env(&self) -> BTreeMap<String, String> {
        let mut env = self.limits.clone();
        env.insert(FILE_ROOTS_ENV.to_owned(), self.file_roots.to_string());
        if !self.code_prewarm.is_empty() {
            env.insert(CODE_PREWARM_ENV.to_owned(), self.code_prewarm.join(","));
        }
        if let Some(path) = &self.cloudflared {
            env.insert(CLOUDFLARED_ENV.to_owned(), path.clone());
        }
        env
    }
}

#[cfg(test)]
mod tests;
