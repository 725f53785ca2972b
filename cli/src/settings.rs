//! The options of a new sandbox.

use std::path::PathBuf;

use clap::Args;
use reqwest::Method;
use sandbox_protocol::SandboxId;
use sandbox_protocol::answer::SandboxCreated;
use sandbox_protocol::sandbox::id_source;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::http::{Bridge, json as read_json};

/// The settings of a new sandbox.
#[derive(Args)]
pub struct Settings {
    /// The name of an image of the deployment
    #[arg(long)]
    image: Option<String>,
    /// The size, like standard-1
    #[arg(long)]
    instance: Option<String>,
    /// A name: the same name always gives the same sandbox
    #[arg(long)]
    name: Option<String>,
    /// A label. Several are possible
    #[arg(long = "label", value_name = "K=V", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// A variable for every command in it. K alone: with the value that it has here
    #[arg(short, long = "env", value_name = "K=V", value_parser = variable)]
    env: Vec<(String, String)>,
    /// A file with a variable a line, as for --env. Lines that begin with # are comments
    #[arg(long = "env-file", value_name = "FILE")]
    env_files: Vec<PathBuf>,
    /// The snapshot to begin with
    #[arg(long, value_name = "SID")]
    snapshot: Option<String>,
    /// The idle time after which it sleeps, like 10m, or never
    #[arg(long, value_name = "TIME")]
    sleep_after: Option<String>,
    /// The time after which it is destroyed, like 24h
    #[arg(long, value_name = "TIME")]
    max_lifetime: Option<String>,
    /// Gives it no network
    #[arg(long)]
    no_internet: bool,
}

impl Settings {
    /// Creates a sandbox.
    pub async fn create(&self, bridge: &Bridge) -> Result<SandboxId> {
        let request = bridge.request(Method::POST, "/v1/sandbox");
        let body = self.body()?;
        let request = if body.is_empty() {
            request
        } else {
            request.json(&body)
        };
        let created: SandboxCreated = read_json(request).await?;
        SandboxId::parse(&created.id).map_err(|e| Error::Answer(e.to_string()))
    }

    /// The id that the name stands for.
    pub fn named_id(&self) -> Option<SandboxId> {
        let digest = Sha256::digest(id_source(self.name.as_deref()?));
        digest.first_chunk().copied().map(SandboxId::from_random)
    }

    fn body(&self) -> Result<Map<String, Value>> {
        let mut env: Map<String, Value> = Map::new();
        for path in &self.env_files {
            let text = std::fs::read_to_string(path).map_err(Error::io(path.display().to_string()))?;
            let lines = text.lines().map(str::trim_start);
            for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
                let (name, value) =
                    variable(line).map_err(|e| Error::Usage(format!("{}: {e}", path.display())))?;
                env.insert(name, value.into());
            }
        }
        env.extend(object(&self.env));
        let fields = [
            ("image", json!(self.image)),
            ("instance", json!(self.instance)),
            ("name", json!(self.name)),
            ("snapshot", json!(self.snapshot)),
            ("sleepAfter", json!(self.sleep_after)),
            ("maxLifetime", json!(self.max_lifetime)),
            (
                "internet",
                if self.no_internet {
                    json!(false)
                } else {
                    Value::Null
                },
            ),
            (
                "labels",
                if self.labels.is_empty() {
                    Value::Null
                } else {
                    object(&self.labels).into()
                },
            ),
            ("env", if env.is_empty() { Value::Null } else { env.into() }),
        ];
        let given = fields.into_iter().filter(|(_, value)| !value.is_null());
        Ok(given.map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// Pairs as a JSON object.
pub fn object(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect()
}

/// Parses `K=V`.
pub fn pair(text: &str) -> std::result::Result<(String, String), &'static str> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("it must be K=V")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Parses `K=V`, or `K` for a variable of this program.
pub fn variable(text: &str) -> std::result::Result<(String, String), &'static str> {
    if text.contains('=') {
        return pair(text);
    }
    let value =
        std::env::var(text).map_err(|_| "it must be K=V, or the name of a variable that is set here")?;
    Ok((text.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        settings: Settings,
    }

    fn body(arguments: &[&str]) -> Value {
        let options = Options::try_parse_from([&["sandbar"], arguments].concat()).unwrap();
        options.settings.body().unwrap().into()
    }

    #[test]
    fn the_options_are_the_fields_of_the_body() {
        assert_eq!(body(&[]), json!({}));
        assert_eq!(
            body(&[
                "--env",
                "A=1=2",
                "-e",
                "B=",
                "--label",
                "k=v",
                "--no-internet",
                "--name",
                "n"
            ]),
            json!({ "env": { "A": "1=2", "B": "" }, "labels": { "k": "v" }, "internet": false, "name": "n" })
        );
    }

    #[test]
    fn a_variable_without_a_value_has_the_one_of_this_machine() {
        assert_eq!(variable("PATH").unwrap().1, std::env::var("PATH").unwrap());
        for wrong in ["NO_SUCH_VARIABLE_HERE", "=a"] {
            assert!(variable(wrong).is_err(), "{wrong}");
        }
    }
}
