//! Cloudflare's API, as far as named tunnels need it. Everything is found by its name, so every
//! call may be repeated after a failure, however far the last attempt came.

use std::time::Duration;

use sandbox_protocol::SandboxId;
use serde_json::{Value, json};
use wasm_bindgen::JsValue;
use web_sys::{Headers, Request};

use super::record::Record;
use crate::config::TunnelConfig;
use crate::error::ApiError;
use crate::fetch::global_fetch;
use crate::stub;

/// The timeout of one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The domain of the hostnames of tunnels.
const TARGET_DOMAIN: &str = ".cfargotunnel.com";

const NO_TOKEN: &str = "\
a tunnel with a name needs the secret CLOUDFLARE_API_TOKEN and the variables CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_ZONE_ID, \
which are not set for this deployment; one without a name needs none of them";

const PERMISSIONS: &str = "\
CLOUDFLARE_API_TOKEN needs the permissions \"Account: Cloudflare Tunnel: Edit\", \"Zone: DNS: Edit\" and \"Zone: Zone: Read\"";

/// The zone of the hostnames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its id.
    pub id: String,
    /// Its domain.
    pub name: String,
    /// The account of the tunnels.
    pub account: String,
}

/// A tunnel at Cloudflare, ready for its connector.
#[derive(Clone, PartialEq, Eq)]
pub struct Provisioned {
    /// Its id.
    pub id: String,
    /// The token that authenticates its connector.
    pub token: String,
}

/// The API, for one deployment.
#[derive(Debug, Clone, Copy)]
pub struct Cloudflare<'a> {
    config: &'a TunnelConfig,
    token: &'a str,
}

impl<'a> Cloudflare<'a> {
    /// Fails when the deployment has no token; the error names the variables to set.
    pub fn new(config: &'a TunnelConfig) -> Result<Self, ApiError> {
        match &config.api_token {
            Some(token) => Ok(Self { config, token }),
            None => Err(ApiError::Tunnel(NO_TOKEN.to_owned())),
        }
    }

    /// The zone to use.
    pub async fn zone(self) -> Result<Zone, ApiError> {
        let path = match &self.config.zone_id {
            Some(id) => format!("/zones/{id}"),
            None => "/zones?per_page=5".to_owned(),
        };
        let found = self.call("show the zone", "GET", &path, None).await?;
        let zone = only_one(&found)?;
        let account = match &self.config.account_id {
            Some(id) => id.clone(),
            None => text(zone.get("account").unwrap_or(&Value::Null), "id")?,
        };
        Ok(Zone {
            id: text(zone, "id")?,
            name: text(zone, "name")?,
            account,
        })
    }

    /// Creates the missing parts of the tunnel, its route to the port, and its hostname. Fails when
    /// the hostname has a DNS record that does not belong to this sandbox.
    pub async fn provision(self, sandbox: &SandboxId, record: &Record) -> Result<Provisioned, ApiError> {
        let tunnels = tunnels(record);
        let id = match self.tunnel_id(sandbox, record).await? {
            Some(id) => id,
            None => {
                let name = record.tunnel_name(sandbox);
                let body = json!({ "name": name, "config_src": "cloudflare" });
                let created = self
                    .call("make the tunnel", "POST", &tunnels, Some(&body))
                    .await?;
                text(&created, "id")?
            }
        };
        let (hostname, port) = (&record.hostname, record.port);
        let target = format!("{id}{TARGET_DOMAIN}");
        let entries = self.hostname_entries(record).await?;
        if list(&entries)
            .iter()
            .any(|entry| !belongs_to(entry, &target, sandbox))
        {
            return Err(ApiError::Tunnel(format!(
                "{hostname} has a DNS record that is not of this sandbox; choose another name, or delete that record"
            )));
        }
        if !list(&entries)
            .iter()
            .any(|entry| field(entry, "content") == target)
        {
            self.delete(&entries, sandbox, record, &target).await?;
            let body = json!({
                "type": "CNAME",
                "name": hostname,
                "content": target,
                "proxied": true,
                "comment": Record::comment(sandbox).unwrap_or_default(),
            });
            let path = dns_records(record);
            self.call("make the DNS record", "POST", &path, Some(&body))
                .await?;
        }
        let ingress = json!({ "config": { "ingress": [
            { "hostname": hostname, "service": format!("http://localhost:{port}") },
            { "service": "http_status:404" },
        ] } });
        let path = format!("{tunnels}/{id}/configurations");
        self.call("configure the tunnel", "PUT", &path, Some(&ingress))
            .await?;
        let path = format!("{tunnels}/{id}/token");
        let token = self.call("give the tunnel's token", "GET", &path, None).await?;
        Ok(Provisioned {
            id,
            token: required(token.as_str().unwrap_or_default(), "a token")?,
        })
    }

    /// Removes the tunnel and its hostname, as far as they exist. The connector must have ended.
    pub async fn remove(self, sandbox: &SandboxId, record: &Record) -> Result<(), ApiError> {
        let id = self.tunnel_id(sandbox, record).await?.unwrap_or_default();
        let entries = self.hostname_entries(record).await?;
        self.delete(&entries, sandbox, record, &format!("{id}{TARGET_DOMAIN}"))
            .await?;
        if !id.is_empty() {
            // A recent connection then does not prevent the deletion.
            let path = format!("{}/{id}?cascade=true", tunnels(record));
            self.call("delete the tunnel", "DELETE", &path, None).await?;
        }
        Ok(())
    }

