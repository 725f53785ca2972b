//! The Worker's variables: name, type, default and error of each. Read once: a deploy that changes
//! one starts new isolates.

mod mount;
mod pool;
mod tunnel;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use sandbox_protocol::limits;
use sandbox_protocol::local::RUNTIME_URL_VAR;
use sandbox_protocol::sandboxd::CLOUDFLARED_ENV;
use worker::Env;

use crate::duration;
use crate::error::ApiError;

pub use mount::MountConfig;
pub use pool::PoolConfig;
pub use tunnel::TunnelConfig;

/// The Durable Object binding of the sandboxes.
pub const SANDBOX_BINDING: &str = "Sandbox";
/// The binding of the static assets: the OpenAPI document and its explorer.
pub const ASSETS_BINDING: &str = "ASSETS";
/// The Durable Object binding of the warm pool.
pub const POOL_BINDING: &str = "WarmPool";

/// The configuration of the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `SANDBOX_API_KEY` (secret, text; default: none): the key that callers must present.
    pub api_key: Option<String>,
    /// The digest of that key, computed when the first caller presents one.
    pub key_digest: OnceCell<[u8; 32]>,
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
    /// `CLOUDFLARE_…`
    pub tunnel: TunnelConfig,
    /// `SANDBOX_CLOUDFLARED` (path inside the sandbox; default: none): the program that connects
    /// tunnels, where it is not in one of the image's system directories.
    pub cloudflared: Option<String>,
    /// `R2_…`, `AWS_…`
    pub mount: MountConfig,
    /// `WARM_POOL_…`
    pub pool: PoolConfig,
    /// The limits of `sandboxd` that this deployment sets ([`limits::ALL`], whole numbers):
    /// variables of its environment.
    pub limits: BTreeMap<String, String>,
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
        let parsed = |name: &str, form: &str, text: &str| {
            ApiError::NotConfigured(format!("{name} must be {form}, not {text:?}"))
        };
        let max_upload_bytes = var("MAX_UPLOAD_BYTES")
            .map(|text| {
                text.parse()
                    .map_err(|_| parsed("MAX_UPLOAD_BYTES", "a whole number of bytes", &text))
            })
            .transpose()?;
        let timeout = |name: &str, default: &str| {
            let text = var(name).unwrap_or_else(|| default.to_owned());
            duration::parse(&text).ok_or_else(|| parsed(name, &format!("a duration like {default}"), &text))
        };
        let start_timeout = timeout("SANDBOX_START_TIMEOUT", "30s")?;
        let platform_timeout = timeout("SANDBOX_PLATFORM_TIMEOUT", "10s")?;
        let sleep_after = match var("SANDBOX_SLEEP_AFTER").as_deref() {
            None => Some(Duration::from_secs(600)),
            Some("never") => None,
            Some(text) => Some(
                duration::parse(text)
                    .ok_or_else(|| parsed("SANDBOX_SLEEP_AFTER", "a duration like 10m, or never", text))?,
            ),
        };
        let mut limits = BTreeMap::new();
        for variable in limits::ALL {
            if let Some(text) = var(variable.name) {
                variable.parse(&text).map_err(ApiError::NotConfigured)?;
                limits.insert(variable.name.to_owned(), text);
            }
        }
        Ok(Self {
            limits,
            api_key: var("SANDBOX_API_KEY"),
            key_digest: OnceCell::new(),
            max_upload_bytes,
            start_timeout,
            platform_timeout,
            sleep_after,
            tunnel: TunnelConfig::from_vars(var),
            cloudflared: var(CLOUDFLARED_ENV),
            mount: MountConfig::from_vars(var)?,
            pool: PoolConfig::from_vars(var)?,
            runtime_url: var(RUNTIME_URL_VAR).map(|url| url.trim_end_matches('/').to_owned()),
        })
    }

    /// The environment that `sandboxd` is started with, the boot id aside.
    pub fn sandboxd_env(&self) -> BTreeMap<String, String> {
        let mut env = self.limits.clone();
        if let Some(path) = &self.cloudflared {
            env.insert(CLOUDFLARED_ENV.to_owned(), path.clone());
        }
        env
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Result<Config, ApiError> {
        Config::from_vars(|name| {
            vars.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn defaults() {
        let expected = Config {
            api_key: None,
            key_digest: OnceCell::new(),
            max_upload_bytes: None,
            start_timeout: Duration::from_secs(30),
            platform_timeout: Duration::from_secs(10),
            sleep_after: Some(Duration::from_secs(600)),
            tunnel: TunnelConfig::from_vars(|_| None),
            cloudflared: None,
            mount: MountConfig::default(),
            pool: PoolConfig::from_vars(|_| None).unwrap(),
            limits: BTreeMap::new(),
            runtime_url: None,
        };
        assert_eq!(config(&[]).unwrap(), expected);
        assert_eq!(config(&[("SANDBOX_API_KEY", "")]).unwrap(), expected);
    }

    #[test]
    fn every_variable() {
        let set = config(&[
            ("SANDBOX_API_KEY", "k"),
            ("MAX_UPLOAD_BYTES", "10"),
            ("SANDBOX_START_TIMEOUT", "500ms"),
            ("SANDBOX_PLATFORM_TIMEOUT", "1s"),
            ("SANDBOX_SLEEP_AFTER", "2h"),
            ("CLOUDFLARE_API_TOKEN", "t"),
            ("SANDBOX_CLOUDFLARED", "/opt/cloudflared"),
            ("WARM_POOL_TARGET", "3"),
            ("SANDBOX_MAX_COMMANDS", "7"),
            ("SANDBOX_RUNTIME_URL", "http://127.0.0.1:1/secret/"),
        ]);
        let expected = Config {
            api_key: Some("k".into()),
            key_digest: OnceCell::new(),
            max_upload_bytes: Some(10),
            start_timeout: Duration::from_millis(500),
            platform_timeout: Duration::from_secs(1),
            sleep_after: Some(Duration::from_secs(7200)),
            tunnel: TunnelConfig::from_vars(|name| (name == "CLOUDFLARE_API_TOKEN").then(|| "t".into())),
            cloudflared: Some("/opt/cloudflared".into()),
            mount: MountConfig::default(),
            pool: PoolConfig::from_vars(|name| (name == "WARM_POOL_TARGET").then(|| "3".into())).unwrap(),
            limits: [("SANDBOX_MAX_COMMANDS".to_owned(), "7".to_owned())].into(),
            runtime_url: Some("http://127.0.0.1:1/secret".into()),
        };
        assert_eq!(set.unwrap(), expected);
    }

    #[test]
    fn a_bad_value_names_its_variable() {
        assert_eq!(
            config(&[("SANDBOX_SLEEP_AFTER", "never")]).unwrap().sleep_after,
            None
        );
        for name in [
            "MAX_UPLOAD_BYTES",
            "SANDBOX_START_TIMEOUT",
            "SANDBOX_PLATFORM_TIMEOUT",
            "SANDBOX_SLEEP_AFTER",
            "SANDBOX_MAX_COMMANDS",
            "WARM_POOL_TARGET",
        ] {
            let error = config(&[(name, "much")]).unwrap_err();
            assert_eq!(error.parts().0, 503);
            assert!(error.body().error.starts_with(name), "{error:?}");
        }
    }
}