    /// Deletes the hostname's DNS records that belong to this sandbox.
    async fn delete(
        self,
        entries: &Value,
        sandbox: &SandboxId,
        record: &Record,
        target: &str,
    ) -> Result<(), ApiError> {
        for entry in list(entries)
            .iter()
            .filter(|entry| belongs_to(entry, target, sandbox))
        {
            let path = format!("{}/{}", dns_records(record), text(entry, "id")?);
            self.call("delete the DNS record", "DELETE", &path, None).await?;
        }
        Ok(())
    }

    async fn tunnel_id(self, sandbox: &SandboxId, record: &Record) -> Result<Option<String>, ApiError> {
        let name = record.tunnel_name(sandbox);
        let path = format!("{}?name={name}&is_deleted=false", tunnels(record));
        let found = self.call("look for the tunnel", "GET", &path, None).await?;
        let is_it = |tunnel: &&Value| {
            field(tunnel, "name") == name && tunnel.get("deleted_at").is_none_or(Value::is_null)
        };
        list(&found)
            .iter()
            .find(is_it)
            .map(|tunnel| text(tunnel, "id"))
            .transpose()
    }

    /// The DNS records of the hostname.
    async fn hostname_entries(self, record: &Record) -> Result<Value, ApiError> {
        let path = format!("{}?name={}", dns_records(record), record.hostname);
        self.call("look for the DNS record", "GET", &path, None).await
    }

    /// One call; returns the `result` of its response. `task` is for the error message. A `DELETE`
    /// with 404 is no error.
    async fn call(
        self,
        task: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let failed = |why: String| ApiError::Tunnel(format!("Cloudflare's API did not {task}: {why}"));
        let lost = |e: JsValue| failed(worker::Error::from(e).to_string());
        let headers = Headers::new()?;
        headers.set("authorization", &format!("Bearer {}", self.token))?;
        let init = stub::with_timeout(method, CALL_TIMEOUT);
        if let Some(body) = body {
            headers.set("content-type", "application/json")?;
            init.set_body(&JsValue::from(body.to_string()));
        }
        init.set_headers(&headers);
        let url = format!("{}{path}", self.config.api_url);
        let request = Request::new_with_str_and_init(&url, &init)?;
        let response = global_fetch(&request).await.map_err(lost)?;
        let status = response.status();
        if method == "DELETE" && status == 404 {
            return Ok(Value::Null);
        }
        let answer = stub::text(response.text()).await?;
        read(status, &answer).map_err(failed)
    }
}

fn tunnels(record: &Record) -> String {
    format!("/accounts/{}/cfd_tunnel", record.account)
}

fn dns_records(record: &Record) -> String {
    format!("/zones/{}/dns_records", record.zone)
}

/// The `result` of a response, or the error message.
fn read(status: u16, answer: &str) -> Result<Value, String> {
    // From bytes, like the bodies of requests: one parser less in the Wasm.
    let mut answer: Value = serde_json::from_slice(answer.as_bytes()).unwrap_or_default();
    if (200..300).contains(&status) && answer.get("success").and_then(Value::as_bool) == Some(true) {
        return Ok(answer.get_mut("result").map(Value::take).unwrap_or_default());
    }
    let errors = answer.get("errors").map(list).unwrap_or_default();
    let message = errors.iter().map(|error| {
        let code = error.get("code").unwrap_or(&Value::Null);
        format!("{} ({code})", field(error, "message"))
    });
    let mut message = message.collect::<Vec<_>>().join("; ");
    if message.is_empty() {
        message = format!("it answered with {status}");
    }
    if matches!(status, 401 | 403) {
        message = format!("{message}. {PERMISSIONS}");
    }
    Err(message)
}

/// The zone itself, or the only zone of a list.
fn only_one(zones: &Value) -> Result<&Value, ApiError> {
    match zones.as_array().map(Vec::as_slice) {
        None => Ok(zones),
        Some([zone]) => Ok(zone),
        Some(zones) => Err(ApiError::Tunnel(format!(
            "CLOUDFLARE_API_TOKEN can see {} zones: set CLOUDFLARE_ZONE_ID to the one for hostnames",
            if zones.is_empty() { "no" } else { "several" }
        ))),
    }
}

/// Whether a DNS record of the hostname points to the tunnel, or to an earlier one of this sandbox.
fn belongs_to(entry: &Value, target: &str, sandbox: &SandboxId) -> bool {
    let content = field(entry, "content");
    let commented = Record::comment(sandbox).is_some_and(|comment| field(entry, "comment") == comment);
    field(entry, "type") == "CNAME" && (content == target || commented && content.ends_with(TARGET_DOMAIN))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The text of a field, empty when there is none.
fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The text of a required field.
fn text(value: &Value, name: &str) -> Result<String, ApiError> {
    required(field(value, name), name)
}

fn required(text: &str, what: &str) -> Result<String, ApiError> {
    if text.is_empty() {
        return Err(ApiError::Tunnel(format!(
            "Cloudflare's API gave an answer without {what}"
        )));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
